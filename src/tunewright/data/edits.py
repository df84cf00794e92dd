"""Edits of a text: what is wrong with it, and where what was marked in it stands afterwards. All take linear time."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from html.entities import html5
from typing import Any

Edit = tuple[int, int, str]  # first character, one past the last, what comes in their place
Edits = Callable[[str], list[Edit]]

CLOSE = 2000  # characters that are compared one by one
BLOCKS = "br|p|div|li|ol|ul|tr|table|tbody|h[1-6]|hr|blockquote|pre|center"  # where a line ends
INLINE = (
    "a|abbr|b|big|cite|code|em|font|html|i|iframe|img|meta|link|script|small|span|strike|strong|style|sub|sup|td|th|u"
)
HTML = re.compile(
    rf"(?i:</?(?:(?P<block>{BLOCKS})|{INLINE})(?:\s[^<>=]{{0,200}}+=[^<>]{{0,2000}}+)?\s{{0,9}}/?>)"
    r"|<!--[^<>]{0,500}-->|&(?P<entity>#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,31};)"
)
UNSEEN = re.compile(
    "\U0001f3f4[\U000e0020-\U000e007e]{1,20}\U000e007f"  # the flag of a region: no fault
    "|(?P<control>\x1b\\[[0-9;?]{0,20}[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f])"
    "|(?P<bidi>[\u202a-\u202e\u2066-\u2069\u200e\u200f])"
    "|(?P<invisible>[\u200b\u2060-\u2064\ufeff\u00ad\ufff9-\ufffb\U000e0000-\U000e007f]"
    "|(?<![^\x00-\u024f])[\u200c\u200d](?![^\x00-\u024f]))"  # joiners mean something beside other scripts and emoji
)
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufefc]")
OVERRIDES = "\u202d\u202e"  # show a text in another order than it is in; the other marks belong to such scripts


def html_edits(text: str) -> list[Edit]:
    """Tags of known names go (a block's leaves a line break), entities become their characters."""
    found = []
    for match in HTML.finditer(text):
        if match["entity"] is None:
            found.append((*match.span(), "\n" if match["block"] else ""))
        elif match["entity"][0] == "#" or match["entity"] in html5:
            found.append((*match.span(), html.unescape(match[0])))
    return found


def fixed_encoding(text: str) -> str:
    """Mojibake read as it was meant (ftfy); nothing else of it is touched: no quotes, ligatures or widths."""
    if text.isascii():
        return text
    import ftfy

    return ftfy.fix_text(text, ftfy_settings())


@cache
def ftfy_settings() -> Any:
    import ftfy

    return ftfy.TextFixerConfig(
        unescape_html=False, remove_terminal_escapes=False, fix_latin_ligatures=False, fix_character_width=False,
        uncurl_quotes=False, fix_line_breaks=False, remove_control_chars=False, normalization=None, explain=False,
    )  # fmt: skip


def encoding_edits(text: str) -> list[Edit]:
    """Word by word where that gives the same as the whole, so that few characters are said to change."""
    fixed = fixed_encoding(text)
    if fixed == text:
        return []
    parts = re.findall(r"\s*\S+\s*", text)
    mended = [fixed_encoding(part) for part in parts]
    if "".join(mended) != fixed:
        return closest(text, fixed, 0)
    found, start = [], 0
    for part, new in zip(parts, mended, strict=True):
        found += closest(part, new, start) if new != part else []
        start += len(part)
    return found


def closest(old: str, new: str, at: int) -> list[Edit]:
    """The edits that make one text of another; one edit of all of it where it is too long for a close look."""
    if len(old) > CLOSE:
        return [(at, at + len(old), new)]
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(at + start, at + end, new[first:last]) for what, start, end, first, last in steps if what != "equal"]


def control_edits(text: str) -> list[Edit]:
    """Control and invisible characters go; those that parted words leave a blank."""
    return [(*match.span(), " " if match[0].isspace() else "") for match in unseen(text)]


def unseen(text: str) -> Iterator[re.Match[str]]:
    """Characters that nobody sees; `lastgroup` says of which kind: control, invisible or bidi."""
    if text.isascii() and text.isprintable():
        return
    ordered = RIGHT_TO_LEFT.search(text) is not None
    for match in UNSEEN.finditer(text):
        if match.lastgroup and not (ordered and match["bidi"] and match["bidi"] not in OVERRIDES):
            yield match


def blank_edits(text: str) -> list[Edit]:
    """None at the ends, one between words, one empty line at most; indentation stays."""
    found = []
    for match in re.finditer(r"\s+", text):
        lines = match[0].split("\n")
        wanted = "\n" * min(len(lines) - 1, 2) + re.sub(r"[^ \t]", " ", lines[-1]) if len(lines) > 1 else " "
        if match.start() == 0 or match.end() == len(text):
            wanted = ""
        if wanted != match[0]:
            found.append((*match.span(), wanted))
    return found


def personal_edits(text: str) -> list[Edit]:
    from .checks import personal

    return personal.edits_of(text)


TEXTS: dict[str, Edits] = {  # in the order in which they are made: each leaves work for the next
    "html": html_edits, "encoding": encoding_edits, "control": control_edits, "blanks": blank_edits,
    "personal": personal_edits,
}  # fmt: skip


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The text with ascending edits made."""
    pieces, place = [], 0
    for start, end, new in edits:
        pieces += [text[place:start], new]
        place = end
    return "".join([*pieces, text[place:]])


def moved(spans: Sequence[tuple[int, int]], edits: Sequence[Edit]) -> list[tuple[int, int]] | None:
    """Where spans stand after ascending edits; None where an edit crosses a border or leaves nothing of a span."""
    borders = {}
    for border in {border for span in spans for border in span}:
        if any(start < border < end for start, end, _ in edits):
            return None
        borders[border] = border + sum(len(new) - (end - start) for start, end, new in edits if end <= border)
    found = [(borders[start], borders[end]) for start, end in spans]
    return found if all(start < end for start, end in found) else None
