"""Extractive QA on SQuADShifts new_wiki, MiniLM, 1 epoch: transformers' example, the Trainer at its best, and ours."""

from __future__ import annotations

import json
import random
import re
import string
from collections import Counter
from pathlib import Path
from typing import Any

from .contest import BEST, EXAMPLE, OURS, Contest, Files, hold
from .data import UnusableError, folder
from .qa_contestants import read_questions

SIZES = {"train": 2000, "validation": 300, "test": 800}  # questions at least: articles are taken whole
Article = dict[str, Any]


def prepare(work: Path, limit: int | None) -> Files:
    """Three SQuAD files in `work`; no article is in two of them.

    Raises:
        UnusableError: the file is missing.
    """
    source = folder("squadshifts") / "new_wiki_v1.0.json"
    if not source.is_file():
        raise UnusableError(f"{source} is not there; the data set is incomplete, fetch it again")
    articles = json.loads(source.read_text(encoding="utf-8"))["data"]
    parts = split(articles, seed=0)
    return Files(*(write_squad(work / f"{name}.json", limited(part, limit)) for name, part in parts.items()))


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


CONTEST = Contest(
    name="qa",
    what="SQuADShifts new_wiki, about 2,000 questions, 1 epoch, MiniLM",
    module="benchmarks.qa_contestants",
    titles={
        EXAMPLE: "transformers' run_qa.py",
        BEST: "Trainer, best",
        OURS: "tunewright, defaults",
    },
    epochs=1,
    runs=1,
    prepare=prepare,
    score=score,
    scores=("F1", "EM"),
)


def main(arguments: list[str]) -> int:
    return hold(CONTEST, __doc__, arguments)
