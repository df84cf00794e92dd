"""The report of a run: how good the model is at a glance, then section by section."""

from __future__ import annotations

from pathlib import Path

from . import answers, checks, classification, course, entities, generation, mistakes, origin, page, verdict
from .files import Record, RunFiles, read
from .markup import Markup
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
# What is told of the outcome, in this order.
_CLASSIFICATION = (
    classification.scores, classification.confusion, classification.calibration, mistakes.mistakes
)  # fmt: skip
_OUTCOME = {
    "token_classification": (classification.scores, entities.errors, entities.mistake_list),
    "question_answering": (answers.results, answers.mistake_list),
    "causal_lm": (classification.scores, generation.answers, generation.template),
    "seq2seq": (classification.scores, generation.answers),
    "preference": (course.rewards, classification.scores, generation.answers, generation.template),
}


def render(run: Path) -> str:
    """The page of a run's directory. Raises RunDirectoryError where the directory holds no run."""
    return whole(read(run))


def whole(files: RunFiles) -> str:
    """The page of what a run left behind."""
    shown = [course.course, *_OUTCOME.get(files.task, _CLASSIFICATION), origin.ledger]
    sections = [section(files) for section in shown] + [checks.checks(files.checks)]
    sections += [section(files) for section in (origin.cost, origin.repeat, origin.use)]
    main = verdict.main(files)
    top = [_headline(files, main), _tiles(files, main), _warnings(files, main), page.contents(sections)]
    made = f"the files of {files.name}. The model card is README.md beside this file."
    footer = page.footer(files.metrics.get("versions"), made)
    return page.document(f"{_model(files)} on {files.source()}: run report", [*top, *sections, footer])


def _model(files: RunFiles) -> str:
    return str(files.config.get("model") or files.metrics.get("model") or "A model")


def _headline(files: RunFiles, main: Main | None) -> Markup:
    """What was trained on what, how, and when; and in a sentence how it did."""
    kind = task_name(files.task) + (", several labels a text" if files.multi_label else "")
    kind += f" ({generation.loss_name(files)})" if files.task == "preference" else ""
    labels = plural(len(files.labels), files.label_noun) if files.labels else ""
    created = date(files.metrics["created"]) if files.metrics.get("created") else ""
    parts = [kind, labels, strategy_name(files.strategy, files.part("strategy")), created]
    about = " · ".join(filter(None, parts))
    title = f"{_model(files)}, trained on {files.source()}"
    return page.header("run report", title, verdict.sentence(files, main), about)


def _tiles(files: RunFiles, main: Main | None) -> Markup:
    """The key figures."""
    found = [_main_tile(files, main), *_second_tile(files, main)] if main else []
    return page.tiles("Key figures", [*found, *_cost_tiles(files)])


def _main_tile(files: RunFiles, main: Main) -> Markup:
    is_share = main.name in _SHARES or (main.name == "exact_match" and main.interval is not None)
    name, on = generation.score_title(files, main.name), f"on {files.split}"
    value = percent(main.value) if is_share else score(main.value)
    if main.interval is None:
        return page.tile(name, value, on, main=True)
    return page.tile(f"{name} {on}", value, f"95{NARROW}%: {verdict.interval_words(main)}", main=True)


def _second_tile(files: RunFiles, main: Main) -> list[Markup]:
    """What the main score does not tell."""
    scores, on = files.scores, f"on {files.split}"
    recall, precision = finite(scores.get("recall")), finite(scores.get("precision"))
    if main.name == "f1" and recall is not None and precision is not None:
        return [page.tile("Entities found", percent(recall), f"{percent(precision)} of its marks are right")]
    known = [name for name in _SECOND if finite(scores.get(name)) is not None and name != main.name]
    return [page.tile(score_name(name), score_value(name, scores[name]), on) for name in known[:1]]


def _cost_tiles(files: RunFiles) -> list[Markup]:
    """What went in: rows, time, memory, parameters."""
    metrics = files.metrics
    trained = (files.ledger.get("splits") or {}).get("train", {}).get("rows_kept")
    evaluated = f"{count(files.scores.get('num_rows'))} to {files.split}" if files.scores else ""
    total_time = f"{duration(metrics.get('total_seconds'))} in all"
    found = [page.tile(f"Training {files.row_noun}s", count(trained), evaluated)] if trained is not None else []
    found.append(page.tile("Time to train", duration(metrics.get("fit_seconds")), total_time))
    device = f"on {metrics['device']}" if metrics.get("device") else ""
    found.append(page.tile("Peak memory", memory(metrics.get("peak_memory_mb")), device))
    trainable, total = finite(metrics.get("trainable_parameters")), finite(metrics.get("total_parameters"))
    if trainable is not None and total:
        amount = f"{compact(trainable)} of {compact(total)} parameters"
        found.append(page.tile("Trained share", share(trainable / total), amount))
    return found


def _warnings(files: RunFiles, main: Main | None) -> Markup:
    """What the run warned of, and that it was cut short if it was."""
    said = [str(warning) for warning in files.metrics.get("warnings") or []]
    if files.metrics.get("stopped") == "interrupted":
        said.insert(0, "The training was interrupted: these are the scores of an unfinished run; --resume goes on.")
    return page.notice("Worth knowing", [*_clean(files, main), *said])


def _clean(files: RunFiles, main: Main | None) -> list[str]:
    """The main score without the rows that training knows already, where there are such rows."""
    found: Record = (files.metrics.get("clean") or {}).get(files.split) or {}
    value = finite(found.get(main.name)) if main else None
    if main is None or value is None:
        return []
    left_out = plural(found["left_out"], f"{files.row_noun} of {files.split}", f"{files.row_noun}s of {files.split}")
    text = f"{score_name(main.name)} is {score(value)} without the {left_out} that train knows already"
    return [f"{text} (with them: {score(main.value)})."]
