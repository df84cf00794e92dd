"""Two processes on this CPU make the update of one: DDP, FSDP2 and DeepSpeed ZeRO-2."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

import tunewright as tw
from tests.conftest import settings, weights_of, write_rows
from tests.language_models import make_language_model
from tests.matrix.language import files_for
from tests.training.test_resume import killed
from tunewright.config import load
from tunewright.errors import ConfigError
from tunewright.evaluation import scalars
from tunewright.launch import refuse_engine, refused_launch
from tunewright.strategies.base import ParameterGroup
from tunewright.training import optim

BOUND = 5e-6  # on any weight, at a learning rate of 1e-3: rounding, which AdamW's first steps magnify
ENGINES = {  # --cpu would start one process, however many it is asked for
    "ddp": ["--multi_gpu"],
    "fsdp2": ["--use_fsdp", "--fsdp_version", "2"],
    "zero2": ["--use_deepspeed", "--zero_stage", "2"],
}
ALIKE = {
    "full": "full",
    "lora": {"kind": "lora", "dropout": 0},
    "gradual_unfreezing": {"kind": "gradual_unfreezing", "every": 1},  # what is unfrozen late joins in the reduction
    "freeze": {"kind": "freeze", "blocks": 1},
    "prefix_tuning": "prefix_tuning",
    "bottleneck_adapter": "bottleneck_adapter",
}
WITHOUT_DEEPSPEED = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="deepspeed is not installed: pip install 'tunewright[deepspeed]'"
)
EVERYWHERE = ["full", "lora", "one row", "causal_lm", "preference"]
PAIRS = [("ddp", case) for case in dict.fromkeys([*ALIKE, *EVERYWHERE])] + [
    (engine, case) for engine in ("fsdp2", "zero2") for case in EVERYWHERE
]


CASES = [pytest.param(*pair, marks=WITHOUT_DEEPSPEED) if pair[0] == "zero2" else pair for pair in PAIRS]


def launch(engine: str, *command: str) -> subprocess.CompletedProcess:
    """`accelerate launch` with two gloo processes on this CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", *ENGINES[engine]]
    accelerate += ["--num_processes", "2", "--num_machines", "1", "--main_process_port", port]
    accelerate += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", *command]
    return subprocess.run(accelerate, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def gap(first: Path | str, second: Path | str) -> float:
    """The largest difference of a weight."""
    left, right = weights_of(first), weights_of(second)
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.fixture(scope="module")
def make(tmp_path_factory, tiny):
    """`make("lora", out)` is a raw configuration of one of the cases."""
    folder = tmp_path_factory.mktemp("rows")
    inbox, language = write_rows(folder / "inbox.csv"), make_language_model(folder / "model", spread=0.2)
    task = {"kind": "sequence_classification", "pooling": "mean", "class_weights": "balanced"}

    def made(case: str, out: Path) -> dict:
        if case in ("causal_lm", "preference"):  # 17 rows in batches of 8: the last step has one row
            (folder / case).mkdir(exist_ok=True)
            lora = {"kind": "lora", "dropout": 0, "targets": "all-linear"}
            return {
                "model": str(language), "data": files_for(case, folder / case, count=17), "out": str(out),
                "task": {"kind": case, "score_answers": 2, "max_new_tokens": 4},
                "strategy": {"kind": "full"} if case == "causal_lm" else lora,
                "training": {"epochs": 1, "batch_size": 8, "micro_batch_size": 2, "learning_rate": 1e-3,
                             "precision": "fp32", "warmup": 0, "dropout": 0},
            }  # fmt: skip
        raw = settings(str(tiny), inbox, out, micro_batch_size=2, dropout=0.0, epochs=1)
        if case == "one row":  # 41 rows of training: the second process has none of the last step
            raw["data"] |= {"validation_share": 0.06, "limit": 44}
        elif case == "full":
            raw["training"] |= {"epochs": 2, "checkpoint_every": 2}
        # 43 rows in batches of 8: the last step of an epoch has 3, of which the processes have unequal shares
        return raw | {"strategy": ALIKE.get(case, "full"), "task": task}

    return made


@pytest.fixture(scope="module")
def begin(tmp_path_factory):
    """A cache of our own: the fixture of each test comes too late for what they share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def alone(begin, make, tmp_path_factory) -> dict[str, Path]:
    """The run of every case in one process."""
    folder = tmp_path_factory.mktemp("alone")
    return {case: tw.train(make(case, folder / case), progress=False).path for case in {case for _, case in PAIRS}}


@pytest.fixture(scope="module")
def together(begin, make, tmp_path_factory):
    """The runs of an engine's cases, by two processes. The case `full` is handed about: one process begins it, two go
    on until SIGTERM ends them, go on again likewise, and one process takes it to its end."""
    launched: dict[str, Path] = {}

    def run(engine: str) -> Path:
        if engine not in launched:
            folder = launched[engine] = tmp_path_factory.mktemp(engine)
            raws = {case: make(case, folder / case) for name, case in PAIRS if name == engine}
            killed(raws["full"], 3)
            (folder / "runs.json").write_text(json.dumps([
                {"raw": raw, "resume": case == "full", "stops": [7, 9] if case == "full" else [None]}
                for case, raw in raws.items()
            ]))  # fmt: skip
            ended = launch(engine, "tests.training.launched", str(folder / "runs.json"))
            assert ended.returncode == 0, ended.stderr
            tw.train(raws["full"], progress=False, resume=True)
        return launched[engine]

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "case"), CASES)
def test_two_processes_make_the_update_of_one(together, alone, engine, case):  # N2, R5, R10
    one, two = alone[case], together(engine) / case
    assert gap(one, two) < BOUND
    for first, second in zip(course(one), course(two), strict=True):
        assert first == pytest.approx(second, rel=1e-4)  # AdamW's steps do not show a gradient of the wrong size
    first, second = (json.loads((run / "metrics.json").read_text())["validation"] for run in (one, two))
    assert scalars(first) == pytest.approx(scalars(second), rel=1e-4, abs=1e-5)


def course(run: Path) -> list[dict]:
    """Loss and gradient norm of each step."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in ("step", "loss", "gradient_norm")} for line in lines if "loss" in line]


@pytest.mark.slow
def test_one_process_speaks(begin, make, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(make("one row", tmp_path / "run")))
    ended = launch("ddp", "tunewright", "train", str(recipe), "training.max_steps=1")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("report:") == 1


class Launch:
    """What an accelerator knows of its launch."""

    def __init__(self, kind: str, processes: int = 2, **zero) -> None:
        self.distributed_type, self.num_processes = SimpleNamespace(value=kind), processes
        given = {"zero_optimization": {"stage": 2, **zero.pop("zero", {})}, **zero}
        self.state = SimpleNamespace(deepspeed_plugin=SimpleNamespace(deepspeed_config=given))


LAUNCHES = [
    (Launch("MULTI_CPU"), {"FSDP_VERSION": "1"}, "add --fsdp_version 2"),
    (Launch("MULTI_CPU"), {"FSDP_VERSION": "2", "FSDP_OFFLOAD_PARAMS": "true"}, "offloading"),
    (Launch("MULTI_CPU", 1), {"FSDP_VERSION": "2"}, "this is one"),
    (Launch("DEEPSPEED", zero={"stage": 3}), {}, "add --zero_stage 2"),
    (Launch("DEEPSPEED", zero={"offload_optimizer": {"device": "cpu"}}), {}, "offloading"),
    (Launch("DEEPSPEED", optimizer={"type": "Adam"}, bf16={"enabled": True}), {}, "optimizer and bf16"),
    (Launch("MEGATRON_LM"), {}, "MEGATRON_LM is not supported"),
]


@pytest.mark.parametrize(("accelerator", "environment", "reason"), LAUNCHES)
def test_a_launch_that_is_not_supported_is_refused(monkeypatch, accelerator, environment, reason):
    fsdp = str(bool(environment)).lower()
    for name, value in {"ACCELERATE_USE_FSDP": fsdp, **environment}.items():
        monkeypatch.setenv(name, value)
    assert reason in refused_launch(accelerator)


def test_supported_launches_are_not_refused(monkeypatch):
    assert refused_launch(Launch("NO", 1)) is None
    assert refused_launch(Launch("DEEPSPEED", fp16={"enabled": "auto"})) is None
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    assert refused_launch(Launch("FSDP")) is None


@pytest.mark.parametrize(
    ("strategy", "training", "reason"),
    [("freeze", {}, "frozen blocks"), ("gradual_unfreezing", {}, "unfreeze"), ("qlora", {}, "four-bit"),
     ("full", {"precision": "fp16"}, "fp16")],
)  # fmt: skip
def test_what_an_engine_cannot_do_is_refused(monkeypatch, small, strategy, training, reason):
    config = load(small("run", strategy, **training))
    refuse_engine(Launch("MULTI_CPU"), config)  # DDP can
    for kind, fsdp in (("DEEPSPEED", "false"), ("MULTI_CPU", "true")):
        monkeypatch.setenv("ACCELERATE_USE_FSDP", fsdp)
        with pytest.raises(ConfigError, match=reason):
            refuse_engine(Launch(kind), config)


def test_moments_of_some_rows_become_those_of_all():
    """One process may keep them so (fast.embedding); several, whose gradients are dense, go on from them."""
    table = torch.nn.Parameter(torch.zeros(4, 2))
    optimizer = optim.adamw([ParameterGroup("body", {"table": table}, 1e-3, 0.0)])
    rows = {"rows/table": torch.tensor([2, 0]), "exp_avg/table": torch.tensor([[1.0, 1], [2, 2]])}
    state = {**rows, "exp_avg_sq/table": torch.ones(2, 2), "step/table": torch.tensor(3.0)}
    found = optim.with_all_rows(state, optimizer)
    assert found["exp_avg/table"].tolist() == [[2, 2], [0, 0], [1, 1], [0, 0]]
    assert set(found) == {"exp_avg/table", "exp_avg_sq/table", "step/table"}
