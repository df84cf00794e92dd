"""Part a file into train, validation and test, or into folds: at random, stratified, in groups, or by time.

Kinds: stratified (each part its share of every label), random, grouped (--column customer: none is in two parts),
by_time (--column date: later rows are held out), auto (what `train` does by itself).

Example: tunewright data split inbox.csv --kind grouped --column customer --near-duplicates --out inbox_parts
"""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from ..options import READING, AsJson, Given, print_json, reads_data

Kind = Annotated[str, typer.Option(help="stratified, random, grouped, by_time or auto")]
Validation = Annotated[float, typer.Option(min=0, max=1, help="share of the rows; 0: no such part")]
Test = Annotated[float, typer.Option(min=0, max=1, help="share of the rows; 0: no such part")]
Folds = Annotated[int | None, typer.Option(min=2, help="so many folds instead of parts, each a train and a test file")]
Repeats = Annotated[int, typer.Option(min=1, help="of all folds, with the next seeds")]
Column = Annotated[str | None, typer.Option(help="of the groups (grouped) or of the time (by_time)")]
Near = Annotated[bool, typer.Option("--near-duplicates", help="texts that are nearly the same stay in one part")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed draws the same rows")]
Drop = Annotated[bool, typer.Option("--drop-bad-rows", help="leave out rows without text or label, and count them")]
Out = Annotated[Path | None, typer.Option(help="the folder; <file>-split or <file>-folds when left out")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the split in --out")]


@reads_data(*READING, settings=False)
def command(
    given: Given, kind: Kind = "stratified", validation: Validation = 0.1, test: Test = 0.1, folds: Folds = None,
    repeats: Repeats = 1, column: Column = None, near_duplicates: Near = False, seed: Seed = 0,
    drop_bad_rows: Drop = False, out: Out = None, overwrite: Overwrite = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    flags = {
        "data.split.kind": kind, "data.split.column": column, "data.split.near_duplicates": near_duplicates or None,
        "data.split_seed": seed, "data.validation_share": validation, "data.test_share": test,
        "data.on_bad_row": "drop" if drop_bad_rows else None,
    }  # fmt: skip
    config = given.config(**flags)

    from ...desk.splitting import split_file
    from ...training.progress import listener

    folder = out or Path(f"{Path(given.source).name.split('.')[0]}-{'folds' if folds else 'split'}")
    with closing(listener()) as hears:
        manifest = split_file(config, folder, folds=folds, repeats=repeats, overwrite=overwrite, listener=hears)
    show(manifest, folder, as_json)


def show(manifest: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(folder), **manifest})
        return
    from rich.markup import escape
    from rich.table import Table

    from ..tables import console

    table = Table("part", "rows", "share", "largest deviation of a label (rows)")
    for name, part in manifest["parts"].items():
        table.add_row(escape(name), f"{part['rows']:,}", f"{part['share']:.1%}", f"{part['largest_deviation']:.1f}")
    out = console()
    out.print(table)
    out.print(f"{manifest['how']}; {manifest['rows']:,} rows", markup=False)
    out.print(f"manifest: {folder / 'manifest.json'}", markup=False, soft_wrap=True)
    files = {name: folder / part["file"] for name, part in manifest["parts"].items()}
    if "train" in files:
        given = [word for name in ("validation", "test") if name in files for word in (f"--{name}", str(files[name]))]
        line = shlex.join(["tunewright", "train", str(files["train"]), *given])
        out.print(f"train:    {line} (and the flags that say what the columns are)", markup=False, soft_wrap=True)
