"""Where the model comes from and how to go on: the ledger of the data, the cost, how to repeat it, how to use it."""

from __future__ import annotations

import yaml

from . import charts, page, usage
from .analysis import median
from .files import Record, RunFiles
from .markup import Markup, element, join
from .words import NOTHING, compact, count, date, duration, finite, memory, plural, share

SHOWN_LABELS = 20  # of the label distribution; the others are folded away
_ABOUT_LEARNED = {
    "preference": "A pair's prompt counts with both of its answers.",
    "seq2seq": "Supervised are the targets; what is read is not.",
    "causal_lm": "Supervised are the tokens that the loss counts; the others are only read.",
}


def splits_of(files: RunFiles) -> dict[str, Record]:
    """What data.json says of each split; nothing without it."""
    return {name: split for name, split in (files.ledger.get("splits") or {}).items() if split}


def ledger(files: RunFiles) -> Markup:
    """What went in, what was kept, and why not all; nothing without data.json."""
    splits = splits_of(files)
    if not splits:
        return Markup("")
    columns = _columns(splits, files.task)
    head = ["split", "file", "rows in", "kept", "dropped", *columns, "tokens", "SHA-256"]
    rows = [_split_row(name, files.source(name), split, columns) for name, split in splits.items()]
    lead = f"Every row is accounted for. {_lengths(files.ledger)}"
    sheet = page.card(None, page.table("Rows by split", head, rows, text=2))
    supervised = learned(files) or ([], [])
    more = page.sheet("What is learned", *supervised, _ABOUT_LEARNED.get(files.task))
    title = "Duplicates across splits make scores look better than they are"
    notes = files.ledger.get("notes") or []
    told = page.card("How the data was read", page.items(notes)) if notes else Markup("")
    other = page.grid(_distribution(splits, files.counted_noun), told)
    return page.section("data", "Data", lead, sheet, more, page.notice(title, shared_texts(files)), other)


def learned(files: RunFiles) -> tuple[list[str], list[list[str]]] | None:
    """(head, rows) of the tokens in the loss, and of the answers that were cut; None where a loss counts rows."""
    known = {name: split for name, split in splits_of(files).items()
             if finite(split.get("supervised_tokens")) is not None}  # fmt: skip
    if not known:
        return None
    names = [key for key in ("answers_cut", "rows_without_a_target") if any(key in split for split in known.values())]
    rows = [
        [name, count(split["supervised_tokens"]), share(_learned_share(split, files.task)),
         *(_of_rows(split, key) for key in names)]
        for name, split in known.items()
    ]  # fmt: skip
    return ["split", "supervised tokens", "of all", *(name.replace("_", " ") for name in names)], rows


def _learned_share(split: Record, task: str) -> float | None:
    """Supervised tokens of all: an encoder-decoder's targets are no part of the tokens that it reads."""
    learned, read = split["supervised_tokens"], finite(split.get("tokens")) or 0
    total = read + learned if task == "seq2seq" else read
    return learned / total if total else None


def _of_rows(split: Record, key: str) -> str:
    number, kept = finite(split.get(key)), finite(split.get("rows_kept"))
    return count(number) + (f" ({share(number / kept)})" if number and kept else "")


def shared_texts(files: RunFiles) -> list[str]:
    """`3 texts in both train and test`."""
    pairs = (files.ledger.get("duplicates_across_splits") or {}).items()
    return [
        f"{plural(number, 'text')} in both {' and '.join(str(name).split('/'))}" for name, number in pairs if number
    ]


def _columns(splits: dict[str, Record], task: str) -> list[str]:
    """What is told only where it happened: that a text was read in windows, or mended. A pair is always two."""
    windows = any((split.get("windows") or 0) > (split.get("rows_kept") or 0) for split in splits.values())
    mended = any(split.get("faults") for split in splits.values())
    return ["truncated", *(["windows"] if windows and task != "preference" else []), *(["mended or lost"] * mended)]


def _split_row(name: str, file: str, split: Record, columns: list[str]) -> list[object]:
    cells: Record = {
        "truncated": _of_rows(split, "truncated"),
        "windows": count(split.get("windows")),
        "mended or lost": _phrases(split.get("faults")),
    }
    digest = str(split.get("sha256") or "")
    short = element("code", digest[:10], title=digest) if digest else NOTHING
    rows, kept, tokens = (count(split.get(key)) for key in ("rows_in", "rows_kept", "tokens"))
    return [name, file, rows, kept, _phrases(split.get("dropped")), *(cells[n] for n in columns), tokens, short]


def _phrases(counts: Record | None) -> object:
    """How often and why, a phrase a line."""
    lines = (element("span", f"{count(number)} {phrase}", class_="line") for phrase, number in (counts or {}).items())
    return join(lines) if counts else "0"


def _lengths(found: Record) -> str:
    """How long the texts are, against the limit."""
    lengths = {str(key): finite(value) for key, value in (found.get("length_percentiles") or {}).items()}
    if not lengths.get("100"):
        return ""
    half, nearly, longest = (count(lengths.get(key)) for key in ("50", "99", "100"))
    said = f"Half of the texts have at most {half} tokens, 99 of 100 at most {nearly}, the longest {longest}."
    return f"{said} The limit is {count(found.get('max_length'))}."


def _distribution(splits: dict[str, Record], noun: str) -> Markup:
    """The labels of the training split, most frequent first."""
    name = "train" if "train" in splits else next(iter(splits))
    counts = splits[name].get("label_counts") or {}
    if not counts:
        return Markup("")
    items = sorted(((str(label), number) for label, number in counts.items()), key=lambda item: (-item[1], item[0]))
    title = f"{'Labels' if noun == 'rows' else noun.capitalize()} in {name}"
    described = f"{items[0][0]} has {count(items[0][1])} {noun}, {items[-1][0]} has {count(items[-1][1])}."
    rest = [[label, count(number)] for label, number in items[SHOWN_LABELS:]]
    more = f"The other {count(len(rest))} labels"
    folded = page.details(more, page.table(more, ["label", noun], rest)) if rest else None
    return page.card(title, charts.bars("labels", title, described, items[:SHOWN_LABELS]), folded)


def cost(files: RunFiles) -> Markup:
    """Time, memory, size, speed and versions."""
    metrics = files.metrics
    trainable, total = compact(metrics.get("trainable_parameters")), compact(metrics.get("total_parameters"))
    spent = {
        "Training": duration(metrics.get("fit_seconds")),
        "In all": duration(metrics.get("total_seconds")),
        "Peak memory": memory(metrics.get("peak_memory_mb")),
        "Trained": f"{trainable} of {total} parameters",
        "Median speed": _speed(files),
    }
    setting = {
        "Device": metrics.get("device"),
        "Precision": metrics.get("precision"),
        "Seed": metrics.get("seed"),
        "Steps": count(metrics.get("steps")),
        "Written": date(metrics["created"]) if metrics.get("created") else None,
    }
    parts = {"Spent": spent, "Circumstances": setting, "Versions": metrics.get("versions") or {}}
    known = {
        title: [(name, value) for name, value in found.items() if value not in (None, NOTHING, "")]
        for title, found in parts.items()
    }
    cards = [page.card(title, page.facts(rows)) for title, rows in known.items() if rows]
    return page.section("cost", "Time and memory", None, page.grid(*cards, columns=3))


def _speed(files: RunFiles) -> str:
    speeds = [(median(files.training, f"{unit}_per_second"), unit) for unit in ("rows", "tokens")]
    return ", ".join(f"{count(speed)} {unit}/s" for speed, unit in speeds if speed is not None)


def repeat(files: RunFiles) -> Markup:
    """The command that was given, and the one that repeats the run."""
    dumped = yaml.safe_dump(files.config, sort_keys=False, allow_unicode=True)
    whole = page.details("The whole configuration (run.yaml)", page.code(dumped)) if files.config else None
    lead = "The same data, seed and versions on a CPU in fp32 give the same weights, bit for bit."
    return page.section("repeat", "Repeat it", lead, page.card(None, page.code(usage.repeat_commands(files)), whole))


def use(files: RunFiles) -> Markup:
    """How to get answers from the model."""
    package = "peft" if usage.is_adapter(files) else "transformers"
    cards = [
        page.card("On the command line", page.code(usage.predict_command(files))),
        page.card("In Python", page.code(usage.python_lines(files))),
        page.card(f"With plain {package}", page.code(usage.plain_lines(files))),
    ]
    return page.section("use", "Use it", None, page.grid(*cards))
