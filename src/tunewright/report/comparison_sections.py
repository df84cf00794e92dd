"""The tables of a comparison: contestants, classes, and how it was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import page, words
from .comparison_files import Comparison, Contestant
from .markup import Markup, element, join
from .words import NOTHING, count, finite, listing, plural, score_value, signed

CLASSES, COLUMNS = 20, 8  # shown in the table of classes


def _trained(item: Contestant) -> str:
    trained, total = item.number("trainable_parameters"), item.number("total_parameters")
    return NOTHING if trained is None or not total else words.share(trained / total)


def _per_row(item: Contestant) -> str:
    times = [item.number("milliseconds_per_row", name) for name in ("alone", "in_batches")]
    return " / ".join(NOTHING if time is None else words.brief(time) for time in times) if any(times) else NOTHING


COSTS: dict[str, Callable[[Contestant], str]] = {
    "trained": _trained,
    "fit time": lambda item: words.duration(item.number("fit_seconds")),
    "memory": lambda item: words.memory(item.number("peak_memory_mb")),
    "size": lambda item: words.size(item.number("artefact_bytes")),
    "ms a row, alone / in batches": _per_row,
}


def table(comparison: Comparison) -> Markup:
    """Every contestant with its score, its cost and how it compares with the best."""
    metric, items, ends = comparison.metric, comparison.contestants, _ends(comparison)
    lead = f"{comparison.metric_name} on {plural(comparison.record.get('rows'), 'row')} of {comparison.record['split']}"
    lead += f", the best first{'' if comparison.higher else ' (lower is better)'}. ± is the standard deviation over "
    lead += f"seeds; bars are {comparison.level} intervals over rows; differences are to the best, and p is corrected "
    lead += "for the number of comparisons."
    cells: dict[str, Callable[[Contestant], object]] = {
        comparison.metric_name: lambda item: _score(metric, item, ends),
        "difference": lambda item: _difference(metric, item),
        "p": lambda item: words.chance(item.number("versus_best", "p_corrected")),
        "to tell apart": _to_tell,
        **COSTS,
    }
    columns = {head: [cell(item) for item in items] for head, cell in cells.items()}
    columns = {head: found for head, found in columns.items() if any(cell != NOTHING for cell in found)}
    names = [_name(comparison, place, item) for place, item in enumerate(items, 1)]
    sheet = page.table("Contestants", ["contestant", *columns], zip(names, *columns.values(), strict=True))
    return page.section("contestants", "Contestants", lead, element("div", sheet, class_="card contest"), _notes(items))


def _ends(comparison: Comparison) -> tuple[float, float]:
    """What the bars reach from and to: all intervals but those that lie far off."""
    intervals = [item.interval for item in comparison.near] or [(0.0, 1.0)]
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def _name(comparison: Comparison, place: int, item: Contestant) -> Markup:
    tags = (element("span", tag, class_="tag wins" if tag == "wins" else "tag") for tag in comparison.tags(item))
    return join([element("span", f"{place} ", class_="small"), element("span", item.name, dir="auto"), *tags], " ")


def _below(said: object) -> Markup:
    return element("span", said, class_="small below")


def _score(metric: str, item: Contestant, ends: tuple[float, float]) -> object:
    value, seeds = item.number("score", "value"), item.number("score", "seed_deviation")
    if value is None:
        return NOTHING
    spread = None if seeds is None else element("span", f" ± {score_value(metric, seeds)}", class_="small")
    (low, high), width = item.interval, (ends[1] - ends[0]) or 1.0
    if low == high:
        return join([score_value(metric, value), spread])
    left, right, at = (100 * (end - ends[0]) / width for end in (low, high, value))
    bar = element("span", element("i", style=f"left:{left:.1f}%;width:{right - left:.1f}%"),
                  element("b", style=f"left:{at:.1f}%"), class_="range", aria_hidden="true")  # fmt: skip
    return join(
        [score_value(metric, value), spread, bar, _below(f"{score_value(metric, low)} to {score_value(metric, high)}")]
    )


def _difference(metric: str, item: Contestant) -> object:
    low, high = item.number("versus_best", "low"), item.number("versus_best", "high")
    if not item.record.get("versus_best"):
        return "best" if item.score else NOTHING
    ends = None if low is None or high is None else _below(f"{signed(metric, low)} to {signed(metric, high)}")
    return join([signed(metric, item.number("versus_best", "difference")), ends])


def _to_tell(item: Contestant) -> object:
    """How many rows or seeds would be needed to tell it from the best."""
    rows, seeds = item.number("versus_best", "rows_needed"), item.number("versus_best", "seeds_needed")
    said = [plural(number, noun) for number, noun in ((rows, "row"), (seeds, "seed")) if number is not None]
    return join([said[0], *(_below(f"or {more}") for more in said[1:])]) if said else NOTHING


def _notes(items: Sequence[Contestant]) -> Markup:
    """Why runs did not finish, and what else is to be said of single contestants."""
    told = [element("li", element("b", item.name, dir="auto"), f": {said}") for item in items for said in item.told]
    return page.card("About single contestants", element("ul", *told, class_="plain")) if told else Markup("")


def classes(comparison: Comparison) -> Markup:
    """F1 of each class for each contestant, those that set the contestants most apart first."""
    known = [item for item in comparison.contestants if item.groups]
    runs = [item for item in known if not item.floor] or known
    shown = [*runs[: COLUMNS - 1], *[item for item in known if item.floor][:1]] if len(known) > COLUMNS else known
    names = dict.fromkeys(name for item in shown for name in item.groups)
    if len(known) < 2:
        return Markup("")
    spreads = {name: _spread([item.groups[name] for item in runs if name in item.groups]) for name in names}
    ordered = sorted(names, key=lambda name: (-spreads[name], name))
    noun = {"token_classification": "type", "question_answering": "kind"}.get(comparison.task, "class")
    head = [noun, "spread", *(item.name + (" (floor)" if item.floor else "") for item in shown)]
    body = [[name, words.score(spreads[name]), *_cells(name, shown)] for name in ordered[:CLASSES]]
    lead = f"F1 on {comparison.record['split']}, the mean over seeds; first those on which the runs differ most."
    lead += f" Shown are {count(len(shown))} of {count(len(known))} contestants." if len(shown) < len(known) else ""
    left = ordered[CLASSES:]
    said = f"On the other {count(len(left))} they lie at most {words.score(spreads[left[0]])} apart: " if left else ""
    rest = element("p", said + listing(left) + ".", class_="note") if left else None
    sheet = element("div", page.table("Scores by class", head, body), rest, class_="card contest")
    return page.section("classes", "Kinds of questions" if noun == "kind" else f"By {noun}", lead, sheet)


def _spread(values: Sequence[float]) -> float:
    return max(values, default=0.0) - min(values, default=0.0)


def _cells(name: str, shown: Sequence[Contestant]) -> list[object]:
    """The best of a line stands out."""
    values = [item.groups.get(name) for item in shown]
    top = max((value for value in values if value is not None), default=None)
    return [element("b", words.score(value)) if value is not None and value == top else words.score(value)
            for value in values]  # fmt: skip


def how(comparison: Comparison) -> Markup:
    """Data, seeds, budget, tests, command and versions: what a repetition needs."""
    record, runs = comparison.record, comparison.every_run
    data, budget = record.get("data") or {}, finite(record.get("budget_seconds"))
    versus = [item.record["versus_best"] for item in comparison.scored if item.record.get("versus_best")]
    tests = sorted({str(found["test"]) for found in versus if found.get("test")})
    also = ", which also chose the best step" if record["split"] == "validation" else ""
    found = {
        "data": data.get("train"),
        "rows": ", ".join(f"{name} {count(number)}" for name, number in (data.get("rows") or {}).items()),
        "scores on": f"{record['split']}{also}",
        "seeds": listing([str(seed) for seed in record.get("seeds") or []]),
        "budget": "none" if budget is None else words.duration(budget),
        "runs": f"{count(sum(run.get('status') == 'finished' for run in runs))} of {count(len(runs))} finished",
        "time in all": words.duration(record.get("seconds")),
        "intervals": f"{comparison.level}, from {count(record.get('resamples'))} resamples of the rows",
        "tests": tests and f"{listing(tests)}, against the best, corrected for {plural(len(versus), 'comparison')}",
        "made": record.get("created") and words.date(record["created"]),
        "versions": ", ".join(f"{name} {number}" for name, number in (record.get("versions") or {}).items()),
    }
    told = page.card("Conditions", page.facts((name, value) for name, value in found.items() if value))
    command = page.card("Command", page.code(str(record["command"]))) if record.get("command") else Markup("")
    lead = "Everything that must be the same for the same numbers."
    return page.section("how", "How it was done", lead, page.grid(told, page.stack(command, _settings(comparison))))


def _settings(comparison: Comparison) -> Markup:
    keys = ("strategy", "model", "data")
    body = [
        [item.name, *(str(item.record.get(key) or NOTHING) for key in keys),
         ", ".join(map(str, item.record.get("settings") or [])) or NOTHING]
        for item in comparison.contestants
    ]  # fmt: skip
    title = "Contestants and their settings"
    return page.card(None, page.details(title, page.table(title, ["contestant", *keys, "settings"], body, text=5)))
