"""Form: what reading stepped over, broken or hidden characters, html, empty texts, odd columns, mixed languages."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from ..desk import EVERY
from ..edits import fixed_encoding, html_edits, unseen
from ..table import is_missing
from .base import Check, Notebook, Page, Severity, texts_of

if TYPE_CHECKING:
    from ..desk import Desk

MEND = "data check --fix {} --write NEW"
NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*%?")
KEPT = 1000  # row numbers that are kept of one oddity; the rest is counted
LISTED = 20  # of them, in a finding's details
SAMPLED = 5000  # cells whose length decides what is usual, and texts that labels are looked for in
LABELS = 200  # more label names are not looked for in texts
LETTERS = re.compile(r"[^\W\d_]+")
STOP_WORDS = {  # the commonest words of each (no word of another's top ten that would tell nothing)
    "English": "the and is was of to that with for this have are you not be it at my would from they what please",
    "German": "der die das und ist nicht ich ein eine zu mit auf für von dem den sich auch wie es wird haben wir bitte",
    "French": "le les des est et une dans pour que qui pas je vous nous avec sur ce sont mais avez du mon ma votre",
    "Spanish": "el los las una del que es por con para está pero como más mi su se muy y en lo gracias",
    "Italian": "il gli della di che è non per sono una con del mi questo anche più alla come ho ma grazie",
    "Portuguese": "não uma um os do da em que com para é mais você está meu minha foi por ao obrigado",
    "Dutch": "het een van niet ik de en dat is op met voor zijn maar wordt mijn ook naar heb wat",
}
LANGUAGES = {word: [name for name, all_ in STOP_WORDS.items() if word in all_.split()]
             for words in STOP_WORDS.values() for word in words.split()}  # fmt: skip
SCRIPTS = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HANGUL": "HANGUL", "FULLWIDTH": "LATIN", "HALFWIDTH": "CJK"}


@lru_cache(4096)
def script_of(character: str) -> str:
    """The script of a letter, as Unicode names it: LATIN, CYRILLIC, CJK, ..."""
    name = unicodedata.name(character, "?").split()[0].split("-")[0]
    return SCRIPTS.get(name, name)


def language_of(text: str) -> str | None:
    """The language, where a few common words say it clearly, else the script if it is not Latin; None where unclear."""
    words = LETTERS.findall(text[:1000].lower())
    if not text.isascii():
        scripts = Counter(script_of(letter) for word in words for letter in word)
        script, count = scripts.most_common(1)[0] if scripts else ("LATIN", 0)
        if script != "LATIN":
            return f"{script.title() if len(script) > 3 else script} script" if count > 0.6 * scripts.total() else None
    hits = Counter(name for word in set(words) for name in LANGUAGES.get(word, ()))
    (best, most), (_, second) = [*hits.most_common(2), ("", 0), ("", 0)][:2]
    return best if most >= 4 and most >= 2 * second + 1 else None


class Fault(NamedTuple):
    """One thing that is wrong with a text."""

    rule: str
    message: str
    remedy: str


def faults_of(text: str) -> Iterator[Fault]:
    """What a text's characters say, each rule once."""
    fixed = fixed_encoding(text)
    if fixed != text:
        old, new = first_difference(text, fixed)
        yield Fault("mojibake", f"wrongly decoded: {old!r}, meant is {new!r}", MEND.format("encoding"))
    if "\ufffd" in text:
        lost = f"{text.count(chr(0xFFFD))} characters were lost in decoding (U+FFFD)"
        yield Fault("lost_characters", lost, "export the text again as UTF-8")
    kinds = {str(match.lastgroup): ord(match[0][0]) for match in unseen(text)}
    if "control" in kinds:
        what = f"holds control characters (U+{kinds['control']:04X})"
        yield Fault("control_characters", what, MEND.format("control"))
    if kinds.keys() - {"control"}:
        what = f"holds characters that nobody sees (U+{kinds.get('bidi', kinds.get('invisible', 0)):04X})"
        yield Fault("invisible_characters", what, MEND.format("control"))
    found = html_edits(text) if "<" in text or "&" in text else []
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        what = f"holds html: {text[found[0][0] : found[0][1]][:40]!r}{more}"
        yield Fault("html", what, MEND.format("html"))


def first_difference(old: str, new: str) -> tuple[str, str]:
    """The words at which two texts part."""
    pairs = zip(old.split(), new.split(), strict=False)
    return next(((a[:30], b[:30]) for a, b in pairs if a != b), (old[:30], new[:30]))


@dataclass
class Oddities:
    """Rows of a kind: all counted, the first ones kept."""

    count: int = 0
    rows: array[int] = field(default_factory=lambda: array("q"))

    def add(self, number: int) -> None:
        self.count += 1
        if len(self.rows) < KEPT:
            self.rows.append(number)

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.rows[:5]))
        return f"row{'s' * (self.count > 1)} {shown}{', ...' if self.count > 5 else ''}"


@dataclass
class Column:
    """One column, seen once from top to bottom. digest: of all values in their order; equal columns have equal ones."""

    types: dict[str, Oddities] = field(default_factory=lambda: defaultdict(Oddities))
    missing: int = 0
    digest: int = 0
    first: Any = None
    constant: bool = True
    lengths: array[int] = field(default_factory=lambda: array("q"))
    long: list[tuple[int, int]] = field(default_factory=list)  # row's number, characters

    def see(self, value: Any, number: int, long: int) -> None:
        text = value if isinstance(value, str) else repr(value)
        self.digest = hash((self.digest, text))
        self.first = text if self.first is None else self.first
        self.constant &= text == self.first
        if is_missing(value):
            self.missing += 1
            return
        self.types[type_of(value)].add(number)
        if len(self.lengths) < SAMPLED:
            self.lengths.append(len(text))
        if len(text) > long and len(self.long) < KEPT:
            self.long.append((number, len(text)))


def type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "truth values"
    if isinstance(value, int | float) or (isinstance(value, str) and NUMBER.fullmatch(value.strip())):
        return "numbers"
    return "texts" if isinstance(value, str) else f"values of type {type(value).__name__}"


class Form(Check):
    """The form of a file and of its texts."""

    kind: Literal["form"] = "form"
    title: ClassVar[str] = "form"
    cost: ClassVar[int] = 0
    odd: float = 0.05  # share of a column's cells that may be of another type before it is of no one type
    long_cell: int = 20_000  # characters; and 50 times the column's median: a quote that was never closed
    leak: float = 0.8  # share of texts that name their own label and no other

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts[self.kind] = {"languages": {}}
        tables: set[int] = set()
        for part in desk.parts.values():
            page = Page(notebook, self.kind, part)
            if id(part.table) not in tables:  # a split that was made here has the table of train
                tables.add(id(part.table))
                reading(page)
                self.columns(desk, page)
            facts["languages"][part.name] = self.texts(desk, page)

    def columns(self, desk: Desk, page: Page) -> None:
        table = page.part.table
        columns = {name: Column() for name in table.columns}
        for index, record in enumerate(table.rows):
            if index % EVERY == 0:
                desk.progress(f"columns: {page.part.name}", index, len(table.rows))
            for name, column in columns.items():
                column.see(record[name], table.numbers[index], self.long_cell)
        for name, column in columns.items():
            tell_emptiness(name, column, page)
            self.tell_types(name, column, page)
            tell_long(name, column, page)
        if len(table.rows) > 1:
            tell_twins(columns, page)

    def tell_types(self, name: str, column: Column, page: Page) -> None:
        filled = sum(kind.count for kind in column.types.values())
        usual = max(column.types, key=lambda kind: column.types[kind].count, default="")
        for kind, odd in column.types.items():
            if kind != usual and filled >= 20 and column.types[usual].count >= (1 - self.odd) * filled:
                message = f"column {name!r} holds {kind} in {odd.count} of {filled} rows, {usual} else ({odd})"
                remedy = "look at these rows: a cell may have slipped into another column"
                severity: Severity = "warning" if name in page.part.roles.text else "note"  # answers may be anything
                rows = list(odd.rows[:LISTED])
                page.add("wrong_type", severity, message, remedy, rows[0], name, rows=rows, count=odd.count)

    def texts(self, desk: Desk, page: Page) -> dict[str, int]:
        """How many texts are in which language, and how many there are."""
        part, kind = page.part, desk.task.kind
        languages: dict[str, Oddities] = defaultdict(Oddities)
        leaks, wrong, right, total = Leaks(desk.task, max(1, len(part.rows) // SAMPLED)), 0, 0, 0
        for row in desk.each(part, "form"):
            texts, total = texts_of(row), total + 1
            faults = {fault.rule: fault for text in reversed(texts) for fault in faults_of(text)}
            for rule, fault in faults.items():
                asked_for = rule == "html" and kind in ("causal_lm", "seq2seq", "preference")
                page.add(rule, "note" if asked_for else "warning", fault.message, fault.remedy, row.number)
            tell_near_empty(row.number, row.text, kind, page)
            wrong += "mojibake" in faults
            right += "mojibake" not in faults and not all(map(str.isascii, texts))
            if language := language_of(" ".join(row.text)):
                languages[language].add(row.number)
            leaks.see(row)
        if wrong and right >= max(wrong / 10, 3):
            message = f"two encodings: {wrong} rows are wrongly decoded, {right} others beyond ASCII are right"
            remedy = f"{MEND.format('encoding')}; two files were joined, or two programs wrote one"
            page.warn("mixed_encodings", message, remedy, wrong=wrong, right=right)
        tell_languages(languages, page)
        leaks.tell(self.leak, page)
        return {name: odd.count for name, odd in languages.items()} | {"rows": total}


def reading(page: Page) -> None:
    """What reading stepped over."""
    for fault in page.part.faults:
        page.warn(fault.rule, fault.what, fault.remedy, fault.number, fault.column)
    for number, reason in page.part.unusable:
        page.warn("unusable_row", reason, "fill it in, or drop the row (data.on_bad_row: drop)", number)


def tell_emptiness(name: str, column: Column, page: Page) -> None:
    total, roles = len(page.part.table.rows), page.part.roles
    empty = column.missing == total
    if empty or (column.constant and total > 1):
        used = name in (*roles.text, *roles.label)
        what = f"column {name!r} " + ("is empty" if empty else f"holds {str(column.first)[:40]!r} in every row")
        remedy = "name another column (data.text, data.label)" if used else "leave it out: it says nothing"
        rule = "empty_column" if empty else "constant_column"
        page.add(rule, "warning" if used else "note", what, remedy, None, name)


def tell_long(name: str, column: Column, page: Page) -> None:
    median = sorted(column.lengths)[len(column.lengths) // 2] if column.lengths else 0
    for number, length in column.long:
        if length > 50 * median or len(column.lengths) < 20:
            message = f"column {name!r} holds {length:,} characters, usual are {median:,}"
            remedy = "look for a quote that was never closed, or cut the text up"
            page.warn("long_cell", message, remedy, number, name, characters=length)


def tell_twins(columns: dict[str, Column], page: Page) -> None:
    """Columns that say the same."""
    same: dict[int, list[str]] = defaultdict(list)
    for name, column in columns.items():
        if not column.constant:
            same[column.digest].append(name)
    for names in same.values():
        for twin in names[1:]:
            message = f"columns {names[0]!r} and {twin!r} hold the same in every row"
            used = {names[0], twin} & {*page.part.roles.text, *page.part.roles.label}
            page.add(
                "duplicated_column", "warning" if len(used) > 1 else "note", message, "use one of them", None, twin
            )


def tell_near_empty(number: int, texts: Sequence[str], kind: str, page: Page) -> None:
    columns = page.part.roles.text
    for place, text in enumerate(texts):
        if len(text) < 40 and sum(2 if letter > "\u2e80" else letter.isalnum() for letter in text) < 2:
            column = columns[place] if len(texts) == len(columns) else None
            severity: Severity = "warning" if kind == "sequence_classification" else "note"
            message, remedy = f"the text is nearly empty: {text.strip()[:20]!r}", "drop the row, or find its text"
            page.add("near_empty", severity, message, remedy, number, column)


def tell_languages(languages: dict[str, Oddities], page: Page) -> None:
    known = sum(odd.count for odd in languages.values())
    ordered = sorted(languages, key=lambda name: (-languages[name].count, name))
    for name in ordered[1:]:
        odd = languages[name]
        if odd.count >= max(3, 0.002 * known):
            message = f"{odd.count} texts are {name}, most are {ordered[0]} ({odd})"
            rows = list(odd.rows[:LISTED])
            page.note("languages", message, "use a model that reads both, or drop them", language=name,
                      count=odd.count, rows=rows)  # fmt: skip


class Leaks:
    """Texts (each `step`th) that name their own label, and no other: the model would learn to read it off."""

    def __init__(self, task: Any, step: int) -> None:
        names = getattr(task, "labels", None) or ()
        wanted = task.kind == "sequence_classification" and not task.multi_label and 2 <= len(names) <= LABELS
        either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        self.pattern = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE) if wanted else None
        self.step, self.asked, self.seen, self.leaking = step, 0, 0, 0

    def see(self, row: Any) -> None:
        self.asked += 1
        if self.pattern is not None and row.label is not None and self.asked % self.step == 0:
            self.seen += 1
            named = {match[0].casefold() for text in row.text for match in self.pattern.finditer(text)}
            self.leaking += named == {row.label.casefold()}

    def tell(self, threshold: float, page: Page) -> None:
        share = self.leaking / self.seen if self.seen >= 20 else 0
        if share >= threshold:
            message = f"{self.leaking} of {self.seen} texts looked at ({share:.0%}) name their own label, and no other"
            remedy = "take the label out of the text: what is to be predicted will not have it"
            severity: Severity = "severe" if share >= 0.95 and self.seen >= 50 else "warning"
            page.add("label_in_text", severity, message, remedy, share=share)
