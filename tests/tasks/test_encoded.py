"""Features in flat arrays, in parts and from the cache are those of the whole split at once."""

from __future__ import annotations

import json
from functools import partial
from itertools import pairwise
from mmap import mmap

import numpy as np
import pytest

from tests.conftest import WORDS, make_tokenizer
from tunewright.data.row import Row
from tunewright.errors import DataError
from tunewright.tasks import encoded as flat
from tunewright.tasks import encoding
from tunewright.tasks.base import Encoded, Features
from tunewright.tasks.encoded import Flat
from tunewright.tasks.question_answering import QuestionAnswering
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.tasks.token_classification import TokenClassification

TEXTS = [" ".join(WORDS[place % 7 :][: place % 11 + 1]) for place in range(40)]
LABELS = ("a", "b")
PAIRED = make_tokenizer()
PAIRED.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]


def words_of(text: str) -> tuple[tuple[int, int], ...]:
    ends = np.cumsum([len(word) + 1 for word in text.split()]) - 1
    return tuple(zip([0, *(ends[:-1] + 1).tolist()], ends.tolist(), strict=True))


SINGLE = [Row(place + 2, (text,), LABELS[place % 2]) for place, text in enumerate(TEXTS)]
SPLITS = {
    "windows": (SequenceClassification(labels=LABELS, long_text="windows", window_overlap=1), SINGLE),
    "several labels": (
        SequenceClassification(labels=LABELS, multi_label=True),
        [Row(row.number, row.text, (row.label,)) for row in SINGLE],
    ),
    "pairs": (
        SequenceClassification(labels=LABELS),
        [Row(row.number, ("red box", *row.text), row.label) for row in SINGLE],
    ),
    "no labels": (SequenceClassification(labels=LABELS), [Row(row.number, row.text) for row in SINGLE]),
    "words": (
        TokenClassification(labels=("x",), scheme="IOB2", window_overlap=1),
        [Row(row.number, row.text, ((0, 1, "x"),), words_of(row.text[0])) for row in SINGLE],
    ),
    "spans": (
        QuestionAnswering(no_answer=False, window_overlap=1),
        [Row(row.number, ("box", row.text[0]), ((0, row.text[0].split()[0]),)) for row in SINGLE],
    ),
}


def plain(features) -> list:
    """Features as values that can be compared."""
    as_list = lambda value: value.tolist() if isinstance(value, np.ndarray) else value  # noqa: E731
    fields = ("row", "windows", "types", "label", "truncated", "num_words", "prompt")
    return [
        [*(as_list(getattr(item, name)) for name in fields), [as_list(part) for part in item.places or ()]]
        for item in features
    ]


def whole_of(name: str) -> Encoded:
    task, rows = SPLITS[name]
    return task.encode(rows, PAIRED if name in ("pairs", "spans") else make_tokenizer(), 8)


@pytest.mark.parametrize("name", SPLITS)
def test_flat_features_are_the_features(name):
    whole = whole_of(name)
    made = Flat.of(iter(whole.features))
    assert plain(made) == plain(whole.features)
    assert plain(made[3:5]) == plain(whole.features[3:5])
    assert plain([made[-1]]) == plain(whole.features[-1:])
    kept = Encoded(made)
    for numbers in ("lengths", "num_tokens", "num_windows", "cut", "truncated"):
        assert np.array_equal(getattr(kept, numbers), getattr(whole, numbers))
    assert kept.lengths.tolist() == [item.length for item in whole.features]
    assert kept.num_tokens.tolist() == [item.num_tokens for item in whole.features]
    with pytest.raises(IndexError):
        made[len(whole.features)]


def test_weights_of_every_window_stay_with_their_window():
    weights = [np.arange(3, dtype=np.float32), np.ones(2, dtype=np.float32)]
    (made,) = Flat.of([Features(5, [[7, 8, 9], [9, 4]], None, weights, prompt=1)])
    assert [part.tolist() for part in made.label] == [[0, 1, 2], [1, 1]]
    assert (made.row, made.prompt, made.label[0].dtype) == (5, 1, np.float32)


def test_no_features_are_no_features():
    assert list(Encoded(Flat.of([])).features) == []
    assert Encoded([]).lengths.tolist() == []


@pytest.mark.parametrize("name", ["words", "spans"])
def test_large_columns_lie_on_disk(name, monkeypatch):
    whole = whole_of(name)
    monkeypatch.setattr(flat, "LARGE", 100)
    monkeypatch.setattr(flat, "TOGETHER", 3)
    made = Flat.of(whole.features)
    assert plain(made) == plain(whole.features)
    base = made.columns["ids"]
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap)


def test_a_full_temporary_folder_is_told(monkeypatch):
    def full(*rest, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(flat, "LARGE", 100)
    monkeypatch.setattr(flat.tempfile, "TemporaryFile", full)
    with pytest.raises(DataError, match="No space left on device; free space there"):
        Flat.of(whole_of("windows").features)


# --- in parts, and once ---------------------------------------------------------------------------------------------


def encode(name: str = "windows", rows=None, task=None, max_length: int = 8, **more) -> Encoded:
    known, listed = SPLITS[name]
    rows = listed if rows is None else rows
    origin = {"rows": [(row.text, row.label) for row in rows]}
    tokenizer = PAIRED if name in ("pairs", "spans") else make_tokenizer()
    return encoding.encode(task or known, rows, tokenizer, max_length, lambda: origin, **more)


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("limit", [("PART", 7), ("CHARACTERS", 100)])
def test_a_split_that_is_encoded_in_parts_is_the_same(name, limit, monkeypatch):
    monkeypatch.setattr(encoding, *limit)
    whole, seen = whole_of(name), []
    made = encode(name, show=lambda done, total: seen.append((done, total)))
    assert plain(made.features) == plain(whole.features)
    assert (made.faults, made.counts) == (whole.faults, whole.counts)
    assert len(seen) > 4
    assert seen[-1] == (40, 40)
    assert all(before < after for before, after in pairwise(seen))


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """Rows of each call of a task's `encode`; every split counts as large."""
    found: list[int] = []
    monkeypatch.setattr(encoding, "MUCH", 0)
    for task in {type(task) for task, _ in SPLITS.values()}:
        real = task.encode
        monkeypatch.setattr(
            task, "encode", lambda self, rows, *rest, real=real: found.append(len(rows)) or real(self, rows, *rest)
        )
    return found


@pytest.mark.parametrize("name", SPLITS)
def test_a_large_split_is_encoded_once(name, calls):  # N7
    first = encode(name)
    assert calls == [40]
    again = encode(name)
    assert calls == [40]
    assert plain(again.features) == plain(first.features)
    assert (again.faults, again.counts) == (first.faults, first.counts)


OTHER = {
    "row": {"rows": [Row(2, ("red box",), "a"), *SINGLE[1:]]},
    "label": {"rows": [Row(2, SINGLE[0].text, "b"), *SINGLE[1:]]},
    "length": {"max_length": 9},
    "task": {"task": SequenceClassification(labels=LABELS, long_text="head_tail")},
}


@pytest.mark.parametrize("what", OTHER)
def test_what_changes_the_tokens_is_encoded_anew(what, calls):  # N7
    encode()
    made = encode(**OTHER[what])
    assert calls == [40, 40]
    assert plain(made.features) != plain(whole_of("windows").features)


def test_other_code_encodes_anew(calls, monkeypatch):  # N7
    encode()
    monkeypatch.setattr(encoding, "code", lambda: ["another"])
    encode()
    assert calls == [40, 40]


def test_small_splits_are_not_kept(calls, monkeypatch, cache_files):
    monkeypatch.setattr(encoding, "MUCH", 10**6)
    encode()
    assert cache_files() == []


@pytest.fixture
def cache_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path))
    return lambda: sorted(path for path in tmp_path.rglob("*") if path.is_file())


def cut_short(files):
    ids = next(path for path in files if path.name == "ids.npy")
    ids.write_bytes(ids.read_bytes()[:-8])


def of_another_split(files):
    counts = next(path for path in files if path.name == "num_windows.npy")
    np.save(counts, np.load(counts)[:-1])


def without(name, files):
    next(path for path in files if path.name == name).unlink()


def no_words(files):
    counts = next(path for path in files if path.name == "counts.json")
    counts.write_text(json.dumps({"shapes": {}}))


@pytest.mark.parametrize(
    "spoil", [cut_short, of_another_split, partial(without, "label.npy"), partial(without, "counts.json"), no_words]
)
def test_a_spoilt_cache_is_not_used(spoil, calls, cache_files):
    whole = whole_of("windows").features
    calls.clear()
    encode()
    spoil(cache_files())
    for _ in range(2):  # it is mended too
        assert plain(encode().features) == plain(whole)
    assert calls == [40, 40]


def test_a_full_disk_costs_only_the_cache(calls, cache_files, monkeypatch):
    def full(*rest, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encoding.np, "save", full)
    assert plain(encode().features) == plain(whole_of("windows").features)
    assert cache_files() == []


def test_a_process_that_comes_second_takes_what_is_there(calls, cache_files, monkeypatch):
    real = encoding.store

    def late(folder, made):
        real(folder, made)  # the other process was here meanwhile
        real(folder, made)

    monkeypatch.setattr(encoding, "store", late)
    first = encode()
    assert plain(encode().features) == plain(first.features)
    assert calls == [40]
    assert not [path for path in cache_files() if ".tmp" in str(path)]
