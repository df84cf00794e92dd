"""answers: of questions on contexts; where they stand, whether a window holds them, whether they contradict."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from .. import questions
from ..desk import Desk, Part
from ..ledger import normalised
from ..row import Row
from .base import Check, Notebook, Page

MOST = 1_000_000  # questions that are compared with each other
FEWEST = 50  # answers before anything is said of their places


class Answers(Check):
    """Looks at the answers of extractive questions."""

    title: ClassVar[str] = "answers in their contexts"
    tasks: ClassVar[tuple[str, ...]] = ("question_answering",)
    unusable: ClassVar[Mapping[str, tuple[str, str]]] = {
        "is not in the context": ("absent", "copy the answer from the context, letter by letter"),
        "is empty": ("empty_question", "ask one, or drop the row"),
    }

    kind: Literal["answers"] = "answers"
    longest: int = Field(30, ge=1, description="words of an answer before it is doubted")
    first_tenth: float = Field(0.4, gt=0.1, lt=1, description="of the answers in the first tenth of their context")
    difference: float = Field(0.2, gt=0, lt=1, description="of the shares without answer in train and another part")

    def run(self, desk: Desk, notebook: Notebook) -> None:
        super().run(desk, notebook)
        facts = notebook.facts[self.kind]
        shares = {name: found["rows_without"] / max(found["rows"], 1) for name, found in facts.items()}
        for part in desk.held_out:
            share, train = shares[part.name], shares["train"]
            if abs(share - train) > self.difference:
                what = f"{share:.0%} of the questions have no answer, in train {train:.0%}"
                remedy = "draw both from the same source, or mix them alike"
                Page(notebook, self.kind, part).warn("share_without", what, remedy, share=share, train=train)
        for part in desk.parts.values():
            facts[part.name]["windows"] = look_through_windows(desk, Page(notebook, self.kind, part))

    def look(self, desk: Desk, page: Page) -> dict[str, Any]:
        """One pass over a part."""
        known: dict[int, tuple[int, frozenset[int]]] = {}  # question and context: row and answers, as hashes
        places, shifts, mended = array("f"), Counter[int](), Counter[str]()
        total = without = 0
        for row in desk.each(page.part, "answers"):
            total, without = total + 1, without + (not row.label)
            self.look_at(row, page)
            mended.update(row.mended)
            if questions.MOVED in row.mended:
                shifts.update(tell_moved(row, page))
            compare_with_known(row, known, page)
            places.extend(start / max(len(row.text[1]) - len(text), 1) for start, text in row.label[:1])
        self.look_at_places(places, page)
        return {"rows": total, "rows_without": without, "mended": dict(mended),
                "shifts": {str(shift): count for shift, count in shifts.most_common(5)},
                "places": np.histogram(places, 10, (0, 1))[0].tolist()}  # fmt: skip

    def look_at(self, row: Row, page: Page) -> None:
        if len(row.text[0].split()) < 2:
            what, remedy = f"the question is '{row.text[0]}'", "write a whole question"
            page.note("short_question", what, remedy, row.number, page.part.roles.text[0])
        size = max((len(text.split()) for _, text in row.label), default=0)
        if size > self.longest:
            page.note("long", f"an answer of {size} words", "mark the shortest stretch that answers", row.number,
                      words=size)  # fmt: skip
        if questions.FIRST_OF_SEVERAL in row.mended:
            what = "the answer stands at several places of its context, the first is taken"
            page.warn("place_unknown", what, "give its answer_start", row.number)

    def look_at_places(self, places: Sequence[float], page: Page) -> None:
        """Models learn where answers stand (Ko et al. 2020, "Look at the First Sentence")."""
        if len(places) < FEWEST:
            return
        ordered = np.sort(places)
        distance = float(np.abs(ordered - np.linspace(0, 1, len(ordered))).max())  # Kolmogorov-Smirnov
        share = float((ordered < 0.1).mean())
        if share >= self.first_tenth:
            what = f"{share:.0%} of the answers stand in the first tenth of their context (KS {distance:.2f})"
            remedy = "give questions on later sentences too; a model learns the place instead of the answer"
            page.warn("place_bias", what, remedy, share=share, distance=distance)


def tell_moved(row: Row, page: Page) -> Iterator[int]:
    """How far answers stand from where the file says."""
    column = page.part.roles.label[0]
    for given, found, text in moved(page.part, row):
        what = f"'{text[:40]}' is not at {given}, but at {found}"
        remedy = "count characters of the context from 0, after all cleaning"
        page.warn("offset", what, remedy, row.number, column, given=given, found=found)
        yield found - given


def moved(part: Part, row: Row) -> Iterator[tuple[int, int, str]]:
    """(given, found, answer)"""
    index, (column, *others) = part.index(row), part.roles.label
    record = part.table.rows[index]
    start_cell = record[others[0]] if others else None
    for text, start in questions.pairs(record[column], start_cell, part.table, index, column):
        if start is not None and text.strip() and not row.text[1].startswith(text, start):
            found, bare = questions.placed(text, start, row.text[1], set(), "")
            yield start, found, bare


def compare_with_known(row: Row, known: dict[int, tuple[int, frozenset[int]]], page: Page) -> None:
    """The same question on the same context, whose answers have nothing in common."""
    key = hash((normalised(row.text[:1]), row.text[1]))
    answers = frozenset(hash(normalised((text,))) for _, text in row.label)
    if key not in known and len(known) == MOST:
        return
    number, others = known.setdefault(key, (row.number, answers))
    if answers.isdisjoint(others) and (answers or others):
        what = f"'{row.text[0][:60]}' is asked of the same context as in row {number}, but answered otherwise"
        page.warn("contradiction", what, "keep one, or give both rows all answers", row.number, other=number)


def look_through_windows(desk: Desk, page: Page) -> dict[str, Any]:
    """Answers of the sample that no window holds whole: training takes them for unanswerable."""
    if desk.tokenizer is None or desk.max_length is None:
        return {"skipped": "no tokenizer is known"}
    from ..pairs import ContextEncoder

    task: Any = desk.task
    encoder = ContextEncoder(desk.tokenizer, desk.max_length, task.window_overlap)
    counts = Counter[str]()
    for chunk in desk.chunks(page.part, "windows"):
        for row, encoded in zip(chunk, encoder([row.text for row in chunk]), strict=True):
            faults = Counter[str]()
            found = task.targets(row, encoded.places, faults)
            counts["answered"] += bool(row.label)
            if faults and not found.any():
                counts["outside"] += 1
                windows, shown = len(encoded.windows), row.label[0][1][:40]
                what = f"none of {windows} windows of {desk.max_length} tokens holds the answer '{shown}'"
                remedy = "raise data.max_length or task.window_overlap"
                page.warn("outside_windows", what, remedy, row.number, windows=windows)
            elif faults:
                counts["cut_token"] += 1
                what = f"the answer '{row.label[0][1][:40]}' begins or ends inside a token"
                remedy = "check where it begins and ends; what can be answered is the whole token"
                page.note("cut_token", what, remedy, row.number)
    return dict(counts)
