"""What is saved is what was trained: in a new process, with plain transformers, with plain PEFT."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tunewright as tw
from tests.conftest import make_model
from tunewright import artifact
from tunewright.errors import ModelError

TEXTS = ["invoice money label", "broken box", "app login driver late", "one", "two three four money red"]
KINDS = ["bert", "roberta", "distilbert", "modernbert"]
PAIRS = [
    ("full", {"pooling": "model"}),
    ("full", {"pooling": "mean"}),
    ("full", {"pooling": "cls", "multi_label": True}),
    ("full", {"pooling": "mean", "long_text": "windows", "window_overlap": 2}),
    ("lora", {"pooling": "model"}),
    ("lora", {"pooling": "mean"}),
    ({"kind": "lora", "targets": "all-linear", "use_dora": True, "bias": "lora_only"}, {"pooling": "model"}),
    ({"kind": "lora", "merge": True}, {"pooling": "mean"}),
    ({"kind": "lora", "merge": True}, {"pooling": "model"}),
    ("feature_extraction", {"pooling": "mean"}),
    ("feature_extraction", {"pooling": "cls", "multi_label": True}),
]

IN_A_NEW_PROCESS = """
import json, sys
import numpy as np
import tunewright as tw
from tunewright.tasks.base import Row
for run in json.loads(sys.argv[1]):
    rows = [Row(n, (text,)) for n, text in enumerate(json.loads(sys.argv[2]))]
    outputs = tw.load(run).outputs(rows)
    print(json.dumps(np.stack(outputs).astype(float).tolist()))
"""


def rows(texts=TEXTS):
    from tunewright.tasks.base import Row

    return [Row(number, (text,)) for number, text in enumerate(texts)]


def trained(small, name, strategy, task, model=None, **training):
    """The result, and the logits of the very model in memory that was saved."""
    raw = small(name, strategy, {"kind": "sequence_classification", **task}, **{"max_steps": 4, **training})
    if model:
        raw["model"] = str(model)
    if task.get("long_text") == "windows":
        raw["data"]["max_length"] = 8
    seen = {}
    real = artifact.save

    def save(folder, model, tokenizer, task, *rest):
        from functools import partial

        from tunewright.evaluation import outputs_of

        encoded = task.encode(rows(), tokenizer, rest[2])
        seen["logits"] = outputs_of(model, task, encoded, partial(task.collate, tokenizer=tokenizer), "cpu")
        real(folder, model, tokenizer, task, *rest)

    artifact.save = save
    try:
        return tw.train(raw, progress=False), np.stack(seen["logits"])
    finally:
        artifact.save = real


def test_a_new_process_answers_with_the_trained_logits(small, tmp_path):  # R13
    """Every strategy, every kind of head, every architecture; one process reloads them all."""
    runs, expected = [], []
    for kind in KINDS:
        model = make_model(tmp_path / f"model-{kind}", kind)
        for place, (strategy, task) in enumerate(PAIRS if kind == "bert" else PAIRS[:2]):
            result, logits = trained(small, f"{kind}-{place}", strategy, task, model)
            runs.append(str(result.path))
            expected.append(logits)
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, json.dumps(runs), json.dumps(TEXTS)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    for run, logits, line in zip(runs, expected, answer.stdout.splitlines(), strict=True):
        found = np.array(json.loads(line), dtype=np.float32)
        merged = "merge: true" in (Path(run) / "run.yaml").read_text()
        assert np.abs(found - logits).max() <= (1e-5 if merged else 0), run


def inputs_of(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


def logits_of_ours(run) -> np.ndarray:
    return np.stack(tw.load(run).outputs(rows()))


@pytest.mark.parametrize("strategy", ["full", {"kind": "lora", "merge": True}])
def test_a_models_own_head_loads_with_plain_transformers(small, strategy):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    result, _ = trained(small, "run", strategy, {"pooling": "model"})
    folder = result.path / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    plain = model(**inputs_of(AutoTokenizer.from_pretrained(folder))).logits.detach().numpy()
    assert np.abs(plain - logits_of_ours(result.path)).max() < 1e-5
    assert model.config.id2label == {0: "app", 1: "billing", 2: "damage"}


def pooled_logits(encoder, folder, batch) -> np.ndarray:
    """What the model card tells people to do with a pooled model."""
    from safetensors.torch import load_file

    head = load_file(folder / "head.safetensors")
    hidden = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1)
    return (mean @ head["weight"].T + head["bias"]).detach().numpy()


@pytest.mark.parametrize("strategy", ["full", "feature_extraction"])
def test_a_pooled_model_loads_with_plain_transformers(small, strategy):
    from transformers import AutoModel, AutoTokenizer

    result, _ = trained(small, "run", strategy, {"pooling": "mean"})
    folder = result.path / "model"
    encoder = AutoModel.from_pretrained(folder).eval()
    plain = pooled_logits(encoder, folder, inputs_of(AutoTokenizer.from_pretrained(folder)))
    assert np.abs(plain - logits_of_ours(result.path)).max() < 1e-5


def test_an_adapter_with_its_own_head_loads_with_plain_peft(small):
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer

    result, _ = trained(small, "run", "lora", {"pooling": "model"})
    folder = result.path / "model"
    model = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    plain = model(**inputs_of(AutoTokenizer.from_pretrained(folder))).logits.detach().numpy()
    assert np.abs(plain - logits_of_ours(result.path)).max() < 1e-5


def test_a_pooled_adapter_loads_with_plain_peft(small, tiny):
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    result, _ = trained(small, "run", "lora", {"pooling": "mean"})
    folder = result.path / "model"
    encoder = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny), folder).eval()
    plain = pooled_logits(encoder, folder, inputs_of(AutoTokenizer.from_pretrained(folder)))
    assert np.abs(plain - logits_of_ours(result.path)).max() < 1e-5


def test_only_the_factors_and_the_head_are_in_an_adapter(small):
    from safetensors.torch import load_file

    result, _ = trained(small, "run", "lora", {"pooling": "mean"})
    names = list(load_file(result.path / "model" / "adapter_model.safetensors"))
    assert names
    assert all("lora_" in name for name in names)


@pytest.mark.parametrize("file", ["model.safetensors", "head.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_or_missing_file_is_found_when_loading(small, file):
    result, _ = trained(small, "run", "full", {"pooling": "mean"})
    path = result.path / "model" / file
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b" }")
    with pytest.raises(ModelError, match=file):
        tw.load(result.path)
    path.unlink()
    with pytest.raises(ModelError, match=f"{file} is missing"):
        tw.load(result.path)
    path.write_bytes(content)
    assert tw.load(result.path)("invoice")


def test_an_adapter_refuses_another_base_model(small, tiny, tmp_path):
    result, _ = trained(small, "run", "lora", {"pooling": "mean"}, model=make_model(tmp_path / "base"))
    assert tw.load(result.path)("invoice")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] += 1
    save_file(weights, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="not the one that the adapter was trained on"):
        tw.load(result.path)


def test_a_model_that_would_be_served_differently_stops_the_run(small, monkeypatch):
    """The parity gate: what is loaded back must answer like what was trained."""
    from tunewright import heads

    real = heads.save_head

    def wrong(model, folder):
        with torch.no_grad():
            model.head.bias.add_(0.5)
        real(model, folder)

    monkeypatch.setattr(heads, "save_head", wrong)
    with pytest.raises(ModelError, match="answers differently"):
        tw.train(
            small("run", "full", {"kind": "sequence_classification", "pooling": "mean"}, max_steps=2), progress=False
        )


def test_predictions_do_not_depend_on_their_company(small):  # D9
    result, _ = trained(small, "run", "full", {"pooling": "mean"})
    predictor = result.predictor
    together = predictor(TEXTS)
    alone = [predictor(text)[0] for text in TEXTS]
    for first, second in zip(together, alone, strict=True):
        assert first.label == second.label
        assert first.probability == pytest.approx(second.probability, abs=1e-6)
    assert predictor([]) == []


def test_a_base_with_a_head_for_other_labels_can_be_trained(small, tmp_path):
    first, _ = trained(small, "first", "full", {"pooling": "model"})
    raw = small(
        "second", "full", {"kind": "sequence_classification", "pooling": "model", "multi_label": True}, max_steps=2
    )
    raw["model"] = str(first.path / "model")
    lines = Path(raw["data"]["train"]).read_text().replace("billing", "money").replace("damage", "other").splitlines()
    lines += ["red green,fourth", "blue,fourth", "label,fourth", "door,fourth"]
    Path(raw["data"]["train"]).write_text("\n".join(lines) + "\n")
    assert len(tw.train(raw, progress=False).predictor("invoice")[0].probabilities) == 4


def test_a_tampered_adapter_configuration_is_an_error_not_a_crash(small):
    from tunewright.files import read_json, sha256, write_json

    result, _ = trained(small, "run", "lora", {"pooling": "mean"})
    path, manifest = result.path / "model" / "adapter_config.json", result.path / "model" / "tunewright.json"
    write_json(path, read_json(path) | {"peft_type": "NONSENSE"})
    known = read_json(manifest)
    known["sha256"]["adapter_config.json"] = sha256(path)
    write_json(manifest, known)
    with pytest.raises(ModelError, match="the adapter cannot be loaded"):
        tw.load(result.path)
