"""What the checks of the data found: a section of a run's report, and the page of `tunewright data check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import read_json, write_text
from . import charts, page, privacy
from .charts import Series
from .files import Record
from .markup import Markup, element
from .words import count, percent, plural, shorten

RANKS = {"severe": "Severe", "warning": "Warnings", "note": "Notes"}
ROWS_SHOWN, LABELS_SHOWN, SUSPECTS_SHOWN = 3, 20, 15


def write_check(folder: Path, data: str, rows: dict[str, int]) -> Path:
    """Writes report.html beside checks.json.

    Args:
        data: the file's name, for the title.
        rows: usable ones, by split.
    """
    found = privacy.scrub_values(read_json(folder / "checks.json"))
    path = folder / "report.html"
    write_text(path, render(found, data, rows))
    return path


def render(found: Record, data: str, rows: dict[str, int]) -> str:
    sizes = ", ".join(f"{plural(number, 'row')} of {name}" for name, number in rows.items())
    leaked = {name: len(numbers) for name, numbers in (found.get("leaked") or {}).items() if numbers}
    told = [f"{plural(number, 'row')} of {name} can be known from train" for name, number in leaked.items()]
    warned = page.notice("Scores on these files would be too good", told)
    return page.document(f"{data}: data check", [page.header("data check", data, sizes), warned, checks(found)])


def checks(found: Record) -> Markup:
    """The section of a run's report; nothing where nobody looked. found: checks.json."""
    if not found.get("checks"):
        return Markup("")
    asked = [check for check in found["checks"] if check["status"] == "done"]
    rules = {rank: [rule for rule in found.get("rules") or [] if rule["severity"] == rank] for rank in RANKS}
    counts = {rank: sum(rule["count"] for rule in each) for rank, each in rules.items()}
    said = ", ".join(f"{count(number)} {RANKS[rank].lower()}" for rank, number in counts.items() if number)
    lead = f"{plural(len(asked), 'check')} of the data: {said or 'nothing found'}."
    tables = [_rules(rank, each) for rank, each in rules.items() if each]
    return page.section("checks", "Data checks", lead, *tables, _not_asked(found), *_measured(found))


def _rules(rank: str, rules: list[Record]) -> Markup:
    """A table for each severity; notes are folded away."""
    head = ["rule", "what was found, and what to do", "found"]
    sheet = page.table(RANKS[rank], head, map(_rule_row, rules), text=2)
    return page.card(RANKS[rank], sheet) if rank != "note" else page.card(None, page.details(RANKS[rank], sheet))


def _rule_row(rule: Record) -> list[object]:
    """A rule with its first findings."""
    said = [f"{_place(item)}: {item['message']}" for item in rule["shown"][:ROWS_SHOWN]]
    rest = rule["count"] - len(said)
    said += [f"and {count(rest)} more"] if rest > 0 else []
    lines = [element("div", text) for text in said]
    remedy = element("div", rule["shown"][0]["remedy"], class_="small")
    return [page.breakable(rule["rule"]), element("div", *lines, remedy), count(rule["count"])]


def _place(item: Record) -> str:
    return f"{item['split']}, row {item['row']}" if item.get("row") is not None else str(item["split"])


def _not_asked(found: Record) -> Markup:
    """Checks that were skipped or stopped, each with its reason."""
    said = [f"{check['title']}: {check['status']}: {check['reason']}" for check in found["checks"]
            if check.get("reason")]  # fmt: skip
    if not said:
        return Markup("")
    return page.card(None, page.details(f"{plural(len(said), 'check')} not finished", page.items(said)))


def _measured(found: Record) -> list[Markup]:
    """Charts of what checks measured, two in a row; below them the likely wrong labels."""
    facts: dict[str, Any] = found.get("facts") or {}
    cards = [draw(facts[kind]) for kind, draw in DRAWN.items() if facts.get(kind)]
    return [page.grid(*cards), _suspects(facts.get("label_noise") or {})]


def _labels(facts: Record) -> Markup:
    """The labels of train, most frequent first."""
    train = facts.get("train") or {}
    items = list((train.get("counts") or {}).items())
    if not items:
        return Markup("")
    described = f"{items[0][0]} has {count(items[0][1])} rows, {items[-1][0]} has {count(items[-1][1])}."
    drawing = charts.bars("label-counts", "Labels in train", described, items[:LABELS_SHOWN])
    more = len(items) - LABELS_SHOWN
    note = f"{described} As many as {train['effective']:.1f} equally frequent ones."
    note += f" {plural(more, 'more label')} not shown." if more > 0 else ""
    return page.chart("Labels in train", drawing, note)


def _lengths(facts: Record) -> Markup:
    """How long the texts of train are, and what each limit would cut."""
    train = (facts.get("parts") or {}).get("train")
    if not train:
        return Markup("")
    edges, counts = train["histogram"]["edges"], train["histogram"]["counts"]
    points = [((low + high) / 2, float(number)) for low, high, number in zip(edges, edges[1:], counts, strict=False)]
    title = "Tokens a row in train"
    drawing = charts.line_chart(
        "token-lengths", title, "A histogram of token lengths.", [Series("rows", points)], x_label="tokens",
        marker=facts.get("max_length"), marker_text="limit",
    )  # fmt: skip
    rows = [[count(cut["max_length"]), percent(cut["rows"]), percent(cut["tokens"])] for cut in train["cuts"]]
    sheet = page.table("What each limit would cut", ["max_length", "rows cut", "tokens cut"], rows)
    advised = f"data.max_length: {facts['advised']} is enough." if facts.get("advised") else None
    return page.card(title, drawing, sheet, page.note(advised))


def _suspects(facts: Record) -> Markup:
    """Likely wrong labels, the likeliest first."""
    rows = [
        [shorten(item["text"], 120), _named(item["given"]), _named(item["expected"]), percent(item["probability"], 0),
         count(item["row"])]
        for item in (facts.get("ranking") or [])[:SUSPECTS_SHOWN]
    ]  # fmt: skip
    if not rows:
        return Markup("")
    share = percent(facts["share"])
    note = f"{count(facts['suspects'])} suspects in {count(facts['rows'])} rows; about {share} of the labels are "
    note += "estimated to be wrong. suspects.csv has them all."
    return page.sheet("Likely wrong labels", ["text", "labelled", "reads like", "sure", "row"], rows, note, text=3)


def _named(label: object) -> str:
    return (", ".join(map(str, label)) or "none") if isinstance(label, list) else str(label)


def _learning_curve(facts: Record) -> Markup:
    """What a linear probe learns from growing shares of train, and what more rows promise."""
    if not facts.get("curve"):
        return Markup("")
    series = [
        Series(facts["metric"] if name == "score" else name, [(item["rows"], item[name]) for item in facts["curve"]],
               faint=name != "score")
        for name in ("low", "high", "score")
    ]  # fmt: skip
    title = "Would more rows help?"
    described = "The score of a linear probe on growing shares of train."
    drawing = charts.line_chart("learning-curve", title, described, series, x_label="rows", top=1.0)
    rows = [
        [f"+{count(item['rows'])}", *(f"{100 * item[name]:+.1f}" for name in ("gain", "low", "high"))]
        for item in facts["more"]
    ]
    sheet = page.table(title, ["more rows", "points", "at least", "at most"], rows)
    note = "By a linear model on frozen features, in five held-out folds; 90 % intervals over folds and rows."
    return page.card(title, drawing, sheet, page.note(note))


def _shift(facts: Record) -> Markup:
    """How far the other files are from train."""
    known = {name: found for name, found in facts.items() if found.get("classifier")}
    if not known:
        return Markup("")
    within = next(iter(known.values()))["vocabulary"]["within_train"]
    notes = [
        f"AUC of a classifier that tells it from train: 0.5 is no difference. Within train {percent(within)} are new."
    ]
    words = {name: found["classifier"].get("words", {}).get("other", [])[:8] for name, found in known.items()}
    notes += [f"Words that tell {name}: {', '.join(told)}." for name, told in words.items() if told]
    rows = [_shift_row(name, found) for name, found in known.items()]
    title = "Is it the same kind of text as train?"
    return page.sheet(title, ["file", "AUC (interval)", "new words"], rows, " ".join(notes))


def _shift_row(name: str, found: Record) -> list[object]:
    judged, words = found["classifier"], found["vocabulary"]
    auc = f"{judged['auc']:.2f} ({judged['low']:.2f} to {judged['high']:.2f})"
    return [name, auc, percent(words["unseen"])]


DRAWN: dict[str, Callable[[Record], Markup]] = {
    "labels": _labels,
    "length": _lengths,
    "enough_data": _learning_curve,
    "shift": _shift,
}
