"""Chat: a dialogue with a run's model, whose answers are read while they are written."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from .data import templates
from .decoding import Decoding, write
from .errors import ConfigError

if TYPE_CHECKING:
    from .predict import Predictor

Message = dict[str, Any]

TALKING = ("causal_lm", "preference")
KINDS = {
    "sequence_classification": "is a classifier",
    "token_classification": "marks words",
    "question_answering": "finds answers in contexts",
    "seq2seq": "turns one text into another",
}
SHAPES = {"text": "goes on with plain texts", "question_answering": "answers one question about one context"}


class Chat:
    """A dialogue; each answer is written behind the very ids that `predict` would feed for the same messages.

    Args:
        system: what is said before the first turn, once and for all.
        max_new_tokens, temperature: in place of the task's own.

    Raises:
        ConfigError: the run is of a task that holds no dialogues, or its template has no place for `system`.
    """

    def __init__(
        self, predictor: Predictor, system: str | None = None, max_new_tokens: int | None = None,
        temperature: float | None = None,
    ) -> None:  # fmt: skip
        loaded = predictor.artifact
        self.model, self.tokenizer, self.task = predictor.model, loaded.tokenizer, loaded.task
        self.max_length = loaded.max_length
        if loaded.is_floor:
            fix = "ask it once with `predict`, or chat with a model's run"
            raise ConfigError("a floor holds no dialogues", where=str(loaded.folder), fix=fix)
        refuse(self.task, str(loaded.folder))
        changed = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        given: Any = {name: value for name, value in changed.items() if value is not None}
        self.decoding = replace(Decoding.of(self.task), **given)
        self.end = templates.end_of_turn(self.tokenizer, self.tokenizer.chat_template)
        self.closing = templates.closing(self.tokenizer, self.tokenizer.chat_template)
        self.system: list[Message] = [{"role": "system", "content": system}] if system else []
        self.exchanges: list[list[Message]] = []
        self.forgotten = 0  # exchanges that the last question left no room for
        self.cut = 0  # tokens of the last question's beginning that were not read
        self.finished = True  # whether the last answer was ended, not cut or stopped
        self.num_tokens = 0  # of the last answer
        if system and self.fed(asked := self.asked("a"), self.system) == self.fed(asked, []):
            fix = "leave it out, or tune with another template (task.template: chatml has one)"
            raise ConfigError("the model's template writes no system turn", where="--system", fix=fix)

    @property
    def room(self) -> int:
        """Tokens of a dialogue that leave room for an answer, but at least half of what the run was tuned for."""
        return max(self.max_length - self.decoding.max_new_tokens, self.max_length // 2)

    def reset(self) -> None:
        """Forgets everything but the system turn."""
        self.exchanges.clear()

    def say(self, text: str) -> Generator[str, None, None]:
        """Pieces of the answer to the next turn, as they are written.

        The oldest exchanges are forgotten where the dialogue gets too long. Closing the iterator stops the writing;
        what was written by then stays in the dialogue, and a turn without any answer does not.

        Raises:
            DataError: the text is empty, or the template refuses the dialogue.
        """
        asked, before = self.asked(text), len(self.exchanges)
        ids, self.cut = self.fed(asked, self.messages())
        while self.exchanges and len(ids) + self.cut > self.room:
            del self.exchanges[0]
            ids, self.cut = self.fed(asked, self.messages())
        self.forgotten = before - len(self.exchanges)
        return self.answer(asked, ids)

    def messages(self) -> list[Message]:
        """Everything said so far."""
        return [*self.system, *(message for exchange in self.exchanges for message in exchange)]

    def asked(self, text: str) -> list[Message]:
        """A turn as the task's rows have it: one that was tuned on wrapped rows gets its wrapping here, too."""
        dialogue = self.task.ask(1, text).dialogue
        assert dialogue is not None
        return list(dialogue.messages)

    def fed(self, asked: list[Message], before: list[Message]) -> tuple[list[int], int]:
        """(ids, tokens that did not fit) of a turn behind others, encoded as for `predict`."""
        row = self.task.ask(1, [*before, *asked])
        (item,) = self.task.encode([row], self.tokenizer, self.max_length).features
        return list(item.windows[0][: item.prompt]), item.truncated

    def answer(self, asked: list[Message], ids: list[int]) -> Generator[str, None, None]:
        """The pieces; the model writes in a thread of its own."""
        stream = Stream(self.tokenizer, self.closing)
        thread = Thread(target=self.write, args=(ids, stream), daemon=True)
        thread.start()
        try:
            yield from stream
        finally:
            stream.stopped = True
            thread.join()
            self.finished = stream.finished
            if stream.text:
                self.exchanges.append([*asked, {"role": "assistant", "content": stream.text}])

    def write(self, ids: list[int], stream: Stream) -> None:
        listens = stream if self.decoding.num_beams == 1 else None  # which beam wins is known in the end
        try:
            (found,) = write(self.model, self.tokenizer, [ids], self.decoding, self.end, listens)
            text, self.num_tokens, ended = found
            stream.give(templates.without(self.closing, text))
            stream.close(ended)
        except Stopped:
            stream.close(False)
        except BaseException as error:  # noqa: BLE001  (raised again where the answer is read)
            stream.close(False, error)


def refuse(task: Any, where: str) -> None:
    """Raises ConfigError where a task holds no dialogues."""
    reason = KINDS.get(task.kind, f"is of the task {task.kind}")
    if task.kind in TALKING:
        reason = SHAPES.get(getattr(task, "shape", ""), "")
    if reason:
        raise ConfigError(f"{reason} ({task.kind}) and holds no dialogues", where=where, fix="use `tunewright predict`")


class Stopped(Exception):
    """Nobody reads on."""


class Stream:
    """What `generate` writes, in pieces of whole characters.

    Blanks and what could be the template's closing are held back until something follows, so that the pieces together
    are the answer that `predict` gives.
    """

    def __init__(self, tokenizer: Any, closing: str) -> None:
        self.tokenizer, self.closing = tokenizer, closing
        self.tokens: list[int] | None = None  # the first that `generate` tells is the prompt
        self.text = ""  # given out
        self.stopped = self.finished = False
        self.pieces: SimpleQueue[str | BaseException | None] = SimpleQueue()

    def __iter__(self) -> Iterator[str]:
        while (piece := self.pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def put(self, tokens: Any) -> None:
        """Hears of tokens, as transformers' streamers do."""
        if self.stopped:
            raise Stopped
        if self.tokens is None:
            self.tokens = []
            return
        self.tokens += tokens.tolist()
        self.give(self.settled(self.tokenizer.decode(self.tokens, skip_special_tokens=True)))

    def end(self) -> None:
        """All tokens were told; the answer as a whole is still to come."""

    def settled(self, text: str) -> str:
        """So much of an answer as no further token can change."""
        text = text.lstrip().rstrip("\N{REPLACEMENT CHARACTER}").rstrip()
        held = next((size for size in range(len(self.closing), 0, -1) if text.endswith(self.closing[:size])), 0)
        return text[: len(text) - held].rstrip()

    def give(self, text: str) -> None:
        """Hands out what of an answer is new."""
        if len(text) > len(self.text):
            self.pieces.put(text[len(self.text) :])
            self.text = text

    def close(self, finished: bool, error: BaseException | None = None) -> None:
        self.finished = finished
        self.pieces.put(error)
