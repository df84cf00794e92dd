"""Preview: what is shown is what the batches hold, for every task."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import tunewright.run
from tests.conftest import make_tokenizer
from tunewright import models
from tunewright.config import load
from tunewright.data import words
from tunewright.data.spans import NULL
from tunewright.errors import DataError
from tunewright.preview import prepare
from tunewright.tasks.token_classification import IGNORED

TAGGED = [
    {
        "tokens": ["red", "parcel", "late", "blue", "box", "money"],
        "tags": ["O", "B-thing", "O", "B-thing", "I-thing", "O"],
    },
    {"tokens": ["app", "login"], "tags": ["B-app", "O"]},
    {"tokens": ["door"] * 30, "tags": ["B-thing", "I-thing", "O"] * 10},
]
QUESTIONS = [
    {
        "question": "one red",
        "context": "parcel " * 30 + "blue box door",
        "answers": {"text": ["blue box"], "answer_start": [210]},
    },
    {"question": "two", "context": "late money", "answers": {"text": [], "answer_start": []}},
]


def write(path: Path, rows: list) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def previewed(model: str, file: str, task: object = None, **data):
    raw = {"model": model, "data": {"train": file, "test_share": 0, "validation_share": 0} | data}
    return prepare(load(raw | ({"task": task} if task else {})))


def batch_of(preview, number: int):
    name, place = preview.owned[number]
    return preview.task.collate([preview.encoded[name].features[place]], preview.tokenizer)


@pytest.fixture
def tagged(tmp_path) -> str:
    return write(tmp_path / "tagged.jsonl", TAGGED)


@pytest.fixture
def questions(tmp_path) -> str:
    return write(tmp_path / "questions.jsonl", QUESTIONS)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory, tiny) -> str:
    """The tiny model with a tokenizer that cuts words into letters."""
    import shutil

    from tokenizers import models as kinds

    folder = tmp_path_factory.mktemp("pieces")
    shutil.copytree(tiny, folder, dirs_exist_ok=True)
    tokenizer = make_tokenizer()
    letters = {letter: 4 + place for place, letter in enumerate("abcdefgilmnoprtwuxy")}
    vocab = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3} | letters | {f"##{k}": 30 + v for k, v in letters.items()}
    tokenizer.backend_tokenizer.model = kinds.WordPiece(vocab, unk_token="[UNK]")
    tokenizer.save_pretrained(folder)
    return str(folder)


# --- labels ---------------------------------------------------------------------------------------------------------


def shown_ids(row) -> list[list[int]]:
    return [[token.id for token in window.tokens] for window in row.windows]


@pytest.mark.parametrize("max_length", [8, 64])
@pytest.mark.parametrize("sub_words", ["first", "all"])
def test_tags_and_ignored_positions_are_the_batchs(pieces, tagged, sub_words, max_length):
    preview = previewed(pieces, tagged, {"kind": "token_classification", "sub_words": sub_words, "window_overlap": 2},
                        max_length=max_length)  # fmt: skip
    for number in (1, 2, 3):
        batch, row = batch_of(preview, number), preview.describe(number)
        assert row.aligned
        assert len(row.windows) == len(batch.labels)
        for window, labels, ids in zip(
            row.windows, batch.labels.tolist(), batch.inputs["input_ids"].tolist(), strict=True
        ):
            assert [token.id for token in window.tokens] == ids[: len(window.tokens)]
            shown = [IGNORED if token.ignored else preview.task.tags.index(token.label) for token in window.tokens]
            assert shown == labels[: len(shown)]
            assert set(labels[len(shown) :]) <= {IGNORED}


def test_every_word_has_its_own_number_and_text(pieces, tagged):
    row = previewed(pieces, tagged).describe(1)
    found: dict[int, str] = {}
    for token in row.windows[0].tokens:
        if token.word is not None:
            found[token.word] = found.get(token.word, "") + token.text
    assert list(found.values()) == TAGGED[0]["tokens"]
    assert [entity["text"] for entity in row.label] == ["parcel", "blue box"]
    assert row.texts["tokens"][row.label[1]["start"] : row.label[1]["end"]] == "blue box"


def test_why_a_piece_is_ignored_is_told(pieces, tagged):
    (window,) = previewed(pieces, tagged).describe(2).windows
    notes = [token.note for token in window.tokens]
    assert notes == ["special", "", *["later piece of its word"] * 2, "", *["later piece of its word"] * 4, "special"]


def test_words_that_another_window_answers_are_told(tiny, tagged):
    preview = previewed(tiny, tagged, {"kind": "token_classification", "window_overlap": 4}, max_length=12)
    row = preview.describe(3)
    labelled = [
        (token.word, number) for number, window in enumerate(row.windows) for token in window.tokens if token.label
    ]
    assert sorted(word for word, _ in labelled) == list(range(30))  # each once
    owners = dict(labelled)
    told = [
        (token.word, token.note.split(",")[0])
        for window in row.windows
        for token in window.tokens
        if token.note.startswith("answered")
    ]
    assert told
    assert all(note == f"answered in window {owners[word] + 1}" for word, note in told)
    assert [window.shared for window in row.windows] == [0, *[4] * (len(row.windows) - 1)]


def test_the_answer_is_where_the_batch_has_it(tiny, questions):
    preview = previewed(tiny, questions, max_length=16)
    row, labels = preview.describe(1), batch_of(preview, 1).labels
    for window, (start, end) in zip(row.windows, labels.tolist(), strict=True):
        assert (window.answer is None) == ((start, end) == NULL)
        if window.answer:
            assert (window.answer.start, window.answer.end, window.answer.text) == (start, end, "blue box")
            assert [token.label for token in window.tokens if token.label] == ["start", "end"]
            assert (window.tokens[start].text, window.tokens[end].text) == ("blue", "box")
    assert any(window.answer for window in row.windows)
    assert not all(window.answer for window in row.windows)
    assert [token.part for token in row.windows[0].tokens[:5]] == [None, "question", "question", None, "context"]
    (other,) = preview.describe(2).windows
    assert other.answer is None


def test_windows_of_a_context_share_what_is_told(tiny, questions):
    row = previewed(tiny, questions, {"kind": "question_answering", "window_overlap": 3}, max_length=16).describe(1)
    for before, window in pairwise(row.windows):
        shared = [token.start for token in window.tokens if "earlier window" in token.note]
        held = {token.start for token in before.tokens if token.part == "context"}
        assert window.shared == len(shared) == 3
        assert set(shared) <= held


@pytest.mark.parametrize("several", [False, True])
def test_labels_of_a_row_are_the_batchs(tiny, tmp_path, several):
    cells = [["app", "billing"], [], ["app"]] if several else ["app", "billing", "app"]
    file = write(tmp_path / "rows.jsonl", [{"text": "red box", "topic": cell} for cell in cells])
    preview = previewed(tiny, file)
    for number, cell in enumerate(cells, 1):
        (target,) = batch_of(preview, number).labels.tolist()
        names = preview.task.labels
        wanted = [name for name, is_set in zip(names, target, strict=True) if is_set] if several else names[target]
        assert preview.describe(number).label == wanted == cell


# --- what does not fit ----------------------------------------------------------------------------------------------

LONG = "red green blue one two three four box door money late app"


@pytest.mark.parametrize(("how", "kept", "cut"), [
    ("head", ["red green blue one two three"], ["four box door money late app"]),
    ("head_tail", ["red door money late app"], ["green blue one two three four box"]),
    ("windows", ["red green blue one two three", "two three four box door money", "door money late app"], []),
])  # fmt: skip
def test_what_is_cut_is_shown(tiny, tmp_path, how, kept, cut):
    file = write(tmp_path / "rows.jsonl", [{"text": LONG, "topic": "a"}, {"text": "app", "topic": "b"}])
    task = {"kind": "sequence_classification", "long_text": how} | ({"window_overlap": 2} if how == "windows" else {})
    row = previewed(tiny, file, task, max_length=8 if how != "head_tail" else 7).describe(1)
    assert [" ".join(token.text for token in window.tokens if token.part) for window in row.windows] == kept
    assert [part.text for part in row.cut] == cut
    assert sum(part.num_tokens for part in row.cut) == row.truncated
    assert [window.shared for window in row.windows] == [0, *[2] * (len(kept) - 1)]


def test_pairs_tell_which_text_a_token_is_of(tiny, tmp_path):
    rows = [{"first": "red green blue one two", "second": "box", "topic": "ab"[place]} for place in range(2)]
    preview = previewed(tiny, write(tmp_path / "rows.jsonl", rows), text=["first", "second"], max_length=7)
    row = preview.describe(1)
    (window,) = row.windows
    assert [token.part for token in window.tokens] == [None, *["first"] * 3, None, "second", None]
    assert [token.type for token in window.tokens] == batch_of(preview, 1).inputs["token_type_ids"][0].tolist()
    assert [(part.part, part.text) for part in row.cut] == [("first", "one two")]


def test_a_word_longer_than_a_window_is_shown_cut(pieces, tmp_path):
    rows = [{"tokens": ["app", "parcelparcel", "box"], "tags": ["O", "B-x", "O"]}]
    preview = previewed(pieces, write(tmp_path / "long.jsonl", rows), max_length=8)
    row = preview.describe(1)
    assert row.aligned
    assert [part.text for part in row.cut] == ["parcel"]


# --- rows -----------------------------------------------------------------------------------------------------------


def test_rows_go_by_their_numbers_in_the_file(tiny, inbox):
    preview = prepare(load({"model": tiny, "data": {"train": inbox}}))
    lines = Path(inbox).read_text().splitlines()
    assert sorted(preview.owned) == list(range(2, 50))
    for number in (2, 17, 49):
        row = preview.describe(number)
        assert lines[number - 1] == f"{row.texts['text']},{row.label}"
        assert row.number == number
    assert {preview.describe(number).split for number in preview.owned} == {"train", "validation", "test"}
    assert {preview.describe(number).split for number in preview.numbers(5)} == {"train"}
    assert preview.numbers(3) == sorted(preview.numbers(3))


@pytest.mark.parametrize(("number", "near"), [(0, 2), (50, 49)])
def test_a_row_that_is_not_there_is_told_with_the_nearest(tiny, inbox, number, near):
    with pytest.raises(DataError, match=rf"row {number}: there is no such row.*2 to 49.*nearest is {near}"):
        prepare(load({"model": tiny, "data": {"train": inbox}})).describe(number)


def test_a_dropped_row_is_no_row(tiny, tmp_path):
    rows = [{"text": "app" if place != 1 else "", "topic": "ab"[place % 2]} for place in range(4)]
    preview = previewed(tiny, write(tmp_path / "rows.jsonl", rows), on_bad_row="drop")
    with pytest.raises(DataError, match=r"row 2: .*1 are dropped"):
        preview.describe(2)


# --- the same as in training ----------------------------------------------------------------------------------------


def test_what_is_previewed_is_what_is_trained_on(tiny, inbox, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(tunewright.run, "carry_out", lambda session, *rest: seen.append(session))
    raw = {"model": tiny, "data": {"train": inbox, "max_length": 9}, "training": {"batch_size": 4, "precision": "fp32"}}
    tunewright.run.train(load(raw | {"out": str(tmp_path / "run")}))
    preview = prepare(load(raw))
    assert list(seen[0].encoded) == list(preview.encoded) == ["train", "validation", "test"]
    for name, encoded in preview.encoded.items():
        np.testing.assert_equal(seen[0].encoded[name].features.columns, encoded.features.columns)
    assert seen[0].task == preview.task
    assert seen[0].config.data == preview.config.data
    assert seen[0].config.training.micro_batch_size == preview.config.training.micro_batch_size


def test_no_weights_are_read_and_nothing_is_written(tiny, tagged, tmp_path, monkeypatch):
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(tiny, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr(models, "load_model", lambda *given, **more: pytest.fail("weights were loaded"))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    preview = previewed(str(bare), tagged)
    assert preview.describe(1).aligned
    assert preview.summaries()
    assert sorted(tmp_path.rglob("*")) == before


# --- all rows -------------------------------------------------------------------------------------------------------


def test_the_summary_counts_what_is_fed(tiny, tagged):
    preview = previewed(tiny, tagged, {"kind": "token_classification", "window_overlap": 2}, max_length=12)
    (found,) = preview.summaries()
    sizes = {number: shown_ids(preview.describe(number)) for number in (1, 2, 3)}
    tokens = sum(len(window) for windows in sizes.values() for window in windows)
    assert found.account["tokens"] == tokens
    assert found.windows["100"] == len(sizes[3])
    assert found.account["label_counts"] == {"app": 1, "thing": 12}
    assert found.supervised is None


def test_faults_of_reading_and_encoding_are_in_the_account(pieces, tmp_path):
    rows = [{"question": "app", "context": context, "answer": "box"} for context in ("red box", "boxes")]  # no s known
    (found,) = previewed(pieces, write(tmp_path / "rows.jsonl", rows)).summaries()
    assert found.account["faults"] == {
        "answers without answer_start, found by their text": 2,
        "answers that tokens can only give back altered": 1,
    }


# --- what looking at it brought to light ----------------------------------------------------------------------------


@pytest.mark.parametrize(("context", "answer"), [("the cafe\u0301", "cafe\u0301"), ("\ufeffred box", "\ufeffred")])
def test_an_answer_at_the_edge_may_end_with_a_sign_that_the_tokenizer_drops(pieces, tmp_path, context, answer):
    from tokenizers import normalizers

    rows = [{"question": "app", "context": context, "answer": answer}]
    folder = Path(pieces)
    tokenizer = models.load_tokenizer(models.locate(pieces))
    tokenizer.backend_tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text((folder / "config.json").read_text())
    (window,) = previewed(str(tmp_path / "model"), write(tmp_path / "rows.jsonl", rows)).describe(1).windows
    assert window.answer is not None
    assert window.answer.text == answer.strip("\ufeff\u0301")


@pytest.mark.parametrize("text", ["\ufeffJohn lives", "Jo\u200dhn", "می\u200cخواهم", "a\u00adb", "x\x01"])
def test_signs_that_nobody_sees_are_no_words(text):
    seen = [text[start:end] for start, end in words.split(text)]
    assert all(any(sign.isalnum() for sign in word) for word in seen)


# --- real data ------------------------------------------------------------------------------------------------------

REAL = {
    "bio_ner/NCBI-disease-IOB/devel.tsv": {"limit": 300},
    "squad2_cs224n/dev-v2.0.json": {"limit": 300, "max_length": 100},
    "banking77/test.csv": {"limit": 300, "max_length": 16},
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_real_rows_are_fed_as_their_texts_are_tokenised(real_data, name):
    config = load({"data": {"train": str(real_data / name)} | REAL[name]})
    preview = prepare(config)
    for number in sorted(preview.owned)[::29]:
        row = preview.describe(number)
        assert row.aligned
        assert sum(part.num_tokens for part in row.cut) == row.truncated
