"""What the model is fed: `Features` of a row, `Encoded` of a split; and the flat arrays that large splits lie in."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from ..data.disk_rows import guarded

LARGE = 2**28  # bytes of a column that are held in memory; of more they lie in the temporary folder
TOGETHER = 4096  # features that are laid flat at once

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Features:
    """What the model is fed for one row.

    Args:
        row: index of the row in its split.
        windows: token ids; one list, or several where a long text is read in windows.
        types: token type ids of the windows, or None where the model has none.
        label: as the loss wants it: a number, an array, or an array (T,) for each window; None where unknown.
        truncated: tokens that did not fit.
        places: for each window what its T tokens stand for in the row: (T,) word numbers or (T, 2) character
            offsets, -1 where nothing is answered; None for tasks that answer for the row as a whole.
        num_words: of the row, where `places` speaks of words.
        prompt: tokens of the window before the last answer, for tasks that write answers.
    """

    row: int
    windows: list[list[int]]
    types: list[list[int]] | None
    label: Any
    truncated: int = 0
    places: list[Any] | None = None
    num_words: int = 0
    prompt: int = 0

    @property
    def length(self) -> int:
        return max(map(len, self.windows))

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.windows))


NUMBERS = ("row", "truncated", "num_words", "prompt")  # one of each row


def laid_flat(features: Sequence[Features]) -> Columns:
    """Columns of some features: of every row, of every window, of every token."""
    windows = [window for item in features for window in item.windows]
    found: Columns = {
        "ids": joined(windows, np.int32),
        "window_sizes": np.array([len(window) for window in windows], dtype=np.int32),
        "num_windows": np.array([len(item.windows) for item in features], dtype=np.int32),
        **{name: np.array([getattr(item, name) for item in features], dtype=np.int32) for name in NUMBERS},
    }
    first = features[0]
    if first.types is not None:
        found["types"] = joined([types for item in features for types in item.types or ()], np.uint8)
    if first.places is not None:
        found["places"] = joined([places for item in features for places in item.places or ()], np.int32)
    labels = [item.label for item in features]
    if isinstance(first.label, list):
        found["token_labels"] = joined([label for each in labels for label in each])
    elif isinstance(first.label, np.ndarray):
        found["labels"] = joined(labels)
        found["label_sizes"] = np.array([len(label) for label in labels], dtype=np.int64)
    elif first.label is not None:
        found["label"] = np.array(labels)
    return found


def joined(parts: Sequence[Any], dtype: Any = None) -> NDArray[Any]:
    """Lists or arrays one after another."""
    return np.concatenate([np.asarray(part, dtype=dtype) for part in parts])


class Column:
    """Arrays of one kind, one after another: in memory, or on disk once they are large."""

    def __init__(self) -> None:
        self.parts: list[NDArray[Any]] = []
        self.held = 0
        self.file: Any = None

    def add(self, part: NDArray[Any]) -> None:
        self.parts.append(part)
        self.held += part.nbytes
        if self.held > LARGE or self.file is not None:
            with guarded("the tokens of the data"):
                self.file = self.file or tempfile.TemporaryFile(prefix="tunewright-")  # noqa: SIM115
                for each in self.parts:
                    self.file.write(np.ascontiguousarray(each).data)
            self.parts = [part[:0]]

    def whole(self) -> NDArray[Any]:
        if self.file is None:
            return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)
        self.file.flush()
        like = self.parts[0]
        return np.asarray(np.memmap(self.file, like.dtype, "r")).reshape(-1, *like.shape[1:])


def gathered(parts: Iterable[Columns]) -> Columns:
    """The columns of parts that follow each other."""
    columns: dict[str, Column] = {}
    for part in parts:
        for name, values in part.items():
            columns.setdefault(name, Column()).add(values)
    return {name: column.whole() for name, column in columns.items()}


class Flat(Sequence[Features]):
    """Features that are made as they are asked for, from flat arrays: a million as objects take 4 GB, thus 0.2."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.windows, self.tokens = starts(columns["num_windows"]), starts(columns["window_sizes"])
        self.labels = starts(columns["label_sizes"]) if "label_sizes" in columns else None

    @classmethod
    def of(cls, features: Iterable[Features]) -> Self | list[Features]:
        """Features laid flat a few at a time; none are an empty list."""
        left = iter(features)
        columns = gathered(laid_flat(part) for part in iter(lambda: list(islice(left, TOGETHER)), []))
        return cls(columns) if columns else []

    def __len__(self) -> int:
        return len(self.columns["row"])

    @overload
    def __getitem__(self, place: int) -> Features: ...
    @overload
    def __getitem__(self, place: slice) -> list[Features]: ...
    def __getitem__(self, place: int | slice) -> Features | list[Features]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        columns = self.columns
        bounds = self.tokens[self.windows[place] : self.windows[place + 1] + 1].tolist()
        cut = lambda name: [columns[name][start:end] for start, end in pairwise(bounds)]  # noqa: E731
        row, truncated, num_words, prompt = (int(columns[name][place]) for name in NUMBERS)
        return Features(
            row,
            [window.tolist() for window in cut("ids")],
            [types.tolist() for types in cut("types")] if "types" in columns else None,
            cut("token_labels") if "token_labels" in columns else self.label(place),
            truncated,
            cut("places") if "places" in columns else None,
            num_words,
            prompt,
        )

    def __iter__(self) -> Iterator[Features]:
        return (self[place] for place in range(len(self)))

    def label(self, place: int) -> Any:
        if self.labels is not None:
            return self.columns["labels"][self.labels[place] : self.labels[place + 1]]
        return self.columns["label"][place].item() if "label" in self.columns else None


def starts(sizes: NDArray[Any]) -> NDArray[np.int64]:
    """(N + 1,) where each of the N begins, and the end."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


@dataclass(frozen=True)
class Encoded:
    """The features of a split.

    Args:
        features: (N,)
        faults: what encoding could not do with it: a phrase for each kind, and how often.
        counts: what else is worth knowing of it, for the ledger.
    """

    features: Sequence[Features]
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of_parts(cls, parts: Iterable[Encoded]) -> Encoded:
        """Parts of a split that follow each other, as one, in flat arrays; rows are numbered anew."""
        faults, counts, done = Counter[str](), Counter[str](), 0

        def columns() -> Iterator[Columns]:
            nonlocal done
            for part in parts:
                faults.update(part.faults)
                counts.update(part.counts)
                found = laid_flat(part.features)
                found["row"] += done
                done += len(part.features)
                yield found

        return cls(Flat(gathered(columns())), faults, counts)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each row's longest window."""
        sizes, starting = self.sizes
        return np.maximum.reduceat(sizes, starting) if len(starting) else sizes

    @cached_property
    def num_tokens(self) -> NDArray[np.int64]:
        """(N,) tokens of each row."""
        sizes, starting = self.sizes
        return np.add.reduceat(sizes, starting) if len(starting) else sizes

    @cached_property
    def num_windows(self) -> NDArray[np.int64]:
        """(N,) windows of each row."""
        if isinstance(self.features, Flat):
            return self.features.columns["num_windows"].astype(np.int64)
        return np.array([len(item.windows) for item in self.features], dtype=np.int64)

    @cached_property
    def cut(self) -> NDArray[np.int64]:
        """(N,) tokens of each row that did not fit."""
        if isinstance(self.features, Flat):
            return np.asarray(self.features.columns["truncated"])
        return np.array([item.truncated for item in self.features], dtype=np.int64)

    @property
    def sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(W,) tokens of all windows, (N,) which is each row's first."""
        if isinstance(self.features, Flat):
            return self.features.columns["window_sizes"].astype(np.int64), self.features.windows[:-1]
        sizes = [len(window) for item in self.features for window in item.windows]
        return np.array(sizes, dtype=np.int64), starts(self.num_windows)[:-1]

    @property
    def truncated(self) -> int:
        return int((self.cut > 0).sum())
