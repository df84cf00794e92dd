"""Where the model comes from and how to go on: the ledger of the data, the cost, how to repeat it, how to use it."""

from __future__ import annotations

from typing import Any

import yaml

from . import charts, page, usage
from .analysis import median
from .files import Record, RunFiles
from .markup import Markup, element, join
from .words import NOTHING, compact, count, date, duration, finite, memory, plural, share

SHOWN_LABELS = 20  # of the label distribution; the others are folded away


def ledger(files: RunFiles) -> Markup:
    """What went in, what was kept, and why not all; nothing without data.json."""
    splits: dict[str, Record] = {name: split for name, split in (files.ledger.get("splits") or {}).items() if split}
    if not splits:
        return Markup("")
    columns = _columns(splits, files.task)
    head = ["split", "file", "rows in", "kept", "dropped", *columns, "tokens", "SHA-256"]
    rows = [_split_row(name, files.source(name), split, columns) for name, split in splits.items()]
    lead = f"Every row is accounted for. {_lengths(files.ledger)}"
    sheet = page.card(None, page.table("Rows by split", head, rows, text=2))
    notes = [str(note) for note in files.ledger.get("notes") or []]
    told = page.card("How the data was read", element("ul", *(element("li", note) for note in notes), class_="plain"))
    parts = [*_distribution(splits, files.counted_noun), *([told] if notes else [])]
    other = page.grid(*parts) if parts else None
    return page.section("data", "Data", lead, sheet, *_learned(splits, files), _duplicates(files.ledger), other)


def learned_share(split: Record, task: str) -> float | None:
    """Supervised tokens of all: an encoder-decoder's targets are no part of the tokens that it reads."""
    learned, read = finite(split.get("supervised_tokens")), finite(split.get("tokens"))
    if learned is None or read is None:
        return None
    total = read + learned if task == "seq2seq" else read
    return learned / total if total else None


def _learned(splits: dict[str, Record], files: RunFiles) -> list[Markup]:
    """What the loss counts; nothing for tasks whose loss counts rows."""
    known = {name: split for name, split in splits.items() if finite(split.get("supervised_tokens")) is not None}
    if not known:
        return []
    names = [
        name for name in ("answers_cut", "rows_without_a_target") if any(name in split for split in known.values())
    ]
    rows = [
        [name, count(split["supervised_tokens"]), share(learned_share(split, files.task)),
         *(_of_rows(split, key) for key in names)]
        for name, split in known.items()
    ]  # fmt: skip
    head = ["split", "supervised tokens", "of all", *(name.replace("_", " ") for name in names)]
    note = {
        "preference": "A pair's prompt counts with both of its answers.",
        "seq2seq": "Supervised are the targets; what is read is not.",
    }.get(files.task, "Supervised are the tokens that the loss counts; the others are only read.")
    return [page.card("What is learned", page.table("What is learned", head, rows), element("p", note, class_="note"))]


def _of_rows(split: Record, key: str) -> str:
    number, kept = finite(split.get(key)), finite(split.get("rows_kept"))
    return count(number) + (f" ({share(number / kept)})" if number and kept else "")


def _columns(splits: dict[str, Record], task: str = "") -> list[str]:
    """What is told only where it happened: that a text was cut, read in windows, or mended. A pair is always two."""
    in_windows = task != "preference" and any(
        (split.get("windows") or 0) > (split.get("rows_kept") or 0) for split in splits.values()
    )
    mended = any(split.get("faults") for split in splits.values())
    cut = not in_windows or any(split.get("truncated") for split in splits.values())
    return [name for name, there in (("truncated", cut), ("windows", in_windows), ("mended or lost", mended)) if there]


def _split_row(name: str, file: str, split: Record, columns: list[str]) -> list[object]:
    kept, truncated = finite(split.get("rows_kept")), finite(split.get("truncated"))
    cells: Record = {
        "truncated": count(truncated) + (f" ({share(truncated / kept)})" if truncated and kept else ""),
        "windows": count(split.get("windows")),
        "mended or lost": _phrases(split.get("faults")),
    }
    digest = str(split.get("sha256") or "")
    short = element("code", digest[:10], title=digest) if digest else NOTHING
    rows, tokens = count(split.get("rows_in")), count(split.get("tokens"))
    return [name, file, rows, count(kept), _phrases(split.get("dropped")), *(cells[n] for n in columns), tokens, short]


def _phrases(counts: Record | None) -> object:
    """How often and why, a phrase a line."""
    lines = (element("span", f"{count(number)} {phrase}", class_="line") for phrase, number in (counts or {}).items())
    return join(lines) if counts else "0"


def _lengths(found: Record) -> str:
    """How long the texts are, against the limit."""
    lengths = {str(key): finite(value) for key, value in (found.get("length_percentiles") or {}).items()}
    half, nearly, longest = lengths.get("50"), lengths.get("99"), lengths.get("100")
    if half is None or longest is None:
        return ""
    said = f"Half of the texts have at most {plural(half, 'token')}"
    said += f", 99 of 100 at most {count(nearly)}" if nearly is not None else ""
    limit = finite(found.get("max_length"))
    return f"{said}, the longest {count(longest)}." + (f" The limit is {count(limit)}." if limit is not None else "")


def _duplicates(found: Record) -> Markup:
    pairs = {name: number for name, number in (found.get("duplicates_across_splits") or {}).items() if number}
    said = [f"{plural(number, 'text')} in both {' and '.join(str(name).split('/'))}" for name, number in pairs.items()]
    return page.notice("Duplicates across splits make scores look better than they are", said)


def _distribution(splits: dict[str, Record], noun: str) -> list[Markup]:
    """The labels of the training split, most frequent first."""
    name = "train" if (splits.get("train") or {}).get("label_counts") else next(iter(splits))
    counts = splits[name].get("label_counts") or {}
    if not counts:
        return []
    items = sorted(((str(label), number) for label, number in counts.items()), key=lambda item: (-item[1], item[0]))
    title = f"{'Labels' if noun == 'rows' else noun.capitalize()} in {name}"
    described = f"{items[0][0]} has {count(items[0][1])} {noun}, {items[-1][0]} has {count(items[-1][1])}."
    shown, folded = items[:SHOWN_LABELS], items[SHOWN_LABELS:]
    parts: list[object] = [charts.bars("labels", title, described, shown)]
    if folded:
        rest = page.table("Other labels", ["label", noun], [[label, count(number)] for label, number in folded])
        parts.append(page.details(f"The other {count(len(folded))} labels", rest))
    return [page.card(title, *parts)]


def cost(files: RunFiles) -> Markup:
    """Time, memory, size, speed and versions."""
    metrics = files.metrics
    trainable, total = compact(metrics.get("trainable_parameters")), compact(metrics.get("total_parameters"))
    trained = f"{trainable} of {total} parameters"
    spent = [
        ("Training", duration(metrics.get("fit_seconds"))),
        ("In all", duration(metrics.get("total_seconds"))),
        ("Peak memory", memory(metrics.get("peak_memory_mb"))),
        ("Trained", trained),
        ("Median speed", _speed(files)),
    ]
    setting = [
        ("Device", metrics.get("device")),
        ("Precision", metrics.get("precision")),
        ("Seed", metrics.get("seed")),
        ("Steps", count(metrics.get("steps"))),
        ("Written", date(metrics["created"]) if metrics.get("created") else None),
    ]
    versions = [(name, version) for name, version in (metrics.get("versions") or {}).items()]
    cards = [
        page.card("Spent", page.facts(_known(spent))),
        page.card("Circumstances", page.facts(_known(setting))),
        page.card("Versions", page.facts(versions)) if versions else Markup(""),
    ]
    return page.section("cost", "Time and memory", None, page.grid(*cards, columns=3))


def _known(rows: list[tuple[str, Any]]) -> list[tuple[object, object]]:
    return [(name, value) for name, value in rows if value is not None and value != NOTHING and value != ""]


def _speed(files: RunFiles) -> str:
    rows, tokens = median(files.training, "rows_per_second"), median(files.training, "tokens_per_second")
    speeds = ((rows, "rows/s"), (tokens, "tokens/s"))
    return ", ".join(f"{count(speed)} {unit}" for speed, unit in speeds if speed is not None)


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
