"""shift: whether held-out rows (later, production) look like the training rows: length, words, labels, a classifier."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .. import probe
from ..desk import Desk, Part
from ..row import Row
from .base import Check, Notebook, Page

WORD = re.compile(r"\w+")
ENCODED = 200  # rows of train from which on an encoder is worth loading: words tell as much of fewer
CHANCE = 1e-3  # p from which on a difference may be chance, however large it is
REMEDY = "find out what differs; train on rows like those that will be served, or split anew"


class Shift(Check):
    """Compares train with each held-out part. Noise is not reported: every finding is both large and significant."""

    title: ClassVar[str] = "shift"
    cost: ClassVar[int] = 2

    kind: Literal["shift"] = "shift"
    auc: float = Field(0.6, gt=0.5, lt=1, description="of a classifier that tells train from the other part")
    length: float = Field(0.2, gt=0, lt=1, description="Kolmogorov-Smirnov distance of the lengths")
    unseen: float = Field(0.05, gt=0, lt=1, description="share of words unseen in train, beyond train's own")
    labels: float = Field(0.1, gt=0, lt=1, description="Cramer's V of the labels")
    min_rows: int = Field(30, ge=10, description="of a part")
    most_rows: int = Field(4000, ge=100, description="of each part, for the classifier")

    def cannot(self, desk: Desk) -> str | None:
        if not others(desk):
            return "there is no other part to compare train with"
        least = min(len(desk.train.rows), max(len(part.rows) for part in others(desk)))
        return f"{least} rows are too few; {self.min_rows} are needed in each part" if least < self.min_rows else None

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts[self.kind] = {}
        train = sampled(desk, desk.train)
        for part in others(desk):
            few = len(part.rows) < self.min_rows
            page = Page(notebook, self.kind, part)
            facts[part.name] = {"too_few_rows": len(part.rows)} if few else self.compare(desk, train, page)

    def compare(self, desk: Desk, train: list[Row], page: Page) -> dict[str, Any]:
        part = page.part
        other = sampled(desk, part)
        found = {"characters": self.compare_lengths("characters", characters(train), characters(other), page)}
        if desk.tokenizer is not None:
            lengths = (tokens(desk, desk.train), tokens(desk, part))
            found["tokens"] = self.compare_lengths("tokens", *lengths, page)
        found["vocabulary"] = self.compare_words(desk, train, other, page)
        if desk.task.kind == "sequence_classification" and part is not desk.production:
            found["labels"] = self.compare_labels(desk, train, other, page)
        found["classifier"] = self.classify(desk, train, other, page)
        return found

    def compare_lengths(self, unit: str, first: Sequence[int], second: Sequence[int], page: Page) -> dict[str, Any]:
        from scipy.stats import ks_2samp

        test = ks_2samp(first, second, method="asymp")
        medians = [float(np.median(lengths)) for lengths in (first, second)]
        distance = float(test.statistic)
        if distance > self.length and test.pvalue < CHANCE:
            what = f"texts of {medians[1]:,.0f} {unit} in the median, of {medians[0]:,.0f} in train"
            page.warn("length", what, REMEDY, unit=unit, distance=distance, medians=medians)
        return {"distance": distance, "p": float(test.pvalue), "medians": medians}

    def compare_words(self, desk: Desk, train: list[Row], other: list[Row], page: Page) -> dict[str, Any]:
        """Unseen words beside those of a fifth of train that the rest of train lacks: new words are never all gone."""
        held = np.random.default_rng([desk.seed, 41]).random(len(train)) < 0.2
        inner = [row for row, out in zip(train, held, strict=True) if not out]
        own, _ = unseen(inner, [row for row, out in zip(train, held, strict=True) if out])
        share, new = unseen(train, other)
        if share - own > self.unseen:
            top = ", ".join(f"'{word}'" for word, _ in new[:5])
            what = f"{share:.1%} of its words are not in train ({own:.1%} within train): {top}"
            page.warn("vocabulary", what, REMEDY, share=share, within_train=own)
        return {"unseen": share, "within_train": own, "new_words": [[word, count] for word, count in new[:20]]}

    def compare_labels(self, desk: Desk, train: list[Row], other: list[Row], page: Page) -> dict[str, Any]:
        from scipy.stats import chi2_contingency

        counts = [Counter(label for row in rows for label in desk.task.counted(row)) for rows in (train, other)]
        names = sorted(set(counts[0]) | set(counts[1]))
        table = np.array([[count[name] for name in names] for count in counts])
        if len(names) < 2 or not table.sum(1).all():
            return {}
        p = float(chi2_contingency(table).pvalue)
        size = float((chi2_contingency(table, correction=False).statistic / table.sum()) ** 0.5)  # Cramer's V, two rows
        shares = table / table.sum(1, keepdims=True)
        largest = int(np.abs(shares[1] - shares[0]).argmax())
        if size > self.labels and p < CHANCE:
            before, after = shares[:, largest]
            what = f"other shares of labels than in train: {names[largest]!r} {before:.1%}, now {after:.1%}"
            page.warn("labels", what, REMEDY, effect=size, p=p, label=names[largest])
        return {"effect": size, "p": p, "most_changed": names[largest]}

    def classify(self, desk: Desk, train: list[Row], other: list[Row], page: Page) -> dict[str, Any]:
        """A two-sample test by a classifier (Lopez-Paz and Oquab 2017), by its AUC on held-out folds."""
        parts, both = (desk.train, page.part), (train, other)
        draws = [self.drawn(desk, part, rows) for part, rows in zip(parts, both, strict=True)]
        texts = [rows[place].text for rows, places in zip(both, draws, strict=True) for place in places]
        is_other = np.repeat([0, 1], [len(places) for places in draws])
        words, names = probe.word_features(texts)
        seen: list[Any] = [words]
        if desk.encoder is not None and len(train) >= ENCODED:
            features = [desk.features(part)[places] for part, places in zip(parts, draws, strict=True)]
            seen.append(np.concatenate(features))
        show = lambda done, total: desk.progress(f"shift: {page.part.name}", done, total)  # noqa: E731
        judged = probe.consensus(seen, is_other, 2, seed=desk.seed, progress=show)[:, 1]
        auc, low, high = auc_interval(judged[is_other == 1], judged[is_other == 0])
        facts: dict[str, Any] = {"auc": auc, "low": low, "high": high, "rows": [len(places) for places in draws]}
        if auc > self.auc and low > 0.5:
            facts["words"] = telling = telling_words(words, names, is_other)
            what = f"differs from train: a classifier tells them apart with an AUC of {auc:.2f}"
            what += f" ({low:.2f} to {high:.2f}); by {', '.join(map(repr, telling['other'][:5]))}"
            page.warn("classifier", what, REMEDY, auc=auc, low=low, high=high, words=telling)
        return facts

    def drawn(self, desk: Desk, part: Part, rows: list[Row]) -> NDArray[np.int64]:
        """Places of the rows that are classified; one of each group, or the group itself would be recognised."""
        first: dict[Any, int] = {}
        for place, row in enumerate(rows):
            group = desk.group_of(part, row)
            first.setdefault(place if group is None else group, place)
        places = np.fromiter(first.values(), dtype=np.int64)
        if len(places) <= self.most_rows:
            return places
        return np.sort(np.random.default_rng([desk.seed, 42]).choice(places, self.most_rows, replace=False))


def others(desk: Desk) -> list[Part]:
    """What train is compared with."""
    return [*desk.held_out, *([desk.production] if desk.production else [])]


def sampled(desk: Desk, part: Part) -> list[Row]:
    return [row for rows in desk.chunks(part, "shift: reading") for row in rows]


def characters(rows: list[Row]) -> list[int]:
    return [sum(map(len, row.text)) for row in rows]


def tokens(desk: Desk, part: Part) -> list[int]:
    """Tokens of each sampled row's text or texts, special ones left out."""

    def count() -> list[int]:
        made: list[int] = []
        for rows in desk.chunks(part, "shift: tokens of"):
            texts = ["\n".join(row.text) for row in rows]
            made += [len(ids) for ids in desk.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]]
        return made

    found: list[int] = desk.once(("shift tokens", part.name), count)
    return found


def words_of(row: Row) -> list[str]:
    return WORD.findall(" ".join(row.text).lower())


def unseen(known: list[Row], asked: list[Row]) -> tuple[float, list[tuple[str, int]]]:
    """The share of words (each time they stand there) that the known rows lack, and the most frequent of them."""
    vocabulary = {word for row in known for word in words_of(row)}
    counts = Counter(word for row in asked for word in words_of(row))
    new = Counter({word: count for word, count in counts.items() if word not in vocabulary})
    return new.total() / max(counts.total(), 1), new.most_common(20)


def telling_words(words: Any, names: list[str], is_other: probe.Ints) -> dict[str, list[str]]:
    """The words and pairs whose weights in a linear classifier, times their deviation, are the largest: ten a side."""
    fitted = probe.fit(words, is_other, 2, strength=0.1)
    deviation = np.sqrt(np.asarray(words.multiply(words).mean(0)).ravel())
    weight = (fitted.weight[:, 1] - fitted.weight[:, 0]) * deviation
    order = np.argsort(weight)
    return {"other": [names[at] for at in order[::-1][:10] if weight[at] > 0],
            "train": [names[at] for at in order[:10] if weight[at] < 0]}  # fmt: skip


def auc_interval(positive: probe.Floats, negative: probe.Floats, width: float = 2.58) -> tuple[float, float, float]:
    """Area under the ROC curve with its 99 % interval (DeLong et al. 1988, by placements)."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[: len(positive)] - rankdata(positive)) / len(negative)  # share of the negatives below each positive
    below = 1 - (ranks[len(positive) :] - rankdata(negative)) / len(positive)
    auc = float(above.mean())
    error = float((above.var(ddof=1) / len(positive) + below.var(ddof=1) / len(negative)) ** 0.5)
    return auc, max(auc - width * error, 0.0), min(auc + width * error, 1.0)
