"""Whole pages that need no network, no script and no other file; and the parts that their sections use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .markup import Markup, element, join
from .style import CSS

# Nothing is fetched and nothing runs, whatever a text of the data might hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_HEADING = re.compile(r'<section id="([\w-]+)"[^>]*><h2[^>]*>([^<]*)</h2>')


def document(title: str, content: Sequence[Markup]) -> str:
    """A whole page."""
    head = element(
        "head",
        Markup(f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'),
        element("title", title),
        element("style", Markup(CSS)),
    )
    body = element("body", element("main", *content))
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def header(kind: str, title: str, lead: str, about: str | None = None) -> Markup:
    """What the page is, what it is about, and in a sentence what came of it."""
    return element(
        "header",
        element("p", f"Tunewright {kind}", class_="about"),
        element("h1", title, dir="auto"),
        element("p", lead, class_="lead"),
        element("p", about, class_="about") if about else None,
    )


def contents(sections: Iterable[Markup]) -> Markup:
    """Links to the sections that are there."""
    found = [match for section in sections if (match := _HEADING.match(section))]
    links = (element("a", Markup(match[2]), href=f"#{match[1]}") for match in found)
    return element("nav", *links, aria_label="Sections")


def footer(versions: object, said: str) -> Markup:
    """Who made the page. versions: of the record."""
    version = versions.get("tunewright") if isinstance(versions, dict) else None
    return element("footer", f"Made by Tunewright {version or ''}".rstrip() + f" from {said}")


def tiles(name: str, found: Iterable[Markup]) -> Markup:
    return element("dl", *found, class_="tiles", aria_label=name)


def tile(name: str, value: str, more: str, main: bool = False) -> Markup:
    """A key figure."""
    parts = [element("dt", name), element("dd", value, class_="value"), element("dd", more, class_="more")]
    return element("div", *parts, class_="tile main" if main else "tile")


def section(identifier: str, title: str, lead: object, *content: object) -> Markup:
    """A part of the page with its heading and a sentence that says what is seen."""
    return element(
        "section",
        element("h2", title, id=f"{identifier}-heading"),
        element("p", lead) if lead else None,
        *content,
        id=identifier,
        aria_labelledby=f"{identifier}-heading",
    )


def card(title: object, *content: object) -> Markup:
    return element("div", element("h3", title) if title else None, *content, class_="card")


def note(said: object) -> Markup | None:
    """A remark in small letters; nothing where nothing is said."""
    return element("p", said, class_="note") if said else None


def chart(title: object, drawing: Markup, said: object = None) -> Markup:
    """A card that holds a drawing; nothing where nothing was drawn."""
    return card(title, drawing, note(said)) if drawing else Markup("")


def sheet(
    title: str, head: Sequence[object], rows: Sequence[Sequence[object]], said: object = None, text: int = 1
) -> Markup:
    """A card that holds a table; nothing where it has no row."""
    return card(title, table(title, head, rows, text=text), note(said)) if rows else Markup("")


def grid(*cards: Markup, columns: int = 2) -> Markup:
    """Cards side by side where there is room; nothing where there is no card."""
    return element("div", *cards, class_="grid" if columns == 2 else "grid three") if any(cards) else Markup("")


def stack(*cards: Markup) -> Markup:
    """Cards one above the other in one place of a grid; nothing where there is no card."""
    return element("div", *cards) if any(cards) else Markup("")


def facts(rows: Iterable[tuple[object, object]]) -> Markup:
    """Names and values, one under the other."""
    return element("dl", *(join([element("dt", name), element("dd", value)]) for name, value in rows), class_="facts")


def table(
    caption: str, head: Sequence[object], rows: Iterable[Sequence[object]], *, weak: Iterable[int] = (), text: int = 1
) -> Markup:
    """A table in its own scrolling box. The first `text` columns are texts; rows whose index is in `weak` stand out."""
    heading = element("tr", *(element("th", name, scope="col", class_=_kind(i, text)) for i, name in enumerate(head)))
    standing_out = set(weak)
    body = (_row(row, text, index in standing_out) for index, row in enumerate(rows))
    whole = element("table", element("thead", heading), element("tbody", *body), aria_label=caption)
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _row(values: Sequence[object], text: int, weak: bool) -> Markup:
    first, *rest = values
    cells = (element("td", value, class_=_kind(index, text)) for index, value in enumerate(rest, 1))
    return element("tr", element("th", first, scope="row", dir="auto"), *cells, class_="weak" if weak else None)


def _kind(index: int, text: int) -> str | None:
    return "text" if index < text else None


def breakable(name: str) -> Markup:
    """A name that may be broken after its underscores, and is still copied as it is."""
    return join(name.split("_"), "_<wbr>")


def taken(true: str, said: str) -> Markup:
    """`billing taken for damage`."""
    return join([breakable(true), element("span", " taken for ", class_="small"), breakable(said)])


def measure(value: float | None, said: str) -> Markup:
    """A score with a little bar."""
    width = 100 * min(max(value or 0.0, 0.0), 1.0)
    bar = element("span", element("i", style=f"--share:{width:.1f}%"), class_="track", aria_hidden="true")
    return element("span", said, bar, class_="measure")


def items(said: Iterable[object]) -> Markup:
    return element("ul", *(element("li", item) for item in said), class_="plain")


def notice(title: str, said: Sequence[object]) -> Markup:
    """Something to be aware of; nothing where there is nothing."""
    return element("div", element("strong", title), items(said), class_="notice", role="note") if said else Markup("")


def code(content: str) -> Markup:
    return element("pre", element("code", content), tabindex=0)


def details(summary: str, *content: object) -> Markup:
    return element("details", element("summary", summary), *content)
