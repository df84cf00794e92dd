"""How a run is repeated and its model used: the same words in the report and in the model card."""

from __future__ import annotations

import shlex

from . import usage_written
from .files import RunFiles

_AUTO_CLASSES = {
    "sequence_classification": "SequenceClassification",
    "token_classification": "TokenClassification",
    "question_answering": "QuestionAnswering",
    "seq2seq": "Seq2SeqLM",
    "causal_lm": "CausalLM",
    "preference": "CausalLM",
}
_EXAMPLES = {
    "token_classification": ("the text to look through",),
    "question_answering": ("the question", "the context that holds the answer"),
}
_ADAPTERS = ("lora", "qlora", "ia3", "bottleneck_adapter", "prefix_tuning", "prompt_tuning")
_PROMPTS = ("prefix_tuning", "prompt_tuning")  # PEFT does not keep a head for these: it lies beside


def repeat_commands(files: RunFiles) -> str:
    """The command that was given, where there was one, and the one that repeats the run from its run.yaml."""
    again = f"tunewright train {shlex.quote(files.where + '/run.yaml')} {shlex.quote('out=' + files.where + '-again')}"
    given = files.metrics.get("command")
    return f"{given}\n\n# or, from the resolved configuration:\n{again}" if given else again


def example(files: RunFiles) -> tuple[str, ...]:
    """What is asked in every example: a text, or its parts."""
    if files.generative:
        return usage_written.example(files)
    if files.task in _EXAMPLES:
        return _EXAMPLES[files.task]
    pair = len(files.part("data").get("text") or []) == 2
    return ("the first text", "the second text") if pair else ("the text to classify",)


def predict_command(files: RunFiles) -> str:
    text, *others = example(files)
    if others and not asks_by_context(files):
        return f"tunewright predict {shlex.quote(files.where)} pairs.csv"
    context = f' --context "{others[0]}"' if others else ""
    return f'tunewright predict {shlex.quote(files.where)} --text "{text}"{context}'


def python_lines(files: RunFiles) -> str:
    asked = example(files)
    said = ", ".join(f'"{part}"' for part in asked)
    said = f"({said})" if len(asked) > 1 else said
    return f"import tunewright as tw\n\npredictor = tw.load({files.where!r})\nprint(predictor([{said}]))"


def plain_lines(files: RunFiles) -> str:
    """Loading and using the model without tunewright, with transformers (and peft for an adapter)."""
    if files.generative:
        return "\n".join([*_imports(files), "", *_loading(files), "", *usage_written.lines(files)])
    whole = {"token_classification": _tag_lines, "question_answering": _span_lines}.get(files.task, _logit_lines)
    used = _pooled_lines(files) if is_pooled(files) else whole(files)
    return "\n".join([*_imports(files), "", *_loading(files), "", *_call(files), *used])


def asks_by_context(files: RunFiles) -> bool:
    """Whether --context is the second part of what is asked."""
    return files.task == "question_answering" or files.part("task").get("shape") == "question_answering"


def is_pooled(files: RunFiles) -> bool:
    """Whether the head lies beside the encoder, because transformers has no class that pools like it."""
    return files.task == "sequence_classification" and files.part("task").get("pooling") in ("mean", "cls")


def is_adapter(files: RunFiles) -> bool:
    """Whether the run saved a PEFT adapter: its manifest says so, else its strategy."""
    if files.manifest.get("form"):
        return bool(files.manifest["form"] == "adapter")
    return files.strategy in _ADAPTERS and not files.part("strategy").get("merge")


def _head_is_lost(files: RunFiles) -> bool:
    """Whether the model's own head must be put into the base, since PEFT has not kept it."""
    return not files.generative and is_adapter(files) and files.strategy in _PROMPTS and not is_pooled(files)


def _on_base(files: RunFiles) -> bool:
    """Whether base and adapter are loaded one after the other: the head goes between them, or PEFT's class for the
    task would not do what was trained (for answering questions it drops token types)."""
    special = files.strategy in _PROMPTS or files.task == "question_answering"
    return is_adapter(files) and special and not is_pooled(files) and not files.generative


def _class_name(files: RunFiles) -> str:
    suffix = "FeatureExtraction" if is_pooled(files) else _AUTO_CLASSES.get(files.task, "SequenceClassification")
    if is_adapter(files) and not _on_base(files):
        return f"AutoPeftModelFor{suffix}"
    return "AutoModel" if is_pooled(files) else f"AutoModelFor{suffix}"


def _imports(files: RunFiles) -> list[str]:
    name = _class_name(files)
    from_peft = "PeftConfig, PeftModel" if _on_base(files) else name if is_adapter(files) else ""
    known = ["" if name == from_peft else name, "AutoTokenizer", "BitsAndBytesConfig" if _in_four_bits(files) else ""]
    bottleneck = is_adapter(files) and files.strategy == "bottleneck_adapter"
    return [
        *(["import tunewright  # makes PEFT know bottleneck adapters"] if bottleneck else []),
        *([f"from peft import {from_peft}"] if from_peft else []),
        *(["from safetensors.torch import load_file"] if is_pooled(files) or _head_is_lost(files) else []),
        f"from transformers import {', '.join(part for part in known if part)}",
    ]


def _loading(files: RunFiles) -> list[str]:
    """The lines that load tokenizer and model, and a head that lies beside."""
    labels = f", num_labels={num_outputs(files)}" if is_adapter(files) and num_outputs(files) else ""
    options = "" if is_pooled(files) else labels
    options += ", quantization_config=four_bit" if _in_four_bits(files) else ""
    lines = [f"folder = {files.where + '/model'!r}", "tokenizer = AutoTokenizer.from_pretrained(folder)"]
    lines += _four_bit_lines(files) if _in_four_bits(files) else []
    if not _on_base(files):
        lines.append(f"model = {_class_name(files)}.from_pretrained(folder{options}).eval()")
        return [*lines, *(['head = load_file(f"{folder}/head.safetensors")'] if is_pooled(files) else [])]
    head = 'base.load_state_dict(load_file(f"{folder}/head.safetensors"), strict=False)  # before the adapter'
    return [
        *lines,
        "base = PeftConfig.from_pretrained(folder).base_model_name_or_path",
        f"base = {_class_name(files)}.from_pretrained(base{options})",
        *([head] if _head_is_lost(files) else []),
        "model = PeftModel.from_pretrained(base, folder).eval()",
    ]


def _in_four_bits(files: RunFiles) -> bool:
    return files.strategy == "qlora" and is_adapter(files)


def _four_bit_lines(files: RunFiles) -> list[str]:
    """The base as it was trained on: heads stay out of the four bits."""
    from ..strategies.qlora import HEADS

    double = files.part("strategy").get("double_quantisation", True)
    return [
        "four_bit = BitsAndBytesConfig(",
        f'    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant={bool(double)},',
        f'    bnb_4bit_compute_dtype="float32", llm_int8_skip_modules={list(HEADS)},',
        ")",
    ]


def num_outputs(files: RunFiles) -> int:
    """Logits a row or a word; 0 where that is not chosen by the run."""
    return len(tags(files)) if files.task == "token_classification" else len(files.labels)


def tags(files: RunFiles) -> list[str]:
    """What the logits of a word stand for, in their order."""
    from ..data.tagging import tag_names

    scheme = str(files.part("task").get("scheme"))
    return files.labels if files.plain_tags else list(tag_names(files.labels, scheme))


def _call(files: RunFiles) -> list[str]:
    """One text through the model. Virtual tokens in front of it are no part of the answer."""
    asked = ", ".join(f'"{part}"' for part in example(files))
    return [f'batch = tokenizer({asked}, return_tensors="pt")', "output = model(**batch)"]


def _own(files: RunFiles) -> str:
    """The index that leaves out virtual tokens."""
    in_front = files.strategy == "prompt_tuning" and is_adapter(files)
    return ', -batch["input_ids"].shape[1]:' if in_front else ""


def _logit_lines(files: RunFiles) -> list[str]:
    return ["print(output.logits)"]


def _tag_lines(files: RunFiles) -> list[str]:
    """A tag for every piece of the text."""
    known = [f"tags = {tags(files)}"] if is_adapter(files) else ["tags = model.config.id2label"]
    said = "print([(piece, tags[int(best)]) for piece, best in zip(batch.tokens(), chosen)])"
    return [f"chosen = output.logits[0{_own(files)}].argmax(-1)", *known, said]


def _span_lines(files: RunFiles) -> list[str]:
    """The likeliest first and last token; Tunewright looks for the best pair and may say that there is none."""
    ends = (f"output.{name}_logits[0{_own(files)}].argmax()" for name in ("start", "end"))
    return [
        f"start, end = {', '.join(ends)}",
        'print(tokenizer.decode(batch["input_ids"][0, start : end + 1]))',
    ]


def _pooled_lines(files: RunFiles) -> list[str]:
    mean = files.part("task").get("pooling") == "mean"
    averaged = ['mask = batch["attention_mask"].unsqueeze(-1)', "features = (states * mask).sum(1) / mask.sum(1)"]
    return [
        f"states = output.last_hidden_state{f'[:{_own(files)}]' if _own(files) else ''}",
        *(averaged if mean else ["features = states[:, 0]"]),
        'print(features @ head["weight"].T + head["bias"])',
    ]
