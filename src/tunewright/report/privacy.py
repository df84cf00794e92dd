"""Keeps the machine and its secrets out of what a person passes on: no token, no absolute path (S7)."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import Any

HIDDEN = "[hidden]"

_SECRETS = (
    re.compile(r"\b(?:hf|api_org|sk|ghp|gho|ghs|glpat|github_pat|xox[abprs])[_-][A-Za-z0-9_-]{10,}"),
    re.compile(r"(?i)(?<=://)[^/\s@]+(?=@)"),  # https://name:password@host
    re.compile(r"(?i)(?<=token=)[^\s&,'\"]+|(?<=token: )[^\s,'\"]+|(?<=key=)[^\s&,'\"]+|(?<=password=)[^\s&,'\"]+"),
)
_SECRET_NAME = re.compile(r"(?i)(?:^|[_-])(?:token|password|secret|api_?key)$")
_QUOTED_PATH = re.compile(r"""(["'`])(/[^"'`\n]*?)/?\1""")
# Two names at least: "and/or" and "km /h" are no paths.
_PATH = re.compile(r"(?<![\w/.~-])(?:/[^\s/,;:'\"()<>|]+){2,}/?")


def scrub(text: str) -> str:
    """The text with secrets hidden and every absolute path cut to its last name."""
    for secret in _SECRETS:
        text = secret.sub(HIDDEN, text)
    text = text.replace("file:///", "/")
    text = _QUOTED_PATH.sub(lambda found: found[1] + last_name(found[2]) + found[1], text)
    return _PATH.sub(lambda found: last_name(found[0]), text)


def last_name(path: str) -> str:
    """`/home/ada/inbox.csv` is `inbox.csv`."""
    return PurePosixPath(path.removeprefix("file://")).name


def scrub_values(value: Any) -> Any:
    """The same mapping or list with every text in it scrubbed, and the values of secret names hidden."""
    if isinstance(value, dict):
        return {key: HIDDEN if _is_secret(key, item) else scrub_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [scrub_values(item) for item in value]
    if isinstance(value, str):
        return last_name(value) if value.startswith("/") and "\n" not in value else scrub(value)
    return value


def _is_secret(key: object, value: object) -> bool:
    return isinstance(value, str) and _SECRET_NAME.search(str(key)) is not None


def scrub_command(command: str) -> str:
    """A command line that can be passed on: absolute paths become names, the values of secret options are hidden."""
    try:
        words = shlex.split(command)
    except ValueError:  # an unfinished quotation: no words to tell apart
        return scrub(command)
    kept: list[str] = []
    for word in words:
        follows_secret = bool(kept) and kept[-1].startswith("-") and _SECRET_NAME.search(kept[-1]) is not None
        kept.append(HIDDEN if follows_secret else _scrub_word(word))
    return shlex.join(kept)


def _scrub_word(word: str) -> str:
    key, equals, value = word.partition("=")
    if equals and _SECRET_NAME.search(key):
        return f"{key}={HIDDEN}"
    if equals and value.startswith(("/", "file:///")):
        return f"{key}={last_name(value)}"
    return last_name(word) if word.startswith(("/", "file:///")) else scrub(word)
