"""entities: tags out of their scheme, one form tagged in two ways, spans that cut words or run too far."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, ClassVar, Literal

from pydantic import Field

from .. import tagging, words
from ..desk import Desk, Part
from ..row import Row
from .base import Check, Notebook, Page

FORMS = 100_000  # distinct entities whose tags are compared; of more texts the first so many
KEPT = 5  # places that are named of each form and type
UNTAGGED = ""
LOOSE = frozenset(",;:")  # signs at which no entity begins or ends; titles end with ! and ?, names with brackets

Place = tuple[str, int]  # part, row
Seen = dict[str, dict[str, tuple[int, list[Place]]]]  # form: type: how often, and where first


class Entities(Check):
    """Looks at tagged entities, form by form and row by row."""

    title: ClassVar[str] = "entities"
    tasks: ClassVar[tuple[str, ...]] = ("token_classification",)

    kind: Literal["entities"] = "entities"
    occurrences: int = Field(3, ge=2, description="how often a form has a type before another one is doubted")
    minority: float = Field(0.2, gt=0, lt=0.5, description="of a form's occurrences: fewer are told as slips")
    longest: int = Field(12, ge=1, description="words of an entity before its end is doubted")

    def cannot(self, desk: Desk) -> str | None:
        plain = getattr(desk.task, "scheme", None) == "plain"
        return "plain tags have no entities, and a word may well have several" if plain else None

    def run(self, desk: Desk, notebook: Notebook) -> None:
        seen: Seen = defaultdict(dict)
        facts = notebook.facts[self.kind] = {}
        for part in desk.parts.values():
            facts[part.name] = self.read(desk, Page(notebook, self.kind, part), seen)
        often = {form: types for form, types in seen.items() if max(c for c, _ in types.values()) >= self.occurrences}
        for part in desk.parts.values():
            look_for_untagged(desk, part, often)
        for form, types in often.items():
            self.compare(desk, notebook, form, types)

    def read(self, desk: Desk, page: Page, seen: Seen) -> dict[str, Any]:
        """One pass over a part: what is wrong with single rows, and what was tagged how."""
        types, empty, total = Counter[str](), 0, 0
        for row in desk.each(page.part, "entities"):
            total, empty = total + 1, empty + (not row.label)
            types.update(kind for *_, kind in row.label)
            look_at_spelling(row, page)
            pieces = words.pieces(row)
            for first, last, kind in row.label:
                self.look_at_entity(row, pieces[first:last], kind, page)
                note(seen, " ".join(pieces[first:last]).casefold(), kind, (page.part.name, row.number))
        if total and empty > total / 2:
            what = f"{empty:,} of {total:,} rows have no entity"
            page.note("none", what, "fine if texts are like that; else tag them or leave them out", share=empty / total)
        return {"types": dict(types.most_common(200)), "rows": total, "rows_without": empty}

    def look_at_entity(self, row: Row, pieces: list[str], kind: str, page: Page) -> None:
        shown = " ".join(pieces)
        if len(pieces) > self.longest:
            what = f"a {kind} of {len(pieces)} words, '{shown[:60]}...'"
            page.note("long", what, "check where it ends", row.number, words=len(pieces))
        if len(pieces) > 1 and LOOSE.intersection((pieces[0], pieces[-1])):
            what = f"the {kind} '{shown}' begins or ends with a punctuation mark"
            page.note("border", what, "leave the mark outside", row.number, entity=shown)

    def compare(self, desk: Desk, notebook: Notebook, form: str, types: dict[str, tuple[int, list[Place]]]) -> None:
        """Tells of a form that nearly always has one type, and now and then another or none."""
        usual, (most, _) = max(types.items(), key=lambda item: item[1][0])
        total = sum(count for count, _ in types.values())
        for kind, (count, places) in types.items():
            if usual in (UNTAGGED, kind) or count > self.minority * total:
                continue
            other = kind or "nothing"
            where = ", ".join(f"row {number} of {name}" for name, number in places)
            where += ", ..." if count > len(places) else ""
            what = f"'{form}' is tagged {usual} in {most} of {total} places, but {other} in {count}: {where}"
            counts = {kind: count for kind, (count, _) in types.items()}
            remedy = f"tag it {usual} there, unless it means something else"
            page = Page(notebook, self.kind, desk.parts[places[0][0]])
            page.warn("types_differ" if kind else "untagged", what, remedy, places[0][1], form=form, counts=counts,
                      rows=places)  # fmt: skip


def note(seen: Seen, form: str, kind: str, place: Place) -> None:
    if form in seen or len(seen) < FORMS:
        count, places = seen[form].get(kind, (0, []))
        seen[form][kind] = (count + 1, places if len(places) == KEPT else [*places, place])


def look_for_untagged(desk: Desk, part: Part, often: Seen) -> None:
    """Counts where forms that are often tagged stand outside of any entity."""
    lengths = defaultdict[str, set[int]](set)
    for form in often:
        lengths[form.split(" ", 1)[0]].add(form.count(" ") + 1)
    for row in desk.each(part, "untagged entities"):
        pieces = [piece.casefold() for piece in words.pieces(row)]
        taken = {place for first, last, _ in row.label for place in range(first, last)}
        for place, piece in enumerate(pieces):
            for length in lengths.get(piece, ()):
                form = " ".join(pieces[place : place + length])
                if form in often and taken.isdisjoint(range(place, place + length)):
                    note(often, form, UNTAGGED, (part.name, row.number))


# --- how the file spells them ---------------------------------------------------------------------------------------


def look_at_spelling(row: Row, page: Page) -> None:
    """What reading mended silently, and blanks that it trimmed."""
    if page.part.roles.form == words.AS_SPANS:
        look_at_spans(row, page)
    if words.NESTED in row.mended:
        page.warn("overlap", "two entities overlap; the longer is kept", "mark each word once", row.number)
    if words.MENDED in row.mended:
        what, details = out_of_scheme(page.part, row)
        remedy = "begin and end entities as the scheme does; they are read as conlleval reads them"
        page.warn("scheme", what, remedy, row.number, page.part.roles.label[0], **details)


def out_of_scheme(part: Part, row: Row) -> tuple[str, dict[str, Any]]:
    """The first tag that its scheme would have spelled otherwise."""
    cell, scheme = part.table.rows[part.index(row)][part.roles.label[0]], part.roles.form
    if scheme == words.NUMBERED or not isinstance(cell, list):
        return "tags break their scheme", {}
    expected = tagging.tags_of(row.label, len(cell), scheme)
    both = zip(map(str, cell), expected, strict=True)
    wrong = [at for at, pair in enumerate(both) if tagging.parse(pair[0]) != tagging.parse(pair[1])]
    first, word = wrong[0], words.pieces(row)[wrong[0]]
    what = f"word {first + 1}, '{word}', has {cell[first]}, where {scheme} has {expected[first]}"
    return what, {"word": first + 1, "tag": cell[first], "expected": expected[first], "wrong": len(wrong)}


def look_at_spans(row: Row, page: Page) -> None:
    text, part = row.text[0], page.part
    starts, ends = {start for start, _ in row.words or ()}, {end for _, end in row.words or ()}
    for start, end, kind in words.given_spans(part.table, part.index(row), part.roles, text):
        given = text[start:end]
        bare_start = start + len(given) - len(given.lstrip())
        bare_end = end - len(given) + len(given.rstrip())
        if bare_start not in starts or bare_end not in ends:
            what = f"the {kind} '{given}' at {start} to {end} cuts a word; it is widened"
            page.warn("cut_word", what, "move its ends to the borders of words", row.number, start=start, end=end)
        if given != given.strip():
            what = f"the {kind} '{given}' begins or ends with a blank"
            page.note("border", what, "leave the blank outside", row.number, entity=given)
