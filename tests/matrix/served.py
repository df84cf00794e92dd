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
    "causal_lm": "AutoModelForCausalLM",
    "preference": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
}
WRITES = ("causal_lm", "preference", "seq2seq")


def rows_of(run: str) -> list[Any]:
    """The rows of the run's validation file; with their answers where log-probabilities are of answers."""
    import yaml

    import tunewright as tw
    from tunewright.data import sources
    from tunewright.intake import read_rows

    task = tw.load(run).artifact.task
    file = yaml.safe_load((Path(run) / "run.yaml").read_text())["data"]["validation"]
    table = sources.read(file)
    return read_rows(table, task, task.roles(table, None, None, None), labelled=task.kind in WRITES).rows


def told(output: Any) -> tuple[list[Any], str | None]:
    """Logits, or log-probabilities of a known answer and the answer that was written."""
    return getattr(output, "log_probabilities", output).tolist(), getattr(output, "text", None)


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
    labels = {} if pooled or kind in WRITES else {"num_labels": num_labels(manifest["task"], kind)}
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
    if task.kind in WRITES:
        return language_distance(model, predictor, encoded.features, predictor.outputs(rows))
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


def language_distance(plain: Any, predictor: Any, features: list[Any], outputs: list[Any]) -> float:
    """The largest difference of logits, and of the log-probabilities that we make of packs and batches.

    Infinite where an answer is not what the plain model finds likeliest, token by token.
    """
    import numpy as np

    gaps = []
    for item, output in zip(features, outputs, strict=True):
        found = []
        for place in range(len(item.windows)):
            ours, theirs = (answer_logits(model, item, place) for model in (predictor.model, plain))
            gaps.append(float((ours[0] - theirs[0]).abs().max()))
            logs, targets = theirs[0].log_softmax(-1), theirs[1]
            found.append(logs.gather(-1, targets[:, None])[:, 0].numpy())
        sums = predictor.artifact.task.kind == "preference"
        expected = np.array([each.sum() for each in found]) if sums else found[0]
        gaps.append(float(np.abs(expected - output.log_probabilities).max()))
        if output.text is not None and output.text != likeliest(plain, item, predictor.artifact):
            gaps.append(float("inf"))
    return max(gaps)


def answer_logits(model: Any, item: Any, place: int) -> tuple[Any, Any]:
    """((M, V) logits, (M,) targets) of one answer, alone and without padding."""
    import torch

    ids = torch.tensor([list(item.windows[place])])
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    with torch.no_grad():
        if base.config.is_encoder_decoder:
            labels = torch.from_numpy(item.label)[None]
            read = base.prepare_decoder_input_ids_from_labels(labels)
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=read).logits
            return logits[0, -labels.shape[1] :], labels[0]
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -ids.shape[1] :]
    return logits[item.prompt - 1 : -1], ids[0, item.prompt :]


def likeliest(model: Any, item: Any, artifact: Any) -> str:
    """The answer to one prompt by one whole forward pass a token: no cache, no padding."""
    import torch

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    reads = base.config.is_encoder_decoder
    prompt = torch.tensor([list(item.windows[0] if reads else item.windows[0][: item.prompt])])
    written = torch.full((1, 1), base.config.decoder_start_token_id) if reads else prompt
    start = written.shape[1]
    for _ in range(artifact.task.max_new_tokens):
        inputs = {"input_ids": prompt, "decoder_input_ids": written} if reads else {"input_ids": written}
        mask = torch.ones_like(inputs["input_ids"])
        with torch.no_grad():
            token = model(**inputs, attention_mask=mask).logits[:, -1:].argmax(-1)
        if token.item() == artifact.tokenizer.eos_token_id:
            break
        written = torch.cat([written, token], 1)
    return artifact.tokenizer.decode(written[0, start:], skip_special_tokens=True).strip()


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
        ours = [told(output) for output in predictor.outputs(rows)]
        found[name] = (ours, plain_distance(run, predictor, rows))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
