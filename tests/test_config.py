"""Configuration: dump and load are inverse, a run repeats from its run.yaml, and every slip is told with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import tunewright as tw
from tests.conftest import assert_same_weights
from tests.matrix.conftest import data_for
from tunewright.component import members
from tunewright.config import DataConfig, EarlyStopping, RunConfig, TrainingConfig, dump, load, schema
from tunewright.errors import ConfigError
from tunewright.files import parse_yaml
from tunewright.strategies.base import Strategy

DATA = {"train": "inbox.csv"}

# --- dump and load -------------------------------------------------------------------------------------------------

words = st.text(min_size=1, max_size=12)
rates = st.floats(1e-12, 0.45)
counts = st.integers(1, 10**9)
columns = words | st.lists(words, min_size=1, max_size=2)


def some(**fields):
    """A mapping with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


raw_configs = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"train": words},
            optional={
                "validation": words | st.none(), "test": words | st.none(), "text": columns, "label": columns,
                "label_names": words, "label_delimiter": words, "header": st.booleans(), "limit": counts,
                "max_length": counts | st.just("auto"), "on_bad_row": st.sampled_from(["error", "drop"]),
                "validation_share": rates, "test_share": rates, "split_seed": st.integers(0, 2**70),
            },
        )
    },
    optional={
        "model": words,
        "out": words,
        "trust_remote_code": st.booleans(),
        "task": some(
            labels=st.lists(words, min_size=2), multi_label=st.booleans(), thresholds=st.lists(rates),
            pooling=st.sampled_from(["auto", "mean"]), class_weights=st.dictionaries(st.text(), rates),
            window_overlap=st.integers(0, 99), label_smoothing=rates,
        ).map(lambda fields: {"kind": "sequence_classification", **fields})
        | some(labels=st.lists(words, min_size=1), scheme=st.sampled_from(["auto", "BIOES", "plain"]))
        .map(lambda fields: {"kind": "token_classification", **fields})
        | some(no_answer=st.booleans() | st.none(), null_threshold=st.floats(-9, 9) | st.none())
        .map(lambda fields: {"kind": "question_answering", **fields}),
        "strategy": st.sampled_from(["full", "lora", "feature_extraction"])
        | some(r=counts, alpha=rates, targets=st.just("all-linear") | st.lists(words, min_size=1),
               merge=st.booleans(), rank_pattern=st.dictionaries(words, counts))
        .map(lambda fields: {"kind": "lora", **fields})
        | some(at=st.lists(rates, min_size=1, unique=True).map(sorted), decay=rates, blocks=counts)
        .map(lambda fields: {"kind": "gradual_unfreezing", **fields})
        | some(blocks=st.just("half") | counts, steps=counts | st.none())
        .map(lambda fields: {"kind": "freeze", **fields})
        | some(init_text=words | st.none()).map(lambda fields: {"kind": "prompt_tuning", **fields})
        | some(regularisation=st.lists(rates, min_size=1)).map(lambda fields: {"kind": "feature_extraction", **fields}),
        "training": some(
            epochs=rates | st.just("auto"), learning_rate=rates, batch_size=counts, max_steps=counts | st.none(),
            seed=st.integers(0, 2**32 - 1), warmup=rates | counts, evaluate_every=counts | st.just("epoch"),
            early_stopping=some(metric=words, patience=counts, min_delta=rates) | st.none(), dropout=rates | st.none(),
        ),
    },
)  # fmt: skip


@given(raw_configs)
@settings(deadline=None, max_examples=50)
def test_load_is_the_inverse_of_dump(tmp_path_factory, raw):  # C2
    config = load(raw)
    file = tmp_path_factory.mktemp("dumped") / "run.yaml"
    file.write_text(dump(config), encoding="utf-8")
    assert load(file) == config
    assert dump(load(file)) == dump(config)


@pytest.mark.parametrize(
    "text", ["a\x85b", "a\u2028", "a\r\n b", "\n", " a ", "no", "1e-5", "2024-01-31", "{", "# a", "é\ufeff"]
)
def test_odd_text_survives_dump_and_load(tmp_path, text):  # C2
    config = load({"data": DATA | {"label_delimiter": text, "text": text}})
    (tmp_path / "run.yaml").write_text(dump(config), encoding="utf-8")
    assert load(tmp_path / "run.yaml") == config


@pytest.mark.parametrize(
    ("strategy", "task"),
    [
        ("full", {"pooling": "model", "class_weights": "balanced"}),
        ("lora", {"pooling": "mean"}),
        ("feature_extraction", {"pooling": "mean"}),
        ("full", {"pooling": "cls", "multi_label": True, "long_text": "windows", "window_overlap": 2}),
    ],
)
def test_the_run_yaml_of_a_finished_run_repeats_it_bitwise(small, tmp_path, strategy, task):  # C2
    raw = small("first", strategy, {"kind": "sequence_classification", **task})
    raw["data"] |= {"max_length": 9, "limit": 40}
    raw["training"] |= {} if strategy == "feature_extraction" else {"batch_size": "auto", "learning_rate": "auto"}
    first = tw.train(raw, progress=False)
    recipe = tmp_path / "first" / "run.yaml"
    if strategy != "feature_extraction":
        assert "auto" not in yaml.safe_load(recipe.read_text())["training"].values()
    again = tw.train(load(recipe, [f"out={tmp_path / 'again'}"]), progress=False)
    assert_same_weights(first.path, again.path)
    assert again.metrics["validation"] == first.metrics["validation"]
    changed = yaml.safe_load(recipe.read_text()) | {"out": str(again.path)}
    assert changed == yaml.safe_load((again.path / "run.yaml").read_text())


@pytest.mark.parametrize("task", ["token_classification", "question_answering"])
def test_the_run_yaml_of_the_other_tasks_repeats_their_runs(tiny, tmp_path, task):  # C2
    train, validation = data_for(task, tmp_path)
    data = {"train": train, "validation": validation, "check_seconds": 0}
    raw = {"model": tiny, "data": data, "out": str(tmp_path / "first")}
    first = tw.train(raw | {"training": {"max_steps": 3, "precision": "fp32"}}, progress=False)
    again = tw.train(load(first.path / "run.yaml", [f"out={tmp_path / 'again'}"]), progress=False)
    assert_same_weights(first.path, again.path)
    assert again.metrics["validation"] == first.metrics["validation"]


def test_python_objects_and_mappings_make_the_same_configuration():
    typed = RunConfig(data=DataConfig(train="inbox.csv"), strategy=tw.LoRA(r=3), training=TrainingConfig(seed=2))
    assert typed == load({"data": DATA, "strategy": {"kind": "lora", "r": 3}, "training": {"seed": 2}})
    assert load({"data": DATA, "strategy": tw.LoRA(r=3)}, ["strategy.r=4"]).strategy == tw.LoRA(r=4)
    assert load({"data": DATA, "strategy": "lora"}).strategy == tw.LoRA()
    assert load({"data": DATA}).strategy == tw.Full()


# --- settings on the command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignments", "section", "field", "value"),
    [
        (["training.learning_rate=1e-5"], "training", "learning_rate", 1e-5),
        (["training.early_stopping={}"], "training", "early_stopping", EarlyStopping()),
        (["training.early_stopping.patience=7"], "training", "early_stopping", EarlyStopping(patience=7)),
        (["data.text=[a, b]"], "data", "text", ("a", "b")),
        (["data.label=no"], "data", "label", ("no",)),
        (["data.label=12"], "data", "label", ("12",)),
        (["data.label_delimiter=|"], "data", "label_delimiter", "|"),
        (["data.label_delimiter=#"], "data", "label_delimiter", "#"),
        (["data.test=2024-01-31"], "data", "test", "2024-01-31"),
        (["data.test=a: b = c"], "data", "test", "a: b = c"),
        (["data.test=null"], "data", "test", None),
        (["strategy=lora", "strategy.r=4"], "strategy", "r", 4),
        (["strategy.r=4", "strategy.kind=lora"], "strategy", "r", 4),  # in any order
        (["strategy={kind: lora, r: 5}"], "strategy", "r", 5),
    ],
)
def test_settings_mean_what_is_typed(assignments, section, field, value):  # S5
    raw = {"data": dict(DATA), "strategy": "full"}
    assert getattr(getattr(load(raw, assignments), section), field) == value
    assert raw == {"data": DATA, "strategy": "full"}  # the caller's mapping is not edited


def test_another_kind_inherits_nothing_of_the_recipes():
    recipe = {"data": DATA, "strategy": {"kind": "lora", "r": 3}}
    assert load(recipe, ["strategy.kind=full"]).strategy == tw.Full()
    assert load(recipe, ["strategy.kind=lora"]).strategy == tw.LoRA(r=3)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("epochs", "'epochs' is no setting; write section.key=value, as in strategy.r=16"),
        ("a..b=3", "'a..b=3' is no setting"),
        ("data.train.x=3", "data.train: is 'inbox.csv', which has no 'x'"),
        ("strategy.r=3", "strategy.kind: is missing; write strategy.kind: lora"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(assignment, said):  # C3
    with pytest.raises(ConfigError) as caught:
        load({"data": DATA}, [assignment])
    assert str(caught.value).startswith(said)


# --- every slip with its path, value and remedy --------------------------------------------------------------------

SLIPS = {
    "trainig": ({"trainig": {}}, "trainig: unknown key; did you mean 'training'?"),
    "Model": ({"Model": "x"}, "Model: unknown key; did you mean 'model'?"),
    "learnin_rate": ({"training": {"learnin_rate": 1}},
                     "training.learnin_rate: unknown key; did you mean 'learning_rate'?"),
    "nested": ({"training": {"early_stopping": {"patiense": 1}}},
               "training.early_stopping.patiense: unknown key; did you mean 'patience'?"),
    "section": ({"epochs": 3}, "epochs: unknown key; did you mean training.epochs?"),
    "strategy's": ({"training": {"head_learning_rate": 3}},
                   "training.head_learning_rate: unknown key; did you mean 'learning_rate'?"),
    "another kind's": ({"strategy": {"kind": "full", "alpha": 3}},
                       "strategy.alpha: unknown key; did you mean strategy.alpha (lora) or strategy.alpha (qlora)?"),
    "others' name": ({"training": {"num_train_epochs": 8}},
                     "training.num_train_epochs: unknown key; did you mean 'epochs'?"),
    "nothing near": ({"strategy": {"kind": "full", "zzz": 3}},
                     "strategy.zzz: unknown key; known: head_learning_rate, kind"),
    "kind": ({"strategy": "lorra"}, "strategy.kind: unknown 'lorra'; did you mean 'lora'?"),
    "task": ({"task": {"kind": "sequence-classification"}},
             "task.kind: unknown 'sequence-classification'; did you mean 'sequence_classification'?"),
    "no kind": ({"strategy": {"regularisation": [1]}},
                "strategy.kind: is missing; write strategy.kind: feature_extraction"),
    "empty kind": ({"strategy": None},
                   f"strategy: must be a kind ({', '.join(members(Strategy))}), or a section with one; got nothing"),
    "choice": ({"training": {"precision": "fp_16"}},
               "training.precision: must be 'auto', 'fp32', 'bf16' or 'fp16'; got 'fp_16'; did you mean 'fp16'?"),
    "number": ({"training": {"epochs": "many"}}, "training.epochs: must be a number or 'auto'; got 'many'"),
    "finite": ({"training": {"weight_decay": float("nan")}}, "training.weight_decay: must be a finite number; got nan"),
    "whole": ({"training": {"max_steps": 1.5}}, "training.max_steps: must be a whole number; got 1.5"),
    "truth": ({"training": {"max_steps": True}}, "training.max_steps: must be a number; got true"),
    "bound": ({"training": {"batch_size": 0}}, "training.batch_size: must be at least 1 or 'auto'; got 0"),
    "above": ({"strategy": {"kind": "lora", "alpha": 0}}, "strategy.alpha: must be above 0; got 0"),
    "below": ({"training": {"dropout": 2}}, "training.dropout: must be below 1; got 2"),
    "yes or no": ({"training": {"gradient_checkpointing": "maybe"}},
                  "training.gradient_checkpointing: must be true or false; got 'maybe'"),
    "text": ({"model": 3}, "model: must be text; got 3; put it in quotes"),
    "empty": ({"out": ""}, "out: must be not empty; got ''"),
    "mapping": ({"training": None}, "training: must be a section of keys and values; got nothing"),
    "list": ({"strategy": {"kind": "lora", "targets": 3}},
             "strategy.targets: must be 'attention' or 'all-linear' or a list; got 3"),
    "together": ({"strategy": {"kind": "lora", "init": "orthogonal", "r": 3}},
                 "strategy: init: orthogonal needs an even r"),
    "inside a list": ({"strategy": {"kind": "lora", "targets": ["query", 3]}},
                      "strategy.targets[1]: must be text; got 3; put it in quotes"),
    "inside a mapping": ({"task": {"kind": "sequence_classification", "class_weights": {"late": -1}}},
                         "task.class_weights.late: must be above 0; got -1"),
    "too short": ({"strategy": {"kind": "feature_extraction", "regularisation": []}},
                  "strategy.regularisation: must be a list of at least 1; got []"),
    "number as a key": ({5: 1}, "keys are text, but one is 5; put it in quotes"),
    "column": ({"data": DATA | {"label": False}},
               "data.label: must be a column's name, or a list of them; got false; put it in quotes"),
    "columns": ({"data": DATA | {"text": ["a", "b", "c"]}},
                "data.text: must be a list of at most 2; got ['a', 'b', 'c']"),
    "no file": ({"data": {}}, "data.train: is missing; give a data file"),
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_with_path_value_and_remedy(slip):  # C3
    raw, said = SLIPS[slip]
    with pytest.raises(ConfigError) as caught:
        load({"data": DATA, **raw})
    assert str(caught.value) == said


def test_all_errors_of_a_file_are_told_at_once(tmp_path):  # C3
    file = tmp_path / "mine.yaml"
    file.write_text("data: {train: a.csv, limit: 0}\nstrategy: lorra\ntraining: {sed: 1, epochs: x}\nout: [1]\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    head, *told = str(caught.value).splitlines()
    assert head == f"{file}: 5 errors"
    assert sorted(line.split(":")[0].strip() for line in told) == [
        "data.limit", "out", "strategy.kind", "training.epochs", "training.sed",
    ]  # fmt: skip


def test_a_huge_value_stays_on_one_short_line():
    bomb = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 8)}]\n" for n in range(12)
    )
    raw = parse_yaml(bomb, "bomb.yaml")
    with pytest.raises(ConfigError) as caught:
        load({"data": DATA, "model": raw["m"]})
    assert len(str(caught.value)) < 200


# --- YAML ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {}']",
        "a: !!python/name:os.system",
        "a: !!python/object/new:os.system [x]",
    ],
)
def test_python_objects_in_yaml_are_refused(tmp_path, text):  # S4
    marker = tmp_path / "marker"
    with pytest.raises(ConfigError, match=r"line 1.*the tag !!python/[^ ]* is not allowed"):
        parse_yaml(text.format(marker), "run.yaml")
    assert not marker.exists()
    assert load({"data": DATA}, [f"model={text}"]).model == text  # on the command line it is the text itself


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml, line 3: cannot be read: key 'a' is given twice"),
        (
            "data:\n\ttrain: a",
            "f.yaml, line 2: cannot be read: found character '\\t' that cannot start any token; indent",
        ),
        ("a: [1", "f.yaml, line 1: cannot be read"),
        ("a: !!int many", "f.yaml: cannot be read"),
        ("[" * 5000, "f.yaml: cannot be read"),
        ("a: \x00", "f.yaml: cannot be read"),
    ],
)
def test_broken_yaml_is_told_with_its_line(text, said):  # S4, C3
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    assert str(caught.value).startswith(said)


def test_dates_are_text_and_merge_keys_work():
    assert parse_yaml("out: 2024-01-31", "") == {"out": "2024-01-31"}
    assert parse_yaml("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", "")["d"] == {"b": 3, "c": 2}


@pytest.mark.parametrize("content", [b"- 1", b"", b"\xff\xfe", None])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content):
    file = tmp_path / "run.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.yaml: (cannot be read|is no mapping)"):
        load(file)


# --- the schema for editors ----------------------------------------------------------------------------------------


def fits(value, form, root) -> bool:
    """The part of JSON Schema that ours uses."""
    if "$ref" in form:
        return fits(value, root["$defs"][form["$ref"].rsplit("/", 1)[1]], root)
    types = {"object": dict, "array": list, "string": str, "integer": int, "number": int | float, "boolean": bool}
    named = form.get("type")
    if named == "null":
        return value is None
    if named and (not isinstance(value, types[named]) or (named != "boolean" and isinstance(value, bool))):
        return False
    if ("enum" in form and value not in form["enum"]) or ("const" in form and value != form["const"]):
        return False
    if "anyOf" in form and not any(fits(value, choice, root) for choice in form["anyOf"]):
        return False
    if "oneOf" in form and sum(fits(value, choice, root) for choice in form["oneOf"]) != 1:
        return False
    if not named and "required" in form:
        return set(form["required"]) <= set(value)
    if named == "object" and "properties" in form:
        known = form["properties"]
        return set(form.get("required", ())) <= set(value) <= set(known) and all(
            fits(value[key], known[key], root) for key in value
        )
    return named != "array" or all(fits(item, form.get("items", {}), root) for item in value)


@given(raw_configs)
@settings(deadline=None, max_examples=25)
def test_the_schema_accepts_what_load_accepts(raw):
    form = schema()
    assert fits(yaml.safe_load(dump(load(raw))), form, form)


@pytest.mark.parametrize("name", [path.name for path in (Path(__file__).parent.parent / "recipes").glob("*.yaml")])
def test_the_schema_accepts_the_recipes(name):
    raw = yaml.safe_load((Path(__file__).parent.parent / "recipes" / name).read_text())
    assert fits(raw, schema(), schema())


@pytest.mark.parametrize(
    "slip", ["trainig", "learnin_rate", "choice", "number", "text", "kind", "yes or no", "no file"]
)
def test_the_schema_marks_slips(slip):
    raw = {"data": DATA, **SLIPS[slip][0]}
    assert not fits({"stages": [{"name": "first", **raw}]}, schema(), schema())
    assert not fits({"data": DATA, **SLIPS[slip][0]}, schema(), schema())
