"""What the verbs print: tables for people, on standard output."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

SHOWN = (
    "f1", "precision", "recall", "accuracy", "exact_match", "f1_macro", "f1_micro", "f1_weighted", "f1_samples",
    "precision_macro", "recall_macro", "mcc", "average_precision_macro", "has_answer_exact_match", "has_answer_f1",
    "no_answer_exact_match", "loss", "perplexity", "token_accuracy", "margin", "chosen_reward", "rejected_reward",
    "chosen_log_probability", "log_probability_accuracy", "rouge1", "rouge2", "rougeL", "bleu", "chrf",
    "bertscore", "json_valid", "json_schema", "json_fields", "regex", "distinct_1", "distinct_2", "finished",
    "json_answers", "answers",
    "calibration_error", "num_rows", "num_words", "num_entities", "num_has_answer", "num_no_answer",
)  # fmt: skip
TYPES = 12  # entity types and tags that get a line of their own; of more, the weakest
EXAMPLES = 5
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
WIDTH = 70  # of a text among the examples
EMPTY = ("reference", "written")  # columns that are left out where no example has any
SOME = 3  # entities shown of a text


def console() -> Console:
    return Console(highlight=False, soft_wrap=False)


def scores(splits: dict[str, dict[str, Any]]) -> None:
    """One column per split, and below the scores of each entity type or tag."""
    table = Table("score", *map(escape, splits), title_justify="left")
    for name in SHOWN:
        if any(name in found for found in splits.values()):
            table.add_row(name, *(number(found.get(name)) for found in splits.values()))
    console().print(table)
    types({name: found["per_type"] for name, found in splits.items() if found.get("per_type")})


def of_folds(run: Path, summary: dict[str, Any]) -> None:
    """Each fold's scores with their mean and spread, and the intervals over all rows that were held out."""
    each, out = [fold["test"] for fold in summary["each"]], console()
    table = Table("score", "mean", "standard deviation", *(f"fold {place}" for place in range(1, len(each) + 1)))
    for name in (name for name in SHOWN if name in summary["mean"]):
        spread = (summary["mean"][name], summary["standard_deviation"][name])
        table.add_row(name, *map(number, (*spread, *(found[name] for found in each))))
    out.print(table)
    for name, found in summary["pooled"].items():
        level, rows = summary["interval"]["level"], summary["interval"]["rows"]
        out.print(f"{name} over all {rows:,} rows held out: {found['value']:.4f} ({level:.0%} interval "
                  f"{found['low']:.4f} to {found['high']:.4f}, bootstrap over rows)")  # fmt: skip
    out.print(f"folds:   {escape(str(run / 'folds.json'))}", soft_wrap=True)


def types(splits: dict[str, dict[str, Any]]) -> None:
    """The F1 of each type in the last split (test, where there is one), the weakest first."""
    split, found = list(splits.items())[-1] if splits else ("", {})
    if len(found) < 2:  # one type's scores are those above
        return
    weakest = sorted(found, key=lambda name: (found[name]["f1"], name))
    table = Table(f"type, on {escape(split)}", "f1", "precision", "recall", "support")
    for name in weakest[:TYPES]:
        table.add_row(escape(name), *(number(found[name][key]) for key in ("f1", "precision", "recall", "support")))
    console().print(table)
    if len(weakest) > TYPES:
        console().print(f"and {len(weakest) - TYPES} more with better scores: see report.html")


def number(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def examples(run: Path) -> None:
    """A few predictions, and how sure each is."""
    path = next((run / "predictions" / f"{name}.jsonl" for name in ("test", "validation")
                 if (run / "predictions" / f"{name}.jsonl").is_file()), None)  # fmt: skip
    if path is None:
        return
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    shown = [answer(line) for line in lines[:: max(1, len(lines) // EXAMPLES)][:EXAMPLES]]
    if not shown:
        return
    heads = [head for head in shown[0] if head not in EMPTY or any(cells[head] != "-" for cells in shown)]
    table = Table(*heads, show_lines="probability" not in shown[0])
    for cells in shown:
        table.add_row(*(escape(cells[head]) for head in heads))
    console().print(table)


def cut(text: str, width: int = WIDTH) -> str:
    """On one line, at most so many characters; what would steer the terminal is shown as a replacement character."""
    text = "".join(REPLACEMENT if unicodedata.category(c) in ("Cc", "Cs") else c for c in " ".join(text.split()))
    return text if len(text) <= width else text[: width - 1] + "…"


def answer(line: dict[str, Any]) -> dict[str, str]:
    """The cells of one line of predictions by their heads: of a classification, of an answer, of entities."""
    text, label, predicted = line["text"], line["label"], line["predicted"]
    shown = {"text": cut(text)}
    if "probability" in line:
        return {**shown, "label": label, "predicted": predicted, "probability": f"{line['probability']:.2f}"}
    if "rejected" in line:
        pair = {"prompt": cut(text), "chosen": cut(label or "-"), "rejected": cut(line["rejected"] or "-")}
        return {**pair, "written": cut(predicted or "-")}
    if "finished" in line:
        return {"prompt": cut(text), "reference": cut(label or "-"), "written": written(line)}
    if "probabilities" in line:
        chosen = [f"{line['probabilities'][name]:.2f}" for name in predicted]
        names = {"label": ", ".join(label) or "-", "predicted": ", ".join(predicted) or "-"}
        return {**shown, **names, "probability": ", ".join(chosen) or "-"}
    if "confidence" in line:
        gold, said = cut(label[0]) if label else "-", "-" if predicted is None else cut(predicted)
        asked = {"question": cut(text.partition(" | ")[0])}
        return {**asked, "label": gold, "predicted": said, "confidence": f"{line['confidence']:.2f}"}
    return {**shown, "label": entities(label, text), "predicted": entities(predicted, text)}


def written(line: dict[str, Any]) -> str:
    """An answer of the model's own; of one that it did not end the dots say so."""
    said = line["predicted"]
    if said is None:
        return "-"
    return cut(said or "(empty)") + ("" if line["finished"] else " ...")


def entities(found: list[dict[str, Any]], text: str) -> str:
    """The first of them, a line each: `town: Brenwick 0.93`."""
    shown = [f"{item['type']}: {cut(text[item['start'] : item['end']])}" for item in found[:SOME]]
    sure = [f" {item['confidence']:.2f}" if "confidence" in item else "" for item in found[:SOME]]
    more = [f"and {len(found) - SOME} more"] if len(found) > SOME else []
    return "\n".join([*map(str.__add__, shown, sure), *more]) or "-"


def closing(result: Any) -> None:
    """Time, memory, and where to go on."""
    metrics, run = result.metrics, result.path
    share = metrics["trainable_parameters"] / max(metrics["total_parameters"], 1)
    out = console()
    out.print(
        f"{metrics['stopped']} after {metrics['total_seconds']:.0f} s ({metrics['fit_seconds']:.0f} s of fitting), "
        f"{metrics['peak_memory_mb']} MB, {metrics['trainable_parameters']:,} of {metrics['total_parameters']:,} "
        f"parameters trained ({share:.1%})"
    )
    for warning in metrics["warnings"]:
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    if (run / "report.html").is_file():
        out.print(f"report:  {escape(str(run / 'report.html'))}", soft_wrap=True)
    context = ' --context "..."' if metrics["task"] == "question_answering" else ""
    out.print(f'try it:  tunewright predict {escape(str(run))} --text "..."{context}', soft_wrap=True)
    if metrics["task"] in ("causal_lm", "preference") and metrics["model"]:
        out.print(f"or talk: tunewright chat {escape(str(run))}", soft_wrap=True)
