"""Configuration of tasks that write: a run repeats from its run.yaml, and translations keep their direction."""

from __future__ import annotations

import json

import pytest
import yaml

import tunewright as tw
from tests.conftest import assert_same_weights
from tests.language_models import make_language_model
from tunewright.config import load
from tunewright.errors import DataError
from tunewright.intake import take_in

WRITERS = {
    "causal_lm": ("llama", [{"instruction": "red box?", "output": "late"}, {"instruction": "one", "output": "two"}]),
    "classification": ("llama", [{"text": "red box", "label": "damage"}, {"text": "app login", "label": "app"}]),
    "texts": ("llama", [{"text": "red box, late parcel"}, {"text": "app login"}]),
    "preference": ("llama", [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2),
    "summaries": ("t5", [{"document": "red box", "summary": "late"}, {"document": "one", "summary": "two"}]),
    "translations": ("t5", [{"translation": {"en": "box", "de": "Kiste"}}, {"translation": {"en": "a", "de": "b"}}]),
}
ASKED = {"classification": {"kind": "causal_lm", "shape": "classification"}, "texts": {"kind": "causal_lm"},
         "summaries": {"kind": "seq2seq"}, "translations": {"kind": "seq2seq"}}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_the_run_yaml_of_tasks_that_write_repeats_their_runs(tmp_path, name):  # C2
    kind, rows = WRITERS[name]
    model, file = str(make_language_model(tmp_path / kind, kind)), tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows * 6))
    data = {"train": str(file), "test_share": 0} | ({"label_delimiter": "de->en"} if name == "translations" else {})
    task = {"kind": name, **ASKED.get(name, {}), "max_new_tokens": 3}
    raw = {"model": model, "data": data, "task": task, "out": str(tmp_path / "first")}
    first = tw.train(raw | {"training": {"max_steps": 2, "precision": "fp32"}}, progress=False)
    written = yaml.safe_load((first.path / "run.yaml").read_text())
    assert "auto" not in written["training"].values()
    again = tw.train(load(first.path / "run.yaml", [f"out={tmp_path / 'again'}"]), progress=False)
    assert_same_weights(first.path, again.path)
    assert again.metrics["validation"] == first.metrics["validation"]
    assert written | {"out": str(again.path)} == yaml.safe_load((again.path / "run.yaml").read_text())


def test_translations_go_in_the_direction_that_is_named(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"translation": {"en": "box", "de": "Kiste"}}\n' * 12)
    data = {"train": str(file), "test_share": 0, "label_delimiter": "de->en"}
    (row, *_) = take_in(load({"data": data, "task": "seq2seq"})).splits["train"].rows
    assert (row.text, row.label) == (("Kiste",), "box")
    with pytest.raises(DataError, match=r"data.label_delimiter: 'de->fr' is no direction.*; write two of en, de"):
        take_in(load({"data": {**data, "label_delimiter": "de->fr"}, "task": "seq2seq"}))
