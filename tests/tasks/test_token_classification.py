"""Words to tokens and back: nothing is lost in windows or sub-words, and what is said stands in the raw text."""

from __future__ import annotations

import json
import random
import warnings
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import WORDS, make_tokenizer
from tunewright import models
from tunewright.config import load
from tunewright.data import tagging, words
from tunewright.data.tokens import WordEncoder
from tunewright.errors import ConfigError, DataError
from tunewright.evaluation import outputs_of
from tunewright.intake import take_in
from tunewright.tasks.token_classification import TokenClassification

TASK = TokenClassification(labels=("amount", "colour"), scheme="IOB2")
DROPPED = "\u200d"  # BERT's normalizer leaves nothing of it


def word_pieces():
    """WORDS are one piece; other words of small letters a piece a letter."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast

    letters = [chr(place) for place in range(ord("a"), ord("z") + 1)]
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    vocab = {token: place for place, token in enumerate(known)}
    tokenizer = Tokenizer(kinds.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


PIECES = word_pieces()


def row_of(tokens, label=None, number=1):
    return words.row_of_tokens(number, tokens, label)


def colours(count: int, longest: int = 40, seed: int = 0):
    """Rows whose colours and numbers are labelled."""
    generator = random.Random(seed)
    rows = []
    for number in range(1, count + 1):
        tokens = generator.choices(WORDS, k=generator.randint(1, longest))
        kinds = {"red": "colour", "green": "colour", "blue": "colour", "one": "amount", "two": "amount"}
        rows.append(row_of(tokens, [(n, n + 1, kinds[t]) for n, t in enumerate(tokens) if t in kinds], number))
    return rows


def sure(tags: list[str], task: TokenClassification = TASK, amount: float = 20.0):
    """(words, C) logits of somebody who is sure of these tags."""
    return np.eye(len(task.tags), dtype=np.float32)[[task.places[tag] for tag in tags]] * amount


# --- what is learned ------------------------------------------------------------------------------------------------

ROWS = {
    "IOB1": ("tags", ["I-a", "I-a", "B-a", "O"]),
    "IOB2": ("tags", ["B-a", "I-a", "B-a", "O"]),
    "BIOES": ("tags", ["B-a", "E-a", "S-a", "O"]),
    "numbers": ("tags", [1, 2, 1, 0]),
    "spans": ("entities", [[0, 7, "a"], {"start": 8, "end": 13, "type": "a"}]),
}


@pytest.mark.parametrize("form", ROWS)
@pytest.mark.parametrize("scheme", ["auto", "BIOES"])
def test_a_model_has_tags_of_its_own_whatever_the_data_are_written_in(tmp_path, form, scheme):
    name, label = ROWS[form]
    text = {"text": "one two three four"} if form == "spans" else {"tokens": ["one", "two", "three", "four"]}
    (tmp_path / "train.jsonl").write_text((json.dumps({**text, name: label}) + "\n") * 10)
    data = {"train": str(tmp_path / "train.jsonl")}
    if form == "numbers":
        (tmp_path / "names.txt").write_text("O\nB-a\nI-a\n")
        data["label_names"] = str(tmp_path / "names.txt")
    taken = take_in(load({"data": data, "task": {"kind": "token_classification", "scheme": scheme}}))
    row, task = taken.splits["train"].rows[0], taken.task
    assert row.label == ((0, 2, "a"), (2, 3, "a"))
    wanted = {"auto": ["B-a", "I-a", "B-a", "O"], "BIOES": ["B-a", "E-a", "S-a", "O"]}[scheme]
    assert [task.tags[place] for place in task.tags_of(row)] == wanted
    said = {"numbers": "numbered tags", "spans": "spans of characters"}.get(form, f"{form} tags")
    assert any(said in note for note in taken.notes)


def test_plain_tags_stay_plain_and_a_scheme_is_refused(tmp_path):
    (tmp_path / "train.jsonl").write_text((json.dumps({"tokens": ["a", "b"], "pos": ["DT", "NN"]}) + "\n") * 10)
    raw = {"data": {"train": str(tmp_path / "train.jsonl")}}
    task = take_in(load(raw)).task
    assert (task.scheme, task.tags, task.metric.name) == ("plain", ("DT", "NN"), "accuracy")
    with pytest.raises(ConfigError, match=r"task.scheme: IOB2 does not fit the tags of column 'pos', which are plain"):
        take_in(load(raw | {"task": {"kind": "token_classification", "scheme": "IOB2"}}))


def test_types_that_training_did_not_see_and_rows_without_entities_are_told():
    with pytest.raises(DataError, match=r"v.jsonl, row 3: type 'color' is not among .*did you mean 'colour'"):
        TASK.check([row_of(["red"], [(0, 1, "color")], 3)], "v.jsonl", None)
    with pytest.raises(DataError, match=r"0 of 2 rows have an entity: nothing is supervised"):
        TASK.learn([row_of(["red"], []), row_of(["late"], [])], "t.jsonl", None, None)


# --- sub-words and windows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sub_words", "labels"), [("first", [1, 0, -100, -100, 2]), ("all", [1, 0, 0, 0, 2])])
def test_which_pieces_of_a_word_are_labelled(sub_words, labels):
    task = TokenClassification(labels=("amount",), scheme="IOB2", sub_words=sub_words)
    made = task.encode([row_of(["red", "xyz", "blue"])], PIECES, 20)
    made.features[0] = made.features[0].__class__(0, made.features[0].windows, None, np.array([1, 0, 2]), 0,
                                                  made.features[0].places, 3)  # fmt: skip
    batch = task.collate(made.features, PIECES)
    assert PIECES.convert_ids_to_tokens(batch.inputs["input_ids"][0]) == [
        "[CLS]", "red", "x", "##y", "##z", "blue", "[SEP]"]  # fmt: skip
    assert batch.labels[0].tolist() == [-100, *labels, -100]
    assert float(task.weight(batch)) == sum(label >= 0 for label in labels)


def test_a_words_logits_are_those_of_its_first_piece_or_the_mean_of_all():
    logits = torch.randn(1, 7, 5)
    model = lambda **inputs: type("Output", (), {"logits": logits})  # noqa: E731
    for sub_words, wanted in (("first", logits[0, 2]), ("all", logits[0, 2:5].mean(0))):
        task = TokenClassification(labels=("amount", "colour"), scheme="IOB2", sub_words=sub_words)
        batch = task.collate(task.encode([row_of(["red", "xyz", "blue"])], PIECES, 20).features, PIECES)
        (found,) = task.predict(model, batch)
        assert np.allclose(found, torch.stack([logits[0, 1], wanted, logits[0, 5]]).numpy(), atol=1e-6)


TEXTS = st.lists(st.sampled_from(["red", "late", "xy", "abc", "abcdefghijkl", DROPPED]), max_size=40)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(TEXTS, st.integers(3, 20), st.integers(0, 20), st.booleans())
def test_every_word_is_answered_once_in_the_window_with_most_context(text, max_length, overlap, every):
    found = WordEncoder(PIECES, max_length, overlap, every)([text])[0]
    room = max_length - 2
    ids = [PIECES([[word]], is_split_into_words=True, add_special_tokens=False)["input_ids"][0][:room] for word in text]
    assert found.lost == sum(not pieces for pieces in ids) == text.count(DROPPED)
    answered = [word for places in found.places for word in places.tolist() if word >= 0]
    assert answered == sorted(answered)
    once = [word for word, pieces in enumerate(ids) for _ in (pieces if every else pieces[:1])]
    assert answered == once
    for window, places in zip(found.windows, found.places, strict=True):
        assert len(window) == len(places) <= max_length
        assert (window[0], window[-1]) == (2, 3)
        for word in set(places[places >= 0].tolist()):
            start = int(np.flatnonzero(places == word)[0])
            assert window[start : start + len(ids[word])] == ids[word]
    assert_most_context(found, ids)


def assert_most_context(found, ids) -> None:
    """By brute force: each window is a stretch of the text's pieces; a cut is where it ends before the text does."""
    joined = [(word, piece) for word, pieces in enumerate(ids) for piece in pieces]
    context: dict[int, dict[int, float]] = {}  # of a word in each window that holds it
    place = 0
    for number, (window, own) in enumerate(zip(found.windows, found.places, strict=True)):
        answered = np.flatnonzero(own >= 0)
        if len(answered):  # where this window stands in the text
            place = [word for word, _ in joined].index(int(own[answered[0]])) - int(answered[0]) + 1
        else:
            size = len(window) - 2
            while [piece for _, piece in joined[place : place + size]] != window[1:-1]:
                place += 1
        end = place + len(window) - 2
        for word in dict.fromkeys(word for word, _ in joined[place:end]):
            held = [at for at in range(place, end) if joined[at][0] == word]
            left = held[0] - place if place else np.inf
            right = end - 1 - held[-1] if end < len(joined) else np.inf
            context.setdefault(word, {})[number] = min(left, right)
    owner = {int(word): number for number, own in enumerate(found.places) for word in own[own >= 0]}
    assert all(ways[owner[word]] == max(ways.values()) for word, ways in context.items())


def test_a_long_sentence_in_windows_overlaps_as_asked():
    text = ["red", "blue", "late", "one"] * 10
    found = WordEncoder(PIECES, 12, 4, every=False)([text])[0]
    assert [len(window) for window in found.windows] == [12] * 6
    inner = [window[1:-1] for window in found.windows]
    assert all(before[-4:] == after[:4] for before, after in pairwise(inner))


def test_a_word_longer_than_a_window_is_answered_once():
    found = WordEncoder(PIECES, 6, 4, every=True)([["red", "abcdefghij", "blue"]])[0]
    assert [window[1:-1] for window in found.windows if len(window) == 6] == [
        PIECES.convert_tokens_to_ids(["a", "##b", "##c", "##d"])]  # fmt: skip
    assert sorted(set(np.concatenate(found.places).tolist())) == [-1, 0, 1, 2]


def test_words_that_the_tokenizer_drops_are_counted_and_count_as_missed():  # D7
    row = row_of(["red", DROPPED, "blue"], [(0, 1, "colour"), (1, 2, "colour")])
    made = TASK.encode([row], PIECES, 20)
    assert made.faults == {"words that the tokenizer drops": 1}
    batch = TASK.collate(made.features, PIECES)
    assert float(TASK.weight(batch)) == 2
    logits = torch.zeros(1, 4, 5)
    logits[0, 1, TASK.places["B-colour"]] = logits[0, 2, TASK.places["O"]] = 20.0
    output = TASK.predict(lambda **inputs: type("Output", (), {"logits": logits}), batch)
    scores = TASK.score(output, [row])
    assert (scores["num_entities"], scores["recall"], scores["precision"]) == (2, 0.5, 1.0)
    assert scores["num_words"] == 3


def test_a_dropped_word_is_not_right_by_having_the_first_plain_tag():  # D7
    task = TokenClassification(labels=("DT", "NN"), scheme="plain")
    row = row_of([DROPPED, "red"], [(0, 1, "DT"), (1, 2, "NN")])
    output = np.array([[0.0, 0.0], [0.0, 5.0]], dtype=np.float32)
    scores = task.score([output], [row])
    assert (scores["accuracy"], scores["per_type"]["DT"]["recall"]) == (0.5, 0.0)
    assert [entity.type for entity in task.decode(output, row).entities] == ["NN"]


@pytest.mark.parametrize("text", ["", " \n", DROPPED])
def test_a_text_without_words_has_no_entities(text):
    for row in (TASK.ask(1, text), TASK.ask(1, [text])):
        encoded = TASK.encode([row], PIECES, 20)
        model = lambda **inputs: type("Output", (), {"logits": torch.zeros(*inputs["input_ids"].shape, 5)})  # noqa: E731
        (output,) = TASK.predict(model, TASK.collate(encoded.features, PIECES))
        assert TASK.decode(output, row).entities == ()


# --- decisions ------------------------------------------------------------------------------------------------------


def test_legal_decoding_keeps_the_scheme_and_greedy_does_not():
    output = np.log(np.array([[0.6, 0.35, 0.05, 0, 0], [0.02, 0.03, 0.95, 0, 0]]) + 1e-9)  # O B I of the first type
    row = row_of(["one", "two"])
    greedy = TASK.model_copy(update={"decoding": "greedy"})
    assert [greedy.tags[place] for place in greedy.tagged(output)] == ["O", "I-amount"]
    assert greedy.decode(output, row).entities == ()  # strict: an entity must begin with B
    assert [TASK.tags[place] for place in TASK.tagged(output)] == ["B-amount", "I-amount"]
    (found,) = TASK.decode(output, row).entities
    assert (found.text, found.type) == ("one two", "amount")
    assert found.confidence == pytest.approx((0.35 + 0.95) / 2)  # of the tags given, not of the likeliest


@pytest.mark.parametrize("text", ["Zoe\u0308 saw 東京🙂 (red)", "a  red\tdoor\u00a0!", "naïve"])
def test_entities_stand_where_they_are_said_to_in_the_raw_text(text):
    row = TASK.ask(1, text)
    count = len(row.words)
    (found,) = TASK.decode(sure(["B-colour"] + ["I-colour"] * (count - 1)), row).entities
    assert (found.text, found.start, found.end) == (text[found.start : found.end], row.words[0][0], row.words[-1][1])
    single = TASK.decode(sure(["B-amount"] * count), row).entities
    assert [entity.text for entity in single] == words.pieces(row)
    assert [(e.start, e.end) for e in single] == list(row.words)
    share = np.exp(20) / (np.exp(20) + 4)
    assert all(entity.confidence == pytest.approx(share) for entity in single)
    assert TASK.decode(sure(["O"] * count), row).to_json() == {"entities": []}


@pytest.mark.parametrize("scheme", ["IOB2", "BIOES"])
@pytest.mark.parametrize("decoding", ["legal", "greedy"])
def test_scores_are_those_of_seqeval_strict(scheme, decoding):
    report = pytest.importorskip("seqeval.metrics").classification_report
    kind = getattr(pytest.importorskip("seqeval.scheme"), {"BIOES": "IOBES"}.get(scheme, scheme))
    task = TokenClassification(labels=("amount", "colour"), scheme=scheme, decoding=decoding)
    rows, generator = colours(30, 15), np.random.default_rng(1)
    outputs = [sure(tagging.tags_of(row.label, len(row.words), scheme), task, 2.0) for row in rows]
    outputs = [output + generator.normal(0, 1, output.shape).astype(np.float32) for output in outputs]
    tags = [[[task.tags[place] for place in chosen] for chosen in way]
            for way in (map(task.tags_of, rows), map(task.tagged, outputs))]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = report(*tags, mode="strict", scheme=kind, output_dict=True, zero_division=0)
    scores = task.score(outputs, rows)
    assert 0.1 < scores["f1"] < 0.9
    assert scores["f1"] == pytest.approx(wanted["micro avg"]["f1-score"])
    assert scores["f1_macro"] == pytest.approx(wanted["macro avg"]["f1-score"])
    assert scores["per_type"]["colour"]["recall"] == pytest.approx(wanted["colour"]["recall"])


# --- batches and tokenizers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sub_words", ["first", "all"])
def test_what_is_said_of_a_row_does_not_depend_on_its_batch(tiny, sub_words):  # D9
    task = TokenClassification(labels=("amount", "colour"), scheme="IOB2", sub_words=sub_words, window_overlap=4)
    model, tokenizer, rows = task.build(models.locate(tiny)).eval(), make_tokenizer(), colours(12)
    collate = partial(task.collate, tokenizer=tokenizer)

    def answers(chosen):
        return outputs_of(model, task, task.encode(chosen, tokenizer, 16), collate, torch.device("cpu"))

    together, backwards = answers(rows), answers(rows[::-1])[::-1]
    alone = [answers([row])[0] for row in rows]
    assert {len(item.windows) for item in task.encode(rows, tokenizer, 16).features} >= {1, 2, 3}
    for row, *outputs in zip(rows, together, backwards, alone, strict=True):
        assert all(task.distance(outputs[0], other) < 1e-5 for other in outputs[1:])
        assert len({tuple(task.spans(output)) for output in outputs}) == 1
        assert outputs[0].shape == (len(row.words), 5)


def byte_level(kind: str):
    """A tokenizer of bytes, of RoBERTa's own class or of the one that has no name."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast, RobertaTokenizer

    tokenizer = Tokenizer(kinds.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 9, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    if kind == "roberta":
        parts = json.loads(tokenizer.to_str())["model"]
        return RobertaTokenizer(vocab=parts["vocab"], merges=[tuple(merge) for merge in parts["merges"]])
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", **names)


@pytest.mark.parametrize("kind", ["roberta", "without a class"])
def test_a_byte_level_tokenizer_sees_each_word_with_its_blank_also_when_loaded_again(tmp_path, kind):
    byte_level(kind).save_pretrained(tmp_path / "pretrained")
    for folder, by_words in (("pretrained", True), ("run", False)):  # a run's tokenizer is loaded as it was saved
        tokenizer = models.load_tokenizer(models.Source(kind, tmp_path / folder, None, None), by_words)
        found = WordEncoder(tokenizer, 40, 4, every=True)([["red", "(", "blue"]])[0]
        tokens = tokenizer.convert_ids_to_tokens(found.windows[0])
        assert (tokens[0], tokens[-1]) == ("<s>", "</s>")
        spelled = ["".join(t for t, place in zip(tokens, found.places[0], strict=True) if place == n) for n in range(3)]
        assert spelled == ["Ġred", "Ġ(", "Ġblue"]
        tokenizer.save_pretrained(tmp_path / "run")


def test_tokens_of_a_word_longer_than_a_window_are_counted():  # D2
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.model = tokenizers.models.BPE(
        {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4}, [], unk_token="[UNK]"
    )
    task = TokenClassification(labels=("x",), scheme="IOB2")
    (features,) = task.encode([task.ask(1, "aaaaaaaaaa a")], tokenizer, 8).features
    assert features.truncated == 4
    assert features.num_words == 2
