"""Chat: the same ids and answers as predict, in pieces, with a memory that has an end."""

from __future__ import annotations

import itertools
from dataclasses import replace
from threading import Event
from threading import enumerate as threads

import pytest
import torch

import tunewright.chat
from tests.language_models import make_language_model
from tunewright import decoding
from tunewright.artifact import Artifact, Columns
from tunewright.chat import Chat, Stream
from tunewright.component import members
from tunewright.errors import ConfigError, DataError
from tunewright.predict import Predictor
from tunewright.tasks.base import Task

MOST = 5000  # tokens of an answer that nobody stops
TURNS = ("red parcel", "blue box?", "äpp 🙂")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_language_model(tmp_path_factory.mktemp("llama"), "llama", spread=0.3)


@pytest.fixture(scope="module")
def model(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture
def predictor(folder, model):
    """`predictor(template="alpaca")` answers with a random Llama, for a task with these fields."""

    def make(kind: str = "causal_lm", max_length: int = 200, **fields) -> Predictor:
        from transformers import AutoTokenizer

        given = {"max_new_tokens": 12, **({"shape": "instruction"} if kind == "causal_lm" else {}), **fields}
        task = members(Task)[kind](kind=kind, **given)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        task.dress(tokenizer)
        return Predictor(Artifact(model, tokenizer, task, max_length, Columns(("a",), (), None, False), folder))

    return make


@pytest.fixture
def seen(monkeypatch) -> list[list[int]]:
    """The prompts that are written behind."""
    found: list[list[int]] = []

    def spying(model, tokenizer, prompts, *rest):
        found.extend(map(list, prompts))
        return decoding.write(model, tokenizer, prompts, *rest)

    monkeypatch.setattr(tunewright.chat, "write", spying)
    return found


def talk(chat: Chat, *turns: str) -> list[str]:
    return ["".join(chat.say(turn)) for turn in turns]


# --- the same as predict --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "system"), [("chatml", "Be kind."), ("alpaca", None), ("instruction", "Be kind."), ("plain", None)]
)
def test_a_dialogue_is_fed_and_answered_as_predict_would(predictor, seen, template, system):
    made = predictor(template=template, max_length=256, max_new_tokens=6)
    chat, tokenizer = Chat(made, system), made.artifact.tokenizer
    messages = [{"role": "system", "content": system}] if system else []
    for number, turn in enumerate(TURNS):
        messages.append({"role": "user", "content": turn})
        (said,) = made([messages])
        assert talk(chat, turn) == [said.text]
        (item,) = made.encoded([made.artifact.task.ask(1, messages)]).features
        assert chat.forgotten == 0
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        assert seen[number] == item.windows[0] == tokenizer(rendered)["input_ids"]
        messages.append({"role": "assistant", "content": said.text})
    assert [message["content"] for message in chat.messages()] == [message["content"] for message in messages]


def test_the_first_turn_is_that_of_a_text(predictor, seen):
    for shape in ("classification", "summarisation", "completion"):
        made = predictor(shape=shape, template="chatml", labels=("app", "box") if shape == "classification" else ())
        (said,) = made(["red"])
        assert talk(Chat(made), "red") == [said.text]
        (item,) = made.encoded([made.artifact.task.ask(1, "red")]).features
        assert seen.pop() == item.windows[0]


def test_a_run_of_preferences_talks(predictor):
    made = predictor("preference")
    assert talk(Chat(made), "red") == [made(["red"])[0].text]


def test_beams_are_heard_when_the_best_is_known(predictor):
    made = predictor(num_beams=2)
    assert list(Chat(made).say("red")) == [made(["red"])[0].text]


def test_settings_take_the_place_of_the_tasks(predictor):
    made = predictor(temperature=1.0)
    likeliest = predictor(max_new_tokens=5)(["red"])[0]
    chat = Chat(made, max_new_tokens=5, temperature=0.0)
    assert talk(chat, "red") == [likeliest.text]
    assert chat.finished == likeliest.finished


# --- pieces ---------------------------------------------------------------------------------------------------------


def fed(stream: Stream, tokens: list[int]) -> list[str]:
    """The pieces that are out after each token."""
    stream.put(torch.zeros(1, 3))
    found = []
    for token in tokens:
        stream.put(torch.tensor([token]))
        found.append(stream.text)
    return found


def test_pieces_are_whole_characters(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer("🙂ä", add_special_tokens=False)["input_ids"]
    assert len(tokens) == 6  # bytes
    assert fed(Stream(tokenizer, ""), tokens) == ["", "", "", "🙂", "🙂", "🙂ä"]


def test_the_templates_closing_is_not_shown(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = [tokenizer(sign, add_special_tokens=False)["input_ids"][0] for sign in "a#b##"]
    assert fed(Stream(tokenizer, "##"), tokens) == ["a", "a", "a#b", "a#b", "a#b"]


def test_a_piece_is_there_before_the_next_token(predictor, monkeypatch):
    chat, read = Chat(predictor()), Event()
    ids = chat.tokenizer("red box", add_special_tokens=False)["input_ids"]

    def writing(model, tokenizer, prompts, settings, end, streamer):
        streamer.put(torch.zeros(1, 1))
        streamer.put(torch.tensor(ids[:-1]))
        assert read.wait(60), "nobody heard of the first tokens"
        streamer.put(torch.tensor(ids[-1:]))
        return [("red box", len(ids), True)]

    monkeypatch.setattr(tunewright.chat, "write", writing)
    pieces = chat.say("one")
    first = next(pieces)
    read.set()
    rest = "".join(pieces)
    assert (first + rest, bool(rest)) == ("red box", True)


def test_closing_the_pieces_stops_the_writing_and_keeps_what_was_said(predictor, monkeypatch):
    told = []

    def endless(model, tokenizer, prompts, settings, end, streamer):
        streamer.put(torch.zeros(1, 1))
        for token in itertools.islice(itertools.cycle(tokenizer("red ", add_special_tokens=False)["input_ids"]), MOST):
            streamer.put(torch.tensor([token]))
            told.append(token)
        return [("red", len(told), False)]

    monkeypatch.setattr(tunewright.chat, "write", endless)
    chat, before = Chat(predictor()), set(threads())
    pieces = chat.say("one")
    said = next(pieces)
    pieces.close()
    assert set(threads()) <= before
    assert len(told) < MOST
    assert not chat.finished
    assert chat.messages()[0]["content"] == "one"
    assert chat.messages()[1]["content"].startswith(said)


def test_a_turn_without_any_answer_is_forgotten(predictor, monkeypatch):
    monkeypatch.setattr(tunewright.chat, "write", lambda *given: [("", 0, True)])
    chat = Chat(predictor())
    assert talk(chat, "one") == [""]
    assert chat.messages() == []


def test_what_goes_wrong_while_writing_is_raised_where_it_is_read(predictor, monkeypatch):
    def broken(*given):
        raise MemoryError("no room")

    monkeypatch.setattr(tunewright.chat, "write", broken)
    with pytest.raises(MemoryError, match="no room"):
        talk(Chat(predictor()), "one")


# --- memory ---------------------------------------------------------------------------------------------------------


def test_the_oldest_turns_are_forgotten_when_it_gets_long(predictor, seen):
    chat = Chat(predictor(template="chatml", max_length=160), "be kind")
    forgotten = []
    for number in range(8):
        talk(chat, f"red parcel {number}")
        forgotten.append(chat.forgotten)
        assert len(seen[-1]) <= 160 - 12
    assert forgotten[0] == 0
    assert sum(forgotten) > 0
    kept = [message["content"] for message in chat.messages()]
    assert kept[0] == "be kind"
    assert kept[1::2] == [f"red parcel {number}" for number in range(sum(forgotten), 8)]


def test_a_turn_longer_than_everything_is_read_from_its_end_and_told(predictor, seen):
    made = predictor(max_length=40)
    chat = Chat(made)
    talk(chat, "red", "box " * 60)
    assert (chat.forgotten, len(seen[-1])) == (1, 39)
    (item,) = made.encoded([made.artifact.task.ask(1, "box " * 60)]).features
    assert (chat.cut, seen[-1]) == (item.truncated, item.windows[0])


def test_reset_leaves_the_system_turn_alone(predictor, seen):
    chat = Chat(predictor(template="chatml"), "be kind")
    talk(chat, "red", "box")
    chat.reset()
    talk(chat, "red")
    assert seen[0] == seen[2] != seen[1]


# --- what holds no dialogues ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "fields", "said"), [
    ("sequence_classification", {}, r"is a classifier \(.*\) and holds no dialogues; use `tunewright predict`"),
    ("seq2seq", {}, "turns one text into another"),
    ("causal_lm", {"shape": "text"}, "goes on with plain texts"),
    ("causal_lm", {"shape": "question_answering"}, "answers one question about one context"),
])  # fmt: skip
def test_other_runs_are_refused_with_a_reason(predictor, kind, fields, said):
    made = predictor()
    made.artifact = replace(made.artifact, task=members(Task)[kind](kind=kind, **fields))
    with pytest.raises(ConfigError, match=said):
        Chat(made)


def test_a_system_turn_that_the_template_leaves_out_is_refused(predictor, tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text("{% for message in messages if message.role != 'system' %}{{ message.content }}{% endfor %}")
    made = predictor(template=str(file))
    Chat(made)
    with pytest.raises(ConfigError, match="writes no system turn"):
        Chat(made, "be kind")


def test_an_empty_turn_is_refused(predictor):
    with pytest.raises(DataError, match="the prompt is empty"):
        Chat(predictor()).say(" ")
