"""IA3: learned vectors that rescale keys, values and feed-forward activations (Liu et al. 2022), through PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .base import Defaults, Scale
from .peft import Adapter, all_transposed, linear_modules, wrap

if TYPE_CHECKING:
    from torch import nn

    from ..tasks.base import Task

KEYS_AND_VALUES = ("key", "value", "k_lin", "v_lin", "key_proj", "value_proj", "k_proj", "v_proj", "k", "v")
FUSED = ("Wqkv", "c_attn", "query_key_value")  # keys and values in one matrix with the queries: rescaled together
FEED_FORWARD = ("lin2", "wo", "down_proj", "c_proj", "Wo", "dense", "fc2")


class IA3(Adapter):
    """Trains three vectors a block and the head: the fewest parameters that still reach every block."""

    kind: Literal["ia3"] = "ia3"
    unsure_below: ClassVar[int] = 1000
    head_learning_rate: ClassVar[float] = 0.2  # times the vectors' rate: it is a matrix

    def defaults(self, scale: Scale) -> Defaults:
        """3e-3 for a width of 768 (Liu et al. 2022, section 3.3); vectors need more passes than matrices."""
        return Defaults(round(3e-3 * scale.narrowness, 6), scale.epochs(5, 15), scale.batch_size)

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        import peft

        from ..heads import encoder_of

        scaled, outputs = rescaled(encoder_of(model))
        names = [*scaled, *outputs]
        return wrap(
            model,
            task,
            peft.IA3Config,
            target_modules=names,
            feedforward_modules=outputs,
            fan_in_fan_out=all_transposed(encoder_of(model), names),
        )


def rescaled(model: Any) -> tuple[list[str], list[str]]:
    """(layers whose output is rescaled, feed-forward layers whose input is): by their names in the blocks."""
    linear = linear_modules(model)
    ends = {name: name.rsplit(".", 1)[-1] for name in linear}
    keys = [name for name in linear if ends[name] in KEYS_AND_VALUES] or [n for n in linear if ends[n] in FUSED]
    inside = [name for name in linear if not any("att" in part.lower() for part in name.split(".")[:-1])]
    outputs = [name for name in inside if ends[name] in FEED_FORWARD and "intermediate" not in name]
    return keys, outputs
