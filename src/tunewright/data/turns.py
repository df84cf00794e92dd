"""Turns as people write them (OpenAI's form, ShareGPT's), as the messages that chat templates take."""

from __future__ import annotations

import json
from typing import Any

from ..errors import DataError, suggest
from .table import is_missing, shown

ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
         "function_call": "assistant", "tool": "tool", "observation": "tool"}  # fmt: skip
FORM = '[{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'
CALL = '{"name": "find_order", "arguments": {"number": 7}}'


def read_turns(cell: Any, where: str) -> list[dict[str, Any]]:
    """A dialogue's messages: mappings with `role` and `content`, and what else the turns hold.

    Args:
        cell: a list of turns, each with role and content or from and value; or the JSON text of one.
        where: what a message calls it: file, row, column.

    Raises:
        DataError: naming the turn, counted from 1.
    """
    cell = parsed(cell, where)
    if not isinstance(cell, list):
        raise DataError(f"{shown(cell)} is no list of turns", where=where, fix=f"write {FORM}")
    found = [read_turn(turn, f"{where}, turn {number}") for number, turn in enumerate(cell, 1)]
    for number, message in enumerate(found[1:], 2):
        if message["role"] == "system":
            what = "a second system turn" if found[0]["role"] == "system" else "a system turn after others"
            raise DataError(what, where=f"{where}, turn {number}", fix="a dialogue has one, and it comes first")
    return found


def read_turn(turn: Any, where: str) -> dict[str, Any]:
    """One message; fields that are null are left out."""
    if not isinstance(turn, dict):
        raise DataError(f"{shown(turn)} is no turn", where=where, fix=f"write {FORM}")
    held = {key: value for key, value in turn.items() if value is not None}
    given = held.pop("role", None) or held.pop("from", None)
    if given is None:
        raise DataError("the turn has no role", where=where, fix='write "role": "user", or "from": "human"')
    role = ROLES.get(str(given))
    if role is None:
        fix = "write user, assistant, system or tool (human, gpt, system, function_call or observation)"
        raise DataError(f"unknown role {shown(given)} ({suggest(str(given), ROLES)})", where=where, fix=fix)
    content = held.pop("content", held.pop("value", None))
    if given == "function_call":
        return {"role": role, "content": "", "tool_calls": read_calls(content, where), **held}
    if "tool_calls" in held:
        held["tool_calls"] = read_calls(held["tool_calls"], where)
    return {"role": role, "content": read_content(content, "tool_calls" in held, where), **held}


def read_content(content: Any, calls: bool, where: str) -> str:
    """A turn's text; parts of one are joined."""
    if content is None and calls:
        return ""
    if isinstance(content, list) and all(isinstance(part, dict) and is_text(part) for part in content):
        return "".join(part["text"] for part in content)
    if not isinstance(content, str):
        what = "the turn has no content" if content is None else f"{shown(content)} is no text"
        raise DataError(what, where=where, fix='write "content": "a text"; images and sounds are not read')
    return content


def is_text(part: dict[str, Any]) -> bool:
    return part.get("type", "text") == "text" and isinstance(part.get("text"), str)


def read_calls(given: Any, where: str) -> list[dict[str, Any]]:
    """Calls of functions in the form of chat templates: {"type": "function", "function": {"name", "arguments"}}."""
    given = parsed(given, where)
    return [read_call(call, where) for call in (given if isinstance(given, list) else [given])]


def read_call(call: Any, where: str) -> dict[str, Any]:
    inner = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise DataError(f"{shown(call)} is no call of a function", where=where, fix=f"write {CALL}")
    arguments = parsed(inner.get("arguments", {}), where)  # OpenAI's form holds them as a JSON text; templates don't
    own = {"id": call["id"]} if call.get("id") is not None else {}
    return {**own, "type": "function", "function": {"name": inner["name"], "arguments": arguments}}


def read_tools(cell: Any, where: str) -> tuple[dict[str, Any], ...]:
    """JSON schemas of functions, as a list or its JSON text; none where the cell is empty."""
    if is_missing(cell):
        return ()
    found = parsed(cell, where)
    if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
        fix = 'write [{"type": "function", "function": {"name": ..., "parameters": {...}}}]'
        raise DataError(f"{shown(found)} is no list of JSON schemas", where=where, fix=fix)
    return tuple(found)


def parsed(value: Any, where: str) -> Any:
    """What a text says in JSON; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise DataError(f"{shown(value)} is no JSON", where=where, fix="write lists and objects as JSON") from None
