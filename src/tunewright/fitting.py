"""Fitting: from a model to its best weights, by the one loop or, for a head alone, in closed form."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .config import dump
from .data.sampler import num_steps
from .directory import CHECKPOINTS
from .errors import CheckpointError
from .evaluation import scalars
from .files import write_text
from .layers import layer_map
from .resolve import is_sized, is_unsure
from .session import Session, fingerprint, with_rate
from .strategies.base import ParameterGroup, Rates
from .tasks.base import Metric, Task
from .tasks.scores import scores_of
from .training import memory, range_test
from .training.callbacks import Callback, EarlyStopping, History, OverfittingWarning
from .training.checkpoint import RUN, Checkpoint, Checkpoints, read_run, start_run
from .training.features import features_of, origin_of
from .training.head import Split as HeadSplit
from .training.head import answers, fit_head
from .training.loop import Data, Plan, fit, load_weights
from .training.state import State, best_evaluation, better

if TYPE_CHECKING:
    from torch import nn

HISTORY = "history.jsonl"


def fit_model(
    session: Session, model: nn.Module, checkpoints: Checkpoints, resume: bool, allow_missing: tuple[str, ...]
) -> tuple[State, dict[str, list[Any]]]:
    """The model gets its best weights; how that went, and what it says then of validation and test."""
    if session.solves:
        return train_head(session, model)
    state = train_loop(session, model, checkpoints, resume, allow_missing)
    return state, {name: final_outputs(session, model, state, name) for name in session.encoded if name != "train"}


def train_head(session: Session, model: Any) -> tuple[State, dict[str, list[Any]]]:
    """Features once, then a convex problem; what the head says of validation and test.

    Nothing to checkpoint: the features are cached, the rest takes seconds.
    """
    state = State(total_steps=1, steps_per_epoch=1)
    history = History(session.run / HISTORY, every=1)
    if session.is_main:
        history.on_start(state)
    began = time.perf_counter()
    known = [name for name in session.encoded if name != "test"]
    parts = {name: head_split(session, model, name) for name in known}
    state.fit_seconds = time.perf_counter() - began
    strengths = session.strategy.regularisation  # type: ignore[attr-defined]
    log = history.write if session.is_main else (lambda line: None)
    fit_head(model.head, session.task, parts["train"], parts.get("validation"), strengths, state, log)
    if "test" in session.encoded:
        parts["test"] = head_split(session, model, "test")
    return state, {name: answers(model.head, part) for name, part in parts.items() if name != "train"}


def head_split(session: Session, model: Any, name: str) -> HeadSplit:
    """One split's cached features and targets."""
    pooling, kernels = getattr(session.task, "pooling", None), session.config.training.kernels
    origin = origin_of(session.source, pooling=pooling, kernels=kernels)
    encoded = session.encoded[name]
    show = partial(session.listener.progress, f"features of {name}") if session.is_main else None
    device = session.accelerator.device
    values, computed = features_of(lambda: model, encoded, session.collate, device, origin, show)
    if session.is_main:
        shape = f"{values.shape[0]} x {values.shape[1]}"
        session.listener.note(f"features of {name}: {shape}{f', {computed} computed' if computed else ', cached'}")
    return HeadSplit(values, [item.label for item in encoded.features], session.rows(name))


def train_loop(
    session: Session, model: nn.Module, checkpoints: Checkpoints, resume: bool, allow_missing: tuple[str, ...]
) -> State:
    """The one loop, from the newest checkpoint where there is one, and back to the best weights."""
    plan = plan_of(session)
    state = State(total_steps=plan.total_steps, steps_per_epoch=plan.steps_per_epoch)
    checkpoint = checkpoints.newest(state.warn, allow_missing) if resume else None
    if resume and session.is_main:
        tell_where(session, state, checkpoint)
    groups = groups_of(session, model, plan)
    data = Data(session.examples, session.collate, [row.number for row in session.rows("train")], classes(session))
    plan = fitted(session, model, data, plan, groups, checkpoint.state if checkpoint else {})
    parts = {"model": model, "task": session.task, "precision": session.precision, "accelerator": session.accelerator,
             "data": data, "plan": plan}  # fmt: skip
    if session.ranging:
        choose_rate(session, groups, **parts)
        groups = groups_of(session, model, plan)
    evaluate = partial(validate, session, model, state) if "validation" in session.encoded else None
    found = fit(
        resume=checkpoint, pause=session.pause, groups=groups, **parts, checkpoints=checkpoints, evaluate=evaluate,
        callbacks=callbacks_of(session, plan), state=state, cache=session.prefix_cache(),
    )  # fmt: skip
    restore_best(session, groups, checkpoints, found)
    return found


def groups_of(session: Session, model: nn.Module, plan: Plan) -> list[ParameterGroup]:
    """What trains, at the rate that is known by now."""
    training, task = session.config.training, session.task
    rate = float(training.learning_rate)
    rates = Rates(rate, training.weight_decay, plan.total_steps, plan.steps_per_epoch, task.new_head)
    return session.strategy.groups(model, layer_map(model), rates)


def tell_where(session: Session, state: State, checkpoint: Checkpoint | None) -> None:
    """Says where a resumed run goes on, and what was wrong with newer checkpoints."""
    at = f"continuing from step {checkpoint.state['step']}" if checkpoint else "no checkpoint yet: from the beginning"
    for text in (*state.warnings, at):
        session.listener.note(text)


def validate(session: Session, model: nn.Module, state: State) -> dict[str, Any]:
    """The one-number scores on validation; the best evaluation's outputs are kept, so that nobody asks again."""
    task, rows = session.task.during_training(), session.rows("validation")
    outputs = session.outputs(model, "validation", task)
    scores = scalars(scores_of(task.tune(outputs, rows), outputs, rows))
    for worry in task.worries(scores):
        state.warn(worry)
    metric = session.task.metric
    if task is session.task and better({"validation": scores}, best_evaluation(state.evaluations, metric), metric):
        session.kept = state.step, outputs
    return scores


def final_outputs(session: Session, model: nn.Module, state: State, split: str) -> list[Any]:
    """What the final model says of a split; of validation it may be known from the best evaluation."""
    best = best_evaluation(state.evaluations, session.task.metric)
    if split == "validation" and session.kept and best and session.kept[0] == best["step"]:
        return session.kept[1]
    return session.outputs(model, split)


def restore_best(session: Session, groups: Sequence[ParameterGroup], checkpoints: Checkpoints, state: State) -> None:
    """Loads the weights of the best evaluation, unless they are the last ones anyway (R8)."""
    best = best_evaluation(state.evaluations, session.task.metric)
    if best is None or best["step"] == state.step:
        return
    session.accelerator.wait_for_everyone()
    checkpoint = checkpoints.at(best["step"])
    if checkpoint is None:
        raise CheckpointError(
            f"the best checkpoint (step {best['step']}) is gone", where=str(session.run), fix="train again"
        )
    load_weights(groups, checkpoint)


def callbacks_of(session: Session, plan: Plan) -> Sequence[Callback]:
    every = max(1, plan.total_steps // 400)
    made: list[Callback] = [History(session.run / HISTORY, every), OverfittingWarning()]
    early = session.config.training.early_stopping
    if early is not None:
        made.append(EarlyStopping(metric_of(early.metric, session.task), early.patience, early.min_delta))
    return [*made, session.listener]


def metric_of(name: str, task: Task) -> Metric:
    """A score to stop by; losses and errors are better when lower."""
    if name == "auto":
        return task.metric
    return Metric(name, higher_is_better=not ("loss" in name or "error" in name))


def classes(session: Session) -> list[int] | None:
    """Of the training rows, where every epoch draws them evenly."""
    task: Any = session.task
    return task.classes(session.rows("train")) if session.config.training.balance == "sampling" else None


def plan_of(session: Session) -> Plan:
    """The resolved numbers of the loop."""
    training = session.config.training
    batch_size = int(training.batch_size or 0) or None
    per_epoch = num_steps(session.examples.lengths, batch_size, training.batch_tokens)
    total = training.max_steps or max(1, round(per_epoch * float(training.epochs)))
    every = {
        name: per_epoch if value == "epoch" else int(value)
        for name in ("evaluate_every", "checkpoint_every")
        for value in [getattr(training, name)]
    }
    return Plan(
        seed=training.seed,
        batch_size=batch_size,
        micro_batch_size=int(training.micro_batch_size),
        micro_batch_tokens=int(training.micro_batch_tokens or 0) or None,
        total_steps=total,
        steps_per_epoch=per_epoch,
        schedule=training.schedule,
        warmup=training.warmup,
        max_gradient_norm=training.max_gradient_norm,
        **every,
    )


def fitted(
    session: Session, model: nn.Module, data: Data, plan: Plan, groups: Sequence[ParameterGroup], known: dict[str, Any]
) -> Plan:
    """The plan with micro-batches that fit into memory, unless their size was given; run.yaml says what was found."""
    if is_sized(session.asked, session.task):
        return plan
    trained = [value for group in groups for value in group.parameters.values()]
    parts = plan, known, model, session.task, data, trained
    found, note = memory.fitting(*parts, session.precision, session.accelerator)
    if found != plan and session.is_main:
        training = session.config.training.model_copy(update=memory.sizes_of(found))
        session.config = session.config.model_copy(update={"training": training})
        write_text(session.run / "run.yaml", dump(session.recipe))
    if note and session.is_main:
        session.listener.note(note)
    return found


def prepare_rate(session: Session, resume: bool) -> None:
    """Whether this run begins with a range test; one that goes on knows what its own has found."""
    unsure = is_unsure(session.asked, session.task)
    path, steps = session.run / CHECKPOINTS / RUN, 0 if session.solves else plan_of(session).total_steps
    session.range_test = read_run(path.parent).get("range_test") if resume and path.is_file() else None
    if session.range_test and unsure:
        session.config = with_rate(session.config, session.range_test["chosen"])
    elif unsure and range_test.LEAST <= steps < session.strategy.unsure_below:
        session.ranging = session.accelerator.num_processes == 1
        if not session.ranging and session.is_main:
            session.listener.note("learning rate: the default, untested; a range test is for one process")


def choose_rate(session: Session, groups: Sequence[ParameterGroup], **parts: Any) -> None:
    """By a range test. The rate is stored before the first step, so that a resume keeps to it.

    Args:
        groups: at the default rate.
        parts: of the loop.
    """
    found = range_test.range_test(float(session.config.training.learning_rate), groups=groups, **parts)
    rate: float = found["chosen"]
    session.config, session.range_test, session.ranging = with_rate(session.config, rate), found, False
    folder = session.run / CHECKPOINTS
    start_run(folder, fingerprint(session), read_run(folder)["run_id"], range_test=found)
    write_text(session.run / "run.yaml", dump(session.config))
    losses = ", ".join(f"{item['learning_rate']:g}: {told_loss(item['loss'])}" for item in found["tested"])
    session.listener.note(f"range test, loss after {found['steps']} steps at {losses}; learning rate {rate:g}")
    History(session.run / HISTORY, every=1).write({"step": 0, "range_test": found})


def told_loss(loss: float | None) -> str:
    return "diverged" if loss is None else f"{loss:.3f}"
