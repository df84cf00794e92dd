"""Choose which rows of an unlabelled pool to label next; take in what was labelled; show what it brought.

Example: tunewright data label pool.csv --labelled labelled.csv --next 100 --out to_label.csv

Example: tunewright data label --labelled labelled.csv --add to_label.csv

Example: tunewright data label --labelled labelled.csv --history --test test.csv
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ..options import AsJson, Header, Import, Text, Trust, import_files, print_json

if TYPE_CHECKING:
    import numpy as np

    from ...data.acquisition.base import Acquisition, Floats
    from ...desk.labelling import Source
    from ...training.progress import Listener

Pool = Annotated[str | None, typer.Argument(help="the file to choose from")]
Labelled = Annotated[Path | None, typer.Option(help="the csv of labelled rows; may not exist yet")]
Next = Annotated[int, typer.Option("--next", min=1, help="how many rows to choose, in every round")]
Out = Annotated[Path | None, typer.Option(help="where to write the rows (to_label.csv), or the curve (nowhere)")]
How = Annotated[str, typer.Option(help="mix, margin, entropy, bald, kmeans, core_set or random")]
RunFolder = Annotated[str | None, typer.Option("--run", help="a trained run to ask, in place of the linear probe")]
Model = Annotated[str, typer.Option(help="whose features the probe and the distances are of")]
Seed = Annotated[int, typer.Option(min=0, help="of everything that is drawn")]
Label = Annotated[str | None, typer.Option(help="the label column; found by its name when left out")]
Rows = Annotated[int, typer.Option(min=100, help="rows of the pool that are looked at; of more, a sample")]
Add = Annotated[str | None, typer.Option(help="a file that was filled in: its rows go into --labelled")]
History = Annotated[bool, typer.Option("--history", help="accuracy after each round, against random choice")]
Test = Annotated[str | None, typer.Option(help="with --history: a labelled file to measure on")]

SHOWN = 5  # chosen rows that are shown
PART = 1024  # rows that a run is asked about at once


def command(
    pool: Pool = None, labelled: Labelled = None, next_rows: Next = 100, out: Out = None, how: How = "mix",
    run: RunFolder = None, model: Model = "minilm", seed: Seed = 0, text: Text = None, label: Label = None,
    header: Header = None, rows: Rows = 50_000, add: Add = None, history: History = False, test: Test = None,
    as_json: AsJson = False, trust_remote_code: Trust = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    refuse_nonsense(pool, labelled, add, history, test)
    strategy = named(how)

    from ...desk.encoder import PooledEncoder
    from ...training.progress import listener

    found: dict[str, Any] = {}
    with closing(listener()) as hears:
        encoder = PooledEncoder(model, trust_remote_code)
        desk = Labelling(labelled, text or None, label, header, rows, seed, encoder, hears)
        if add:
            found["added"] = desk.add(add)
        if history:
            found |= desk.history(test)
        elif pool:
            judge = RunJudge(run, trust_remote_code, hears) if run else None
            found |= desk.choose(pool, strategy, next_rows, judge, out or Path("to_label.csv"))
    if out and "curve" in found:
        from ...data.writing import write

        write(out, list(found["curve"][0]), found["curve"])
    show(found, labelled, as_json)


def refuse_nonsense(pool: str | None, labelled: Path | None, add: str | None, history: bool, test: str | None) -> None:
    """Raises ConfigError where the options do not say what to do."""
    from ...errors import ConfigError

    if not (pool or add or history):
        fix = "name the file to choose from, or give --add or --history"
        raise ConfigError("no file is given", where="data label", fix=fix)
    if (add or history) and not labelled:
        raise ConfigError("is missing", where="--labelled", fix="name the file of labelled rows")
    if test and not history:
        raise ConfigError("has no effect", where="--test", fix="give it with --history")


def named(how: str) -> Acquisition:
    """The strategy of that kind. Raises ConfigError where there is none."""
    from ...component import members
    from ...data.acquisition.base import Acquisition
    from ...errors import ConfigError, suggest

    known = members(Acquisition)  # type: ignore[type-abstract]
    if how not in known:
        raise ConfigError(f"unknown {how!r}", where="--how", fix=suggest(how, known))
    return known[how](kind=how)


@dataclass(frozen=True)
class Labelling:
    """What every action needs. Each returns plain values, for --json and for the tables."""

    labelled: Path | None
    text: list[str] | None
    label: str | None
    header: bool | None
    rows: int
    seed: int
    encoder: Any
    hears: Listener

    def open(self, path: str, **more: Any) -> Source:
        from ...desk.labelling import open_source

        source = open_source(path, self.text, self.label, seed=self.seed, show=self.hears.progress, **more)
        for note in source.table.notes:
            self.hears.note(note)
        return source

    def known(self) -> Source | None:
        """The labelled file with all its rows, or None while there is no such file."""
        there = self.labelled is not None and self.labelled.is_file()
        return self.open(str(self.labelled), has_labels=True) if there else None

    def choose(self, pool: str, how: Acquisition, count: int, judge: Any, out: Path) -> dict[str, Any]:
        from ...desk import labelling

        known = self.known()
        refuse_loss(out, known)
        source = self.open(pool, like=known, header=self.header, limit=self.rows)
        named = known.named if known else None
        chosen = labelling.choose(source, named, how, count, self.encoder, judge, self.seed, self.hears.progress)
        chosen.write(out)
        first = [
            {"text": " | ".join(text), "expected": expected, "why": why}
            for text, expected, why in islice(zip(chosen.source.texts, chosen.expected, chosen.why, strict=True), SHOWN)
        ]
        return {
            "path": str(out), "chosen": len(chosen.why), "how": chosen.how, "labelled": chosen.num_labelled,
            "candidates": chosen.num_candidates, "pool": len(source.table.rows),
            "looked_at": min(self.rows, len(source.table.rows)), "accuracy": chosen.accuracy, "notes": chosen.notes,
            "first": first,
        }  # fmt: skip

    def add(self, filled: str) -> dict[str, Any]:
        from ...desk.labelled import merge

        assert self.labelled is not None
        known = self.known()
        return asdict(merge(self.open(filled, like=known, header=True, has_labels=True), self.labelled, known))

    def history(self, test: str | None) -> dict[str, Any]:
        from ...desk import labelling_curve
        from ...errors import DataError

        known = self.known()
        if known is None or self.labelled is None:
            raise DataError("there is no such file", where=str(self.labelled), fix="check --labelled")
        tested = self.open(test, like=known, has_labels=True).named if test else None
        points = labelling_curve.history(
            self.labelled, known.named, tested, self.encoder, self.seed, self.hears.progress
        )
        return {"measured_on": test or "the labelled rows, by folds", "curve": list(map(asdict, points))}


def refuse_loss(out: Path, known: Source | None) -> None:
    """Raises ConfigError where a file would be replaced that holds labels which are in no other."""
    from ...desk.labelling import fingerprint, open_source
    from ...errors import ConfigError, TunewrightError

    if not out.is_file():
        return
    try:
        filled = open_source(str(out), like=known, header=True).named
    except TunewrightError:
        filled = None
    kept = {fingerprint(text) for text in known.named.texts} if known else set()
    lost = sum(fingerprint(text) not in kept for text in filled.texts) if filled else 0
    if filled is None or lost:
        what = f"holds {lost} labels that would be lost" if lost else "is there already, and no file of this command"
        raise ConfigError(what, where=str(out), fix="add them first (--add), or choose another --out")


class RunJudge:
    """A trained run that says what it believes; for BALD with its dropout on."""

    def __init__(self, run: str, trust_remote_code: bool, hears: Listener) -> None:
        from ...errors import ConfigError
        from ...predict import Predictor

        self.predictor, self.hears = Predictor.load(run, trust_remote_code), hears
        task: Any = self.predictor.artifact.task
        if task.kind != "sequence_classification" or task.multi_label:
            what = f"is of {'several labels a text' if hasattr(task, 'multi_label') else task.kind}"
            raise ConfigError(what, where=f"--run {run}", fix="give a run of sequence_classification, one label a text")
        self.run, self.names = run, task.labels

    def probabilities(self, texts: Sequence[tuple[str, ...]], features: Floats) -> Floats:
        import numpy as np

        from ...metrics.classification import softmax

        rows = [self.predictor.artifact.task.ask(number, text) for number, text in enumerate(texts, 1)]
        outputs: list[Any] = []
        for place in range(0, len(rows), PART):
            self.hears.progress("asking the run", place, len(rows))
            outputs += self.predictor.outputs(rows[place : place + PART])
        self.hears.progress("asking the run", len(rows), len(rows))
        return softmax(np.stack(outputs).astype(np.float64)).astype(np.float32)

    def beliefs(
        self, texts: Sequence[tuple[str, ...]], features: Floats, generator: np.random.Generator
    ) -> Iterator[Floats]:
        """Monte Carlo dropout (Gal and Ghahramani 2016, section 3). Raises ConfigError where the model has none."""
        import torch

        from ...desk.labelling import BELIEFS
        from ...errors import ConfigError

        layers = [item for item in self.predictor.model.modules() if isinstance(item, torch.nn.Dropout) and item.p > 0]
        if not layers:
            raise ConfigError("this run has no dropout", where=f"--run {self.run}", fix="choose --how mix or margin")
        hooks = [layer.register_forward_pre_hook(switch_on) for layer in layers]  # each prediction switches them off
        try:
            for _ in range(BELIEFS):
                torch.manual_seed(int(generator.integers(2**31)))
                yield self.probabilities(texts, features)
        finally:
            for hook in hooks:
                hook.remove()


def switch_on(layer: Any, inputs: Any) -> None:
    layer.train()


def show(found: dict[str, Any], labelled: Path | None, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if "added" in found:
        show_added(found["added"], labelled)
    if "curve" in found:
        show_curve(found)
    if "chosen" in found:
        show_chosen(found, labelled)


def say(line: str) -> None:
    from ..tables import console

    console().print(line, markup=False, soft_wrap=True)


def show_added(added: dict[str, Any], labelled: Path | None) -> None:
    for note in added["notes"]:
        say(f"note: {note}")
    line = f"{added['added']:,} rows added to {labelled}, which has {added['total']:,} labelled rows now"
    say(f"{line}; {added['known']:,} were there already, {added['empty']:,} left empty")


def show_chosen(found: dict[str, Any], labelled: Path | None) -> None:
    from rich.table import Table

    from ..tables import console, cut

    table = Table("text", "expected", "why")
    for line in found["first"]:
        table.add_row(escape(cut(line["text"])), escape(line["expected"] or "-"), escape(line["why"]))
    console().print(table)
    if found["looked_at"] < found["pool"]:
        say(f"looked at a sample of {found['looked_at']:,} of the pool's {found['pool']:,} rows (--rows)")
    for note in found["notes"]:
        say(f"note: {note}")
    if found["accuracy"] is not None:
        accuracy = f"accuracy of the probe on labelled rows it did not see: {found['accuracy']:.3f}"
        say(f"{found['labelled']:,} labelled rows; {accuracy}")
    say(f"{found['chosen']:,} rows to label: {found['path']}; fill in the last column, then")
    target = labelled or "labelled.csv"
    say(f"tunewright data label --labelled {target} --add {found['path']}")


def show_curve(found: dict[str, Any]) -> None:
    from rich.table import Table

    from ..tables import console

    table = Table("labelled rows", "chosen by", "accuracy", "at random", "difference")
    for point in found["curve"]:
        accuracy, random = point["accuracy"], point["random"]
        table.add_row(f"{point['rows']:,}", escape(point["how"]), f"{accuracy:.4f}", f"{random:.4f}",
                      f"{accuracy - random:+.4f}")  # fmt: skip
    console().print(table)
    say(f"measured on {found['measured_on']}")
    said = "the random rows are drawn from the labelled ones, not from the pool: the true gain is larger"
    say(f"{said}; rows that were chosen because they are hard score lower than the pool")
