"""Engines: how the processes of a launch share a step. Outside the loop, and within `whole`, a model is a plain one.

All of them divide the sum of the processes' gradients by their number, and leave weights and moments that are those of
one process but for rounding: docs/distributed.md has the measured bounds.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..layers import stacks
from ..strategies.base import ParameterGroup
from . import optim

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn

    from .precision import Precision

Tensors = dict[str, Any]  # whole ones by their names
MOMENTS = ("exp_avg", "exp_avg_sq")  # AdamW's, each of its weight's shape


class Engine:
    """One process, or DDP: each holds everything.

    Args:
        model: what trains, in place.
        groups: of its parameters.
        precision: of the passes.
        max_gradient_norm: what `clip` clips to; 0: it does not.
    """

    name = "DDP"
    meets_in_passes = False  # True: in every pass, so that the processes need equally many micro-batches

    @staticmethod
    def refuses(accelerator: Accelerator) -> str | None:
        """Why a launch with these settings is not supported, or None."""
        return None

    def __init__(
        self, accelerator: Accelerator, model: nn.Module, groups: Sequence[ParameterGroup], precision: Precision,
        max_gradient_norm: float,
    ) -> None:  # fmt: skip
        import torch

        self.accelerator, self.groups = accelerator, groups
        self.precision, self.max_gradient_norm = precision, max_gradient_norm
        self.model = model
        self.wrapped: Any = model  # what computes a loss
        self.optimizer: Any = optim.adamw(groups)
        self.scaler = torch.amp.GradScaler(accelerator.device.type, enabled=precision.name == "fp16")

    def prepare(self) -> None:
        """Before the first step, and whenever other parameters train than before."""
        if self.accelerator.num_processes > 1:  # DDP knows only what required gradients when it was made
            self.accelerator.free_memory()  # collects garbage: 0.1 s, a third of a tiny run
        self.wrapped = self.accelerator.prepare(self.model)

    def one_pass(self, last: bool) -> Any:
        """Around a micro-batch's forward and backward pass: gradients travel with the last one only."""
        return contextlib.nullcontext() if last else self.accelerator.no_sync(self.wrapped)

    def backward(self, loss: Tensor, last: bool) -> None:
        self.scaler.scale(loss).backward()

    def clip(self) -> Tensor:
        """() the gradient's norm before it was clipped."""
        self.scaler.unscale_(self.optimizer)
        return optim.clip(self.parameters, self.max_gradient_norm)

    @property
    def parameters(self) -> list[Any]:
        return [value for group in self.optimizer.param_groups for value in group["params"]]

    def step(self) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Within it the model is a plain one with all of its weights, on every process."""
        yield

    def close(self) -> None:
        """The model is a plain one with its new weights from now on."""

    def weights(self) -> Tensors:
        """All that trains; on the main process, to be written. Every process has to ask."""
        return {name: value for group in self.groups for name, value in group.parameters.items()}

    def moments(self) -> Tensors:
        """The optimizer's state, likewise."""
        return optim.state_tensors(self.optimizer) if self.accelerator.is_main_process else {}

    def load_moments(self, tensors: Tensors) -> None:
        """The inverse of `moments`, before `prepare`."""
        several = self.accelerator.num_processes > 1  # then no gradient is sparse
        optim.load_state_tensors(self.optimizer, optim.with_all_rows(tensors, self.optimizer) if several else tensors)


class Sharded(Engine):
    """FSDP2: each process holds a part of every weight, gradient and moment.

    A twin of the model is sharded, and the model's own weights are freed: what evaluates, generates and saves has no
    need to know of shards, and no process waits for another in it.
    """

    name = "FSDP2"
    meets_in_passes = True

    @staticmethod
    def refuses(accelerator: Accelerator) -> str | None:
        if os.environ.get("FSDP_VERSION", "1") != "2":
            return "FSDP 1 is not supported: add --fsdp_version 2"
        return "offloading weights is not supported" if is_set("FSDP_OFFLOAD_PARAMS") else None

    def prepare(self) -> None:
        moments = optim.state_tensors(self.optimizer)
        self.wrapped = sharded(twin(self.model), self.accelerator)
        self.parts = dict(self.wrapped.named_parameters())
        groups = [replace(group, parameters={name: self.parts[name] for name in group.parameters})
                  for group in self.groups]  # fmt: skip
        self.optimizer = optim.adamw(groups)
        optim.load_state_tensors(self.optimizer, moments)
        self.free()

    def one_pass(self, last: bool) -> Any:
        return contextlib.nullcontext()  # to hold whole gradients until the last pass is what sharding avoids

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        self.fill()
        yield
        self.free()

    def close(self) -> None:
        self.fill()
        self.wrapped, self.parts = self.model, {}

    def fill(self) -> None:
        """Gives the model its weights, whole."""
        for name, value in self.model.named_parameters() if self.wrapped is not self.model else ():
            value.data = self.parts[name].detach().full_tensor()

    def free(self) -> None:
        """Takes them away: whoever still reads them while the twin trains fails at once."""
        for value in self.model.parameters() if self.wrapped is not self.model else ():
            value.data = value.data.new_empty(0)

    def weights(self) -> Tensors:
        names = [name for group in self.groups for name in group.parameters]
        found = ((name, optim.whole(self.parts[name].detach())) for name in names)  # by all processes together
        return {name: value for name, value in found if self.accelerator.is_main_process}

    def moments(self) -> Tensors:
        found = optim.state_tensors(self.optimizer)
        return found if self.accelerator.is_main_process else {}


def twin(model: nn.Module) -> nn.Module:
    """A copy of the modules with the same weights in the same memory."""
    import torch

    same: dict[int, Any] = {id(value): value for value in model.buffers()}
    for value in model.parameters():
        same[id(value)] = torch.nn.Parameter(value.data, requires_grad=value.requires_grad)
    return copy.deepcopy(model, same)


def sharded(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Each block of the model by itself, and the rest of it together."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for path, _ in stacks(model):
        for block in model.get_submodule(path).children():
            fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


class ZeRO(Engine):
    """DeepSpeed ZeRO-2: each process holds all weights, and a part of the gradients and moments."""

    name = "DeepSpeed ZeRO-2"
    meets_in_passes = True

    @staticmethod
    def refuses(accelerator: Accelerator) -> str | None:
        given = accelerator.state.deepspeed_plugin.deepspeed_config
        zero = given["zero_optimization"]
        if zero["stage"] != 2:
            return f"DeepSpeed ZeRO-{zero['stage']} is not supported: add --zero_stage 2"
        if zero.get("offload_optimizer", {}).get("device", "none") != "none":
            return "offloading the optimizer is not supported"
        theirs = [key for key in ("optimizer", "scheduler") if key in given]
        theirs += [key for key in ("fp16", "bf16", "torch_autocast") if given.get(key, {}).get("enabled") is True]
        return f"DeepSpeed's own {' and '.join(theirs)} would be used beside ours" if theirs else None

    def prepare(self) -> None:
        import deepspeed

        moments = optim.state_tensors(self.optimizer)
        self.optimizer = optim.adamw(self.groups)
        self.wrapped, self.zero, *_ = deepspeed.initialize(
            model=self.model, optimizer=self.optimizer, config=self.settings()
        )
        self.spread(moments)

    def settings(self) -> dict[str, Any]:
        """DeepSpeed's configuration: its own batch sizes, schedule and precision stay out of the loop's way."""
        given = self.accelerator.state.deepspeed_plugin.deepspeed_config["zero_optimization"]
        lower = {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}  # gradients stay fp32
        return {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_clipping": self.max_gradient_norm,
            "zero_allow_untested_optimizer": True,  # ours is AdamW
            "zero_optimization": {key: value for key, value in given.items() if value != "auto"},
            **({"torch_autocast": lower} if self.precision.name == "bf16" else {}),
        }

    def one_pass(self, last: bool) -> Any:
        return contextlib.nullcontext()  # a gradient is reduced in each pass: no process keeps a whole one

    def backward(self, loss: Tensor, last: bool) -> None:
        self.wrapped.set_gradient_accumulation_boundary(last)
        self.wrapped.backward(loss)

    def clip(self) -> Tensor:
        """`step` clips; -1 stands for a norm that is no number."""
        norm = self.zero.scaled_global_norm()
        return norm.where(norm >= 0, norm.new_tensor(float("nan")))

    def step(self) -> None:
        self.wrapped.step()

    def close(self) -> None:
        if self.wrapped is not self.model:
            self.wrapped.destroy()
            self.wrapped = self.model
            for value in self.model.parameters():
                value.data = value.data.clone()  # DeepSpeed had laid them into one piece of memory

    def weights(self) -> Tensors:
        return {name: value.detach().clone() for name, value in super().weights().items()}

    def moments(self) -> Tensors:
        from deepspeed.utils import safe_get_full_optimizer_state

        found = {}
        for group, part in self.parts():
            for name, value in group.parameters.items():
                found[f"step/{name}"] = self.optimizer.state[part]["step"].cpu().clone()
                found |= {f"{key}/{name}": safe_get_full_optimizer_state(value, key).cpu() for key in MOMENTS}
        return found

    def spread(self, moments: Tensors) -> None:
        """Gives each process its part of whole moments; zeros where there are none yet.

        DeepSpeed, left to make them in the first step, would know those of the first group only.
        """
        import torch
        from deepspeed.utils import safe_set_full_optimizer_state

        for group, part in self.parts():
            step = moments.get(f"step/{next(iter(group.parameters))}", torch.zeros(()))
            zeros = {key: torch.zeros_like(part) for key in MOMENTS}
            self.optimizer.state[part] = {"step": step.to(part.device), **zeros}
        self.zero._lazy_init_hp_params_optimizer_state()
        for group, _ in self.parts() if moments else ():
            for name, value in group.parameters.items():
                for key in MOMENTS:
                    safe_set_full_optimizer_state(value, moments[f"{key}/{name}"].to(value.device), key)

    def parts(self) -> Any:
        """Each group with this process's part of its weights, in one row, which the optimizer steps on."""
        return zip(self.groups, self.zero.single_partition_of_fp32_groups, strict=True)


def engine_for(accelerator: Accelerator) -> type[Engine]:
    """The engine that `accelerate launch` asked for."""
    if accelerator.distributed_type.value == "DEEPSPEED":
        return ZeRO
    return Sharded if wants_fsdp() else Engine


def wants_fsdp() -> bool:
    """By the launcher's own word: on a CPU Accelerate's state does not tell."""
    return is_set("ACCELERATE_USE_FSDP")


def wants_deepspeed() -> bool:
    return is_set("ACCELERATE_USE_DEEPSPEED")


def is_set(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"
