"""Charts and tables of what checks measured: labels, lengths, likely wrong labels, the learning curve, shift."""

from __future__ import annotations

from . import charts, page
from .files import Record
from .markup import Markup, element
from .words import count, percent, plural, shorten

SHOWN_LABELS = 20
SHOWN_SUSPECTS = 15


def labels(facts: Record) -> Markup:
    """The labels of train, most frequent first."""
    train = facts.get("train") or {}
    items = list((train.get("counts") or {}).items())
    if not items:
        return Markup("")
    described = f"{items[0][0]} has {count(items[0][1])} rows, {items[-1][0]} has {count(items[-1][1])}."
    drawing = charts.bars("label-counts", "Labels in train", described, items[:SHOWN_LABELS])
    more = len(items) - SHOWN_LABELS
    note = f"{described} As many as {train['effective']:.1f} equally frequent ones."
    note += f" {plural(more, 'more label')} not shown." if more > 0 else ""
    return page.chart("Labels in train", drawing, note)


def lengths(facts: Record) -> Markup:
    """How long the texts of train are, and what each limit would cut."""
    train = (facts.get("parts") or {}).get("train")
    if not train:
        return Markup("")
    edges, counts = train["histogram"]["edges"], train["histogram"]["counts"]
    points = [((low + high) / 2, float(number)) for low, high, number in zip(edges, edges[1:], counts, strict=False)]
    title = "Tokens a row in train"
    drawing = charts.line_chart(
        "token-lengths", title, "A histogram of token lengths.", [charts.Series("rows", points)],
        x_label="tokens", marker=facts.get("max_length"), marker_text="limit",
    )  # fmt: skip
    rows = [[count(cut["max_length"]), percent(cut["rows"]), percent(cut["tokens"])] for cut in train["cuts"]]
    sheet = page.table("What each limit would cut", ["max_length", "rows cut", "tokens cut"], rows)
    advised = f"data.max_length: {facts['advised']} is enough." if facts.get("advised") else None
    return page.card(title, drawing, sheet, element("p", advised, class_="note") if advised else None)


def suspects(facts: Record) -> Markup:
    """Likely wrong labels, the likeliest first."""
    if not facts.get("ranking"):
        return Markup("")
    rows = [suspect(item) for item in facts["ranking"][:SHOWN_SUSPECTS]]
    sheet = page.table("Likely wrong labels", ["text", "labelled", "reads like", "sure", "row"], rows, text=3)
    note = (
        f"{count(facts['suspects'])} suspects in {count(facts['rows'])} rows; about {percent(facts['share'])} of the "
    )
    note += "labels are estimated to be wrong. suspects.csv has them all."
    return page.card("Likely wrong labels", sheet, element("p", note, class_="note"))


def suspect(item: Record) -> list[object]:
    said = [named(item["given"]), named(item["expected"]), percent(item["probability"], 0)]
    return [shorten(item["text"], 120), *said, count(item["row"])]


def named(label: object) -> str:
    return (", ".join(map(str, label)) or "none") if isinstance(label, list) else str(label)


def learning_curve(facts: Record) -> Markup:
    """What a linear probe learns from growing shares of train, and what more rows promise."""
    if not facts.get("curve"):
        return Markup("")
    bounds = [
        charts.Series(name, [(item["rows"], item[name]) for item in facts["curve"]], faint=True)
        for name in ("low", "high")
    ]
    line = charts.Series(facts["metric"], [(item["rows"], item["score"]) for item in facts["curve"]])
    title = "Would more rows help?"
    described = "The score of a linear probe on growing shares of train."
    drawing = charts.line_chart("learning-curve", title, described, [*bounds, line], x_label="rows", top=1.0)
    rows = [
        [f"+{count(item['rows'])}", *(f"{100 * item[name]:+.1f}" for name in ("gain", "low", "high"))]
        for item in facts["more"]
    ]
    sheet = page.table(title, ["more rows", "points", "at least", "at most"], rows)
    note = "By a linear model on frozen features, in five held-out folds; 90 % intervals over folds and rows."
    return page.card(title, drawing, sheet, element("p", note, class_="note"))


def shift(facts: Record) -> Markup:
    """How far the other files are from train."""
    known = {name: found for name, found in facts.items() if found.get("classifier")}
    if not known:
        return Markup("")
    rows = [shift_row(name, found) for name, found in known.items()]
    title = "Is it the same kind of text as train?"
    sheet = page.table(title, ["file", "AUC (interval)", "new words"], rows)
    within = next(iter(known.values()))["vocabulary"]["within_train"]
    notes = [
        f"AUC of a classifier that tells it from train: 0.5 is no difference. Within train {percent(within)} are new."
    ]
    words = {name: found["classifier"].get("words", {}).get("other", [])[:8] for name, found in known.items()}
    notes += [f"Words that tell {name}: {', '.join(told)}." for name, told in words.items() if told]
    return page.card(title, sheet, element("p", " ".join(notes), class_="note"))


def shift_row(name: str, found: Record) -> list[object]:
    judged, words = found["classifier"], found["vocabulary"]
    auc = f"{judged['auc']:.2f} ({judged['low']:.2f} to {judged['high']:.2f})"
    return [name, auc, percent(words["unseen"])]
