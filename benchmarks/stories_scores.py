"""One piece of code for each story that scores everybody's answers, or the models that they saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .jobs import Job
from .qa import normalised, overlap
from .qa_contestants import Question, read_questions

Scores = dict[str, float]


def emotions(test: Path, answers: list[list[str]]) -> Scores:
    """F1 averaged over labels, and over all decisions (scikit-learn)."""
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    from .data import folder
    from .stories_by_hand import read_emotions

    names = folder("goemotions") / "labels.txt"
    columns = MultiLabelBinarizer(classes=names.read_text(encoding="utf-8").split())
    true, told = columns.fit_transform([labels for _, labels in read_emotions(test, names)]), columns.transform(answers)
    return {f"{kind} F1": float(f1_score(true, told, average=kind, zero_division=0)) for kind in ("macro", "micro")}


def questions(test: Path, answers: dict[str, str]) -> Scores:
    """Of SQuAD v2.0: an unanswered question counts 1 where there is no answer, else 0."""
    asked = read_questions(test)
    scores = [(one, *squad2(answers.get(one["id"], ""), one)) for one in asked]
    answerable = [f1 for one, _, f1 in scores if one["answers"]]
    silent = [f1 for one, _, f1 in scores if not one["answers"]]
    return {
        "F1": mean([f1 for *_, f1 in scores]), "EM": mean([exact for _, exact, _ in scores]),
        "F1 where there is an answer": mean(answerable), "right where there is none": mean(silent),
    }  # fmt: skip


def squad2(told: str, asked: Question) -> tuple[float, float]:
    """(exact match, F1) of one question."""
    golds = [text for text in (answer["text"] for answer in asked["answers"]) if normalised(text)] or [""]
    exact = max(float(normalised(told) == normalised(text)) for text in golds)
    shared = max(
        overlap(told, text) if text and normalised(told) else float(text == normalised(told)) for text in golds
    )
    return exact, shared


def mean(values: list[float]) -> float:
    return sum(values) / max(len(values), 1)


def judge(job: Job) -> dict[str, Any]:
    """Saved language models: nats a token of held-out answers, and pairs that the second ranks right.

    By implicit reward: the log-ratio of the second model over the first is higher for the chosen answer.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.model)
    models = {name: AutoModelForCausalLM.from_pretrained(job.settings[name]).eval() for name in ("sft", "dpo")}

    @torch.no_grad()
    def log_probability(model: Any, prompt: str, completion: str) -> tuple[float, int]:
        before = tokenizer(prompt)["input_ids"]
        after = [*tokenizer(completion, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids = torch.tensor([before + after])
        shares = model(ids).logits[0, len(before) - 1 : -1].float().log_softmax(-1)
        return float(shares.gather(1, ids[0, len(before) :, None]).sum()), len(after)

    def rows(path: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]

    found = [log_probability(models["sft"], row["prompt"], row["completion"]) for row in rows(job.test)]
    ratios = []
    for row in rows(job.settings["pairs_test"]):
        of = {(name, key): log_probability(model, row["prompt"], row[key])[0]
              for name, model in models.items() for key in ("chosen", "rejected")}  # fmt: skip
        ratios.append({key: of["dpo", key] - of["sft", key] for key in ("chosen", "rejected")})
    return {
        "loss": -sum(total for total, _ in found) / sum(count for _, count in found),
        "pairs right": mean([float(ratio["chosen"] > ratio["rejected"]) for ratio in ratios]),
    }
