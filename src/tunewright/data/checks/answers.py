"""answers: of questions on contexts; where they stand, whether a window holds them, whether they contradict."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from .. import questions
from ..desk import EVERY, Desk, Part
from ..ledger import normalised
from ..row import Row
from .base import Check, Notebook

MOST = 1_000_000  # questions that are compared with each other
FEWEST = 50  # answers before anything is said of their places
ABSENT = "is not in the context"


class Answers(Check):
    """Looks at the answers of extractive questions."""

    title: ClassVar[str] = "answers in their contexts"
    tasks: ClassVar[tuple[str, ...]] = ("question_answering",)

    kind: Literal["answers"] = "answers"
    longest: int = Field(30, ge=1, description="words of an answer before it is doubted")
    first_tenth: float = Field(0.4, gt=0.1, lt=1, description="of the answers in the first tenth of their context")
    difference: float = Field(0.2, gt=0, lt=1, description="of the shares without answer in train and another part")

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts["answers"] = {}
        for part in desk.parts.values():
            tell_unusable(part, notebook)
            facts[part.name] = self.read(desk, part, notebook)
        self.compare(desk, facts, notebook)
        for part in desk.parts.values():
            facts[part.name]["windows"] = look_through_windows(desk, part, notebook)

    def read(self, desk: Desk, part: Part, notebook: Notebook) -> dict[str, Any]:
        """One pass over a part."""
        known: dict[int, tuple[int, frozenset[int]]] = {}  # question and context: row and answers, as hashes
        places, shifts, mended = array("f"), Counter[int](), Counter[str]()
        total = without = 0
        for row in desk.each(part, "answers"):
            total, without = total + 1, without + (not row.label)
            self.look_at(row, part, notebook)
            mended.update(row.mended)
            if questions.MOVED in row.mended:
                shifts.update(tell_moved(part, row, notebook))
            compare_with_known(row, known, part, notebook)
            places.extend(start / max(len(row.text[1]) - len(text), 1) for start, text in row.label[:1])
        self.look_at_places(places, part, notebook)
        return {"rows": total, "rows_without": without, "mended": dict(mended),
                "shifts": {str(shift): count for shift, count in shifts.most_common(5)},
                "places": np.histogram(places, 10, (0, 1))[0].tolist()}  # fmt: skip

    def look_at(self, row: Row, part: Part, notebook: Notebook) -> None:
        number, column = row.number, part.roles.text[0]
        if len(row.text[0].split()) < 2:
            what = f"the question is '{row.text[0]}'"
            notebook.add("answers.short_question", "note", what, "write a whole question", part, number, column)
        size = max((len(text.split()) for _, text in row.label), default=0)
        if size > self.longest:
            what, remedy = f"an answer of {size} words", "mark the shortest stretch that answers"
            notebook.add("answers.long", "note", what, remedy, part, number, words=size)
        if questions.FIRST_OF_SEVERAL in row.mended:
            what = "the answer stands at several places of its context, the first is taken"
            notebook.add("answers.place_unknown", "warning", what, "give its answer_start", part, number)

    def look_at_places(self, places: Sequence[float], part: Part, notebook: Notebook) -> None:
        """Models learn where answers stand (Ko et al. 2020, "Look at the First Sentence")."""
        if len(places) < FEWEST:
            return
        ordered = np.sort(places)
        distance = float(np.abs(ordered - np.linspace(0, 1, len(ordered))).max())  # Kolmogorov-Smirnov
        share = float((ordered < 0.1).mean())
        if share >= self.first_tenth:
            what = f"{share:.0%} of the answers stand in the first tenth of their context (KS {distance:.2f})"
            remedy = "give questions on later sentences too; a model learns the place instead of the answer"
            notebook.add("answers.place_bias", "warning", what, remedy, part, share=share, distance=distance)

    def compare(self, desk: Desk, facts: dict[str, Any], notebook: Notebook) -> None:
        shares = {name: found["rows_without"] / max(found["rows"], 1) for name, found in facts.items()}
        for part in desk.held_out:
            share, train = shares[part.name], shares["train"]
            if abs(share - train) > self.difference:
                what = f"{share:.0%} of the questions have no answer, in train {train:.0%}"
                remedy = "draw both from the same source, or mix them alike"
                notebook.add("answers.share_without", "warning", what, remedy, part, share=share, train=train)


def tell_unusable(part: Part, notebook: Notebook) -> None:
    """Of the rows that can't be read: answers that are nowhere in their context, questions that are empty."""
    question, answer = part.roles.text[0], part.roles.label[0]
    for number, reason in part.unusable:
        what = f"{reason}"
        if ABSENT in reason:
            remedy = "copy the answer from the context, letter by letter"
            notebook.add("answers.absent", "warning", what, remedy, part, number, answer)
        elif f"column {question!r} is empty" in reason:
            notebook.add("answers.empty_question", "warning", what, "ask one, or drop the row", part, number, question)


def tell_moved(part: Part, row: Row, notebook: Notebook) -> Iterator[int]:
    """How far answers stand from where the file says."""
    column = part.roles.label[0]
    for given, found, text in moved(part, row):
        what = f"'{text[:40]}' is not at {given}, but at {found}"
        remedy = "count characters of the context from 0, after all cleaning"
        notebook.add("answers.offset", "warning", what, remedy, part, row.number, column, given=given, found=found)
        yield found - given


def moved(part: Part, row: Row) -> Iterator[tuple[int, int, str]]:
    """(given, found, answer)"""
    index, (column, *others) = bisect_left(part.table.numbers, row.number), part.roles.label
    record = part.table.rows[index]
    start_cell = record[others[0]] if others else None
    for text, start in questions.pairs(record[column], start_cell, part.table, index, column):
        if start is not None and text.strip() and not row.text[1].startswith(text, start):
            found, bare = questions.placed(text, start, row.text[1], set(), "")
            yield start, found, bare


def compare_with_known(row: Row, known: dict[int, tuple[int, frozenset[int]]], part: Part, notebook: Notebook) -> None:
    """The same question on the same context, whose answers have nothing in common."""
    key = hash((normalised(row.text[:1]), row.text[1]))
    answers = frozenset(hash(normalised((text,))) for _, text in row.label)
    if key not in known and len(known) == MOST:
        return
    number, others = known.setdefault(key, (row.number, answers))
    if answers.isdisjoint(others) and (answers or others):
        shown = row.text[0][:60]
        what = f"'{shown}' is asked of the same context as in row {number}, but answered otherwise"
        remedy = "keep one, or give both rows all answers"
        notebook.add("answers.contradiction", "warning", what, remedy, part, row.number, other=number)


def look_through_windows(desk: Desk, part: Part, notebook: Notebook) -> dict[str, Any]:
    """Answers of the sample that no window holds whole: training takes them for unanswerable."""
    if desk.tokenizer is None or desk.max_length is None:
        return {"skipped": "no tokenizer is known"}
    from ..pairs import ContextEncoder

    task: Any = desk.task
    encoder = ContextEncoder(desk.tokenizer, desk.max_length, task.window_overlap)
    places, done, counts = iter(desk.sample(part)), 0, Counter[str]()
    while chunk := [part.rows[place] for place in islice(places, EVERY)]:
        desk.progress(f"windows: {part.name}", done, len(part.rows))
        done += len(chunk)
        for row, encoded in zip(chunk, encoder([row.text for row in chunk]), strict=True):
            faults = Counter[str]()
            found = task.targets(row, encoded.places, faults)
            counts["answered"] += bool(row.label)
            if faults and not found.any():
                counts["outside"] += 1
                tell_outside(row, len(encoded.windows), desk.max_length, part, notebook)
            elif faults:
                counts["cut_token"] += 1
                what = f"the answer '{row.label[0][1][:40]}' begins or ends inside a token"
                remedy = "check where it begins and ends; what can be answered is the whole token"
                notebook.add("answers.cut_token", "note", what, remedy, part, row.number)
    return dict(counts)


def tell_outside(row: Row, num_windows: int, max_length: int, part: Part, notebook: Notebook) -> None:
    shown = row.label[0][1]
    what = f"none of {num_windows} windows of {max_length} tokens holds the answer '{shown[:40]}'"
    remedy = "raise data.max_length or task.window_overlap"
    notebook.add("answers.outside_windows", "warning", what, remedy, part, row.number, windows=num_windows)
