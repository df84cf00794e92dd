"""Where new rows are made: text by text, read back by the task, and sifted; in parts, so that files may be large."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from ..data.augment import quotas
from ..data.augment.base import Aids, Augmenter, Changed, Edit, Editing, Rewriting, applied, relocated
from ..data.augment.sieve import Copies, Judge, around, cosines, hardly_rewritten
from ..data.augment.slots import Record
from ..data.desk import Encoder
from ..data.row import Row
from ..data.table import is_missing
from ..training.progress import Listener
from .making import Job, Made, Tally, read_back, slots
from .reading import Opened

ORIGINAL = "original"
PART = 512  # new rows that are made and judged together
TURNS = 30  # rounds through the rows; what is lacking then stays lacking
TRIES, FEW = 4, 20  # rows made at most for each that is due, and a few more: a model's answers may cost money
PROBED = 20_000  # originals that the probe is fitted on
EXAMPLES = 100  # texts of a label that new ones may be written after

UNANSWERED = "no answer from the model"
SENSE = "another sense"
LOST = "entities or numbers lost"
ENOUGH = f"{quotas.MOST} versions of a row"
DECODES = "label no longer decodes"
COPY = "near-copies"
FLIPPED = "label flipped (probe)"


@dataclass
class Workshop:
    """Makes new rows of a file's rows.

    Args:
        techniques: take turns.
        filtered: whether near-copies, texts of another sense and flipped labels are dropped.
        encoder: asked only where something is judged by features.
    """

    opened: Opened
    techniques: Sequence[Augmenter]
    aids: Aids
    seed: int
    filtered: bool
    encoder: Encoder
    listener: Listener
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    versions: Counter[int] = field(default_factory=Counter)  # new ones of the row at each place

    # --- which rows -----------------------------------------------------------------------------------------------

    def records(self, wanted: int, balance: bool, columns: tuple[str, str]) -> Iterator[Record]:
        """The originals, then up to `wanted` new rows, each with how and of which row it was made."""
        table, ids = self.opened.table, Counter[str]()
        for index, record in enumerate(table.rows):
            yield self.sourced(record, columns, ORIGINAL, table.numbers[index])
        self.tallies.update({item.kind: Tally() for item in self.techniques})
        for made in self.new(wanted, balance):
            kind = made.job.technique.kind
            record = renamed(made.record, kind, ids)
            yield self.sourced(record, columns, kind, made.row.number)

    def sourced(self, record: Record, columns: tuple[str, str], how: str, number: int) -> Record:
        """With its two new cells; in a file of tokens (CoNLL) a cell for each."""
        if columns[0].startswith("column_"):
            size = len(record[self.opened.roles.text[0]])
            return {**record, columns[0]: [how] * size, columns[1]: [str(number)] * size}
        return {**record, columns[0]: how, columns[1]: number}

    def new(self, wanted: int, balance: bool) -> Iterator[Made]:
        """New rows of every class, as many as it is due."""
        classes = self.classes(balance)
        counts = {label: len(places) for label, places in classes.items()}
        due = quotas.balanced(counts, wanted)
        done, total = 0, sum(due.values())
        for label, places in classes.items():
            jobs, left = islice(self.jobs(places), TRIES * due[label] + FEW), due[label]
            while left and (part := list(islice(jobs, min(left, PART)))):
                for made in self.kept(part):
                    yield made
                    left, done = left - 1, done + 1
                self.listener.progress("new rows", done, total)

    def classes(self, balance: bool) -> dict[Any, np.ndarray]:
        """Places of the rows of each class; of all rows together where classes play no role."""
        found: dict[Any, list[int]] = defaultdict(list)
        if not balance:
            return {None: np.arange(len(self.opened.rows))}
        for place, row in enumerate(self.opened.rows):
            found[row.label].append(place)
        return {label: np.array(places) for label, places in sorted(found.items(), key=lambda item: str(item[0]))}

    def jobs(self, places: np.ndarray) -> Iterator[Job]:
        """Every row once a turn, each time with another technique; rows of which there is enough are passed over."""
        order = np.random.default_rng([self.seed, 41]).permutation(places)
        for turn in range(TURNS):
            for number, place in enumerate(order):
                if self.versions[int(place)] < quotas.MOST - 1:
                    yield Job(int(place), self.techniques[(number + turn) % len(self.techniques)], turn)

    # --- making ---------------------------------------------------------------------------------------------------

    def kept(self, jobs: Sequence[Job]) -> list[Made]:
        """What becomes of some jobs."""
        rows = [self.opened.rows[job.place] for job in jobs]
        made = [Made(job, row, slots(self.opened, row), []) for job, row in zip(jobs, rows, strict=True)]
        self.edit([item for item in made if isinstance(item.job.technique, Editing)])
        self.rewrite([item for item in made if not isinstance(item.job.technique, Editing)])
        sound = [item for item in made if self.is_sound(item)]
        return [item for item in self.sifted(sound) if self.is_wanted(item)]

    def is_wanted(self, item: Made) -> bool:
        """Counts a row that is kept; not where there are enough versions of its row."""
        if self.versions[item.job.place] >= quotas.MOST - 1:
            self.drop(item, ENOUGH)
            return False
        self.versions[item.job.place] += 1
        self.tallies[item.job.technique.kind].kept += 1
        return True

    def drop(self, item: Made, reason: str) -> None:
        self.tallies[item.job.technique.kind].dropped[reason] += 1

    def edit(self, items: Sequence[Made]) -> None:
        """Changes texts here and there, where the words around keep their sense."""
        asked: list[tuple[Made, int, list[Edit]]] = []
        for item in items:
            technique = item.job.technique
            assert isinstance(technique, Editing)
            draw = random.Random(f"{self.seed}|{technique.kind}|{item.row.number}|{item.job.turn}")
            item.changed = [None] * len(item.slots)
            for place, slot in enumerate(item.slots):
                asked.append((item, place, technique.edits(slot.passage, draw, self.aids)))
        judged = {id(item) for item, _, edits in asked if edits and self.judges(item.job.technique)}
        for item, place, edits in self.sensible(asked):
            changed = applied(item.slots[place].passage, edits)
            item.changed[place] = changed if changed.edits else None
        for item in items:
            self.count(item, any(item.changed) or id(item) in judged)
            if not any(item.changed) and id(item) in judged:
                self.drop(item, SENSE)

    def judges(self, technique: Augmenter) -> bool:
        """Whether what a technique makes is compared with what it was made of."""
        return self.filtered and technique.least_cosine is not None

    def count(self, item: Made, changes: bool) -> None:
        tally = self.tallies[item.job.technique.kind]
        tally.made, tally.unchanged = tally.made + changes, tally.unchanged + (not changes)

    def sensible(self, asked: list[tuple[Made, int, list[Edit]]]) -> list[tuple[Made, int, list[Edit]]]:
        """The edits that keep the sense of the words around them, best first, where their technique asks for it."""
        judged = [
            (number, edit, item.job.technique.least_cosine, around(item.slots[place].passage, edit))
            for number, (item, place, edits) in enumerate(asked)
            for edit in edits
            if self.judges(item.job.technique)
        ]
        if not judged:
            return asked
        near = self.nearness([before for *_, (before, _) in judged], [after for *_, (_, after) in judged])
        good: dict[int, list[tuple[float, Edit]]] = {number: [] for number, *_ in judged}
        for (number, edit, least, _), cosine in zip(judged, near, strict=True):
            if cosine >= least:
                good[number].append((-float(cosine), edit))
        best = {number: [edit for _, edit in sorted(found)] for number, found in good.items()}
        return [(item, place, best.get(number, edits)) for number, (item, place, edits) in enumerate(asked)]

    def nearness(self, before: Sequence[str], after: Sequence[str]) -> Any:
        """(N,) cosines of the features of N texts and what became of them."""
        features = self.encoder([(text,) for text in (*before, *after)])
        return cosines(features[: len(before)], features[len(before) :])

    def rewrite(self, items: Sequence[Made]) -> None:
        groups: dict[tuple[str, int], list[Made]] = defaultdict(list)
        for item in items:
            groups[item.job.technique.kind, item.job.turn].append(item)
            item.changed = [None] * len(item.slots)
        for (_, turn), group in groups.items():
            self.rewrite_alike(group, turn)

    def rewrite_alike(self, items: Sequence[Made], turn: int) -> None:
        """Rows of one technique: all their texts are written in one go."""
        technique = items[0].job.technique
        assert isinstance(technique, Rewriting)
        asked = [(item, place, slot.passage) for item in items for place, slot in enumerate(item.slots)
                 if slot.rewritable and slot.passage.text.strip()]  # fmt: skip
        if technique.labelled:
            self.gather_examples()
        said = technique.rewrite([passage for _, _, passage in asked], self.aids, self.seed * TURNS + turn)
        found: dict[int, list[Changed | None]] = defaultdict(list)
        for (item, place, passage), text in zip(asked, said, strict=True):
            changed = (Changed(text, (), None) if technique.labelled else relocated(passage, text)) if text else None
            found[id(item)].append(changed)
            item.changed[place] = changed
        answered = {id(item) for (item, _, _), text in zip(asked, said, strict=True) if text}
        for item in items:
            self.count(item, id(item) in found)
            if id(item) in found and None in found[id(item)]:
                item.changed = [None] * len(item.slots)
                self.drop(item, LOST if id(item) in answered else UNANSWERED)

    def gather_examples(self) -> None:
        """Some texts of each label, once."""
        if self.aids.examples:
            return
        found: dict[Any, list[str]] = defaultdict(list)
        for place in np.random.default_rng([self.seed, 42]).permutation(len(self.opened.rows)):
            row = self.opened.rows[int(place)]
            if len(found[row.label]) < EXAMPLES:
                found[row.label].append(row.text[0])
        self.aids.examples = found

    def is_sound(self, item: Made) -> bool:
        """Writes the record and reads it back: whether its label says what it said."""
        if not any(item.changed):
            return False
        item.record = dict(self.opened.table.rows[self.opened.index(item.row)])
        pairs = zip(item.slots, item.changed, strict=True)
        if all(slot.put(item.record, changed) for slot, changed in pairs if changed is not None):
            item.read = read_back(self.opened, item.record, item.row)
        if item.read is None:
            self.drop(item, DECODES)
        return item.read is not None

    # --- sifting --------------------------------------------------------------------------------------------------

    def sifted(self, items: Sequence[Made]) -> list[Made]:
        if not self.filtered or not items:
            return list(items)
        new = [item for item in self.near_enough(items) if self.is_new(item)]
        return [item for item in self.unflipped(new) if self.is_first(item)]

    def near_enough(self, items: Sequence[Made]) -> list[Made]:
        """Without texts written anew that say something else (edits were judged one by one)."""
        judged = [
            (item, pair)
            for item in items
            if not isinstance(item.job.technique, Editing) and self.judges(item.job.technique)
            for pair in item.texts
        ]
        if not judged:
            return list(items)
        near = self.nearness([before for _, (before, _) in judged], [after for _, (_, after) in judged])
        far = {id(item): item for (item, _), cosine in zip(judged, near, strict=True)
               if cosine < (item.job.technique.least_cosine or -1)}  # fmt: skip
        for item in far.values():
            self.drop(item, SENSE)
        return [item for item in items if id(item) not in far]

    def is_new(self, item: Made) -> bool:
        """Whether there is no such text yet, in the file or among the new ones."""
        rewritten = not isinstance(item.job.technique, Editing)
        known = self.copies.has(copy_key(item.read)) or (
            rewritten and all(hardly_rewritten(*pair) for pair in item.texts)
        )
        if known:
            self.drop(item, COPY)
        return not known

    def is_first(self, item: Made) -> bool:
        """Whether no row that is kept has the text; the others made together with it are its copies then."""
        if self.copies.has(copy_key(item.read)):
            self.drop(item, COPY)
            return False
        self.copies.add(copy_key(item.read))
        return True

    @cached_property
    def copies(self) -> Copies:
        return Copies(copy_key(row) for row in self.opened.rows)

    def unflipped(self, items: Sequence[Made]) -> list[Made]:
        """Without rows whose text the probe takes for another label's, of classified texts."""
        if not items or self.judge is None:
            return list(items)
        features = self.encoder([item.read.text for item in items if item.read])
        strict = [
            getattr(item.job.technique, "labelled", False) for item in items
        ]  # nothing but the model vouches for it
        flipped = self.judge.flipped(features, [item.row.label for item in items], strict)
        for item, flip in zip(items, flipped, strict=True):
            if flip:
                self.drop(item, FLIPPED)
        return [item for item, flip in zip(items, flipped, strict=True) if not flip]

    @cached_property
    def judge(self) -> Judge | None:
        """Fitted on the originals, or on some of them; None where rows have no one label."""
        if not self.opened.classified:
            return None
        rows, count = self.opened.rows, len(self.opened.rows)
        drawn = np.random.default_rng([self.seed, 43]).permutation(count)[:PROBED]
        chosen = [rows[int(place)] for place in sorted(drawn)]
        show = lambda done, total: self.listener.progress("features of the originals", done, total)  # noqa: E731
        features = self.encoder([row.text for row in chosen], show)
        return Judge(features, [row.label for row in chosen], getattr(self.opened.task, "labels", ()))


def copy_key(row: Row | None) -> tuple[str, ...]:
    """The texts by which two rows are the same; of dialogues all turns, because many end alike."""
    assert row is not None  # it was read back
    return row.text if row.dialogue is None else tuple(str(turn.get("content", "")) for turn in row.dialogue.messages)


def renamed(record: Record, kind: str, used: Counter[str]) -> Record:
    """With an id of its own, where rows have ids: `PD-0007-typos`, `PD-0007-typos2`."""
    for name, value in record.items():
        if name.lower() == "id" and not is_missing(value):
            base = f"{value}-{kind}"
            used[base] += 1
            own = base if used[base] == 1 else f"{base}{used[base]}"
            return {**record, name: own if isinstance(value, str) else None}
    return record
