"""How good the model is, at a glance: the headline, the key figures, and what is worth knowing."""

from __future__ import annotations

from . import generation, page, verdict
from .files import Record, RunFiles
from .markup import Markup, element
from .verdict import Main
from .words import (
    NARROW,
    compact,
    count,
    date,
    duration,
    finite,
    memory,
    percent,
    plural,
    score,
    score_name,
    score_value,
    share,
    strategy_name,
    task_name,
)

# The first that is there stands beside the main score.
_SECOND = ("perplexity", "margin", "f1", "f1_macro", "f1_micro", "exact_match", "mcc")
_SHARES = ("accuracy", "log_probability_accuracy")


def headline(files: RunFiles) -> Markup:
    """What was trained on what, how, and when; and in a sentence how it did."""
    model = str(files.config.get("model") or files.metrics.get("model") or "A model")
    kind = task_name(files.task) + (", several labels a text" if files.multi_label else "")
    kind += f" ({generation.loss_name(files)})" if files.task == "preference" else ""
    how = strategy_name(files.strategy, files.part("strategy"))
    parts = [kind, plural(len(files.labels), files.label_noun) if files.labels else None, how]
    created = files.metrics.get("created")
    about = " · ".join(part for part in [*parts, date(created) if created else None] if part)
    return element(
        "header",
        element("p", "Tunewright run report", class_="about"),
        element("h1", f"{model}, trained on {files.source()}"),
        element("p", verdict.sentence(files), class_="lead"),
        element("p", about, class_="about"),
    )


def tiles(files: RunFiles) -> Markup:
    """The key figures."""
    main = verdict.main(files)
    found = [_main_tile(files, main, f"on {files.split}"), *_second_tile(files, main)] if main else []
    return element("dl", *found, *_cost_tiles(files), class_="tiles", aria_label="Key figures")


def _second_tile(files: RunFiles, main: Main) -> list[Markup]:
    """What the main score does not tell."""
    scores, on = files.scores, f"on {files.split}"
    recall, precision = finite(scores.get("recall")), finite(scores.get("precision"))
    if main.name == "f1" and recall is not None and precision is not None:
        return [tile("Entities found", percent(recall), f"{percent(precision)} of its marks are right")]
    known = [name for name in _SECOND if finite(scores.get(name)) is not None and name != main.name]
    return [tile(score_name(name), score_value(name, scores[name]), on) for name in known[:1]]


def _cost_tiles(files: RunFiles) -> list[Markup]:
    """What went in: rows, time, memory, parameters."""
    metrics = files.metrics
    trained = (files.ledger.get("splits") or {}).get("train", {}).get("rows_kept")
    evaluated = f"{count(files.scores.get('num_rows'))} to {files.split}" if files.scores else ""
    total_time = f"{duration(metrics.get('total_seconds'))} in all"
    found = [tile(f"Training {files.row_noun}s", count(trained), evaluated)] if trained is not None else []
    found.append(tile("Time to train", duration(metrics.get("fit_seconds")), total_time))
    found.append(
        tile(
            "Peak memory",
            memory(metrics.get("peak_memory_mb")),
            f"on {metrics['device']}" if metrics.get("device") else "",
        )
    )
    trainable, total = finite(metrics.get("trainable_parameters")), finite(metrics.get("total_parameters"))
    if trainable is not None and total:
        amount = f"{compact(trainable)} of {compact(total)} parameters"
        found.append(tile("Trained share", share(trainable / total), amount))
    return found


def _main_tile(files: RunFiles, main: Main, on: str) -> Markup:
    is_share = main.name in _SHARES or (main.name == "exact_match" and main.interval is not None)
    name = generation.score_title(files, main.name)
    value = percent(main.value) if is_share else score(main.value)
    if main.interval is None:
        return tile(name, value, on, main=True)
    interval = f"95{NARROW}%: {verdict.interval_words(main)}"
    return tile(f"{name} {on}", value, interval, main=True)


def tile(name: str, value: str, more: str, main: bool = False) -> Markup:
    kind = "tile main" if main else "tile"
    parts = [element("dt", name), element("dd", value, class_="value"), element("dd", more, class_="more")]
    return element("div", *parts, class_=kind)


def warnings(files: RunFiles) -> Markup:
    """What the run warned of, and that it was cut short if it was."""
    said = [str(warning) for warning in files.metrics.get("warnings") or []]
    if files.metrics.get("stopped") == "interrupted":
        said.insert(0, "The training was interrupted: these are the scores of an unfinished run; --resume goes on.")
    return page.notice("Worth knowing", [*clean(files), *said])


def clean(files: RunFiles) -> list[str]:
    """The main score without the rows that training knows already, where there are such rows."""
    found: Record = (files.metrics.get("clean") or {}).get(files.split) or {}
    main = verdict.main(files)
    value = finite(found.get(main.name)) if main else None
    if main is None or value is None:
        return []
    left_out = plural(found["left_out"], f"{files.row_noun} of {files.split}", f"{files.row_noun}s of {files.split}")
    text = f"{score_name(main.name)} is {score(value)} without the {left_out} that train knows already"
    return [f"{text} (with them: {score(main.value)})."]
