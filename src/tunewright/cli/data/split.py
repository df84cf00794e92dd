"""Part a file into train, validation and test, or into folds: at random, stratified, in groups, or by time.

Kinds: stratified (each part its share of every label), random, grouped (--column customer: none is in two parts),
by_time (--column date: later rows are held out), auto (what `train` does by itself).

Example: tunewright data split inbox.csv --kind grouped --column customer --near-duplicates --out inbox_parts
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import Import, import_files
from ..train import Delimiter, Header, Label, Names, TaskKind, TextColumn, configuration

File = Annotated[str, typer.Argument(help="a data file (csv, tsv, jsonl, json, parquet, conll, also .gz) or a hub id")]
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
AsJson = Annotated[bool, typer.Option("--json", help="the manifest as one JSON object on standard output")]


def command(
    file: File, kind: Kind = "stratified", validation: Validation = 0.1, test: Test = 0.1, folds: Folds = None,
    repeats: Repeats = 1, column: Column = None, near_duplicates: Near = False, seed: Seed = 0, text: TextColumn = None,
    label: Label = None, label_names: Names = None, label_delimiter: Delimiter = None, header: Header = None,
    task: TaskKind = None, drop_bad_rows: Drop = False, out: Out = None, overwrite: Overwrite = False,
    as_json: AsJson = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    flags = {
        "data.text": text or None, "data.label": label or None, "data.label_names": label_names,
        "data.label_delimiter": label_delimiter, "data.header": header, "task.kind": task,
        "data.split.kind": kind, "data.split.column": column, "data.split.near_duplicates": near_duplicates or None,
        "data.split_seed": seed, "data.validation_share": validation, "data.test_share": test,
        "data.on_bad_row": "drop" if drop_bad_rows else None,
    }  # fmt: skip
    (config,) = configuration(file, {path: value for path, value in flags.items() if value is not None}, [])

    from ...desk.splitting import split_file
    from ...training.progress import listener

    folder = out or Path(f"{Path(file).name.split('.')[0]}-{'folds' if folds else 'split'}")
    hears = listener()
    try:
        manifest = split_file(config, folder, folds=folds, repeats=repeats, overwrite=overwrite, listener=hears)
    finally:
        hears.close()
    show(manifest, folder, as_json)


def show(manifest: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"path": str(folder), **manifest}, ensure_ascii=False))
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
