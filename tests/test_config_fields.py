"""Every field of the configuration is read: changing it changes something that can be seen, or is refused."""

from __future__ import annotations

import csv
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import WORDS, make_model, settings, write_rows
from tests.field_table import (
    ANSWERED,
    HEAD,
    INSTRUCTED,
    LABELLED,
    PLAIN,
    PREFERRED,
    QUESTIONS,
    SHOWN,
    TOKENS,
    WRITERS,
    Ended,
    run_of,
)
from tests.language_models import make_language_model
from tests.matrix.conftest import COLOURS, NUMBERS, write_questions
from tunewright import config
from tunewright.component import members
from tunewright.config import DataConfig, EarlyStopping, RunConfig, TrainingConfig
from tunewright.data.splits.base import Splitter
from tunewright.errors import TunewrightError
from tunewright.strategies.base import Strategy
from tunewright.strategies.qlora import QLoRA
from tunewright.tasks.base import Task


def every_field() -> set[str]:
    sections = {
        "": RunConfig,
        "data.": DataConfig,
        "training.": TrainingConfig,
        "training.early_stopping.": EarlyStopping,
    }
    families = {f"{kind}.": member for family in (Task, Strategy, Splitter) for kind, member in members(family).items()}
    ours = {prefix: member for prefix, member in families.items() if member.__module__.startswith("tunewright.")}
    found = {f"{prefix}{name}" for prefix, member in {**sections, **ours}.items() for name in member.model_fields}
    kinds = {f"{prefix}kind" for prefix in ours}  # chosen in every entry above
    return found - kinds - {"data", "task", "strategy", "training"}


def inherited() -> set[str]:
    """Fields that several members have from one parent, which are shown with the first of them."""
    found, first = set(), set()
    for family in (Task, Strategy, Splitter):
        for kind, member in members(family).items():
            for name in member.model_fields:
                parent = next(base for base in member.__mro__ if name in vars(base).get("__annotations__", ()))
                (found if (parent, name) in first else set()).add(f"{kind}.{name}")
                first.add((parent, name))
    return found


def test_the_table_has_every_field_and_no_other():  # C1
    assert every_field() - inherited() <= set(SHOWN) <= every_field()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Models and data of several forms."""
    made = tmp_path_factory.mktemp("fields")
    make_model(made / "bert")
    make_model(made / "roberta", "roberta")
    make_model(made / "modernbert", "modernbert")
    make_model(made / "coded")
    description = json.loads((made / "coded" / "config.json").read_text())
    (made / "coded" / "config.json").write_text(json.dumps({**description, "extra": {"trust_remote_code": True}}))
    write_rows(made / "plain.csv", 40)
    with open(made / "plain.csv", encoding="utf-8") as file:
        plain = list(csv.DictReader(file))
    write_columns(made / "inbox.csv", plain)
    write_columns(made / "again.csv", plain[::-1][:30])
    write_rows(made / "strange.csv", 30, seed=7)
    with open(made / "strange.csv", encoding="utf-8") as file:
        write_columns(made / "other.csv", list(csv.DictReader(file)))
    write_columns(
        made / "holes.csv", [{**row, "topic": "" if place == 7 else row["topic"]} for place, row in enumerate(plain)]
    )
    (made / "names.txt").write_text("zero\none\n")
    write_entities(made / "tags.jsonl", made / "spoken.jsonl")
    write_questions(made / "questions.jsonl", 40, random.Random(0))
    lines = (made / "questions.jsonl").read_text().splitlines(keepends=True)
    (made / "answered.jsonl").write_text("".join(line for line in lines if json.loads(line)["answers"]["text"]))
    for kind in ("llama", "t5"):
        make_language_model(made / kind, kind, spread=0.3)
    write_answers(made)
    return made


def write_answers(folder: Path) -> None:
    """Instructions with answers, documents with summaries, pairs of answers, plain texts, and a JSON schema."""
    generator = random.Random(0)
    words = lambda most: " ".join(generator.choices(WORDS, k=generator.randint(2, most)))  # noqa: E731
    rows = [{"instruction": words(5), "output": words(4), "document": words(6), "summary": words(4)} for _ in range(16)]
    pairs = [{"prompt": words(5), "chosen": words(4), "rejected": f"{words(4)} no"} for _ in range(16)]
    texts = [{"text": words(9)} for _ in range(12)]
    for name, lines in {"written": rows, "pairs": pairs, "texts": texts}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "schema.json").write_text('{"type": "object"}')


def write_entities(scheme: Path, plain: Path) -> None:
    """Tags of a scheme, and plain ones; some words are two tokens."""
    generator, lines = random.Random(0), []
    for _ in range(40):
        words = [f"{word}-box" if word in COLOURS else word for word in generator.choices(WORDS, k=9)]
        tags = ["B-colour" if "-" in word else "B-number" if word in NUMBERS else "O" for word in words]
        lines.append(json.dumps({"tokens": words, "tags": tags}) + "\n")
    scheme.write_text("".join(lines))
    plain.write_text("".join(lines).replace("B-", ""))


def write_columns(path: Path, plain: list[dict[str, str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["message", "topic", "note", "tags", "number"])
        for place, row in enumerate(plain):
            topic, tags = row["topic"], ("red|blue", "blue|green", "red", "green")[place % 4]
            writer.writerow([row["text"], topic, row["text"][::-1] + " box", tags, place % 2])


@pytest.fixture(scope="module")
def ended(folder) -> Callable[..., Ended]:
    """`ended("training.seed=9")` is the finished run of these settings; each combination is trained once."""
    known: dict[tuple[str, ...], Ended] = {}
    numbers = itertools.count()

    def make(*assignments: str) -> Ended:
        if assignments not in known:
            raw = settings(str(folder / "bert"), str(folder / "inbox.csv"), folder / f"run-{next(numbers)}", epochs=1)
            raw["data"] |= {"text": "message", "label": "topic"}
            raw["strategy"] = "full"
            if HEAD[0] in assignments:
                raw["training"] = {}  # its solver has no loop
            typed = [item.replace("{folder}", str(folder)) for item in assignments]
            known[assignments] = run_of(config.edited(raw, config.edits(typed)))
        return known[assignments]

    return make


@pytest.mark.parametrize("field", SHOWN)
def test_a_changed_field_is_seen(ended, field):  # C1
    changed, look, given, refused_without = SHOWN[field]
    if field.startswith("qlora.") and (reason := QLoRA().refuses(None, None)):
        pytest.skip(reason)
    if isinstance(look, str):
        with pytest.raises(TunewrightError, match=look):
            ended(*given, *changed)
        return
    if refused_without:
        with pytest.raises(TunewrightError, match=refused_without):
            ended(*given)
        assert look(ended(*given, *changed))
        return
    assert look(ended(*given)) != look(ended(*given, *changed))


TEXTS = ("data={train: '{folder}/texts.jsonl'}", "model={folder}/llama", "task=causal_lm")
UNSCORED = [
    (f"task.{name}", [*given, "task.score_answers=0", f"task.{name}={value}"])
    for given in [INSTRUCTED]
    for name, value in [("scores", "[bleu]"), ("json_schema", "{folder}/schema.json"), ("pattern", "x")]
]
BOTTLENECK = "strategy={kind: bottleneck_adapter, variant: pfeiffer, targets: [query]}"
REFUSED = [
    ("data.validation_share", ["data.validation={folder}/other.csv", "data.validation_share=0.3"]),
    ("data.test_share", ["data.validation={folder}/other.csv", "data.test_share=0.3"]),
    ("data.split", ["data.validation={folder}/other.csv", "data.split=random"]),
    ("data.split_seed", ["data.split={kind: by_time, column: number}", "data.split_seed=3"]),
    ("data.max_length", ["data.max_length=1000"]),
    ("data.max_length", ["strategy=prompt_tuning", "data.max_length=50"]),  # 20 of 64 positions are virtual
    ("data.label_names", [*TOKENS, "data.label_names={folder}/names.txt"]),
    ("data.label_names", [*QUESTIONS, "data.label_names={folder}/names.txt"]),
    ("data.label_delimiter", [*TOKENS, "data.label_delimiter=|"]),
    ("data.label_delimiter", [*QUESTIONS, "data.label_delimiter=|"]),
    ("data.header", [*TOKENS, "data.header=true"]),
    ("training.early_stopping", ["data.validation_share=0", "training.early_stopping={}"]),
    ("training.evaluate_every", ["data.validation_share=0", "training.evaluate_every=3"]),
    ("training.precision", ["training.precision=fp16"]),
    ("training.micro_batch_size", ["training.micro_batch_size=9"]),
    ("training.gradient_checkpointing", ["strategy=prefix_tuning", "training.gradient_checkpointing=true"]),
    ("task.class_weights", ["task={kind: sequence_classification, class_weights: {ap: 2}}"]),
    ("task.window_overlap", ["task={kind: sequence_classification, window_overlap: 2}"]),
    ("task.thresholds", ["task={kind: sequence_classification, thresholds: [0.5, 0.5, 0.5]}"]),
    ("task.decoding", [*PLAIN, "task.decoding=greedy"]),
    ("task.scheme", [*PLAIN, "task.scheme=BIOES"]),
    ("task.scheme", [*TOKENS, "task.scheme=plain"]),
    ("task.null_threshold", [*ANSWERED, "task.null_threshold=1"]),
    ("training: give either batch_size or batch_tokens", ["training.batch_size=8", "training.batch_tokens=99"]),
    ("training: give either batch_size or batch_tokens", ["training.batch_size=null"]),
    ("training.score_before", ["data.validation_share=0", "training.score_before=true"]),
    ("task.top_p", [*INSTRUCTED, "task.top_p=0.5"]),
    *UNSCORED,
    *(
        (f"task.{name}", [*TEXTS, f"task.{name}={value}"])
        for name, value in [
            ("template", "chatml"),
            ("loss_on", "last_answer"),
            ("prompt_weight", "0.5"),
            ("scores", "[bleu]"),
            ("score_answers", "3"),
            ("json_schema", "{folder}/schema.json"),
            ("pattern", "x"),
            ("max_truncated", "0.5"),
            ("labels", "[x, y]"),
        ]
    ),
    ("task.prompt_weight", [*INSTRUCTED, "task.loss_on=everything", "task.prompt_weight=0.5"]),
    ("task.labels", [*INSTRUCTED, "task.labels=[x, y]"]),
    ("task.label_smoothing", [*PREFERRED, "task={kind: preference, loss: ipo, label_smoothing: 0.1}"]),
    ("task.gamma", [*PREFERRED, "task={kind: preference, gamma: 0.1}"]),
    *(("data.label_delimiter", [*given, "data.label_delimiter=|"]) for given in [*WRITERS.values(), LABELLED]),
    *(("data.label_names", [*given, "data.label_names={folder}/names.txt"]) for given in WRITERS.values()),
    ("strategy.head_learning_rate", [*INSTRUCTED, "strategy={kind: full, head_learning_rate: 3}"]),
    ("strategy.targets", ["strategy={kind: lora, targets: [qury]}"]),
    ("strategy.rank_pattern", ["strategy={kind: lora, rank_pattern: {qury: 2}}"]),
    ("strategy.alpha_pattern", ["strategy={kind: lora, alpha_pattern: {intermediate.dense: 2}}"]),
    ("strategy.rank_pattern", ["strategy={kind: lora, rank_pattern: {'(': 2}}"]),
    ("strategy.kind: lora .* has no biases", ["strategy={kind: lora, bias: all}", "model={folder}/modernbert"]),
    ("strategy.*leave one of the two out", [BOTTLENECK]),
    ("strategy.regularisation", [*TOKENS, "strategy={kind: feature_extraction, regularisation: [1]}"]),
    ("strategy.projection_size", ["strategy={kind: prefix_tuning, projection_size: 9}"]),
    ("strategy.kind: freeze .* has 2 blocks", ["strategy={kind: freeze, blocks: 3}"]),
    ("strategy.kind: gradual_unfreezing .* has 2 blocks", ["strategy={kind: gradual_unfreezing, blocks: 3}"]),
    (
        "strategy.kind: gradual_unfreezing .* 3 stages",
        ["strategy={kind: gradual_unfreezing, at: [0.1, 0.2, 0.3, 0.4]}"],
    ),
    ("strategy.*not both", ["strategy={kind: gradual_unfreezing, at: [1], every: 2}"]),
]


@pytest.mark.parametrize(("field", "assignments"), REFUSED)
def test_a_field_that_can_have_no_effect_is_refused_with_its_path(ended, field, assignments):  # C1
    with pytest.raises(TunewrightError, match=f"^{field}"):
        ended(*assignments)


def a_change(name: str) -> str:
    """Another value than the default, as it stands in the table above."""
    return next(item for item in SHOWN[f"training.{name}"].changed if item.startswith(f"training.{name}"))


@pytest.mark.parametrize("name", sorted(set(TrainingConfig.model_fields) - {"seed", "balance"}))
def test_settings_of_the_loop_are_refused_where_a_solver_takes_its_place(ended, name):  # C1
    with pytest.raises(TunewrightError, match=f"training.{name}: has no effect.*feature_extraction"):
        ended(*HEAD, a_change(name))
