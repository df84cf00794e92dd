"""How a run is repeated and its model used: the same words in the report and in the model card."""

from __future__ import annotations

import shlex

from .files import RunFiles

_AUTO_CLASSES = {
    "sequence_classification": "SequenceClassification",
    "token_classification": "TokenClassification",
    "question_answering": "QuestionAnswering",
    "seq2seq": "Seq2SeqLM",
    "causal_lm": "CausalLM",
    "preference": "CausalLM",
}
EXAMPLE_TEXT = "the text to classify"


def repeat_commands(files: RunFiles) -> str:
    """The command that was given, where there was one, and the one that repeats the run from its run.yaml."""
    again = f"tunewright train {shlex.quote(files.where + '/run.yaml')} {shlex.quote('out=' + files.where + '-again')}"
    given = files.metrics.get("command")
    return f"{given}\n\n# or, from the resolved configuration:\n{again}" if given else again


def predict_command(files: RunFiles) -> str:
    return f'tunewright predict {shlex.quote(files.where)} --text "{EXAMPLE_TEXT}"'


def python_lines(files: RunFiles) -> str:
    return f'import tunewright as tw\n\npredictor = tw.load({files.where!r})\nprint(predictor(["{EXAMPLE_TEXT}"]))'


def plain_lines(files: RunFiles) -> str:
    """Loading without tunewright, with transformers (and peft for an adapter)."""
    return _pooled_lines(files) if is_pooled(files) else _whole_lines(files)


def is_pooled(files: RunFiles) -> bool:
    """Whether the head lies beside the encoder, because transformers has no class that pools like it."""
    return files.task == "sequence_classification" and files.part("task").get("pooling") in ("mean", "cls")


def _whole_lines(files: RunFiles) -> str:
    suffix = _AUTO_CLASSES.get(files.task, "SequenceClassification")
    labels = f", num_labels={len(files.labels)}" if is_adapter(files) and files.labels else ""
    return "\n".join([
        *_loading(files, suffix, labels),
        "",
        f'logits = model(**tokenizer("{EXAMPLE_TEXT}", return_tensors="pt")).logits',
    ])  # fmt: skip


def _pooled_lines(files: RunFiles) -> str:
    mean = files.part("task").get("pooling") == "mean"
    averaged = 'mask = batch["attention_mask"].unsqueeze(-1)\nfeatures = (states * mask).sum(1) / mask.sum(1)'
    return "\n".join([
        "from safetensors.torch import load_file",
        *_loading(files, "FeatureExtraction", ""),
        f"head = load_file({files.where + '/model/head.safetensors'!r})",
        "",
        f'batch = tokenizer(["{EXAMPLE_TEXT}"], return_tensors="pt")',
        "states = model(**batch).last_hidden_state",
        averaged if mean else "features = states[:, 0]",
        'logits = features @ head["weight"].T + head["bias"]',
    ])  # fmt: skip


def _loading(files: RunFiles, suffix: str, options: str) -> list[str]:
    """The lines that load model and tokenizer, from the adapter's folder or the model's."""
    folder = repr(files.where + "/model")
    if is_adapter(files):
        name = f"AutoPeftModelFor{suffix}"
        imports = [f"from peft import {name}", "from transformers import AutoTokenizer"]
    else:
        name = "AutoModel" if suffix == "FeatureExtraction" else f"AutoModelFor{suffix}"
        imports = [f"from transformers import {name}, AutoTokenizer"]
    tokenizer = f"tokenizer = AutoTokenizer.from_pretrained({folder})"
    return [*imports, "", tokenizer, f"model = {name}.from_pretrained({folder}{options}).eval()"]


def is_adapter(files: RunFiles) -> bool:
    """Whether the run saved a PEFT adapter: LoRA that was not merged."""
    return files.strategy in ("lora", "qlora") and not files.part("strategy").get("merge")
