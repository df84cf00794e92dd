"""The story of a run: data -> task.encode -> model -> strategy.apply -> fit -> evaluate -> artifact -> report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import artifact, models, report
from .config import RunConfig, dump
from .desk.before_training import check_first
from .directory import METRICS, default_out, is_finished, read_metrics
from .files import write_json, write_text
from .fitting import fit_model, prepare_rate
from .intake import take_in
from .launch import choose_precision, make_accelerator, only_one_process, refuse_engine, with_model, with_precision
from .outcome import ledger_of, metrics_of, write_predictions
from .planner.refuse import refuse_what_cannot_fit
from .predict import Predictor, prove_parity
from .resolve import refuse_unknown_tokens, resolve, settle
from .session import Session, open_checkpoints, tell
from .sharing import Shared
from .startup import settled
from .tasks.scores import scores_of
from .training.features import origin_of
from .training.precision import use_fast_kernels
from .training.progress import Listener
from .training.reference import with_reference
from .training.state import State

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn


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
    run = Path(config.out) if config.out else default_out(config.data.train, config.strategy.kind, resume)
    accelerator = make_accelerator()
    refuse_engine(accelerator, config)
    with only_one_process(accelerator, run, resume, overwrite):
        if resume and is_finished(run):
            return finished(run, listener)
        session = decide(
            config, run, accelerator, listener, resume, shared or Shared(),
            started=started, pause=pause, repeated=repeated,
        )  # fmt: skip
        return carry_out(session, resume, allow_missing)


def finished(run: Path, listener: Listener) -> RunResult:
    """A run that was resumed although nothing is left to do."""
    listener.note(f"{run} is finished already")
    if not (run / "report.html").is_file():  # it was killed between its last two files
        report.write(run)
    return RunResult(run, read_metrics(run))


def decide(
    config: RunConfig, run: Path, accelerator: Accelerator, listener: Listener, resume: bool, shared: Shared,
    **others: Any,
) -> Session:  # fmt: skip
    """The first half: rows are read, the task settles, rows become tokens, every `auto` becomes a number.

    Args:
        others: what a session has besides.
    """
    asked, intake = config, shared.rows(config, take_in)
    config = with_model(config, intake.task)
    source = models.locate(artifact.startable(config.model, config.trust_remote_code), config.trust_remote_code)
    task = settle(config, intake, source)
    tokenizer = models.load_tokenizer(source, task.by_words)
    intake.notes.extend(task.dress(tokenizer))
    show = (listener if accelerator.is_main_process else Listener()).progress
    config, encoded = resolve(config, run, intake, task, source, tokenizer, show, shared.once)
    for split in encoded.values():
        refuse_unknown_tokens(split, tokenizer, source)
    known = resume or shared.findings(config, run, intake, source)
    checked = check_first(config, run, intake, task, tokenizer, accelerator, known, listener)
    solves = config.strategy.solves(task)
    precision = choose_precision(config, run, source, accelerator, resume, solves)
    config = with_precision(config, precision, solves)
    session = Session(
        config, asked, run, intake, source, task, tokenizer, encoded, accelerator, precision, listener, checked,
        **others,
    )  # fmt: skip
    prepare_rate(session, resume)
    return session


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
    state, outputs = fit_model(session, model, checkpoints, resume, allow_missing)
    if "validation" in outputs:
        session.task = session.task.tune(outputs["validation"], session.rows("validation"))
    if not session.is_main:
        return RunResult(session.run, {})
    save_artifact(session, model)
    prove_served(session, outputs)
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
    session.before = scores_of(session.task.tune(outputs, rows), outputs, rows)


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


def save_artifact(session: Session, model: nn.Module) -> None:
    data, source = session.config.data, session.source
    columns = artifact.Columns.of(session.intake.roles, data.label_names is not None)
    folder, strategy = session.run / "model", session.strategy
    artifact.save(folder, model, session.tokenizer, session.task, strategy, source, int(data.max_length), columns)


def prove_served(session: Session, outputs: dict[str, list[Any]]) -> None:
    """The saved model must answer some rows of the first split it was asked about as it did in memory."""
    for name in list(outputs)[:1]:
        rows = session.rows(name)[:32]
        features = session.encoded[name].features[: len(rows)]
        prove_parity(session.run, session.config.trust_remote_code, rows, features, outputs[name][: len(rows)])
