"""Parts that every section of the page uses. Data in, markup out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .markup import Markup, element, join
from .words import percent, share


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


def chart(title: object, drawing: Markup, note: object = None) -> Markup:
    """A card that holds a drawing; nothing where nothing was drawn."""
    if not drawing:
        return Markup("")
    return card(title, drawing, element("p", note, class_="note") if note else None)


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


def by_confidence(found: Sequence[tuple[float, float, float]], noun: str) -> Markup:
    """What keeping only the surest answers would give, from `analysis.surest`; nothing where that is nothing."""
    if not found:
        return Markup("")
    title = f"If only the surest {noun} were kept"
    rows = [[percent(kept, 0), share(least), percent(right)] for kept, least, right in found]
    return card(title, table(title, [f"{noun} kept", "confidence from", "right"], rows))


def notice(title: str, items: Sequence[object]) -> Markup:
    """Something to be aware of; nothing where there is nothing."""
    if not items:
        return Markup("")
    entries = element("ul", *(element("li", item) for item in items))
    return element("div", element("strong", title), entries, class_="notice", role="note")


def code(content: str) -> Markup:
    return element("pre", element("code", content), tabindex=0)


def details(summary: str, *content: object) -> Markup:
    return element("details", element("summary", summary), *content)
