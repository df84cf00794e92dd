"""Find what is wrong with the data before a model learns it; mend what can be mended.

Writes a report, findings.jsonl and suspects.csv (likely wrong labels, to be corrected and given back with --apply).

Example: tunewright data check inbox.csv --test inbox_test.csv

Example: tunewright data check inbox.csv --apply checks/inbox/suspects.csv --fix duplicates --write inbox_clean.csv
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from ..options import HELD_OUT, READING, AsJson, Given, print_json, reads_data

Production = Annotated[
    str | None, typer.Option(help="texts that a model will meet, without labels: compared with train")
]
Only = Annotated[list[str] | None, typer.Option(help="only this check; several times")]
Rows = Annotated[int, typer.Option(min=100, help="rows of each file that expensive checks look at")]
Seconds = Annotated[float | None, typer.Option(min=0, help="for all checks together; no bound when left out")]
Allow = Annotated[list[str] | None, typer.Option(help="a rule or check whose severe findings do not count")]
Out = Annotated[Path | None, typer.Option(help="folder of the report; checks/<data> when left out")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace suspects.csv although it has corrections")]
Apply = Annotated[Path | None, typer.Option(help="suspects.csv with its column `correction` filled in; needs --write")]
Fix = Annotated[
    list[str] | None, typer.Option(help="repair: encoding, control, html, blanks, personal, duplicates, labels")
]
Write = Annotated[Path | None, typer.Option(help="the repaired file; it is checked instead of the original")]


@reads_data(*HELD_OUT, *READING, "model", "trust_remote_code")
def command(
    given: Given, production: Production = None, only: Only = None, rows: Rows = 20_000, seconds: Seconds = None,
    allow: Allow = None, out: Out = None, overwrite: Overwrite = False, apply: Apply = None, fix: Fix = None,
    write: Write = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    config = given.config()

    from ...checkup import check
    from ...training.progress import listener

    with closing(listener()) as hears:
        folder, checked = check(
            config, out, only=only or (), sample_size=rows, seconds=seconds, allow=allow or (), overwrite=overwrite,
            corrections=apply, repairs=fix or (), repaired=write, production=production, listener=hears,
        )  # fmt: skip
    show(checked, folder, as_json)
    if checked.severe(allow or ()):
        raise typer.Exit(2)


def show(checked: Any, folder: Path, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(folder), **checked.to_json()})
        return
    table(checked)
    from ..tables import console

    out = console()
    if (folder / "suspects.csv").is_file():
        out.print(
            f"suspects: {folder / 'suspects.csv'} (fill in `correction`, give it back with --apply)", markup=False
        )
    out.print(f"findings: {folder / 'findings.jsonl'}", markup=False, soft_wrap=True)
    out.print(f"report:   {folder / 'report.html'}", markup=False, soft_wrap=True)


WIDTH = 200  # characters of a message
COLOURS = {"severe": "bold red", "warning": "yellow", "note": "dim"}


def table(checked: Any) -> None:
    """A line for each rule that found something, the worst first; and what was not asked."""
    from rich.markup import escape
    from rich.table import Table

    from ...desk.checking import by_severity
    from ..tables import console, cut

    found = Table("rule", "found", "what, and what to do", show_lines=True)
    for rule, tally in by_severity(checked.tallies):
        first = tally.shown[0]
        colour = COLOURS[tally.severity]
        what = f"{escape(cut(first.placed, WIDTH))}\n[dim]{escape(cut(first.remedy, WIDTH))}[/]"
        found.add_row(f"[{colour}]{tally.severity}[/]\n{escape(rule)}", f"{tally.count:,}", what)
    found.columns[0].overflow = "fold"
    out = console()
    done = [item for item in checked.outcomes if item.status == "done"]
    if checked.tallies:
        out.print(found)
    clean = [item.title for item in done if not any(rule.startswith(f"{item.kind}.") for rule in checked.tallies)]
    if clean:
        out.print(f"nothing found: {', '.join(clean)}", markup=False)
    for item in checked.outcomes:
        if item.reason:
            out.print(f"{item.status}: {item.title}: {item.reason}", markup=False, style="dim")
