"""The examples in each verb's --help run: on rows of the sample, with a tiny model and few steps."""

from __future__ import annotations

import csv
import importlib
import json
import shlex
import shutil
from itertools import islice
from pathlib import Path

import pytest

import tunewright as tw
from tests.conftest import make_model
from tests.language_models import make_language_model
from tunewright import cli
from tunewright.cli import data
from tunewright.planner.machine import Speed

SAMPLE = Path(__file__).parent.parent / "examples" / "parcel_desk"
VERBS = {name: f"tunewright.cli.{name}" for name in cli.VERBS}
VERBS |= {f"data {name}": f"tunewright.cli.data.{name}" for name in data.VERBS}
LESS = {  # what makes an example take a second; the last of two flags counts
    "train": "--model tiny training.max_steps=1",
    "compare": "--models tiny --seeds 1 --strategies full,lora.r=4",
    "search": "--model tiny --trials 2 --seeds 1 training.max_steps=1",
    "chat": "--text hello --max-new-tokens 2",
    "inspect": "--model tiny",
    "plan": "--model tiny",
    "advise": "--seconds 0",
    "preview": "--model tiny",
    "data check": "--model tiny --seconds 1 --out told",
    "data augment": "--no-filter",
    "data label": "--model tiny --next 4 --out chosen.csv",
}


def examples_of(verb: str) -> list[list[str]]:
    lines = str(importlib.import_module(VERBS[verb]).__doc__).splitlines()
    split = [shlex.shlex(line.partition(": ")[2], posix=True, punctuation_chars=True) for line in lines
             if line.startswith("Example: ")]  # fmt: skip
    for words in split:
        words.whitespace_split = True
    return [list(words) for words in split]


def rows_of(first: int, last: int) -> list[dict[str, str]]:
    with open(SAMPLE / "train.csv", newline="", encoding="utf-8") as file:
        return [{"text": row["message"], "label": row["topic"], "customer": str(place // 2)}
                for place, row in islice(enumerate(csv.DictReader(file)), first, last)]  # fmt: skip


def write(path: Path, rows: list[dict[str, str]], *columns: str) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with all that the examples name."""
    made = tmp_path_factory.mktemp("home")
    make_model(made / "tiny")
    make_language_model(made / "models" / "seven-billion")
    write(made / "inbox.csv", rows_of(0, 80), "text", "label", "customer")
    for name in ("train", "full", "labelled"):
        write(made / f"{name}.csv", rows_of(0, 80), "text", "label")
    for name in ("inbox_test", "other", "test"):
        write(made / f"{name}.csv", rows_of(80, 120), "text", "label")
    for name in ("pool", "big"):
        write(made / f"{name}.csv", rows_of(120, 160), "text")
    (made / "checks" / "inbox").mkdir(parents=True)
    write(made / "checks" / "inbox" / "suspects.csv", [{"row": "2"}], "row", "given", "correction")
    (made / "recipe.yaml").write_text("data: {train: inbox.csv, label: [label], text: [text]}\n")
    lines = [{"instruction": row["text"][:40], "output": row["label"]} for row in rows_of(0, 16)]
    (made / "instructions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return made


@pytest.fixture(scope="module")
def runs(home, tmp_path_factory) -> Path:
    """Trained ones: a classifier, and one that writes."""
    made = tmp_path_factory.mktemp("runs")
    small = {"max_steps": 1, "precision": "fp32"}
    tw.train(
        data={"train": str(home / "inbox.csv"), "text": "text", "label": "label", "check_seconds": 0},
        model=str(home / "tiny"), training=small, out=str(made / "inbox"), progress=False,
    )  # fmt: skip
    tw.train(
        data={"train": str(home / "instructions.jsonl"), "check_seconds": 0, "validation_share": 0, "test_share": 0},
        model=str(home / "models" / "seven-billion"), task={"kind": "causal_lm", "score_answers": 0},
        training=small, out=str(made / "helpdesk"), progress=False,
    )  # fmt: skip
    return made


@pytest.fixture(autouse=True)
def nothing_is_measured(monkeypatch):
    """What is asked of the machine and of large models takes long, and is tested elsewhere."""
    monkeypatch.setattr("tunewright.planner.process.measured", lambda strategy: 10**8)
    monkeypatch.setattr("tunewright.planner.machine.probe", lambda *asked: Speed(1e9, 5e8, 1e-4))
    monkeypatch.setattr("tunewright.advice.advise.TRACED", 0)


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_a_verb_run(call, home, runs, verb):
    shutil.copytree(runs, home / "runs", dirs_exist_ok=True)
    write(home / "to_label.csv", rows_of(120, 140), "text", "label")
    examples = examples_of(verb)
    assert examples
    code, shown, _ = call(*verb.split(), "--help")
    assert (code, shown.count("Example: tunewright")) == (0, len(examples))
    for example in examples:
        if ">" in example:  # a file for what is printed
            example = example[: example.index(">")]
        assert not {"|", "<", ">", "&", ";", "(", ")"} & set(example), "quote what a shell would take for its own"
        assert example[: 1 + verb.count(" ") + 1] == ["tunewright", *verb.split()]
        code, out, error = call(*example[1:], *shlex.split(LESS.get(verb, "")))
        assert code == 0 or (verb == "data check" and "severe" in out), error
        assert "Traceback" not in error
