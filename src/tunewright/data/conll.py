"""Tokens with their tags: CoNLL files (a token a line), and parallel files (a sentence a line, its tags in another)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..files import digest, sha256
from .content import decode
from .table import Table, shown

SUFFIXES = (".conll", ".conll2003", ".iob", ".iob2", ".bio", ".bioes", ".annotated")
TAG = re.compile(r"O|[BIESLUMW]-.+")
CELL = re.compile(r"[^ \t\r]+")  # not str.split: a no-break space is part of a token
DOCUMENT = "-DOCSTART-"  # CoNLL-2003 starts each document with a line of its own
HEADS = {"tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags"}  # the last cell of a line of column names
SNIFFED = 100_000  # characters looked at to tell what a file is
NEARLY = 0.9  # share of the lines that must end in a tag


class Form(NamedTuple):
    """How a file writes its lines.

    Args:
        tabbed: whether tabs separate the cells, else blanks.
        width: cells of a line.
        line: the number of the line that shows it.
        iob: whether the last cells are IOB tags (or IOBES, BILOU).
        header: the number of the line that names the columns, or 0.
    """

    tabbed: bool
    width: int
    line: int
    iob: bool
    header: int


def cells_of(line: str, tabbed: bool) -> list[str]:
    return line.split("\t") if tabbed else CELL.findall(line)


def is_conll(text: str) -> bool:
    """Whether sentences end with blank lines, and nearly every line is of 2 to 4 cells, a token first, a tag last."""
    start = text if len(text) <= SNIFFED else text[:SNIFFED].rpartition("\n")[0]
    lines = [line.rstrip() for line in start.strip().split("\n")]
    filled = [cells_of(line, "\t" in line) for line in lines if line and not line.startswith(("#", DOCUMENT))]
    fit = [2 <= len(cells) <= 4 and " " not in cells[0].strip() and ends_in_tag(cells) for cells in filled]
    return "" in lines and nearly_all(fit)


def nearly_all(fit: list[bool]) -> bool:
    return bool(fit) and sum(fit) >= NEARLY * len(fit)


def ends_in_tag(cells: list[str]) -> bool:
    return TAG.fullmatch(cells[-1].strip()) is not None


def from_conll(path: Path, text: str, header: bool | None = None) -> Table:
    """One row a sentence: "tokens", the columns between as "column_2" and so on, "tags"; each a list[str].

    A row's number is the line where its sentence starts. Quotes mean nothing. Skipped, and counted in the notes:
    -DOCSTART- lines, and comments (lines that start with # and are no token with its tag).

    Raises:
        DataError: a line has another number of cells than the first one, or no tag.
    """
    lines, skipped = text.split("\n"), Counter[str]()
    form = form_of(lines, header, str(path))
    found = list(sentences(token_lines(lines, form, str(path), skipped))) if form else []
    width = form.width if form else 2
    columns = ["tokens", *(f"column_{place}" for place in range(2, width)), "tags"]
    rows = [dict(zip(columns, map(list, zip(*cells, strict=True)), strict=True)) for _, cells in found]
    refuse_counted(rows, width, str(path))
    notes = [f"read as CoNLL: {len(rows):,} sentences, {width} columns"]
    notes += [f"skipped {count:,} {what}" for what, count in skipped.items()]
    return Table(str(path), columns, rows, [number for number, _ in found], sha256(path), notes)


def form_of(lines: list[str], header: bool | None, where: str) -> Form | None:
    """The form of the first line that is neither blank nor comment nor the start of a document; None: there is none."""
    filled = [(number, line.rstrip()) for number, line in enumerate(lines, 1) if line.strip()]
    filled = [(number, line) for number, line in filled if not line.startswith(DOCUMENT)]
    told = [(number, line) for number, line in filled if not line.startswith("#")] or filled
    if not told:
        return None
    number, line = told[0]
    tabbed = "\t" in line
    cells = cells_of(line, tabbed)
    if len(cells) < 2:
        fix = "write a token and its tag on each line (O where there is no entity)"
        raise DataError(f"has one cell: {shown(line)}", where=f"{where}, line {number}", fix=fix)
    iob = nearly_all([ends_in_tag(cells_of(other, tabbed)) for _, other in told[1:1000] or told])
    names = header if header is not None else iob and cells[-1].strip().lower() in HEADS
    return Form(tabbed, len(cells), number, iob, number if names else 0)


def token_lines(
    lines: list[str], form: Form, where: str, skipped: Counter[str]
) -> Iterator[tuple[int, list[str] | None]]:
    """(number, cells) of each line with a token; cells are None where a sentence ends."""
    starts = True  # whether the next token starts a sentence
    for number, raw in enumerate(lines, 1):
        line, cells = raw.rstrip(), None
        if line.startswith(DOCUMENT):
            skipped[f"{DOCUMENT} lines"] += 1
        elif number == form.header:
            skipped[f"header ({', '.join(cells_of(line, form.tabbed))}; data.header: false if that is a token)"] += 1
        elif line:
            cells = cells_of(line, form.tabbed)
            if line.startswith("#") and is_comment(raw, cells, form, starts):
                skipped["comments (#)"] += 1
                continue
            if len(cells) != form.width:
                raise misshapen(raw, cells, form, f"{where}, line {number}")
            cells[-1] = cells[-1].lstrip()
        yield number, cells
        starts = cells is None


def is_comment(raw: str, cells: list[str], form: Form, starts: bool) -> bool:
    """Whether a line that starts with # is no token; a hashtag inside a sentence that lacks its tag is no comment."""
    if len(cells) == form.width:  # "# text = Hello" among lines of four cells
        return starts and form.iob and raw.startswith("# ") and not ends_in_tag(cells)
    return not lacks_tag(raw, form) and (starts or raw.startswith("# "))


def lacks_tag(raw: str, form: Form) -> bool:
    """Whether all the cells are there, but the last of them is blank."""
    cells = raw.split("\t")
    return form.tabbed and len(cells) == form.width and not cells[-1].strip()


def misshapen(raw: str, cells: list[str], form: Form, where: str) -> DataError:
    line = shown(raw.rstrip())
    if lacks_tag(raw, form):
        return DataError(f"has no tag: {line}", where=where, fix="write its tag (O where there is no entity)")
    between = "tabs" if form.tabbed else "blanks"
    what = f"has {len(cells)} cells between {between}, not {form.width} as line {form.line}: {line}"
    if len(cells) > form.width:
        return DataError(what, where=where, fix=f"take {between} out of the cells")
    fix = f"separate cells with {between}, the tag last (O where there is no entity); end sentences with a blank line"
    return DataError(what, where=where, fix=fix)


def sentences(marked: Iterator[tuple[int, list[str] | None]]) -> Iterator[tuple[int, list[list[str]]]]:
    """(number of its first line, its lines' cells) of each sentence."""
    start, collected = 0, list[list[str]]()
    for number, cells in marked:
        if cells is not None:
            start = start or number
            collected.append(cells)
        elif collected:
            yield start, collected
            start, collected = 0, []
    if collected:
        yield start, collected


def refuse_counted(rows: list[dict[str, list[str]]], width: int, where: str) -> None:
    """Raises DataError where the first column is no token, but counts them (as in GermEval 2014 and CoNLL-U)."""
    if width < 3 or max((len(row["tokens"]) for row in rows), default=0) < 2:
        return
    if all(token == str(place) for row in rows for place, token in enumerate(row["tokens"], 1)):
        fix = "take that column out (cut -f 2- FILE > NEW)"
        raise DataError("the first column holds no tokens: it counts 1, 2, 3", where=where, fix=fix)


class Parallel(NamedTuple):
    """Files whose lines belong together; `label` is None where there is no such file."""

    tokens: Path
    tags: Path
    label: Path | None


def parallel_files(path: Path) -> Parallel | None:
    """The files that belong to `path` (one of them, or their folder); None where its name is of no such pair.

    Pairs are `seq.in` and `seq.out` (as ATIS and SNIPS), and `NAME.tokens` and `NAME.tags`. The labels of the whole
    sentences are in `label` or `labels` (`NAME.label` or `NAME.labels`). Each may be gzipped.

    Raises:
        DataError: one of a pair is missing.
    """
    if path.is_dir():
        inside = token_file(path)
        return parallel_files(inside) if inside else None
    name = path.name.removesuffix(".gz")
    stem = name.rpartition(".")[0]
    if name in ("seq.in", "seq.out"):
        names = ("seq.in", "seq.out", "label", "labels")
    elif stem and name in (f"{stem}.tokens", f"{stem}.tags"):
        names = (f"{stem}.tokens", f"{stem}.tags", f"{stem}.label", f"{stem}.labels")
    else:
        return None
    tokens, tags, label, labels = (beside(path, other) for other in names)
    if tokens is None or tags is None:
        fix = f"put tokens in {names[0]} and their tags in {names[1]}, in one folder"
        raise DataError(f"there is no {names[0] if tokens is None else names[1]} beside it", where=str(path), fix=fix)
    return Parallel(tokens, tags, label or labels)


def token_file(folder: Path) -> Path | None:
    """`seq.in`, or the only `NAME.tokens`."""
    single = [path for path in (folder / "seq.in", folder / "seq.in.gz") if path.is_file()]
    named = [path for path in folder.glob("*.tokens*") if path.name.removesuffix(".gz").endswith(".tokens")]
    return single[0] if single else named[0] if len(named) == 1 else None


def beside(path: Path, name: str) -> Path | None:
    """The file of that name in the same folder, gzipped or not; first as `path` is."""
    packed = path.name.endswith(".gz")
    found = [path.with_name(f"{name}.gz" if gz else name) for gz in (packed, not packed)]
    return next((item for item in found if item.is_file()), None)


def from_parallel(files: Parallel) -> Table:
    """One row a line: "tokens" and "tags" (list[str]), and "label" (str) where there is such a file.

    The fingerprint is over all the files. Lines that are blank in every file are skipped, and counted in the notes.

    Raises:
        DataError: the files differ in their number of lines, or tokens and tags in a line; or a label is empty.
    """
    tokens, tags = ([CELL.findall(line) for line in lines_of(path)] for path in files[:2])
    labels = [line.strip() for line in lines_of(files.label)] if files.label else None
    refuse_unequal(files, tokens, tags, labels)
    rows, numbers = [], []
    for number, (words, marks) in enumerate(zip(tokens, tags, strict=True), 1):
        if words:
            rows.append({"tokens": words, "tags": marks} | ({"label": labels[number - 1]} if labels else {}))
            numbers.append(number)
    blank = len(tokens) - len(rows)
    columns = ["tokens", "tags", *(["label"] if labels is not None else [])]
    notes = [f"read as parallel files: {', '.join(path.name for path in files if path)}"]
    notes += [f"skipped {blank:,} blank lines"] if blank else []
    fingerprint = digest({path.name: sha256(path) for path in files if path})
    return Table(str(files.tokens), columns, rows, numbers, fingerprint, notes)


def lines_of(path: Path) -> list[str]:
    """The lines up to the last one that is not blank."""
    text = decode(path).rstrip(" \t\r\n")
    return text.split("\n") if text else []


def refuse_unequal(files: Parallel, tokens: list[list[str]], tags: list[list[str]], labels: list[str] | None) -> None:
    unlike = next((at for at, pair in enumerate(zip(tokens, tags, strict=False)) if len(pair[0]) != len(pair[1])), None)
    counts = "" if unlike is None else f"{len(tokens[unlike])} tokens, but {files.tags} {len(tags[unlike])} tags"
    if len(tokens) != len(tags):
        what = f"has {len(tokens):,} lines, but {files.tags} {len(tags):,}"
        what += f" (line {unlike + 1} is the first that differs: {counts})" if unlike is not None else ""
        raise DataError(what, where=str(files.tokens), fix="write the tags of each line into the same line")
    if unlike is not None:
        fix = "give each token one tag (O where there is no entity)"
        raise DataError(f"has {counts} there", where=f"{files.tokens}, line {unlike + 1}", fix=fix)
    if labels is not None and len(labels) != len(tokens):
        what = f"has {len(tokens):,} lines, but {files.label} {len(labels):,}"
        raise DataError(what, where=str(files.tokens), fix="write one label a line")
    for number, (words, label) in enumerate(zip(tokens, labels or [], strict=False), 1):
        if bool(words) != bool(label):
            what = f"has {'no label' if words else 'a label'}, but {files.tokens} {'tokens' if words else 'none'} there"
            raise DataError(what, where=f"{files.label}, line {number}", fix="write a sentence and its label")
