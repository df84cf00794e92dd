"""The run of a floor: the same rows, splits, scores and files as a model's run, but for what no floor has.

`train_floor` stands here because it needs intake, outcome and run; the package floors is below all of them.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from .. import artifact, models
from ..config import RunConfig, dump
from ..data import ledger
from ..directory import METRICS, claimed
from ..errors import ConfigError, ModelError
from ..evaluation import largest_distance
from ..files import write_json, write_text
from ..floors.base import Floor, Learner, Reading
from ..intake import Intake, take_in
from ..launch import with_model
from ..outcome import command_line, versions, write_predictions
from ..predict import Predictor
from ..resolve import now
from ..run import RunResult
from ..sharing import Shared
from ..tasks.base import Task
from ..tasks.generative import Generative
from ..tasks.scores import scores_of
from ..training.memory import peak_memory_mb
from ..training.progress import Listener

PROVED = 32  # rows that the saved floor is asked again


def train_floor(
    config: RunConfig, floor: Floor, *, overwrite: bool = False, listener: Listener | None = None,
    shared: Shared | None = None,
) -> RunResult:  # fmt: skip
    """Fits, scores and saves one floor in `config.out`, on the rows that a run of this configuration would have.

    Args:
        config: of a run; strategy and training have no part in a floor, nor has the model but for its tokenizer, by
            whose tokens tasks that write are scored.
        overwrite: replace the run in `config.out`.

    Raises:
        TunewrightError: as for a run; ConfigError where the floor can't do the task.
    """
    listener, started = listener or Listener(), time.perf_counter()
    run = Path(str(config.out))
    with claimed(run, resume=False, overwrite=overwrite):
        intake = (shared or Shared()).rows(config, take_in)
        if reason := floor.refuses(intake.task):
            raise ConfigError(f"{floor.kind} is refused: {reason}", where=f"task: {intake.task.kind}")
        task, model, reading = reading_of(config, intake)
        rows = {name: split.rows for name, split in intake.splits.items()}
        listener.note(f"{floor.kind}: a floor without a pretrained model; {len(rows['train'])} training rows")
        began = time.perf_counter()
        learner = floor.fit(task, rows["train"], reading)
        fit_seconds = time.perf_counter() - began
        outputs = {name: learner.outputs(rows[name]) for name in rows if name != "train"}
        if "validation" in outputs:
            task = task.tune(outputs["validation"], rows["validation"])
        write_text(run / "run.yaml", dump(recipe_of(config, floor, task, model, intake, run)))
        write_json(run / "data.json", ledger_of(task, intake))
        columns = artifact.Columns.of(intake.roles, config.data.label_names is not None)
        artifact.save_floor(run / "model", floor, learner, task, columns)
        prove_parity(run, task, intake, outputs)
        write_predictions(run, task, intake, outputs)
        metrics = {
            **{name: scores_of(task, outputs[name], rows[name]) if name in outputs else None
               for name in ("validation", "test")},
            "fit_seconds": round(fit_seconds, 3),
            "total_seconds": round(time.perf_counter() - started, 3),
            **facts(config, floor, learner, task),
        }  # fmt: skip
        write_json(run / METRICS, metrics)
        return RunResult(run, metrics)


def reading_of(config: RunConfig, intake: Intake) -> tuple[Task, str | None, Reading]:
    """The task with what a model's tokenizer settles; which model; and how it reads. A task with labels needs none."""
    task = intake.task
    if not isinstance(task, Generative):
        return task, None, Reading()
    model = with_model(config, task).model
    source = models.locate(artifact.startable(model, config.trust_remote_code), config.trust_remote_code)
    task = task.settle(source, False)
    tokenizer = models.load_tokenizer(source)
    intake.notes.extend(task.dress(tokenizer))
    length = task.max_length(source) if config.data.max_length == "auto" else config.data.max_length
    return task, model, Reading(tokenizer, min(length, source.positions or length))


def recipe_of(
    config: RunConfig, floor: Floor, task: Task, model: str | None, intake: Intake, run: Path
) -> dict[str, Any]:
    """run.yaml: what a floor is made of, and nothing that has no part in it. It is no recipe for `train`."""
    roles = intake.roles
    data = config.data.model_copy(
        update={"text": roles.text, "label": roles.label, "label_delimiter": roles.delimiter}
    ).model_dump(mode="json", exclude={"check_seconds", "allow", *(() if model else ("max_length",))})
    return {
        "floor": floor.model_dump(mode="json"),
        **({"tokenizer_of": model} if model else {}),
        "data": data,
        "task": task.model_dump(mode="json"),
        "out": str(run),
    }


def ledger_of(task: Task, intake: Intake) -> dict[str, Any]:
    """data.json: every row accounted for; nothing is said of tokens, which a floor may not read."""
    splits = {
        name: {
            "source": split.source,
            "sha256": split.sha256,
            "rows_in": split.rows_in,
            "rows_kept": len(split.rows),
            "dropped": dict(split.dropped),
            "faults": dict(Counter(phrase for row in split.rows for phrase in row.mended)),
            "label_counts": dict(sorted(Counter(label for row in split.rows for label in task.counted(row)).items())),
        }
        for name, split in intake.splits.items()
    }
    texts = {name: (row.text for row in split.rows) for name, split in intake.splits.items()}
    return {"splits": splits, "duplicates_across_splits": ledger.duplicates_across(texts), "notes": intake.notes}


def facts(config: RunConfig, floor: Floor, learner: Learner, task: Task) -> dict[str, Any]:
    """The rest of metrics.json, with the keys of a model's run."""
    return {
        "peak_memory_mb": peak_memory_mb(),
        "trainable_parameters": learner.size,
        "total_parameters": learner.size,
        "best_step": 0,
        "best_metric": None,
        "steps": 0,
        "stopped": "completed",
        "seed": config.training.seed,
        "precision": "fp32",
        "device": "cpu",
        "processes": 1,
        "model": None,
        "model_licence": None,
        "task": task.kind,
        "strategy": floor.kind,
        "versions": versions(),
        "command": command_line(),
        "created": now(),
        "warnings": [],
    }


def prove_parity(run: Path, task: Task, intake: Intake, outputs: dict[str, list[Any]]) -> None:
    """Raises ModelError where what was saved does not answer as what was scored."""
    name = next(iter(outputs), None)
    if name is None:
        return
    served = Predictor.load(run).outputs(intake.splits[name].rows[:PROVED])
    gap = largest_distance(task, served, outputs[name][:PROVED])
    if gap > 1e-5:
        what = f"the saved floor answers differently (largest difference of an output: {gap:.2g})"
        raise ModelError(what, where=str(run / "model"), fix="report this with run.yaml")
