"""Extractive QA on SQuADShifts new_wiki, MiniLM, 1 epoch: the Trainer, plain and at its best, and Tunewright."""

from __future__ import annotations

import json
import random
import re
import string
from collections import Counter
from pathlib import Path
from typing import Any

from .contest import OURS, Contest, Contestant, Faster, Files, NoWorse, Reaches, Scope
from .data import UnusableError, folder
from .qa_contestants import read_questions
from .trainers import BEST

SIZES = {"train": 2000, "test": 1100}  # questions at least: articles are taken whole
TESTED = 300  # questions of the test set, unless all is run
Article = dict[str, Any]


def prepare(work: Path, scope: Scope) -> Files:
    """Two SQuAD files in `work`; no article is in two of them.

    Raises:
        UnusableError: the file is missing.
    """
    source = folder("squadshifts") / "new_wiki_v1.0.json"
    if not source.is_file():
        raise UnusableError(f"{source} is not there; the data set is incomplete, fetch it again")
    articles = json.loads(source.read_text(encoding="utf-8"))["data"]
    parts = split(articles, seed=0)
    limits = {"train": scope.limit, "test": scope.limit or (None if scope.full else TESTED)}
    return Files(*(write_squad(work / f"{name}.json", limited(part, limits[name])) for name, part in parts.items()))


def split(articles: list[Article], seed: int) -> dict[str, list[Article]]:
    """Articles drawn by `seed`, until each part has its number of questions."""
    drawn = iter(random.Random(seed).sample(articles, len(articles)))
    parts: dict[str, list[Article]] = {name: [] for name in SIZES}
    for name, size in SIZES.items():
        while sum(map(num_questions, parts[name])) < size:
            parts[name].append(next(drawn))
    return parts


def num_questions(article: Article) -> int:
    return sum(len(paragraph["qas"]) for paragraph in article["paragraphs"])


def limited(articles: list[Article], limit: int | None) -> list[Article]:
    """The first `limit` questions; paragraphs that are left without any are dropped."""
    if limit is None:
        return articles
    kept, left = [], limit
    for article in articles:
        paragraphs = []
        for paragraph in article["paragraphs"]:
            paragraphs.append({**paragraph, "qas": paragraph["qas"][:left]})
            left -= len(paragraphs[-1]["qas"])
        kept.append({**article, "paragraphs": [paragraph for paragraph in paragraphs if paragraph["qas"]]})
    return [article for article in kept if article["paragraphs"]]


def write_squad(path: Path, articles: list[Article]) -> Path:
    path.write_text(json.dumps({"version": "1.1", "data": articles}, ensure_ascii=False), encoding="utf-8")
    return path


def score(test: Path, answers: dict[str, str]) -> dict[str, float]:
    """Exact match and F1 of SQuAD v1.1, as shares; a question without an answer counts as wrong."""
    questions = read_questions(test)
    exact = over = 0.0
    for asked in questions:
        told, wanted = answers.get(asked["id"], ""), [answer["text"] for answer in asked["answers"]]
        exact += max(normalised(told) == normalised(text) for text in wanted)
        over += max(overlap(told, text) for text in wanted)
    return {"EM": exact / len(questions), "F1": over / len(questions)}


def normalised(text: str) -> str:
    """As the official evaluation script of SQuAD v1.1: lower case, no ASCII punctuation, no articles, single blanks."""
    plain = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def overlap(told: str, wanted: str) -> float:
    """F1 of the words that both have, as in the official script."""
    told_words, wanted_words = normalised(told).split(), normalised(wanted).split()
    common = sum((Counter(told_words) & Counter(wanted_words)).values())
    if not common:
        return 0.0
    precision, recall = common / len(told_words), common / len(wanted_words)
    return 2 * precision * recall / (precision + recall)


QA = Contest(
    name="qa",
    what="SQuADShifts new_wiki, about 2,000 questions, 1 epoch, full, MiniLM",
    contestants={
        "plain": Contestant(
            "Trainer, plain: padded to 384, fp32",
            "qa_contestants:trainer",
            {"padded": True},
            equal_steps=True,
            once=True,
        ),
        "best": Contestant("Trainer, best", "qa_contestants:trainer", {"trainer": BEST}),
        OURS: Contestant("tunewright, defaults", "qa_contestants:tunewright"),
    },
    prepare=prepare,
    promises=(
        Faster("SQuADShifts, full", "plain", 3),
        Faster("SQuADShifts, full", "best", 1.6),
        NoWorse("SQuADShifts, full", "best", "F1", 0.015),
        Reaches("SQuADShifts, full"),
    ),
    bases=("plain", "best"),
    runs=1,
    lengths="qa_contestants:lengths",
    score=score,
    scores=("F1", "EM"),
    note=f"Equal: questions, one epoch, one answer to {TESTED} questions of other articles, one saved model. The plain "
    "recipe is the Trainer's defaults (5e-5, batches of 8); `best` has 1e-4 and batches of 16; ours its own defaults. "
    "examples/s: windows. Exact match and F1 of SQuAD v1.1.",
)
