"""Say what each strategy would train of a model, the memory that takes, and the model's layers; loads no weights.

Example: tunewright inspect --model minilm --strategy lora strategy.r=8
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from .options import Import, Trust, import_files

if TYPE_CHECKING:
    from ..footprint import Anatomy, Footprint, Refusal
    from ..strategies.base import Strategy
    from ..tasks.base import Task

Settings = Annotated[list[str] | None, typer.Argument(help="settings such as strategy.r=8 task.pooling=mean")]
Model = Annotated[str, typer.Option(help="minilm, a local folder, a config.json or a hub id")]
Kinds = Annotated[list[str] | None, typer.Option("--strategy", help="strategy.kind; several times; all when left out")]
TaskKind = Annotated[str, typer.Option("--task", help="task.kind, which decides on the head")]
Labels = Annotated[int | None, typer.Option(min=1, help="how many labels the task has (2); for tokens: entity types")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output; memory in bytes")]

COLUMNS = ("trains in encoder", "of", "share", "in head", "weights", "gradients", "optimizer", "sum")
NOTE = """\
Share is of the encoder's parameters. Weights and gradients are in fp32 (qlora: the blocks' matrices in NF4), and AdamW
keeps two fp32 numbers for each parameter that trains. Activations come on top: they grow with batch and text length."""


def command(
    settings: Settings = None, *, model: Model, strategy: Kinds = None, task: TaskKind = "sequence_classification",
    labels: Labels = None, as_json: AsJson = False, trust_remote_code: Trust = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    chosen, strategies = configured(strategy or [], task, labels, settings or [])

    from ..footprint import anatomy, footprint
    from ..models import locate

    source = locate(model, trust_remote_code, weights=False)
    chosen = chosen.settle(source, False)
    body = anatomy(source, chosen)
    found = [footprint(source, chosen, item) for item in strategies]
    head = {"model": model, "task": chosen.kind}
    if as_json:
        rows = [{"strategy": item.strategy, **facts(item)} for item in found]
        print(json.dumps({**head, **parts(body), "strategies": rows}, ensure_ascii=False))
        return
    show(head, body, found)


def configured(kinds: list[str], task: str, labels: int | None, settings: list[str]) -> tuple[Task, list[Strategy]]:
    """The task and the strategies, validated as for a run.

    Raises:
        ConfigError: a kind or setting that no run would take, or one that has no place here.
    """
    from .. import config
    from ..component import members
    from ..strategies.base import Strategy

    edits = config.edits(settings)
    for path, _ in edits:
        refuse_misplaced(path, len(kinds))
    known = kinds or list(members(Strategy))  # type: ignore[type-abstract]
    raw = {"data": {"train": "none"}, "task": raw_task(task, labels)}
    loaded: list[Any] = [config.load({**raw, "strategy": kind}, edits) for kind in known]
    return loaded[0].task, [item.strategy for item in loaded]


def raw_task(kind: str, labels: int | None) -> dict[str, Any]:
    """A task as if it had learned that many labels, with the model's own head."""
    from ..component import members
    from ..tasks.base import Task

    fields: Any = getattr(members(Task).get(kind), "model_fields", {})  # type: ignore[type-abstract]
    if labels is not None and fields and "labels" not in fields:
        raise ConfigError("has no effect", where="--labels", fix=f"leave it out: {kind} has no labels")
    given = {"labels": [str(number) for number in range(labels or 2)], "pooling": "model"}
    return {"kind": kind, **{name: value for name, value in given.items() if name in fields}}


def refuse_misplaced(path: list[str], num_strategies: int) -> None:
    where = ".".join(path)
    if path[0] not in ("strategy", "task") or len(path) == 1 or path[1] == "kind":
        fix = "give settings of the strategy or task, as in strategy.r=8; kinds with --strategy and --task"
        raise ConfigError("is no setting of inspect", where=where, fix=fix)
    if path[0] == "strategy" and num_strategies != 1:
        raise ConfigError("is a setting of one strategy", where=where, fix="give --strategy KIND exactly once")


def facts(item: Footprint | Refusal) -> dict[str, Any]:
    """A strategy's row in JSON."""
    from ..footprint import Refusal

    if isinstance(item, Refusal):
        return {"refused": item.reason}
    return {
        "trainable": {"encoder": item.encoder, "head": item.head},
        "share": item.share,
        "bytes": {"weights": item.weights, "gradients": item.gradients, "optimizer": item.optimizer, "sum": item.bytes},
    }


def parts(body: Anatomy) -> dict[str, Any]:
    """The layer map in JSON."""
    return {
        "parameters": {"encoder": body.encoder, "head": body.head, "total": body.total},
        "layers": {"embeddings": body.embeddings, "blocks": list(body.blocks), "above": body.above},
    }


def show(head: dict[str, str], body: Anatomy, found: Sequence[Footprint | Refusal]) -> None:
    from .tables import console

    title = f"{head['model']}, {head['task']}: {body.encoder:,} parameters in the encoder, {body.head:,} in the head"
    layers = aligned([["layers", "parameters"], *layer_rows(body)])
    console().print("\n".join([title, "", *table(found), "", NOTE, "", *layers]), markup=False, soft_wrap=True)


def table(found: Sequence[Footprint | Refusal]) -> list[str]:
    """Lines; a refused strategy has its reason in place of numbers."""
    from ..footprint import Refusal

    measured = [item for item in found if not isinstance(item, Refusal)]
    width = max(len(item.strategy) for item in found)
    head, *numbers = aligned([["strategy".ljust(width), *COLUMNS], *map(cells, measured)])
    texts = {item.strategy: text for item, text in zip(measured, numbers, strict=True)}
    for item in found:
        if isinstance(item, Refusal):
            texts[item.strategy] = f"{item.strategy.ljust(width)}  refused: {item.reason}"
    return [head, *(texts[item.strategy] for item in found)]


def cells(item: Footprint) -> list[str]:
    """A strategy's row for people."""
    memory = [f"{value / 1e6:,.1f} MB" for value in (item.weights, item.gradients, item.optimizer, item.bytes)]
    share = f"{100 * item.share:.2f} %"
    return [item.strategy, f"{item.encoder:,}", f"{item.encoder_total:,}", share, f"{item.head:,}", *memory]


def layer_rows(body: Anatomy) -> list[list[str]]:
    """Embeddings, blocks (neighbours of one size in one line), and what lies above."""
    rows = [["embeddings", f"{body.embeddings:,}"]]
    for size, group in groupby(enumerate(body.blocks), key=lambda block: block[1]):
        numbers = [number for number, _ in group]
        several = f"s {numbers[0]} to {numbers[-1]}, each" if len(numbers) > 1 else f" {numbers[0]}"
        rows.append([f"block{several}", f"{size:,}"])
    return [*rows, *([name, f"{size:,}"] for name, size in body.above.items())]


def aligned(rows: list[list[str]]) -> list[str]:
    """Lines whose first column is flush left and the others flush right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(rest, others, strict=True))])
        for name, *rest in rows
    ]
