"""Word embeddings whose gradient holds only the rows that a batch has, and AdamW for them.

A dense gradient is mostly zeros: to write, to measure and to step on 30,522 rows for the 200 that a short batch has
took a third of its step. The weights come out as AdamW's: a row that never had a gradient only decays.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.adamw import adamw

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 2**20  # weights of a table: below that a dense gradient costs less than the bookkeeping
MOST = 0.5  # share of a table's rows; where more of them move, gathering them costs more than it saves


def sparse_embeddings(model: nn.Module) -> None:
    """Gives the large embeddings sparse gradients; leaves tied ones alone, and all where processes share gradients."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return
    owners = Counter(id(value) for _, value in model.named_parameters(remove_duplicate=False))
    for module in model.modules():
        if type(module) is nn.Embedding and owners[id(module.weight)] == 1 and module.weight.numel() >= LEAST:
            module.sparse = module.max_norm is None and not module.scale_grad_by_freq


class AdamW(torch.optim.AdamW):
    """Fused AdamW that takes sparse gradients of matrices too: it steps on the rows that ever had one.

    The state of such a parameter (V, d) with n of them: `rows` (n,) in the order of their first gradients, and
    `exp_avg` and `exp_avg_sq` (n, d). When n is more than MOST of V it becomes AdamW's own for good.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rooms: dict[Tensor, list[Tensor]] = {}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        sparse = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    gradient, parameter.grad = parameter.grad.coalesce(), None
                    if moving(self.state[parameter], parameter, gradient.indices()[0]):
                        sparse.append((group, parameter, gradient))
                    else:
                        parameter.grad = gradient.to_dense()
                        self.rooms.pop(parameter, None)
        loss = super().step(closure)
        for group, parameter, gradient in sparse:
            step_rows(self.state[parameter], group, parameter, gradient, self.room(parameter))
        return loss

    def room(self, parameter: Tensor) -> list[Tensor]:
        """Two matrices to work in, as long as the moving rows: fresh ones of ever new sizes cost page faults."""
        count = len(self.state[parameter]["rows"])
        if parameter not in self.rooms or len(self.rooms[parameter][0]) < count:
            self.rooms[parameter] = [parameter.new_empty(2 * count, parameter.shape[1]) for _ in range(2)]
        return [matrix[:count] for matrix in self.rooms[parameter]]


def moving(state: dict[str, Any], parameter: Tensor, rows: Tensor) -> bool:
    """Adds these rows to the moving ones; False where all of the matrix is taken to move from now on."""
    if not state:
        none = parameter.new_zeros(0, parameter.shape[1])
        state.update(step=torch.zeros(()), rows=rows[:0], exp_avg=none, exp_avg_sq=none)
    elif "rows" not in state:
        return False
    known = torch.zeros(len(parameter), dtype=torch.bool)
    known[state["rows"]] = True
    state["rows"] = torch.cat([state["rows"], rows[~known[rows]]])
    whole = len(state["rows"]) > MOST * len(parameter)
    for name in ("exp_avg", "exp_avg_sq"):
        state[name] = longer(state[name], len(state["rows"]))
        if whole:
            state[name] = torch.zeros_like(parameter).index_copy_(0, state["rows"], state[name])
    if whole:
        del state["rows"]
    return not whole


def step_rows(
    state: dict[str, Any], group: dict[str, Any], parameter: Tensor, gradient: Tensor, room: list[Tensor]
) -> None:
    """One step on a matrix's moving rows; the others decay."""
    rows, (weights, dense) = state["rows"], room
    places = torch.empty(len(parameter), dtype=torch.long)
    places[rows] = torch.arange(len(rows))
    dense.zero_().index_copy_(0, places[gradient.indices()[0]], gradient.values())
    torch.index_select(parameter, 0, rows, out=weights)
    adamw(
        [weights], [dense], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]], fused=True,
        amsgrad=False, beta1=group["betas"][0], beta2=group["betas"][1], lr=group["lr"],
        weight_decay=group["weight_decay"], eps=group["eps"], maximize=False,
    )  # fmt: skip
    if group["weight_decay"]:
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.index_copy_(0, rows, weights)


def longer(values: Tensor, count: int) -> Tensor:
    """(count, d): the rows and zeros after them; in place while there is room, which doubles when it is short."""
    if values.untyped_storage().nbytes() < count * values.shape[1] * values.element_size():
        values, before = values.new_zeros(2 * count, values.shape[1]), values
        values[: len(before)] = before
    return values.as_strided((count, values.shape[1]), (values.shape[1], 1))
