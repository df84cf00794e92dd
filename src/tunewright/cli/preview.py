"""Show what a model is fed, before it is trained: tokens or rendered texts, what is learned and what is cut; writes
nothing.

Example: tunewright preview inbox.csv --rows 2 data.max_length=64
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .options import READING, Given, reads_data
from .preview_written import written
from .tables import console

if TYPE_CHECKING:
    from ..preview import Described, Preview, Summary, Token, Window, WrittenRow

Count = Annotated[int | None, typer.Option("--rows", min=0, help="how many rows, the first of the file (3)")]
Number = Annotated[list[int] | None, typer.Option("--row", help="a row by its number in the file; several times")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object for each row, and no summary")]

ROWS = 3
COLOURS = ("green", "magenta", "yellow", "cyan", "blue", "red")
SMALL = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
FEW = 8  # labels of many that are told
LONG = 240  # characters of a text that are told


@reads_data(*READING, "strategy", "model", "trust_remote_code")
def command(given: Given, rows: Count = None, row: Number = None, as_json: AsJson = False) -> None:
    from ..errors import ConfigError

    if rows is not None and row:
        raise ConfigError("both --rows and --row are given", where="preview", fix="give one of them")
    first, *others = given.stages()

    from ..preview import prepare

    preview = prepare(first)
    if others:
        preview.intake.notes.append(f"stage 1 of {1 + len(others)}: the others start from the model that it makes")
    numbers = row or preview.numbers(ROWS if rows is None else rows)
    described = [preview.describe(number) for number in numbers]
    if as_json:
        for item in described:
            print(json.dumps(asdict(item), ensure_ascii=False))
        return
    show(preview, described)


def show(preview: Preview, rows: Sequence[Described | WrittenRow]) -> None:
    """For people: in colour and in lines on a terminal; elsewhere one token a line, or what is learned in brackets."""
    from ..preview import WrittenRow

    out = console()
    say(out, Text(headline(preview), "bold"))
    for note in preview.intake.notes:
        say(out, Text(shown(note), "dim"))
    if preview.refusal:
        say(out, Text(shown(f"a run would be refused: {preview.refusal}"), "bold red"))
    colours = Colours()
    for row in rows:
        say(out, Text())
        terminal = out.is_terminal
        for line in written(row, terminal) if isinstance(row, WrittenRow) else described(row, colours, terminal):
            say(out, line)
    say(out, Text())
    for text in summed(preview.summaries()):
        say(out, text)


def say(out: Console, line: Text) -> None:
    """A line: wrapped on a terminal; elsewhere as long as it is, and without codes."""
    if out.is_terminal:
        out.print(line)
    else:
        sys.stdout.write(f"{line.plain.rstrip()}\n")


def headline(preview: Preview) -> str:
    config, task = preview.config, preview.task
    return (
        f"{config.data.train}: {config.model}, {task.kind}, {config.strategy.kind}; "
        f"at most {preview.max_length} tokens at once; "
        f"{task.summary()}"
    )


class Colours:
    """A colour for each label, in the order in which they come."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def __call__(self, label: str) -> str:
        kind = label[2:] if label[1:2] == "-" else label
        return self.known.setdefault(kind, COLOURS[len(self.known) % len(COLOURS)])


# --- a row ----------------------------------------------------------------------------------------------------------


def described(row: Described, colours: Colours, flowing: bool) -> Iterator[Text]:
    yield Text(shown(f"{Path(row.source).name}, row {row.number} ({row.split})"), "bold underline")
    for column, text in row.texts.items():
        yield Text.assemble((f"{shown(column)}: ", "dim"), brief(text))
    yield label_line(row.label, colours)
    if row.mended:
        yield Text(f"mended: {'; '.join(row.mended)}", "yellow")
    for number, window in enumerate(row.windows):
        yield Text(window_line(row, number, window), "bold" if flowing else "")
        yield from [flow(window, colours)] if flowing else table(window)
    for cut in row.cut:
        yield Text.assemble(
            (f"cut from {cut.part}, {many(cut.num_tokens, 'token')}: ", "red"), (shown(cut.text), "dim")
        )
    if not row.aligned:
        what = "the tokens fed are not those that the tokenizer makes of the whole text: please report this row"
        yield Text(what, "bold red")


def label_line(label: Any, colours: Colours) -> Text:
    """The row's label: names, entities, or answers."""
    if not isinstance(label, list):
        return (
            Text.assemble("label: ", (shown(str(label)), colours(str(label))))
            if label is not None
            else Text("label: -")
        )
    parts = [part_of_label(item, colours) for item in label] or [Text("none", "dim")]
    return Text("label: ") + Text(", ").join(parts)


def part_of_label(item: Any, colours: Colours) -> Text:
    if not isinstance(item, dict):
        return Text(shown(str(item)), colours(str(item)))
    kind = f" ({item['type']})" if "type" in item else ""
    style = colours(item["type"]) if kind else "green"
    return Text.assemble((shown(item["text"]), style), (f"{kind} {item['start']}-{item['end']}", "dim"))


def window_line(row: Described, number: int, window: Window) -> str:
    """A window's number, its tokens, and what they are for."""
    facts = [many(len(window.tokens), "token")]
    if window.shared:
        facts.append(f"{window.shared} of them also in an earlier window")
    if any(token.ignored for token in window.tokens):
        labelled = sum(token.label is not None for token in window.tokens)
        facts.append(f"{labelled} labelled, {len(window.tokens) - labelled} ignored")
    if window.answer:
        answer = window.answer
        facts.append(f"answer: tokens {answer.start} to {answer.end}, {shown(answer.text)!r}")
    elif row.of == "span" and row.label is not None:
        facts.append("no answer in it: the target is token 0")
    return f"window {number + 1} of {len(row.windows)}: {', '.join(facts)}"


def flow(window: Window, colours: Colours) -> Text:
    """The tokens in lines: labels in their colours, the answer set off, what is ignored dimmed."""
    found, word = Text(), None
    for token in window.tokens:
        begins = token.word is not None and token.word != word
        word = token.word
        found.append(readable(token), style(token, window, colours))
        if begins:
            found.append(str(token.word).translate(SMALL), "dim")
        if token.label is not None and window.answer is None and token.label != "O":
            tag = token.label[0] if token.label[:2] in ("I-", "E-") else token.label
            found.append(f"/{tag}", f"{colours(token.label)} dim")
        found.append(" ")
    return found


def style(token: Token, window: Window, colours: Colours) -> str:
    if token.note.startswith("unknown"):
        return "bold red"
    if token.part is None or token.ignored:
        return "dim"
    if window.answer is not None and token.label is not None:
        return "bold black on green"
    if token.label not in (None, "O"):
        return f"bold {colours(str(token.label))}"
    return "italic" if token.note else ""


def readable(token: Token) -> str:
    """A token as one reads it: its entry, or its stretch of text where the entry is written in bytes."""
    entry = token.token
    if token.part is None or not token.text:
        return shown(entry)
    if token.note.startswith("unknown"):
        return f"{entry}={shown(token.text)}"
    if entry.isascii() or entry.lstrip("#▁") in token.text.lower():
        return shown(entry)
    return ("Ġ" if entry.startswith("Ġ") else "") + shown(token.text.strip())


COLUMNS = ("token", "id", "type", "entry", "text", "of", "word", "label", "note")


def table(window: Window) -> Iterator[Text]:
    """One token a line, in aligned columns; those with nothing in them are left out."""
    rows = [cells(token) for token in window.tokens]
    filled = [place for place in range(len(COLUMNS)) if any(row[place] for row in rows)]
    if len({token.part for token in window.tokens} - {None}) < 2:
        filled.remove(COLUMNS.index("of"))  # there is but one text
    lines = [[row[place] for place in filled] for row in [list(COLUMNS), *rows]]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        pairs = zip(line, widths, strict=True)
        yield Text("  " + "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in pairs))


def cells(token: Token) -> list[str]:
    number = lambda value: "" if value is None else str(value)  # noqa: E731
    label = "ignored" if token.ignored else token.label or ""
    found = [str(token.place), str(token.id), number(token.type), shown(token.token), shown(token.text)]
    return [*found, token.part or "", number(token.word), label, token.note]


def shown(text: str) -> str:
    """Text of which nothing is invisible and nothing acts on the terminal: blanks stay, the rest is spelled out."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def brief(text: str) -> str:
    """So much of a text as tells it from others."""
    return shown(text) if len(text) <= LONG else f"{shown(text[: LONG - 1])}… ({len(text):,} characters)"


def many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# --- all rows -------------------------------------------------------------------------------------------------------


def summed(splits: Sequence[Summary]) -> Iterator[Text]:
    """A table with a column for each split; faults and labels below."""
    yield Text("summary", "bold underline")
    rows = [["", *(item.split for item in splits)]] + [
        [name, *(pick(item) for item in splits)] for name, pick in FIGURES.items()
    ]
    rows = [row for row in rows if any(cell not in ("-", "0") for cell in row[1:])]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        right = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield Text("  ".join([first.ljust(widths[0]), *right]))
    for item in splits:
        for phrase, count in {**item.account["dropped"], **item.account["faults"]}.items():
            yield Text(f"{item.split}: {count:,} x {shown(phrase)}", "yellow")
    for item in (item for item in splits if item.account["label_counts"]):
        yield Text(f"labels of {item.split}: {tally(item.account['label_counts'])}")


def tally(counts: dict[str, int]) -> str:
    """Labels with their counts, most frequent first; of many the first and the last."""
    told = [f"{shown(name)} {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1])]
    if len(told) <= FEW + 4:
        return ", ".join(told)
    return f"{len(told)} in all: {', '.join(told[:FEW])}, ..., {', '.join(told[-3:])}"


def quantiles(values: dict[str, int]) -> str:
    return "/".join(f"{value:,}" for value in values.values()) if values["100"] > 1 else "1"


def share(count: int, whole: int) -> str:
    return f"{count / whole:.1%}" if whole else "-"


def counted(item: Summary, name: str) -> str:
    return f"{item.account[name]:,}" if name in item.account else "-"


FIGURES: dict[str, Any] = {
    "rows": lambda item: f"{item.account['rows_kept']:,}",
    "tokens": lambda item: f"{item.account['tokens']:,}",
    "tokens a row (50/90/99/100 %)": lambda item: quantiles(item.tokens),
    "windows a row (50/90/99/100 %)": lambda item: quantiles(item.windows),
    "supervised tokens": lambda item: counted(item, "supervised_tokens"),
    "supervised share": lambda item: share(*item.supervised) if item.supervised else "-",
    "rows without a target": lambda item: counted(item, "rows_without_a_target"),
    "answers cut": lambda item: counted(item, "answers_cut"),
    "truncated rows": lambda item: f"{item.account['truncated']:,}",
    "tokens cut": lambda item: f"{item.account['tokens_cut']:,}",
}
