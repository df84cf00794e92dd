"""Predictor: lower precisions say what they change, parts make no difference, and files are written part by part."""

from __future__ import annotations

import copy
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import WORDS, make_model
from tunewright import cli
from tunewright.api import evaluate
from tunewright.artifact import Artifact, Columns
from tunewright.cli import predict as verb
from tunewright.errors import ConfigError
from tunewright.fast import products
from tunewright.models import load_tokenizer, locate
from tunewright.predict import Predictor
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.training import precision

CPU = torch.device("cpu")
TEXTS = [" ".join(WORDS[place % 18 : place % 18 + 1 + place % 7]) for place in range(90)]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("home")
    make_model(made / "bert", spread=0.3)
    lines = [f"{text},{'ab'[place % 2]}" for place, text in enumerate(TEXTS)]
    (made / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return made


@pytest.fixture(scope="module")
def untouched(home) -> Predictor:
    source = locate(str(home / "bert"))
    torch.manual_seed(0)
    task = SequenceClassification(labels=("a", "b"), multi_label=False, pooling="mean")
    model = task.build(source).eval()
    nn.init.normal_(model.head.weight)
    columns = Columns(("text",), ("label",), None, False)
    return Predictor(Artifact(model, load_tokenizer(source), task, 32, columns, home))


@pytest.fixture
def predictor(untouched, monkeypatch) -> Predictor:
    made = copy.deepcopy(untouched)
    monkeypatch.setattr(Predictor, "load", classmethod(lambda *arguments: made))
    return made


def rows_of(predictor: Predictor) -> list:
    return [predictor.artifact.task.ask(number, text) for number, text in enumerate(TEXTS, 1)]


def is_lowered(model: nn.Module) -> bool:
    return any(isinstance(module, products.HalfLinear | products.ByteLinear) for module in model.modules())


# --- fast fp32 products ----------------------------------------------------------------------------------------------


def test_fast_products_answer_and_teach_as_plain_ones(untouched):  # N9
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(48, 96), nn.Linear(96, 5, bias=False))
    fast = copy.deepcopy(plain)
    products.use_fast_products(fast)
    assert [type(layer) for layer in fast] == [products.FastLinear] * 2
    assert fast.state_dict().keys() == plain.state_dict().keys()
    values = torch.randn(3, 7, 48)
    with torch.no_grad():
        assert torch.allclose(fast(values), plain(values), atol=1e-5)
        assert not torch.is_grad_enabled()
    for model in (plain, fast):
        model(values).square().sum().backward()
    assert all(torch.equal(one.grad, two.grad) for one, two in zip(fast.parameters(), plain.parameters(), strict=True))


def test_fast_products_are_taken_only_without_gradients(monkeypatch):
    layer, asked = nn.Linear(48, 96), []
    products.use_fast_products(layer)
    product = products.product
    monkeypatch.setattr(products, "product", lambda *given: asked.append(1) or product(*given))
    layer(torch.randn(2, 48))
    assert not asked
    with torch.no_grad():
        layer(torch.randn(2, 48))
    assert asked


def test_fast_products_leave_autocast_its_own(monkeypatch):
    layer = nn.Linear(48, 96)
    products.use_fast_products(layer)
    monkeypatch.setattr(products, "product", lambda *given: pytest.fail("taken under autocast"))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(2, 48)).dtype == torch.bfloat16


@pytest.mark.parametrize(("gain", "kind"), [(1.6, products.FastLinear), (1.1, nn.Linear)])
def test_products_are_swapped_where_a_probe_found_them_faster(monkeypatch, gain, kind):
    monkeypatch.setattr(precision, "products_gain", lambda *given: gain)
    model = nn.Sequential(nn.Linear(48, 48))
    precision.use_fast_products(model, 384, 1536, CPU)
    assert type(model[0]) is kind


def test_products_that_round_are_never_taken(monkeypatch):  # N9
    rounded = lambda values, weight: (values.bfloat16() @ weight.bfloat16().T).float()  # noqa: E731
    monkeypatch.setattr(products, "product", rounded)
    monkeypatch.setattr(precision, "layer_seconds", lambda *given: 1.0)
    assert precision.products_gain(32, 64, CPU) == 0.0


def test_predictions_use_the_fast_products(untouched, monkeypatch):
    from tunewright.predict import prepare_arithmetic

    monkeypatch.setattr(precision, "products_gain", lambda *given: 2.0)
    monkeypatch.setattr(precision, "NARROW", 32)
    model = copy.deepcopy(untouched.model)
    prepare_arithmetic(model)
    assert any(type(module) is products.FastLinear for module in model.modules())


# --- lower precisions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "bound"), [("bf16", 0.05), ("int8", 0.5)])
def test_a_lower_precision_answers_nearly_alike_and_says_how_nearly(predictor, name, bound):
    rows = rows_of(predictor)
    exact = np.stack(predictor.outputs(rows))
    told = predictor.lower(name, rows)
    lowered = np.stack(predictor.outputs(rows))
    assert is_lowered(predictor.model)
    assert type(predictor.model.head) is nn.Linear  # two classes wide
    assert told == pytest.approx(np.abs(exact - lowered).max())
    assert 0 < told < bound * np.abs(exact).max()


def test_an_int8_layer_rounds_each_output_by_its_own_scale():
    torch.manual_seed(0)
    layer = nn.Linear(64, 32)
    with torch.no_grad():
        layer.weight[0] *= 100  # one scale for all would round the others away
        values = torch.randn(5, 64)
        error = (products.ByteLinear(layer)(values) - layer(values)).abs().max(0).values
    assert error[1:].max() < 0.05


@pytest.mark.parametrize("name", ["bf16", "int8"])
def test_lowered_answers_do_not_depend_on_their_company(predictor, name):  # D9
    rows = rows_of(predictor)
    predictor.lower(name)
    together = predictor.outputs(rows)
    for place in (0, 6, 13):
        assert np.allclose(predictor.outputs(rows[place : place + 1])[0], together[place], atol=0.05)
    with torch.no_grad():
        layer = products.KINDS[name](nn.Linear(64, 64))
        quiet = torch.randn(1, 3, 64)
        loud = torch.cat([quiet, 1000 * quiet])
        assert torch.allclose(layer(loud)[:1], layer(quiet), atol=1e-5)


def test_lora_factors_keep_their_precision():
    part = nn.Module()
    part.base_layer, part.lora_A = nn.Linear(64, 64), nn.ModuleDict({"default": nn.Linear(64, 64)})
    products.lower(part, "int8")
    assert isinstance(part.base_layer, products.ByteLinear)
    assert type(part.lora_A["default"]) is nn.Linear


@pytest.mark.parametrize(("name", "said"), [("fp8", "there is no 'fp8'"), ("int8", "the weights are in bf16 already")])
def test_a_precision_that_cannot_be_had_is_refused(predictor, name, said):
    predictor.precision = "bf16"
    with pytest.raises(ConfigError, match=said):
        predictor.lower(name)


def test_evaluate_states_the_scores_of_both_precisions(predictor, home):
    file = str(home / "texts.csv")
    exact = evaluate(predictor, file)
    assert "lowered" not in exact
    found = evaluate(predictor, file, precision="bf16")
    assert found["lowered"]["precision"] == "bf16"
    assert found["lowered"]["fp32"]["loss"] == pytest.approx(exact["loss"])
    assert 0 < found["lowered"]["largest_difference"] < 0.5
    assert found["loss"] != exact["loss"]
    assert evaluate(predictor, file)["loss"] == found["loss"]  # a lowered predictor is scored as it is


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(predictor, home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    cli.add_verbs()
    capsys.readouterr()
    return lambda *arguments: (cli.run(list(arguments)), *capsys.readouterr())


def test_answers_in_parts_are_those_in_one_go_and_in_order(call, home, predictor, monkeypatch):
    whole = predictor(TEXTS)
    monkeypatch.setattr(verb, "PART", 7)
    code, out, _ = call("predict", "run", "texts.csv", "--out", "answers.jsonl")
    assert (code, out) == (0, "")
    answers = [json.loads(line) for line in (home / "answers.jsonl").read_text().splitlines()]
    assert [answer["text"] for answer in answers] == TEXTS
    for answer, expected in zip(answers, whole, strict=True):
        assert answer["label"] == expected.label
        assert answer["probability"] == pytest.approx(expected.probability, abs=1e-5)


def test_rows_are_read_only_as_they_are_answered(call, home, monkeypatch):
    monkeypatch.setattr(verb, "PART", 7)
    read, seen, real = [], [], verb.read_row
    monkeypatch.setattr(verb, "read_row", lambda *given: read.append(1) or real(*given))
    answer = Predictor.answer
    monkeypatch.setattr(Predictor, "answer", lambda self, rows: seen.append(len(read)) or answer(self, rows))
    assert call("predict", "run", "texts.csv")[0] == 0
    assert seen == [*range(7, 90, 7), 90]


def test_what_was_answered_before_an_end_in_the_middle_is_readable(call, home, monkeypatch):
    monkeypatch.setattr(verb, "PART", 40)
    answer, kept = Predictor.answer, []

    def dying(self, rows):
        if kept:
            kept.append((home / "half.jsonl").read_bytes())  # what a SIGKILL here would leave
            raise KeyboardInterrupt
        kept.append(b"")
        return answer(self, rows)

    monkeypatch.setattr(Predictor, "answer", dying)
    assert call("predict", "run", "texts.csv", "--out", "half.jsonl")[0] == 130
    assert [json.loads(line)["text"] for line in kept[1].decode().splitlines()] == TEXTS[:40]


def test_standard_input_is_answered_as_it_comes(call, monkeypatch):
    monkeypatch.setattr(verb, "PART", 2)
    asked = []

    class Lines(io.BytesIO):
        def __next__(self):
            asked.append(1)
            return super().__next__()

    monkeypatch.setattr(sys, "stdin", type("Pipe", (), {"buffer": Lines(b"red\n\nblue\ngreen\n")})())
    seen, answer = [], Predictor.answer
    monkeypatch.setattr(Predictor, "answer", lambda self, rows: seen.append(len(asked)) or answer(self, rows))
    code, out, _ = call("predict", "run")
    assert (code, [line.split("\t")[2] for line in out.splitlines()]) == (0, ["red", "blue", "green"])
    assert seen == [3, 5]


def test_predict_states_what_a_lower_precision_changed(call, predictor):
    code, out, error = call("predict", "run", "texts.csv", "--json", "--precision", "bf16")
    told = json.loads(out.splitlines()[0])
    assert (code, told["precision"]) == (0, "bf16")
    assert 0 < told["largest_difference"] < 0.5
    assert (
        f"bf16: on the first 64 rows the largest difference of a logit to fp32 is {told['largest_difference']:.2g}"
        in error
    )
    assert predictor.precision == "bf16"
    assert call("predict", "run", "--text", "red", "--precision", "half")[0] == 2


def test_the_table_of_evaluate_has_both_precisions(call):
    code, out, _ = call("evaluate", "run", "texts.csv", "--precision", "int8")
    assert code == 0
    assert "fp32" in out
    assert "largest difference of a logit: " in out


def test_loading_in_full_precision_needs_no_bitsandbytes(home):
    import subprocess

    said = "import sys; from tunewright.models import load_model, locate; load_model(locate(sys.argv[1]), 'AutoModel')"
    command = [sys.executable, "-c", f"{said}; print('bitsandbytes' in sys.modules)", str(home / "bert")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"
