"""Make new rows of old ones: a file in, the same rows and new ones out, with how and of which row each was made.

Techniques: typos, case, punctuation, spelling, deletion, swap; synonyms (--table); masked_lm, paraphrase,
back_translation, synthesis (--model, or --endpoint with --endpoint-model).

Example: tunewright data augment train.csv --out train_more.csv --technique typos --technique deletion --balance
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from ..options import READING, AsJson, Given, print_json, reads_data

Settings = Annotated[
    list[str] | None, typer.Argument(help="settings of techniques such as typos.share=0.2 paraphrase.temperature=1")
]
Out = Annotated[Path, typer.Option(help="the new file, in the form that its suffix names")]
Technique = Annotated[
    list[str] | None,
    typer.Option(help="several times; typos, spelling, deletion, swap (and synonyms, with --table) when left out"),
]
Ratio = Annotated[float, typer.Option(help="rows in the end, in multiples of those of the file")]
Balance = Annotated[bool, typer.Option("--balance", help="more new rows for classes that have fewer")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed makes the same rows")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="a local folder or hub id; twice for back_translation, there and back"),
]
Endpoint = Annotated[
    str | None, typer.Option(help="an OpenAI-compatible server, as http://localhost:8000/v1; key from the environment")
]
EndpointModel = Annotated[str | None, typer.Option(help="the model's name at the endpoint")]
TableFile = Annotated[
    Path | None, typer.Option("--table", help="synonyms: two or more on each line, or a WordNet .zip of YAML files")
]
NoFilter = Annotated[bool, typer.Option("--no-filter", help="keep near-copies, other senses and flipped labels")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the file in --out")]


@reads_data(*READING, "trust_remote_code", settings=False)
def command(
    given: Given, out: Out, settings: Settings = None, technique: Technique = None, ratio: Ratio = 2.0,
    balance: Balance = False, seed: Seed = 0, model: Models = None, endpoint: Endpoint = None,
    endpoint_model: EndpointModel = None, table: TableFile = None, no_filter: NoFilter = False,
    overwrite: Overwrite = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    config = given.config()

    from ...desk.augmenting import augment
    from ...desk.techniques import aids_of, chosen
    from ...training.progress import listener

    techniques = chosen(technique or [], settings or [], table is not None)
    aids = aids_of(techniques, model or [], endpoint, endpoint_model, table, config.trust_remote_code)
    with closing(listener()) as hears:
        result = augment(
            config, out, techniques, aids, ratio=ratio, balance=balance, seed=seed, filtered=not no_filter,
            overwrite=overwrite, listener=hears,
        )  # fmt: skip
    show(result, as_json)


def show(result: Any, as_json: bool) -> None:
    if as_json:
        print_json(result.to_json())
        return
    from rich.table import Table

    from ..tables import console

    table = Table("technique", "made", "kept", "dropped", "why")
    for kind, tally in result.tallies.items():
        why = [f"{reason} {count:,}" for reason, count in tally.dropped.most_common()]
        why += [f"(nothing to change in {tally.unchanged:,})"] if tally.unchanged else []
        table.add_row(kind, f"{tally.made:,}", f"{tally.kept:,}", f"{tally.dropped.total():,}", "\n".join(why) or "-")
    out = console()
    out.print(table)
    rest = result.num_rows - result.num_new
    summary = f"{result.path}: {result.num_rows:,} rows, {rest:,} originals and {result.num_new:,} new"
    for line in (summary, *(f"note: {note}" for note in result.notes)):
        out.print(line, markup=False, soft_wrap=True)
