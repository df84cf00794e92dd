"""The command line: one small module per verb; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import errno
import functools
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from .. import __version__
from ..errors import Interrupted, TunewrightError
from ..startup import hurry

USAGE: Any = typer.BadParameter.__mro__[2]  # ClickException: newer typers bring a click of their own
VERBS = (
    "train", "compare", "search", "evaluate", "predict", "chat", "show", "inspect", "plan", "advise", "preview",
    "schema",
)  # fmt: skip
OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG)

app = typer.Typer(
    help="Fine-tune a Hugging Face transformer: data file in, trained, evaluated and documented model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def options(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        print(f"tunewright {__version__}")
        raise typer.Exit


@functools.cache
def add_verbs() -> None:
    for name in VERBS:
        module = importlib.import_module(f".{name}", __name__)
        app.command(name, help=module.__doc__, no_args_is_help=name != "schema")(guarded(module.command))
    from . import data

    app.add_typer(data.make_app(guarded), name="data")


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """A verb whose interruptions are ours to tell: typer would end with codes and without words of its own."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
            sys.stdout.flush()
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT) from None
        except BrokenPipeError:  # `tunewright predict ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return call


def main() -> None:
    """Runs the command line and exits: 0 done, 2 you can fix it, 1 our fault, 128+n stopped by signal n."""
    hurry()
    speak_utf8()
    signal.signal(signal.SIGTERM, terminate)
    add_verbs()
    sys.exit(run())


def speak_utf8() -> None:
    """Files and pipes get UTF-8, whatever the locale; a terminal of another encoding gets what it can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def terminate(number: int, frame: object) -> None:
    """SIGTERM outside the loop; inside, the loop's own handler finishes the step first."""
    raise Interrupted(number)


def run(arguments: list[str] | None = None) -> int:
    try:
        result = app(arguments, standalone_mode=False)
        return int(result) if isinstance(result, int) else 0
    except TunewrightError as error:
        return complain(str(error), error.exit_code)
    except Interrupted as error:
        return farewell(error)
    except (KeyboardInterrupt, typer.Abort):
        return farewell(Interrupted(signal.SIGINT))
    except USAGE as error:
        error.show()
        return 2
    except OSError as error:
        if error.errno not in OUR_DISK:
            return defect()
        return complain(f"{error.filename or 'the disk'}: {error.strerror}; make room or choose another --out", 2)
    except Exception:  # noqa: BLE001  (whatever is left is a defect of ours, and says so)
        return defect()


def complain(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr)
    return code


def farewell(error: Interrupted) -> int:
    if "data" in sys.argv[1:2]:
        return complain("stopped by a signal; no half file is left", error.exit_code)
    saved = f"the checkpoint of step {error.step} is written; " if error.step else ""
    return complain(f"stopped by a signal; {saved}a run goes on with the same command and --resume", error.exit_code)


def defect() -> int:
    traceback.print_exc()
    return complain("this is a defect of Tunewright; please report it with the lines above", 1)
