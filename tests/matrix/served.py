"""Run in a process of its own: loads runs, and loads them again with nothing but transformers and PEFT."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CLASSES = {
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "question_answering": "AutoModelForQuestionAnswering",
}


def rows_of(run: str) -> list[Any]:
    """The rows of the run's validation file."""
    import yaml

    import tunewright as tw
    from tunewright.data import sources
    from tunewright.intake import read_rows

    task = tw.load(run).artifact.task
    file = yaml.safe_load((Path(run) / "run.yaml").read_text())["data"]["validation"]
    table = sources.read(file)
    return read_rows(table, task, task.roles(table, None, None, None), labelled=False).rows


def plain_model(run: str, kind: str) -> Any:
    """The model as a stranger would load it: a whole one, or an adapter on its base with the head beside it."""
    import peft
    import transformers
    from safetensors.torch import load_file

    folder = Path(run) / "model"
    manifest = json.loads((folder / "tunewright.json").read_text())
    pooled = kind == "sequence_classification" and manifest["task"]["pooling"] != "model"
    auto = getattr(transformers, "AutoModel" if pooled else CLASSES[kind])
    if manifest["form"] == "full":
        return auto.from_pretrained(folder), pooled
    adapter = json.loads((folder / "adapter_config.json").read_text())
    labels = {} if pooled else {"num_labels": num_labels(manifest["task"], kind)}
    four_bit = {}
    if manifest["strategy"]["kind"] == "qlora":
        config = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "float32"}
        heads = ["classifier", "score", "qa_outputs", "pre_classifier", "head", ".*pooler", "lm_head"]
        four_bit = {"quantization_config": transformers.BitsAndBytesConfig(
            load_in_4bit=True, llm_int8_skip_modules=heads, **config)}  # fmt: skip
    base = auto.from_pretrained(adapter["base_model_name_or_path"], **labels, **four_bit)
    for module in base.modules():  # else bitsandbytes rounds its scales to bf16 on some processors
        module.support_avx512bf16_for_cpu = False
    if not pooled and (folder / "head.safetensors").is_file():
        base.load_state_dict(load_file(folder / "head.safetensors"), strict=False)
    return peft.PeftModel.from_pretrained(base, str(folder)), pooled


def num_labels(task: dict, kind: str) -> int:
    if kind == "question_answering":
        return 2
    return len(task["labels"]) * (2 if kind == "token_classification" else 1) + (kind == "token_classification")


def plain_distance(run: str, predictor: Any, rows: list[Any]) -> float:
    """The largest difference between logits of our model and of the plain one."""
    import torch

    task, tokenizer = predictor.artifact.task, predictor.artifact.tokenizer
    model, pooled = plain_model(run, task.kind)
    model.eval()
    encoded = task.encode(rows, tokenizer, predictor.artifact.max_length)
    batch = task.collate(encoded.features, tokenizer=tokenizer)
    with torch.no_grad():
        if pooled:
            inner = predictor.model.encoder
            pair = [inner(**batch.inputs).last_hidden_state, model(**batch.inputs).last_hidden_state]
        else:
            pair = [first(predictor.model(**batch.inputs)), first(model(**batch.inputs))]
    mask = batch.inputs["attention_mask"].bool()
    if pair[0].dim() > 1 and pair[0].shape[1] >= mask.shape[1] and pair[0].shape[:1] == mask.shape[:1] and pooled:
        pair = [value[:, value.shape[1] - mask.shape[1] :][mask] for value in pair]
    return float((pair[0] - pair[1]).abs().max())


def first(output: Any) -> Any:
    return output.logits if hasattr(output, "logits") else output.start_logits + output.end_logits


def main() -> None:
    import torch
    import transformers

    import tunewright as tw

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found = {}
    for name, run in json.loads(sys.argv[1]).items():
        predictor = tw.load(run)
        rows = rows_of(run)
        ours = [output.tolist() for output in predictor.outputs(rows)]
        found[name] = (ours, plain_distance(run, predictor, rows))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
