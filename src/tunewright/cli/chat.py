"""Talk with a run's model in the terminal; answers appear as they are written. /reset begins anew, /quit ends.

Example: tunewright chat runs/helpdesk --system "You are the helpdesk of a parcel service."
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Import, Trust, import_files

if TYPE_CHECKING:
    from ..chat import Chat

Run = Annotated[str, typer.Argument(help="the directory of a run of causal_lm or preference")]
System = Annotated[str | None, typer.Option(help="what the model is told before the first turn")]
MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="tokens an answer may have (task.max_new_tokens)")]
Temperature = Annotated[float | None, typer.Option(min=0, help="of sampling; 0: the likeliest token each time")]
TextOption = Annotated[list[str] | None, typer.Option("--text", help="a turn; several are one dialogue; then it ends")]

PROMPT = "> "


def command(
    run: Run, system: System = None, max_new_tokens: MaxNewTokens = None, temperature: Temperature = None,
    text: TextOption = None, trust_remote_code: Trust = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    from ..chat import Chat
    from ..predict import Predictor

    chat = Chat(Predictor.load(run, trust_remote_code), system, max_new_tokens, temperature)
    talks = not text and sys.stdin.isatty() and sys.stdout.isatty()
    if talks:
        print(f"{run}: /reset begins anew; /quit or Ctrl-D ends; Ctrl-C stops an answer")
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C while nothing is written ends the dialogue
        for turn in text or (typed() if talks else piped()):
            if turn.strip() == "/quit":
                break
            if turn.strip() == "/reset":
                chat.reset()
            elif turn.strip():
                answer(chat, turn)


def typed() -> Iterator[str]:
    """Lines that a person types, until Ctrl-D or Ctrl-C."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (input() then edits lines and remembers them)
    while True:
        try:
            line = input(PROMPT)
        except (EOFError, KeyboardInterrupt):
            print()
            return
        yield line


def piped() -> Iterator[str]:
    """Lines of standard input, each as soon as it is there."""
    from ..errors import DataError

    for number, raw in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            where = f"standard input, line {number}"
            raise DataError("is not UTF-8", where=where, fix="convert it with iconv") from None


def answer(chat: Chat, turn: str) -> None:
    """Prints an answer piece by piece; Ctrl-C ends it and not the dialogue."""
    with contextlib.closing(chat.say(turn)) as pieces:
        if chat.forgotten:
            note(f"the dialogue got too long: its first {chat.forgotten} turns and their answers are forgotten")
        if chat.cut:
            note(f"the turn is too long: its first {chat.cut} tokens are not read")
        stopped = False
        try:
            for piece in pieces:
                sys.stdout.write(harmless(piece) if sys.stdout.isatty() else piece)
                sys.stdout.flush()
        except KeyboardInterrupt:
            stopped = True
    print(flush=True)
    if stopped:
        note("stopped")
    elif not chat.finished:
        full = chat.num_tokens < chat.decoding.max_new_tokens
        more = "the model reads no longer dialogues" if full else "--max-new-tokens allows more"
        note(f"cut after {chat.num_tokens} tokens: {more}")


def note(text: str) -> None:
    print(f"({text})", file=sys.stderr)


def harmless(text: str) -> str:
    """An answer in which nothing acts on the terminal but line breaks and tabs."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode() for sign in text
    )
