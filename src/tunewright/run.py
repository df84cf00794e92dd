"""The story of a run: data -> task.encode -> model -> strategy.apply -> fit -> evaluate -> artifact -> report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import artifact, models, report
from .config import RunConfig, dump
from .desk.before_training import check_first
from .directory import METRICS, default_out, is_finished
from .errors import CheckpointError, ModelError
from .evaluation import largest_distance, scalars
from .files import read_json, write_json, write_text
from .intake import take_in
from .launch import choose_precision, make_accelerator, only_one_process, with_model, with_precision
from .layers import layer_map
from .outcome import ledger_of, metrics_of, write_predictions
from .planner.refuse import refuse_what_cannot_fit
from .plans import fitted, plan_of, prepare_rate, tested_rate
from .predict import Predictor
from .resolve import balanced, effective_task, is_sized, is_unsure, refuse_unread, resolve
from .session import Session, open_checkpoints, tell
from .sharing import Shared
from .startup import settled
from .strategies.base import ParameterGroup, Rates
from .tasks.base import Metric, Row, Task
from .training.callbacks import Callback, EarlyStopping, History, OverfittingWarning
from .training.checkpoint import Checkpoints
from .training.features import features_of, origin_of
from .training.head import Split as HeadSplit
from .training.head import answers, fit_head
from .training.loop import Data, Plan, fit, load_weights
from .training.precision import use_fast_kernels
from .training.progress import Listener
from .training.reference import with_reference
from .training.state import State, best_evaluation, better

if TYPE_CHECKING:
    from torch import nn

HISTORY = "history.jsonl"


@dataclass(frozen=True)
class RunResult:
    """A finished run. `metrics` is the content of metrics.json."""

    path: Path
    metrics: dict[str, Any]

    @cached_property
    def predictor(self) -> Predictor:
        """Answers texts; loaded from the run's directory, so it is what will be served."""
        return Predictor.load(self.path)


def train(
    config: RunConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_missing: tuple[str, ...] = (),
    listener: Listener | None = None,
    pause: Callable[[State], bool] | None = None,
    shared: Shared | None = None,
) -> RunResult:
    """Trains, evaluates, saves and documents one model.

    Args:
        resume: continue the run in `config.out` from its newest whole checkpoint.
        overwrite: replace the run in `config.out`.
        allow_missing: "optimizer" continues from a checkpoint whose optimizer file is gone.
        listener: hears of progress; None is silent.
        pause: asked between steps; True ends this call with a checkpoint, from which `resume` goes on.
        shared: what runs before this one in the same process have computed; this one adds to it.

    Raises:
        TunewrightError: the user can fix it; see errors.py.
        Interrupted: by a signal, after a checkpoint.
        Paused: where `pause` said so.
    """
    listener, started, repeated = listener or Listener(), time.perf_counter(), shared is not None
    shared = shared or Shared()
    run = Path(config.out) if config.out else default_out(config.data.train, config.strategy.kind, resume)
    accelerator = make_accelerator()
    with only_one_process(accelerator, run, resume, overwrite):
        if resume and is_finished(run):
            listener.note(f"{run} is finished already")
            return RunResult(run, read_json(run / METRICS))
        intake = shared.rows(config, take_in)
        config = with_model(config, intake.task)
        source = models.locate(artifact.startable(config.model, config.trust_remote_code), config.trust_remote_code)
        task = effective_task(intake.task, config.strategy, source)
        refuse_unread(config, task, {name for name in ("validation", "test") if getattr(config.data, name)})
        task = balanced(config, task, intake)
        tokenizer = models.load_tokenizer(source, task.by_words)
        intake.notes.extend(task.dress(tokenizer))
        sized, unsure = is_sized(config, task), is_unsure(config, task)
        show = (listener if accelerator.is_main_process else Listener()).progress
        config, encoded = resolve(config, run, intake, task, source, tokenizer, show, shared.once)
        known = resume or shared.findings(config, run, intake, source)
        checked = check_first(config, run, intake, task, tokenizer, accelerator, known, listener)
        solves = config.strategy.solves(task)
        precision = choose_precision(config, run, source, accelerator, resume, solves)
        config = with_precision(config, precision, solves)
        session = Session(
            config, run, intake, source, task, tokenizer, encoded, accelerator, precision, listener, started, checked,
            sized=sized, pause=pause, repeated=repeated,
        )  # fmt: skip
        prepare_rate(session, unsure, resume)
        return carry_out(session, resume, allow_missing)


def carry_out(session: Session, resume: bool, allow_missing: tuple[str, ...]) -> RunResult:
    """The second half: everything is decided, the model is loaded, trained, measured, saved and described."""
    tell(session)
    refuse_what_cannot_fit(session)
    checkpoints = open_checkpoints(session, resume)
    if session.is_main:
        write_text(session.run / "run.yaml", dump(session.recipe))
        write_json(session.run / "data.json", ledger_of(session))
    model = make_model(session)
    settled()
    if session.solves:
        state, outputs = train_head(session, model)
    else:
        state = train_loop(session, model, checkpoints, resume, allow_missing)
        outputs = {name: final_outputs(session, model, state, name) for name in session.encoded if name != "train"}
    if "validation" in outputs:
        session.task = session.task.tune(outputs["validation"], session.rows("validation"))
    if not session.is_main:
        return RunResult(session.run, {})
    save_artifact(session, model)
    prove_parity(session, outputs)
    write_predictions(session.run, session.task, session.intake, outputs)
    metrics = metrics_of(session, model, state, outputs)
    write_json(session.run / METRICS, metrics)
    report.write(session.run)
    return RunResult(session.run, metrics)


def make_model(session: Session) -> nn.Module:
    """The pretrained model with new parts drawn by the run's seed, changed by the strategy, on its device."""
    import torch

    training = session.config.training
    torch.manual_seed(training.seed)
    dropout = 0.0 if training.dropout is None and session.task.without_dropout else training.dropout
    if dropout is not None:
        models.set_dropout(session.source.config, dropout)
    model = session.task.build(session.source, **session.strategy.load_kwargs())
    if training.gradient_checkpointing:
        models.checkpoint_gradients(model)
    if session.task.needs_reference:
        ask_reference(session, model.to(session.accelerator.device))
    if training.score_before:
        score_before(session, model.to(session.accelerator.device))
    model.requires_grad_(False)  # each strategy marks what trains
    model = session.strategy.apply(model, session.task).to(session.accelerator.device)
    if training.kernels == "fast":
        use_fast_kernels(model, session.source.config, session.accelerator.device)
    return model


def score_before(session: Session, model: nn.Module) -> None:
    """The untuned model's scores on the last split (test, where there is one)."""
    name = list(session.encoded)[-1]
    rows = session.rows(name)
    outputs = session.outputs(model, name)
    session.before = session.task.tune(outputs, rows).score(outputs, rows)


def ask_reference(session: Session, model: nn.Module) -> None:
    """What the model says of every pair before it is changed becomes part of the data."""
    origin = origin_of(session.source, loaded=session.strategy.kind == "qlora")
    for name, encoded in session.encoded.items():
        ask = partial(session.outputs, model, name, session.task.during_training())
        session.accelerator.wait_for_everyone()  # all must find the same cache, or one would wait for the others' share
        session.encoded[name], cached = with_reference(session.task, encoded, origin, ask, session.is_main)  # type: ignore[arg-type]
        if session.is_main:
            session.listener.note(f"reference of {name}: {'cached' if cached else 'computed once'}")
    session.__dict__.pop("examples", None)  # those that steps were counted by do not know the reference


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
    training = session.config.training
    rates = Rates(float(training.learning_rate), training.weight_decay, plan.total_steps, plan.steps_per_epoch,
                  session.task.new_head)  # fmt: skip
    groups = session.strategy.groups(model, layer_map(model), rates)
    parts = {"model": model, "task": session.task, "precision": session.precision, "accelerator": session.accelerator}
    state = State(total_steps=plan.total_steps, steps_per_epoch=plan.steps_per_epoch)
    checkpoint = checkpoints.newest(state.warn, allow_missing) if resume else None
    if resume and session.is_main:
        at = (
            f"continuing from step {checkpoint.state['step']}"
            if checkpoint
            else "no checkpoint yet: from the beginning"
        )
        for text in (*state.warnings, at):
            session.listener.note(text)
    data = Data(session.examples, session.collate, [row.number for row in session.rows("train")], classes(session))
    parts |= {"data": data, "plan": fitted(session, model, data, plan, groups, checkpoint.state if checkpoint else {})}
    if session.ranging:
        rates = rates._replace(learning_rate=tested_rate(session, groups, **parts))
        groups = session.strategy.groups(model, layer_map(model), rates)
        History(session.run / HISTORY, every=1).write({"step": 0, "range_test": session.range_test})
    found = fit(
        resume=checkpoint,
        pause=session.pause,
        groups=groups,
        **parts,
        checkpoints=checkpoints,
        evaluate=partial(validate, session, model, state) if "validation" in session.encoded else None,
        callbacks=callbacks_of(session, plan),
        state=state,
        cache=session.prefix_cache(),
    )
    restore_best(session, groups, checkpoints, found)
    return found


def classes(session: Session) -> list[int] | None:
    """Of the training rows, where every epoch draws them evenly."""
    task: Any = session.task
    return task.classes(session.rows("train")) if session.config.training.balance == "sampling" else None


def validate(session: Session, model: nn.Module, state: State) -> dict[str, Any]:
    """The one-number scores on validation; the best evaluation's outputs are kept, so that nobody asks again."""
    task, rows = session.task.during_training(), session.rows("validation")
    outputs = session.outputs(model, "validation", task)
    scores = scalars(task.tune(outputs, rows).score(outputs, rows))
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


def save_artifact(session: Session, model: nn.Module) -> None:
    columns = artifact.Columns.of(session.intake.roles, session.config.data.label_names is not None)
    max_length = int(session.config.data.max_length)
    artifact.save(
        session.run / "model",
        model,
        session.tokenizer,
        session.task,
        session.strategy,
        session.source,
        max_length,
        columns,
    )


def prove_parity(session: Session, outputs: dict[str, list[Any]]) -> None:
    """Loads what was saved and asks it again: what is served must be what was trained.

    Raises:
        ModelError: a token id differs, or a logit by more than rounding.
    """
    name = next(iter(outputs), None)
    if name is None:
        return
    rows = session.intake.splits[name].rows[:32]
    predictor = Predictor.load(session.run, session.config.trust_remote_code)
    refuse_other_tokens(session, predictor, name, rows)
    served = predictor.outputs(rows)
    gap = largest_distance(session.task, served, outputs[name][: len(rows)])
    if gap > 1e-3:
        what = f"the saved model answers differently (largest difference of a logit: {gap:.2g})"
        raise ModelError(what, where=str(session.run / "model"), fix="report this with run.yaml")


def refuse_other_tokens(session: Session, predictor: Predictor, name: str, rows: Sequence[Row]) -> None:
    """Raises ModelError where the saved tokenizer, or the template stored with it, makes other tokens of a row."""
    encoded = predictor.encoded(rows).features
    for served, trained, row in zip(encoded, session.encoded[name].features, rows, strict=False):
        if [list(window) for window in served.windows] != [list(window) for window in trained.windows]:
            what = f"the saved tokenizer reads row {row.number} of {name} differently"
            raise ModelError(what, where=str(session.run / "model"), fix="report this with run.yaml")
