"""Form: what reading stepped over, broken or hidden characters, html, empty texts, odd columns, mixed languages."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from ..desk import EVERY
from ..edits import fixed_encoding, html_edits, unseen
from ..table import is_missing
from .base import Check, Notebook, Severity
from .length import texts_of

if TYPE_CHECKING:
    from ..desk import Desk, Part

MEND = "data check --fix {} --write NEW"
NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*%?")
KEPT = 1000  # row numbers that are kept of one oddity; the rest is counted
LISTED = 20  # of them, in a finding's details
DISTINCT = 10_000  # values of a column that are compared with the labels
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
    """One column, seen once from top to bottom.

    Args:
        digest: of all values in their order; equal columns have equal ones.
        labels: by value the label that goes with it; None once they are no pairs.
    """

    types: dict[str, Oddities] = field(default_factory=lambda: defaultdict(Oddities))
    missing: int = 0
    digest: int = 0
    first: Any = None
    constant: bool = True
    labels: dict[Any, Any] | None = field(default_factory=dict)
    lengths: array[int] = field(default_factory=lambda: array("q"))
    long: list[tuple[int, int]] = field(default_factory=list)  # row's number, characters

    def see(self, value: Any, number: int, label: Any, long: int) -> None:
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
        if self.labels is not None and (
            label is None or self.labels.setdefault(text, label) != label or len(self.labels) > DISTINCT
        ):
            self.labels = None

    def mirrors(self, num_labels: int) -> bool:
        """Whether each value goes with one label, and each label with one value."""
        return self.labels is not None and len(self.labels) == num_labels > 1


def type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "truth values"
    if isinstance(value, int | float) or (isinstance(value, str) and NUMBER.fullmatch(value.strip())):
        return "numbers"
    return "texts" if isinstance(value, str) else f"values of type {type(value).__name__}"


@dataclass
class Texts:
    """The texts of one split, seen once."""

    faults: Counter[str] = field(default_factory=Counter)
    words: Counter[int] = field(default_factory=Counter)  # rows by their number of words
    single: Oddities = field(default_factory=Oddities)
    languages: dict[str, Oddities] = field(default_factory=lambda: defaultdict(Oddities))
    beyond_ascii: int = 0

    def see(self, number: int, texts: Sequence[str], faults: Iterable[str], ascii_only: bool) -> None:
        count = sum(len(text.split()) for text in texts)
        self.words[min(count, 1000)] += 1
        if count == 1 and len(texts[0]) < 20:
            self.single.add(number)
        self.faults.update(set(faults))
        self.beyond_ascii += not ascii_only
        language = language_of(" ".join(texts))
        if language:
            self.languages[language].add(number)

    @property
    def median_words(self) -> int:
        below = 0
        for count in sorted(self.words):
            below += self.words[count]
            if 2 * below >= self.words.total():
                return count
        return 0


class Form(Check):
    """The form of a file and of its texts."""

    kind: Literal["form"] = "form"
    title: ClassVar[str] = "form"
    cost: ClassVar[int] = 0
    odd: float = 0.05  # share of a column's cells that may be of another type before it is of no one type
    long_cell: int = 20_000  # characters; and 50 times the column's median: a quote that was never closed
    leak: float = 0.8  # share of texts that name their own label and no other
    short_among_long: int = 8  # median words of the texts beside which a single word is odd

    def run(self, desk: Desk, notebook: Notebook) -> None:
        tables: set[int] = set()
        for part in desk.parts.values():
            if id(part.table) not in tables:  # a split that was made here has the table of train
                tables.add(id(part.table))
                self.reading(part, notebook)
                self.columns(desk, part, notebook)
            self.texts(desk, part, notebook)

    def reading(self, part: Part, notebook: Notebook) -> None:
        for fault in part.faults:
            notebook.add(f"form.{fault.rule}", "warning", fault.what, fault.remedy, part, fault.number, fault.column)
        for number, reason in part.unusable:
            remedy = "fill it in, or drop the row (data.on_bad_row: drop)"
            notebook.add("form.unusable_row", "warning", reason, remedy, part, number)

    # --- columns ------------------------------------------------------------------------------------------------------

    def columns(self, desk: Desk, part: Part, notebook: Notebook) -> None:
        table, roles = part.table, part.roles
        columns = {name: Column() for name in table.columns}
        label = roles.label[0] if len(roles.label) == 1 and roles.label[0] in columns else None
        for index, record in enumerate(table.rows):
            if index % EVERY == 0:
                desk.progress(f"columns: {part.name}", index, len(table.rows))
            own = repr(record[label]) if label else None
            for name, column in columns.items():
                column.see(record[name], table.numbers[index], own, self.long_cell)
        for name, column in columns.items():
            self.column(name, column, part, notebook)
        if len(table.rows) > 1:
            between(columns, part, label, notebook)

    def column(self, name: str, column: Column, part: Part, notebook: Notebook) -> None:
        total = len(part.table.rows)
        if column.missing == total or (column.constant and total > 1):
            used = name in (*part.roles.text, *part.roles.label)
            what = "is empty" if column.missing == total else f"holds {str(column.first)[:40]!r} in every row"
            remedy = "name another column (data.text, data.label)" if used else "leave it out: it says nothing"
            rule = "form.empty_column" if column.missing == total else "form.constant_column"
            notebook.add(rule, "warning" if used else "note", f"column {name!r} {what}", remedy, part, None, name)
        filled = sum(kind.count for kind in column.types.values())
        usual = max(column.types, key=lambda kind: column.types[kind].count, default="")
        for kind, odd in column.types.items():
            if kind != usual and filled >= 20 and column.types[usual].count >= (1 - self.odd) * filled:
                message = f"column {name!r} holds {kind} in {odd.count} of {filled} rows, {usual} else ({odd})"
                remedy = "look at these rows: a cell may have slipped into another column"
                severity: Severity = "warning" if name in part.roles.text else "note"  # answers may be anything
                rows = list(odd.rows[:LISTED])
                notebook.add(
                    "form.wrong_type", severity, message, remedy, part, rows[0], name, rows=rows, count=odd.count
                )
        median = sorted(column.lengths)[len(column.lengths) // 2] if column.lengths else 0
        for number, length in column.long:
            if length > 50 * median or len(column.lengths) < 20:
                message = f"column {name!r} holds {length:,} characters, usual are {median:,}"
                remedy = "look for a quote that was never closed, or cut the text up"
                notebook.add("form.long_cell", "warning", message, remedy, part, number, name, characters=length)

    # --- texts --------------------------------------------------------------------------------------------------------

    def texts(self, desk: Desk, part: Part, notebook: Notebook) -> None:
        all_texts, leaks = Texts(), Leaks(desk.task, max(1, len(part.rows) // SAMPLED))
        answers = desk.task.kind in ("causal_lm", "seq2seq", "preference")
        for row in desk.each(part, "form"):
            self.short(row.number, row.text, desk.task.kind, part, notebook)
            texts = texts_of(row)
            faults = {fault.rule: fault for text in reversed(texts) for fault in faults_of(text)}
            for rule, fault in faults.items():
                soft = answers and rule == "html"  # it may be what was asked for
                severity: Severity = "note" if soft else "warning"
                notebook.add(f"form.{rule}", severity, fault.message, fault.remedy, part, row.number)
            all_texts.see(row.number, row.text, faults, all(map(str.isascii, texts)))
            leaks.see(row)
        self.whole(part, all_texts, notebook)
        leaks.tell(self.leak, part, notebook)

    def short(self, number: int, texts: Sequence[str], kind: str, part: Part, notebook: Notebook) -> None:
        for place, text in enumerate(texts):
            if len(text) < 40 and sum(2 if letter > "\u2e80" else letter.isalnum() for letter in text) < 2:
                column = part.roles.text[place] if len(texts) == len(part.roles.text) else None
                severity: Severity = "warning" if kind == "sequence_classification" else "note"
                message, remedy = f"the text is nearly empty: {text.strip()[:20]!r}", "drop the row, or find its text"
                notebook.add("form.near_empty", severity, message, remedy, part, number, column)

    def whole(self, part: Part, texts: Texts, notebook: Notebook) -> None:
        """What only all rows together tell."""
        wrong, right = texts.faults["mojibake"], texts.beyond_ascii - texts.faults["mojibake"]
        if wrong and right >= max(wrong / 10, 3):
            message = f"two encodings: {wrong} rows are wrongly decoded, {right} others beyond ASCII are right"
            remedy = f"{MEND.format('encoding')}; two files were joined, or two programs wrote one"
            notebook.add("form.mixed_encodings", "warning", message, remedy, part, wrong=wrong, right=right)
        median, total = texts.median_words, texts.words.total()
        if median >= self.short_among_long and 0 < texts.single.count < self.odd * total:
            rows, count = list(texts.single.rows[:LISTED]), texts.single.count
            message = f"{count} texts are one word, where most have {median} words or more ({texts.single})"
            notebook.add("form.one_word", "note", message, "see whether they were cut", part, rows=rows, count=count)
        found = {name: odd.count for name, odd in texts.languages.items()}
        notebook.facts.setdefault("form", {}).setdefault("languages", {})[part.name] = found | {"rows": total}
        self.mixed(part, texts.languages, notebook)

    def mixed(self, part: Part, languages: dict[str, Oddities], notebook: Notebook) -> None:
        known = sum(odd.count for odd in languages.values())
        ordered = sorted(languages, key=lambda name: (-languages[name].count, name))
        for name in ordered[1:]:
            odd = languages[name]
            if odd.count >= max(3, 0.002 * known):
                message = f"{odd.count} texts are {name}, most are {ordered[0]} ({odd})"
                remedy = "use a model that reads both, or drop them"
                rows = list(odd.rows[:LISTED])
                notebook.add("form.languages", "note", message, remedy, part, language=name, count=odd.count, rows=rows)


def between(columns: dict[str, Column], part: Part, label: str | None, notebook: Notebook) -> None:
    """Columns that say the same."""
    filled = {name: column for name, column in columns.items() if not column.constant}
    same: dict[int, list[str]] = defaultdict(list)
    for name, column in filled.items():
        same[column.digest].append(name)
    for names in same.values():
        for twin in names[1:]:
            message = f"columns {names[0]!r} and {twin!r} hold the same in every row"
            used = {names[0], twin} & {*part.roles.text, *part.roles.label}
            severity: Severity = "warning" if len(used) > 1 else "note"
            notebook.add("form.duplicated_column", severity, message, "use one of them", part, None, twin)
    own = columns[label].labels if label else None
    if not own or len(part.table.rows) < max(20, 2 * len(own)):
        return
    for name, column in filled.items():
        if name not in (*part.roles.text, label) and column.mirrors(len(own)):
            message = f"column {name!r} goes with the label {label!r} one to one ({len(own)} values)"
            remedy = "good as another name of the label; never as a part of the text"
            notebook.add("form.mirrors_label", "note", message, remedy, part, None, name)


class Leaks:
    """Texts (each `step`th) that name their own label, and no other: the model would learn to read it off."""

    def __init__(self, task: Any, step: int) -> None:
        names = getattr(task, "labels", None) or ()
        wanted = task.kind == "sequence_classification" and not task.multi_label and 2 <= len(names) <= LABELS
        self.pattern = self.compiled(names) if wanted else None
        self.step, self.asked, self.seen, self.leaking = step, 0, 0, 0

    def compiled(self, names: Sequence[str]) -> re.Pattern[str]:
        either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        return re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)

    def see(self, row: Any) -> None:
        self.asked += 1
        if self.pattern is not None and row.label is not None and self.asked % self.step == 0:
            self.seen += 1
            named = {match[0].casefold() for text in row.text for match in self.pattern.finditer(text)}
            self.leaking += named == {row.label.casefold()}

    def tell(self, threshold: float, part: Part, notebook: Notebook) -> None:
        share = self.leaking / self.seen if self.seen >= 20 else 0
        if share >= threshold:
            message = f"{self.leaking} of {self.seen} texts looked at ({share:.0%}) name their own label, and no other"
            remedy = "take the label out of the text: what is to be predicted will not have it"
            severity: Severity = "severe" if share >= 0.95 and self.seen >= 50 else "warning"
            notebook.add("form.label_in_text", severity, message, remedy, part, share=share)
