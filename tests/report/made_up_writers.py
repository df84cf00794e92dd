"""Directories of runs that never were, of tasks that write answers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tests.report.made_up_runs import Record, ledger, run_files, write_run

TEMPLATE = (
    "{# <script>alert(1)</script> #}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% endfor %}"
)
ANSWERED = [
    # (prompt, reference, written, whether it ended, loss)
    ("Where is PB-1?", "On its way.", "On its way.", True, 0.4),
    ("<b>Why</b> was I\nbilled twice?", "We pay it back.", "We are\x1b[31m sorry", False, 2.5),
    ("Is the depot open?", "Until six.", "", True, 1.25),
    ("never answered in writing", "So be it.", None, False, 9.0),
]


def writer_files(shape: str = "messages") -> Record:
    """A run of supervised fine-tuning."""
    files = run_files([], [[1]])
    del files["config"]["task"]["labels"]
    files["config"] |= {
        "task": {"kind": "causal_lm", "shape": shape, "template": "auto", "loss_on": "answers", "max_new_tokens": 64,
                 "temperature": 0.0, "num_beams": 1, "score_answers": 3},
        "strategy": {"kind": "full"},
    }  # fmt: skip
    scores = {
        "loss": 1.75, "perplexity": math.exp(1.75), "token_accuracy": 0.571, "rouge1": 0.31, "rougeL": 0.28,
        "chrf": 33.4, "exact_match": 0.25, "finished": 2 / 3, "answers": 3, "num_rows": 4,
    }  # fmt: skip
    files["metrics"] |= {"test": scores, "validation": {**scores, "loss": 1.8}, "task": "causal_lm", "strategy": "full",
                         "best_metric": {"name": "loss", "value": 1.8}, "warnings": []}  # fmt: skip
    for line in files["history"]:
        if "validation" in line:
            line["validation"] = {"loss": 1.8, "perplexity": 6.05, "token_accuracy": 0.55, "num_rows": 60}
    files["predictions"] = [
        {"row": i + 1, "text": text, "label": label, "predicted": said, "finished": ended, "loss": loss}
        for i, (text, label, said, ended, loss) in enumerate(ANSWERED)
    ]  # fmt: skip
    files["ledger"] = writer_ledger()
    return files


def writer_ledger() -> Record:
    found = ledger([])
    for split in found["splits"].values():
        split |= {"label_counts": {}, "supervised_tokens": 3850, "answers_cut": 12, "rows_without_a_target": 2,
                  "tokens": 15400, "windows": split["rows_kept"]}  # fmt: skip
    found["splits"]["train"]["faults"] = {"answers that the template does not write as they are": 7}
    found["notes"] = ["rows: messages (messages)", "template: chatml (the tokenizer has none)"]
    return found


def text_files() -> Record:
    """A run on plain texts: nothing is asked, nothing is written."""
    files = writer_files("text")
    files["metrics"]["test"] = {"loss": 3.0, "perplexity": math.exp(3.0), "token_accuracy": 0.4, "num_rows": 4}
    for line in files["predictions"]:
        line |= {"label": None, "predicted": None}
    return files


def rewriter_files() -> Record:
    """A run of an encoder-decoder."""
    files = writer_files()
    files["config"]["task"] = {"kind": "seq2seq", "prefix": "summarize: ", "max_new_tokens": 64, "num_beams": 1}
    files["metrics"] |= {"task": "seq2seq"}
    files["ledger"]["notes"] = ["text: document; target: summary"]
    for split in files["ledger"]["splits"].values():
        del split["rows_without_a_target"]
    return files


def preference_files(loss: str = "dpo", chosen: float = 0.4) -> Record:
    """A run of preference tuning; chosen: the reward of the chosen answers in the end."""
    files = writer_files()
    files["config"]["task"] = {"kind": "preference", "loss": loss, "beta": None, "template": "auto", "score_answers": 0,
                               "max_new_tokens": 64}  # fmt: skip
    scores = {
        "loss": 0.51, "accuracy": 0.75, "margin": 0.9, "chosen_reward": chosen, "rejected_reward": chosen - 0.9,
        "chosen_log_probability": -1.9, "log_probability_accuracy": 0.6, "num_rows": 40,
    }  # fmt: skip
    files["metrics"] |= {"test": scores, "validation": scores, "task": "preference",
                         "best_metric": {"name": "loss", "value": 0.51}}  # fmt: skip
    for line in files["history"]:
        grown = line["step"] / 190
        told = {"accuracy": 0.5 + grown / 4, "margin": 0.9 * grown, "chosen_reward": chosen * grown,
                "rejected_reward": (chosen - 0.9) * grown}  # fmt: skip
        if "validation" in line:
            line["validation"] = {**told, "loss": 0.6, "log_probability_accuracy": 0.6}
        else:
            line |= told
    files["predictions"] = [
        {"row": i + 1, "text": text, "label": label, "rejected": f"No. {text}", "predicted": None}
        for i, (text, label, *_) in enumerate(ANSWERED)
    ]
    for split in files["ledger"]["splits"].values():
        split["windows"] = 2 * split["rows_kept"]
        del split["rows_without_a_target"]
    return files


def write_writer(folder: Path, files: Record, template: Any = TEMPLATE) -> Path:
    """A run with its stored template."""
    run = write_run(folder, files)
    if template is not None:
        (run / "model").mkdir(exist_ok=True)
        (run / "model" / "chat_template.jinja").write_text(template, encoding="utf-8")
    return run
