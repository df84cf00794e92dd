"""The one loop. It knows neither tasks nor strategies: sums, counts, steps, checkpoints.

The gradient of a step is the sum over all its micro-batches and processes, divided by the step's total count:
8x1, 4x2, 1x8 and two processes give the same update (N2). Every step seeds its generators from
(seed, step, process), so that a resumed run draws the same dropout as an uninterrupted one (R5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.sampler import Rows, Steps, epoch_steps, evenly, micro_batches, packs
from ..errors import DivergedError, Interrupted, Paused
from ..strategies.base import ParameterGroup
from ..tasks.base import Batch, Encoded, Task
from . import memory, optim
from .callbacks import Callback
from .checkpoint import Checkpoint, Checkpoints
from .engines import Engine, engine_for
from .precision import Precision
from .prefix import Cached, PrefixCache, rest
from .signals import StopRequest
from .state import State, best_evaluation

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import Tensor, nn

Evaluate = Callable[[], dict[str, Any]]  # scores on validation, in fp32


@dataclass(frozen=True)
class Plan:
    """The numbers that a run was resolved to.

    Args:
        batch_size: rows per optimizer step on all devices; None: as many as make the steps of an epoch even in tokens.
        micro_batch_size: rows per forward pass.
        micro_batch_tokens: tokens per forward pass, padding included; None: no limit.
        total_steps: optimizer steps.
        evaluate_every, checkpoint_every: optimizer steps.
    """

    seed: int
    batch_size: int | None
    micro_batch_size: int
    micro_batch_tokens: int | None
    total_steps: int
    steps_per_epoch: int
    schedule: str
    warmup: float
    max_gradient_norm: float
    evaluate_every: int
    checkpoint_every: int


@dataclass
class Data:
    """Encoded rows and how to put some of them together.

    Args:
        numbers: of the rows in their file, for messages.
        classes: (N,) of the rows, which every epoch draws evenly; None: every epoch has each row once.
    """

    encoded: Encoded
    collate: Callable[[Sequence[Any]], Batch]
    numbers: Sequence[int]
    classes: Sequence[int] | None = None


@dataclass
class Loop:
    """One run of the loop; `fit` makes and runs it."""

    model: nn.Module
    task: Task
    data: Data
    plan: Plan
    groups: Sequence[ParameterGroup]
    precision: Precision
    accelerator: Accelerator
    checkpoints: Checkpoints | None
    evaluate: Evaluate | None
    callbacks: Sequence[Callback]
    state: State
    cache: PrefixCache | None = None
    saved_step: int | None = None
    phase: int | None = None  # the step at which the present set of trainable groups began
    cached: Cached | None = None
    pause: Callable[[State], bool] | None = None  # asked between steps: whether to stop here, to be resumed later
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.lengths = self.data.encoded.lengths
        self.steps_of = lru_cache(maxsize=2)(self.steps_of_epoch)
        parts = self.accelerator, self.model, self.groups, self.precision, self.plan.max_gradient_norm
        self.engine = engine_for(self.accelerator)(*parts)
        memory.limit(self.state, self.plan)

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    def steps_of_epoch(self, epoch: int) -> Steps:
        plan, classes = self.plan, self.data.classes
        if classes is None:
            return epoch_steps(self.lengths, plan.batch_size, plan.seed, epoch, plan.steps_per_epoch)
        drawn = evenly(classes, plan.seed, epoch)
        steps = epoch_steps(self.lengths[drawn], plan.batch_size, plan.seed, epoch, plan.steps_per_epoch)
        return Steps(drawn[steps.order], steps.bounds)

    def run(self) -> State:
        """Trains to the end, from wherever the state stands."""
        stop = StopRequest()
        started, before = time.perf_counter(), self.state.fit_seconds
        with stop:
            self.each(lambda callback: callback.on_start(self.state))
            while True:
                self.state.fit_seconds = before + time.perf_counter() - started
                self.evaluate_if_due()
                ended = self.state.finished or self.state.stopped == "early"
                stopping = self.agreed(stop)
                pausing = self.pause is not None and not ended and self.pause(self.state)
                self.save_if_due(ended or stopping is not None or pausing)
                if ended:
                    if self.checkpoints is not None and self.accelerator.is_main_process:
                        self.checkpoints.prune(self.best_step)  # a kill may have come between saving and pruning
                    break
                if stopping is not None:
                    raise Interrupted(stopping, self.saved_step)
                if pausing:
                    raise Paused(self.state)
                self.step()
        self.state.fit_seconds = before + time.perf_counter() - started
        self.state.stopped = "early" if self.state.stopped == "early" else "completed"
        self.engine.close()
        self.each(lambda callback: callback.on_end(self.state))
        return self.state

    def each(self, event: Callable[[Callback], Any]) -> bool:
        """Tells every callback on the main process; True if one asks to stop."""
        if not self.accelerator.is_main_process:
            return False
        answers = [bool(event(callback)) for callback in self.callbacks]  # a list: each must hear of it
        return any(answers)

    def agreed(self, stop: StopRequest) -> int | None:
        """The signal that any process received, known to all of them."""
        return self.most(stop.signal_number or 0) or None

    def most(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.accelerator.num_processes == 1:
            return number
        import torch

        return int(self.accelerator.gather(torch.tensor([number], device=self.device)).max())

    # --- one step -----------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One optimizer step."""
        if self.enter_phase() or not self.model.training:  # after an evaluation; to ask 100 modules takes 10 ms
            self.engine.wrapped.train()
            if self.cache is not None:
                rest(self.model)
        plan = self.plan
        factor = optim.schedule_factor(self.state.step, plan.total_steps, plan.warmup, plan.schedule)
        warm = optim.warmup_steps(plan.total_steps, plan.warmup)
        rates = optim.set_rates(self.engine.optimizer, factor, self.state.step, warm)
        started = time.perf_counter()
        batches, loss, parts = self.gradient()
        norm = self.engine.clip()
        self.require_finite(loss, norm, batches)
        self.engine.step()
        self.state.step += 1
        self.log(loss, parts, norm, rates, batches, time.perf_counter() - started)

    def enter_phase(self) -> bool:
        """Lets train what may at this step, by which alone a resume knows it (R12); whether that has changed."""
        starts = sorted({group.start for group in self.groups})
        phase = max((start for start in starts if start <= self.state.step), default=0)
        if phase == self.phase:
            return False
        self.phase = phase
        self.model.requires_grad_(False)
        for group in self.groups:
            for parameter in group.parameters.values() if group.start <= phase else ():
                parameter.requires_grad_(True)
        end = min((start for start in starts if start > phase), default=self.plan.total_steps)
        self.fill_cache((end - phase) / self.plan.steps_per_epoch)
        self.engine.prepare()
        return True

    def fill_cache(self, passes: float) -> None:
        """Runs the frozen bottom once for the coming passes, where that pays."""
        if self.cache is not None:
            main, wait = self.accelerator.is_main_process, self.accelerator.wait_for_everyone
            self.cached = self.cache.get(self.model, passes, main, wait)

    def gradient(self) -> tuple[list[Batch], Tensor, dict[str, Tensor]]:
        """The step's micro-batches, loss and parts; where memory runs out, all of it again in smaller ones (N8)."""
        while True:
            batches, counted = self.batches()
            self.seed_step()
            self.engine.optimizer.zero_grad(set_to_none=True)
            try:
                return batches, *self.backward(batches, counted)
            except (MemoryError, RuntimeError) as error:
                if not memory.ran_out(error):
                    raise
                memory.shrink(self.state, batches, self.data.numbers, self.accelerator.num_processes, self.saved_step)
            del batches
            memory.release()

    def batches(self) -> tuple[list[Batch], int]:
        """This process's micro-batches of the coming step, and how many of them count: the others are there so that
        it joins in where the processes meet."""
        epoch, place = divmod(self.state.step, self.plan.steps_per_epoch)
        rows = self.steps_of(epoch)[place]
        micros = self.cut(rows, self.accelerator.process_index, self.accelerator.num_processes)
        meetings = self.most(len(micros)) if self.engine.meets_in_passes else 1
        chosen = micros + [rows[:1]] * (meetings - len(micros))
        features = self.data.encoded.features
        batches = [self.data.collate([features[row] for row in micro]).to(self.device) for micro in chosen]
        return batches, len(micros)

    def cut(self, rows: Rows, process: int, processes: int) -> list[Rows]:
        """One process's micro-batches of a step."""
        size, tokens = self.state.micro_batch_size or 1, self.state.micro_batch_tokens
        if self.task.packs and tokens is not None:
            return packs(rows, self.lengths, tokens, size, process, processes)
        windows = self.data.encoded.num_windows
        return micro_batches(rows, self.lengths, size, process, processes, tokens, windows)

    def backward(self, batches: list[Batch], counted: int) -> tuple[Tensor, dict[str, Tensor]]:
        """() the step's mean loss and its parts; leaves its gradient, summed over processes, in the parameters."""
        import torch

        nothing = torch.zeros((), device=self.device)
        count = self.summed(sum((self.task.weight(batch) for batch in batches[:counted]), nothing))
        total = torch.zeros((), device=self.device)
        parts: dict[str, Tensor] = {}
        for place, batch in enumerate(batches):
            last, share = place == len(batches) - 1, float(place < counted)
            with self.engine.one_pass(last):
                with self.precision.autocast(self.device), self.serving(batch):
                    found = self.task.objective(self.engine.wrapped, batch)
                    loss = found.sum * share
                # engines average gradients over processes; times their number makes it the sum again
                self.engine.backward(loss / count * self.accelerator.num_processes, last)
            total += loss.detach()
            for name, value in found.parts.items():
                parts[name] = parts.get(name, torch.zeros_like(total)) + value.detach() * share
        return self.summed(total) / count, {name: self.summed(value) / count for name, value in parts.items()}

    def serving(self, batch: Batch) -> Any:
        """Skips the frozen blocks where their hidden states are known."""
        import contextlib

        return contextlib.nullcontext() if self.cached is None else self.cached.serving(batch)

    def summed(self, value: Tensor) -> Tensor:
        """A () tensor summed over the processes."""
        if self.accelerator.num_processes == 1:
            return value
        return self.accelerator.reduce(value, reduction="sum")

    def seed_step(self) -> None:
        import torch

        entropy = np.random.SeedSequence([self.plan.seed, self.state.step, self.accelerator.process_index])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))

    def require_finite(self, loss: Tensor, norm: Tensor, batches: list[Batch]) -> None:
        """N1: never steps on a loss or gradient that is no number. fp16's overflows are the scaler's."""
        overflow = self.precision.name == "fp16" and self.engine.scaler.get_scale() > 1
        loss_is_finite = bool(loss.isfinite())
        if loss_is_finite and (bool(norm.isfinite()) or overflow):
            return
        rows = ", ".join(str(self.data.numbers[row]) for batch in batches for row in batch.rows)
        what = f"{'gradient' if loss_is_finite else 'loss'} is not finite at step {self.state.step + 1}"
        kept = f"; the checkpoint of step {self.saved_step} is kept" if self.saved_step else ""
        fix = f"lower training.learning_rate, or look at these rows{kept}"
        raise DivergedError(what, where=f"training rows {rows}", fix=fix)

    def log(
        self, loss: Tensor, parts: dict[str, Tensor], norm: Tensor, rates: dict[str, float], batches: list[Batch],
        seconds: float,
    ) -> None:  # fmt: skip
        processes = self.accelerator.num_processes
        tokens = sum(batch.num_tokens for batch in batches) * processes
        rows = sum(len(batch.rows) for batch in batches) * processes
        line = {
            **{"step": self.state.step, "epoch": round(self.state.epoch, 4), "loss": float(loss)},
            **{name: float(value) for name, value in parts.items()},
            "learning_rate": rates if len(set(rates.values())) > 1 else next(iter(rates.values())),
            **{"gradient_norm": float(norm), "tokens_per_second": round(tokens / seconds, 1)},
            **{"rows_per_second": round(rows / seconds, 1), "memory_mb": memory.peak_memory_mb()},
            **memory.smaller(self.state, self.plan),
        }
        self.each(lambda callback: callback.on_step(self.state, line))

    # --- between steps ------------------------------------------------------------------------------------------

    def evaluate_if_due(self) -> None:
        """Evaluates once at each due step; also after a resume that fell between the step and its evaluation."""
        due = self.state.step > 0 and (self.state.step % self.plan.evaluate_every == 0 or self.state.finished)
        if self.evaluate is None or not due or self.state.evaluated_step == self.state.step:
            return
        with self.engine.whole():
            scores = self.evaluate()
        log = {"step": self.state.step, "epoch": round(self.state.epoch, 4), "validation": scores}
        self.state.evaluations.append(log)
        if self.each(lambda callback: callback.on_evaluate(self.state, log)):
            self.state.stopped = "early"
        if self.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            self.state.stopped = broadcast_object_list([self.state.stopped])[0]

    @property
    def best_step(self) -> int | None:
        best = best_evaluation(self.state.evaluations, self.task.metric)
        return best["step"] if best else None

    def save_if_due(self, ending: bool) -> None:
        """Saves at due steps, at a new best, and before the loop is left."""
        if self.checkpoints is None or self.state.step == 0 or self.saved_step == self.state.step:
            return
        due = self.state.step % self.plan.checkpoint_every == 0 or self.best_step == self.state.step
        if not (due or ending):
            return
        self.saved_step = self.state.step
        over = self.state.finished or self.state.stopped == "early"  # then nobody will need the optimizer
        self.state.scaler = self.engine.scaler.state_dict() or None
        weights, moments = self.engine.weights(), None if over else self.engine.moments()
        if self.accelerator.is_main_process:
            path = self.checkpoints.save(self.state.to_json(), weights, moments)
            self.checkpoints.prune(self.best_step)
            self.each(lambda callback: callback.on_checkpoint(self.state, path))
        self.accelerator.wait_for_everyone()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continues from a checkpoint: weights, moments, state."""
        load_weights(self.groups, checkpoint)
        if checkpoint.optimizer is not None:
            self.engine.load_moments(checkpoint.optimizer)
        kept = {key: value for key, value in checkpoint.state.items() if key in State.__dataclass_fields__}
        found_now = self.state.warnings  # that the newest checkpoint was damaged, say
        for key, value in kept.items():
            setattr(self.state, key, value)
        for text in found_now:
            self.state.warn(text)
        memory.limit(self.state, self.plan)
        if self.state.scaler:
            self.engine.scaler.load_state_dict(self.state.scaler)
        self.saved_step = self.state.step


def fit(resume: Checkpoint | None = None, **parts: Any) -> State:
    """Trains a model in place; returns where it ended. The best weights are the caller's to load back.

    Args:
        resume: the checkpoint to continue from.
        parts: the fields of `Loop`.

    Raises:
        DivergedError: loss or gradient is not finite (N1).
        Interrupted: a signal came; a checkpoint was written (R10).
        Paused: `pause` said so; likewise.
        CheckpointError: a checkpoint could not be written (R2).
    """
    loop = Loop(**parts)
    if resume is not None:
        loop.restore(resume)
    return loop.run()


def load_weights(groups: Sequence[ParameterGroup], checkpoint: Checkpoint) -> None:
    """Copies a checkpoint's weights into the trainable parameters."""
    import torch

    with torch.no_grad():
        for group in groups:
            for name, parameter in group.parameters.items():
                parameter.copy_(checkpoint.model[name])
