"""How a model that writes answers is used with plain transformers: its stored template, its ends, its way to choose."""

from __future__ import annotations

import pprint

from ..data import dialogues
from .files import RunFiles
from .words import finite

# Habits that checkpoints of encoder-decoders have; where the folder does not tell, all of these are turned off.
_USUAL = ("min_length", "length_penalty", "early_stopping", "no_repeat_ngram_size", "forced_bos_token_id")

_NO_TYPES = ", return_token_type_ids=False"  # `generate` refuses them


def example(files: RunFiles) -> tuple[str, ...]:
    """What is asked in every example."""
    if _shape(files) == "question_answering":
        return ("the question", "the context that holds the answer")
    if files.task == "seq2seq":
        return ("the text to rewrite",)
    return ("the beginning of a text",) if _shape(files) == "text" else ("the prompt",)


def _shape(files: RunFiles) -> str:
    shape = str(files.part("task").get("shape") or "messages")
    return "messages" if shape == "auto" or files.task == "preference" else shape


def lines(files: RunFiles) -> list[str]:
    """One answer; `tokenizer` and `model` are there already."""
    if files.task == "seq2seq":
        asked = str(files.part("task").get("prefix") or "") + example(files)[0]
        return [f'batch = tokenizer({asked!r}, return_tensors="pt"{_NO_TYPES})', *_written(files, "output[0]")]
    own = 'output[0, batch["input_ids"].shape[1] :]'
    if _shape(files) == "text" or files.stored.template is None:
        return [f'batch = tokenizer({example(files)[0]!r}, return_tensors="pt"{_NO_TYPES})', *_written(files, own)]
    return [*_messages(files), *_dressed(files), *_written(files, own)]


def _messages(files: RunFiles) -> list[str]:
    """The very messages that Tunewright makes of what is asked: a wrapper's prompt among them."""
    asked = example(files)
    labels = tuple(files.labels) if _shape(files) == "classification" else ()
    row = dialogues.ask(0, asked if len(asked) > 1 else asked[0], _shape(files), labels)
    assert row.dialogue is not None
    said = pprint.pformat(list(row.dialogue.messages), width=110, sort_dicts=False)
    return f"messages = {said}".splitlines()


def _dressed(files: RunFiles) -> list[str]:
    """Text first, tokens then: a beginning of sequence that the tokenizer writes must be there, and be there once."""
    return [
        "prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)",
        'begun = prompt.startswith(tokenizer.bos_token or "\\0")  # by the template: no second time',
        f'batch = tokenizer(prompt, add_special_tokens=not begun, return_tensors="pt"{_NO_TYPES})',
    ]


def _written(files: RunFiles, answer: str) -> list[str]:
    """The call of `generate` and the text of its answer."""
    ends = []
    if files.stored.end is not None:
        end = f"tokenizer.convert_tokens_to_ids({files.stored.end!r})"
        ends = [f"ends = [{end}, tokenizer.eos_token_id]"]
    arguments = [*_choice(files), *(["eos_token_id=ends"] if ends else [])]
    closing = files.stored.closing
    kept = f".removesuffix({closing!r}).rstrip()" if closing else ""
    text = f"text = tokenizer.decode({answer}, skip_special_tokens=True)"
    return [*ends, *_call(arguments), text, f"print(text.strip(){kept})"]


def _call(arguments: list[str]) -> list[str]:
    whole = f"output = model.generate(**batch, {', '.join(arguments)})"
    if len(whole) <= 110:
        return [whole]
    return ["output = model.generate(", "    **batch,", *(f"    {argument}," for argument in arguments), ")"]


def _choice(files: RunFiles) -> list[str]:
    """How tokens are chosen, as the run's task says; and that the checkpoint's own habits have no say."""
    from ..decoding import NO_HABITS

    task = files.part("task")
    temperature = finite(task.get("temperature")) or 0.0
    said = {"max_new_tokens": task.get("max_new_tokens") or 256, "do_sample": temperature > 0}
    if temperature > 0:
        said |= {"temperature": temperature, "top_p": task.get("top_p") or 1.0, "top_k": 0}
    if (task.get("num_beams") or 1) > 1 or _unlike(files, "num_beams", 1):
        said["num_beams"] = task.get("num_beams") or 1
    if (task.get("repetition_penalty") or 1.0) != 1.0 or _unlike(files, "repetition_penalty", 1.0):
        said["repetition_penalty"] = task.get("repetition_penalty") or 1.0
    said |= {name: value for name, value in NO_HABITS.items() if _unlike(files, name, value)}
    return [f"{name}={value!r}" for name, value in said.items()]


def _unlike(files: RunFiles, name: str, value: object) -> bool:
    """Whether the checkpoint asks for something else; of an adapter's base nobody knows."""
    habits = files.stored.habits
    if habits is None:
        return files.task == "seq2seq" and name in (*_USUAL, "num_beams")
    return name in habits and habits[name] is not None and habits[name] != value
