"""A file in, a file out: originals first, new rows with true labels, sifted, even, and the same with the same seed."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import Any

import pytest

from tests.conftest import write_rows
from tests.desks import HashedWords
from tunewright.config import load
from tunewright.data import sources
from tunewright.data.augment.base import Aids
from tunewright.data.augment.deletion import Deletion
from tunewright.data.augment.paraphrase import Paraphrase
from tunewright.data.augment.punctuation import Punctuation
from tunewright.data.augment.swap import Swap
from tunewright.data.augment.synonyms import Synonyms
from tunewright.data.augment.synthesis import Synthesis
from tunewright.data.augment.typos import Typos
from tunewright.desk import workshop
from tunewright.desk.augmenting import augment
from tunewright.desk.workshop import COPY, FLIPPED, LOST, SENSE, UNANSWERED
from tunewright.errors import ConfigError, DataError
from tunewright.intake import take_in

USUAL = (Typos(), Deletion(), Swap())


def run(source: Any, out: Any, techniques=USUAL, aids=None, **options: Any):
    data = {"train": str(source), **options.pop("data", {})}
    settings = {"encoder": HashedWords(), **options}
    return augment(load({"data": data}), out, techniques, aids or Aids(), **settings)


def rows_of(path: Any) -> list[dict[str, Any]]:
    return list(sources.read(str(path)).rows)


def write_csv(path: Any, rows: list[tuple]) -> Any:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def write_jsonl(path: Any, rows: list[dict]) -> Any:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


class Says:
    """A writer whose answer to a prompt is made by a function."""

    chats = True

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __call__(self, prompts, seed):
        return [self.answer(prompt.rpartition("\n\n")[2]) for prompt in prompts]


def test_the_originals_come_first_and_every_new_row_says_which_it_was_made_of(inbox, tmp_path):
    result = run(inbox, tmp_path / "more.csv")
    rows, before = rows_of(tmp_path / "more.csv"), sources.read(inbox)
    assert result.num_rows == len(rows) == 2 * len(before.rows)
    assert [{name: row[name] for name in before.columns} for row in rows[:48]] == list(before.rows)
    assert {row["source"] for row in rows[:48]} == {"original"}
    assert [int(row["source_row"]) for row in rows[:48]] == list(before.numbers)
    labels = dict(zip(map(str, before.numbers), (row["topic"] for row in before.rows), strict=True))
    texts = {row["text"] for row in before.rows}
    for row in rows[48:]:
        assert row["source"] in ("typos", "deletion", "swap")
        assert row["topic"] == labels[row["source_row"]]
        assert row["text"] not in texts
    assert Counter(row["source"] for row in rows[48:]) == {kind: t.kept for kind, t in result.tallies.items()}
    assert any("data.split.column=source_row" in note for note in result.notes)


def test_the_same_seed_makes_the_same_file_and_another_one_another(inbox, tmp_path, monkeypatch):
    run(inbox, tmp_path / "a.csv")
    monkeypatch.setattr(workshop, "PART", 7)  # however many are made together
    run(inbox, tmp_path / "b.csv", filtered=False)
    run(inbox, tmp_path / "c.csv", filtered=False)
    run(inbox, tmp_path / "d.csv", filtered=False, seed=1)
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    assert (tmp_path / "b.csv").read_bytes() != (tmp_path / "d.csv").read_bytes()


def test_balance_evens_out_classes_up_to_the_bound(tmp_path):
    words = ["parcel", "invoice", "driver", "money", "label", "broken", "green", "three"]
    texts = [f"{words[i % 8]} {words[i // 8 % 8]} number came late" for i in range(43)]
    rows = [(text, "many" if i < 30 else "some" if i < 41 else "few") for i, text in enumerate(texts)]
    file = write_csv(tmp_path / "skewed.csv", [("text", "topic"), *rows])
    result = run(file, tmp_path / "even.csv", (Typos(), Swap()), balance=True, filtered=False)
    counts = Counter(row["topic"] for row in rows_of(tmp_path / "even.csv"))
    assert result.num_rows == 86
    assert counts["few"] == 20  # ten times two, and no more
    assert abs(counts["many"] - counts["some"]) <= 1


def test_a_model_that_fails_is_not_asked_without_end(inbox, tmp_path):
    asked: list[str] = []
    aids = Aids(writers={"paraphrase": [Says(lambda text: asked.append(text) or text)]})
    assert run(inbox, tmp_path / "out.csv", (Paraphrase(),), aids, ratio=1.25).num_new == 0
    assert len(asked) == 4 * 12 + 20


def test_no_row_has_more_than_ten_versions(tmp_path):
    rows = [("..", "a"), ("..!", "a"), ("the parcel is really late again today", "b"), ("?", "b")]
    result = run(
        write_csv(tmp_path / "in.csv", [("text", "topic"), *rows]), tmp_path / "out.csv", ratio=6, filtered=False
    )
    assert result.num_new == 9


def test_near_copies_are_dropped_and_counted(tmp_path):
    file = write_csv(tmp_path / "in.csv", [("text", "topic"), ("red box", "a"), ("box red", "b"), ("blue app", "b")])
    result = run(file, tmp_path / "out.csv", (Swap(),), ratio=1.9)
    assert result.tallies["swap"].dropped[COPY] > 0
    texts = [row["text"] for row in rows_of(tmp_path / "out.csv")]
    assert len(texts) == len(set(texts))


def test_flipped_labels_are_dropped_and_counted(tmp_path):
    words = ["red", "blue", "green", "one", "two", "three", "door", "late"] * 3
    rows = [(f"{text} {word} {n}", label) for text, label in (("invoice money", "billing"), ("broken box", "damage"))
            for n, word in enumerate(words)]  # fmt: skip
    file = write_csv(tmp_path / "in.csv", [("text", "topic"), *rows])
    aids = Aids(writers={"paraphrase": [Says(lambda text: "money invoice money invoice")]})
    result = run(file, tmp_path / "out.csv", (Paraphrase(least_cosine=None),), aids)
    new = rows_of(tmp_path / "out.csv")[48:]
    assert result.tallies["paraphrase"].dropped[FLIPPED] > 20
    assert [row["topic"] for row in new] == ["billing"]  # all others are copies of it
    assert result.num_new < result.wanted
    assert any("of 48 new rows were made" in note for note in result.notes)


def test_a_rewritten_text_that_says_something_else_is_dropped(inbox, tmp_path):
    aids = Aids(writers={"paraphrase": [Says(lambda text: f"no idea {text[0]}")]})
    assert run(inbox, tmp_path / "out.csv", (Paraphrase(),), aids).tallies["paraphrase"].dropped[SENSE] > 0


def test_a_model_without_answers_leaves_the_file_as_it_was(inbox, tmp_path):
    result = run(inbox, tmp_path / "out.csv", (Paraphrase(),), Aids(writers={"paraphrase": [Says(lambda text: "")]}))
    assert result.num_new == 0
    assert result.tallies["paraphrase"].dropped[UNANSWERED] == result.tallies["paraphrase"].made > 0


def test_no_filter_keeps_what_it_is_given(inbox, tmp_path):
    aids = Aids(writers={"paraphrase": [Says(lambda text: "invoice money")]})
    result = run(inbox, tmp_path / "out.csv", (Paraphrase(),), aids, filtered=False, encoder=None)
    assert result.num_new == 48


def test_a_synonym_that_changes_the_sense_is_left_out(inbox, tmp_path):
    aids = Aids(synonyms={"parcel": ["zzz"], "box": ["zzz"]})
    kept = run(inbox, tmp_path / "a.csv", (Synonyms(least_cosine=-1),), aids).num_new
    none = run(inbox, tmp_path / "b.csv", (Synonyms(least_cosine=0.999),), aids)
    assert kept > 0
    assert none.num_new == 0
    assert none.tallies["synonyms"].dropped[SENSE] > 0


def test_new_texts_of_a_label_are_written_after_its_examples(inbox, tmp_path):
    asked: list[str] = []
    aids = Aids(writers={"synthesis": [Says(lambda text: asked.append(text) or f"{text.split()[1]} app {len(asked)}")]})
    result = run(inbox, tmp_path / "out.csv", (Synthesis(),), aids, ratio=1.25, filtered=False)
    new = [row for row in rows_of(tmp_path / "out.csv") if row["source"] == "synthesis"]
    assert result.num_new == len(new) == 12
    by_text = {row["text"]: row["topic"] for row in rows_of(inbox)}
    for examples, row in zip(asked, new, strict=True):
        shown = [line.removeprefix("- ") for line in examples.splitlines() if line.removeprefix("- ").strip()]
        assert {by_text[text] for text in shown} == {row["topic"]}
        assert len(shown) == 4


ENTITIES = [
    {"id": f"m{n}", "text": f"the parcel from {place} number {n} is really late today",
     "entities": [{"start": 16, "end": 16 + len(place), "type": "place"}]}
    for n, place in enumerate(["Tartu", "Bogotá", "Port Saline", "Hull"] * 3)
]  # fmt: skip


def test_new_rows_of_entities_train_like_any_other(tmp_path):
    file = write_jsonl(tmp_path / "in.jsonl", ENTITIES)
    run(file, tmp_path / "out.jsonl")
    found = take_in(load({"data": {"train": str(tmp_path / "out.jsonl"), "test_share": 0, "validation_share": 0}}))
    rows, written = found.splits["train"].rows, rows_of(tmp_path / "out.jsonl")
    assert len(rows) == 24
    for row, record in zip(rows, written, strict=True):
        ((first, last, kind),) = row.label
        number = int(record["source_row"]) - 1
        edges = ENTITIES[number]["entities"][0]
        assert kind == "place"
        assert row.text[0][row.words[first][0] : row.words[last - 1][1]] == ENTITIES[number]["text"][
            edges["start"] : edges["end"]]  # fmt: skip
    assert len({record["id"] for record in written}) == 24  # every row has an id of its own


def test_a_rewritten_text_without_its_entity_is_dropped(tmp_path):
    file = write_jsonl(tmp_path / "in.jsonl", ENTITIES)
    aids = Aids(
        writers={"paraphrase": [Says(lambda text: text.replace("Hull", "a town").replace("late", "not here yet"))]}
    )
    result = run(file, tmp_path / "out.jsonl", (Paraphrase(least_cosine=None),), aids)
    assert result.tallies["paraphrase"].dropped[LOST] > 0
    new = rows_of(tmp_path / "out.jsonl")[12:]
    assert {row["text"][row["entities"][0]["start"] : row["entities"][0]["end"]] for row in new} == {
        "Tartu", "Bogotá", "Port Saline"}  # fmt: skip


CONLL = "".join(
    f"parcel\tO\nfrom\tO\n{place}\tB-place\nis\tO\nreally\tO\nlate\tO\n\n" for place in ("Tartu", "Hull", "Rome")
)


def test_tagged_tokens_are_written_as_conll_or_as_json(tmp_path):
    (tmp_path / "in.conll").write_text(CONLL, encoding="utf-8")
    run(tmp_path / "in.conll", tmp_path / "out.conll", (Typos(),))
    run(tmp_path / "in.conll", tmp_path / "out.jsonl", (Typos(),))
    for out, how in (("out.conll", "column_2"), ("out.jsonl", "source")):
        table = sources.read(str(tmp_path / out))
        assert len(table.rows) == 6
        assert table.rows[0][how] in ("original", ["original"] * 6)
        assert [row["tokens"][2] for row in table.rows[:3]] == ["Tartu", "Hull", "Rome"]
        assert {row["tokens"][row["tags"].index("B-place")] for row in table.rows[3:]} == {"Tartu", "Hull", "Rome"}


def test_every_answer_of_squad_questions_reads_as_before(tmp_path):
    context = "The desk is open from 8:00 to 20:00, on Sundays it is closed. Parcels wait for seven days."
    qas = [
        {"id": str(n), "question": question, "answers": [{"text": text, "answer_start": context.index(text)}]}
        for n, (question, text) in enumerate(
            [("when does the desk close?", "20:00"), ("how long do parcels wait?", "seven days")]
        )
    ]
    whole = {"data": [{"title": "Hours", "paragraphs": [{"context": context, "qas": qas}]}]}
    (tmp_path / "in.json").write_text(json.dumps(whole), encoding="utf-8")
    run(tmp_path / "in.json", tmp_path / "out.json", ratio=4)
    found = take_in(load({"data": {"train": str(tmp_path / "out.json"), "test_share": 0, "validation_share": 0}}))
    rows = found.splits["train"].rows
    assert len(rows) == 8
    for row in rows:
        ((start, text),) = row.label
        assert text == {"0": "20:00", "1": "seven days"}[row.id[0]]
        assert row.text[1][start : start + len(text)] == text
        assert row.mended == ()


def test_models_write_questions_anew_and_leave_contexts_alone(tmp_path):
    answers = {"text": ["Monday"], "answer_start": [10]}
    rows = [{"question": f"when is {n}?", "context": f"{n} is on Monday", "answers": answers}
            for n in ("Ann", "Leo", "Kim")]  # fmt: skip
    file = write_jsonl(tmp_path / "in.jsonl", rows)
    asks = Aids(writers={"paraphrase": [Says(lambda text: f"on which day do we meet {text.split()[2]}")]})
    run(file, tmp_path / "out.jsonl", (Paraphrase(least_cosine=None),), asks)
    new = rows_of(tmp_path / "out.jsonl")[3:]
    assert {row["question"] for row in new} == {f"on which day do we meet {n}?" for n in ("Ann", "Leo", "Kim")}
    assert [(row["context"], row["answers"]) for row in new] == [
        (rows[int(row["source_row"]) - 1]["context"], answers) for row in new]  # fmt: skip


def test_a_file_with_a_column_called_source_keeps_it(tmp_path):
    rows = [{"source": f"where is parcel number {n} please", "target": f"parcel {n}?"} for n in range(4)]
    run(write_jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", (Punctuation(), Typos()))
    new = rows_of(tmp_path / "out.jsonl")
    assert [row["source"] for row in new[:4]] == [row["source"] for row in rows]
    assert {row["augmentation"] for row in new[4:]} <= {"typos", "punctuation"}
    with pytest.raises(DataError, match="is augmented already"):
        run(tmp_path / "out.jsonl", tmp_path / "again.jsonl")


def test_an_augmented_file_is_not_augmented_again(inbox, tmp_path):
    run(inbox, tmp_path / "more.csv", ratio=1.1)
    with pytest.raises(DataError, match=r"is augmented already.*file that it was made of"):
        run(tmp_path / "more.csv", tmp_path / "again.csv")


def test_columns_that_would_be_read_otherwise_are_told(tmp_path):
    rows = [(f"parcel number {n} is late", f"person {n % 9} of nine", "ab"[n % 2]) for n in range(30)]
    file = write_csv(tmp_path / "in.csv", [("text", "who", "target"), *rows])
    result = run(file, tmp_path / "out.csv", data={"label": ["target"]})
    assert any("--label target" in note for note in result.notes)
    assert not any(
        "say what the columns are" in note for note in run(write_rows(tmp_path / "i.csv"), tmp_path / "o.csv").notes
    )


def test_unusable_rows_are_copied_and_told(tmp_path):
    from tunewright.training.progress import Listener

    class Ears(Listener):
        said: list[str] = []  # noqa: RUF012

        def note(self, text: str) -> None:
            self.said.append(text)

    rows = [("parcel is late", "a"), ("", "b"), ("box is broken", "b"), ("invoice is wrong", "a")]
    file = write_csv(tmp_path / "in.csv", [("text", "topic"), *rows])
    run(file, tmp_path / "out.csv", (Typos(),), listener=Ears())
    found = rows_of(tmp_path / "out.csv")
    assert [row["text"] for row in found[:4]] == [text for text, _ in rows]
    assert "3" not in {row["source_row"] for row in found[4:]}
    assert any("copied but not augmented: 1, such as row 3" in line for line in Ears.said)


def test_an_interruption_leaves_no_file(inbox, tmp_path):
    def stop(text: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(inbox, tmp_path / "new" / "out.csv", (Paraphrase(),), Aids(writers={"paraphrase": [Says(stop)]}))
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"ratio": 1.0}, "leaves no room"),
        ({"ratio": float("nan")}, "leaves no room"),
        ({"ratio": float("inf")}, "no room"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(inbox, tmp_path, options, wrong):
    with pytest.raises(ConfigError, match=wrong):
        run(inbox, tmp_path / "out.csv", **options)


def test_no_file_is_replaced_unasked(inbox, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        run(inbox, tmp_path / "out.csv")
    run(inbox, tmp_path / "out.csv", overwrite=True)
    with pytest.raises(ConfigError, match="is the file that is read"):
        run(inbox, tmp_path / "inbox.csv", overwrite=True)
    with pytest.raises(DataError, match="unknown format"):
        run(inbox, tmp_path / "out.xlsx")


def test_what_needs_one_label_a_row_is_refused_elsewhere(tmp_path):
    file = write_jsonl(tmp_path / "in.jsonl", ENTITIES)
    with pytest.raises(ConfigError, match=r"--balance.*no one class"):
        run(file, tmp_path / "out.jsonl", balance=True)
    with pytest.raises(ConfigError, match=r"synthesis.*no one label"):
        run(file, tmp_path / "out.jsonl", (Synthesis(),))
