"""The pairs that the matrix walks, and small data that each task can learn."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.conftest import TOPICS, WORDS, sentence

ARCHITECTURES = ["bert", "roberta", "distilbert", "modernbert"]
TASKS = ["sequence_classification", "token_classification", "question_answering"]
NUMBERS, COLOURS = ["one", "two", "three", "four"], ["red", "green", "blue"]


def write_classes(path: Path, count: int, generator: random.Random) -> None:
    topics = sorted(TOPICS)
    rows = [{"text": sentence(generator, topics[row % 3]), "topic": topics[row % 3]} for row in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_tags(path: Path, count: int, generator: random.Random) -> None:
    """Colours are entities of one word, numbers of as many as come together."""
    lines = []
    for _ in range(count):
        before = "O"
        for word in generator.choices(WORDS, k=generator.randint(3, 12)):
            kind = "colour" if word in COLOURS else "amount" if word in NUMBERS else "O"
            tag = kind if kind == "O" else f"{'I' if kind == 'amount' == before else 'B'}-{kind}"
            lines.append(f"{word}\t{tag}\n")
            before = kind
        lines.append("\n")
    path.write_text("".join(lines))


def write_questions(path: Path, count: int, generator: random.Random) -> None:
    """Asks for the word after the one in the question; every fourth asks for a word that is not there."""
    rows = []
    for row in range(count):
        words = generator.sample(WORDS, k=generator.randint(5, 12))
        place = generator.randrange(len(words) - 1)
        answer = {"text": [words[place + 1]], "answer_start": [len(" ".join(words[: place + 1])) + 1]}
        asked = words[place]
        if row % 4 == 3:
            asked, answer = next(word for word in WORDS if word not in words), {"text": [], "answer_start": []}
        rows.append({"question": asked, "context": " ".join(words), "answers": answer})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


WRITERS = {
    "sequence_classification": (write_classes, "jsonl"),
    "token_classification": (write_tags, "conll"),
    "question_answering": (write_questions, "jsonl"),
}


def data_for(task: str, folder: Path, count: int = 24) -> tuple[str, str]:
    """(training file, validation file) for a task."""
    write, suffix = WRITERS[task]
    generator = random.Random(3)
    paths = [folder / f"{name}.{suffix}" for name in ("train", "validation")]
    for path, size in zip(paths, (count, 8), strict=True):
        write(path, size, generator)
    return str(paths[0]), str(paths[1])


def pooled(strategy: str, task: str) -> dict:
    """The task; with pooling where the strategy wants it."""
    needs = strategy == "feature_extraction" and task == "sequence_classification"
    return {"kind": task, **({"pooling": "mean"} if needs else {})}
