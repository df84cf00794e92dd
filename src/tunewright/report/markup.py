"""Markup that escapes by itself: plain text becomes safe, only `Markup` passes as it is."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# Control characters are no valid HTML or XML, lone surrogates no valid UTF-8: both can come from a JSON file.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is markup already: it is not escaped again."""

    __slots__ = ()


def clean(value: object) -> str:
    """The text of a value, with what no UTF-8 page can hold replaced by the replacement character."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))


def escape(value: object) -> Markup:
    """Any value as markup: text is escaped, markup passes, None is nothing."""
    if value is None:
        return Markup("")
    return value if isinstance(value, Markup) else Markup(html.escape(clean(value)))


def join(parts: Iterable[object], separator: str = "") -> Markup:
    """The parts one after the other, each escaped if it is not markup."""
    return Markup(separator.join(escape(part) for part in parts))


def element(name: str, *children: object, **attributes: object) -> Markup:
    """`<name attributes>children</name>`; `class_` is class, `stroke_width` is stroke-width, None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(clean(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")
