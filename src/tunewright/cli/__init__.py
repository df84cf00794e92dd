"""The command line: one small module per verb; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigError, Interrupted, TunewrightError
from ..startup import hurry

USAGE: Any = typer.BadParameter.__mro__[2]  # ClickException: newer typers bring a click of their own
VERBS = (
    "train", "compare", "search", "evaluate", "predict", "chat", "show", "inspect", "plan", "advise", "preview",
    "schema",
)  # fmt: skip
OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

Import = Annotated[list[Path] | None, typer.Option("--import", help="a .py file with tasks or strategies of your own")]

Precision = Annotated[str, typer.Option(help="of the answers: fp32, as evaluated; bf16 or int8 are faster")]

app = typer.Typer(
    help="Fine-tune a Hugging Face transformer: data file in, trained, evaluated and documented model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


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
    signal.signal(signal.SIGTERM, terminate)
    add_verbs()
    sys.exit(run())


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


def import_files(files: list[Path] | None) -> None:
    """Runs the user's own modules, whose tasks and strategies are then members like ours.

    Raises:
        ConfigError: one is no Python file, or fails: that is its author's to mend, not a defect of ours.
    """
    import importlib.util

    for file in files or []:
        name = f"tunewright_import_{file.stem}"  # a file called json.py must not stand in for json
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise ConfigError("is no Python file", where=f"--import {file}", fix="give the path of a .py file")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            line = next((frame.lineno for frame in traceback.extract_tb(error.__traceback__)[::-1]
                         if frame.filename == str(file)), getattr(error, "lineno", None))  # fmt: skip
            what = f"cannot be imported: {type(error).__name__}: {error}"
            raise ConfigError(what, where=f"--import {file}, line {line}", fix="mend the file") from error
