"""The contestants of qa.

The two of the Trainer follow transformers' examples/pytorch/question-answering (run_qa.py, utils_qa.py): a long
context is cut into windows that overlap, a window without the answer points at its first token, and the answer is the
best pair of a start and an end over all windows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .jobs import Job, answer
from .trainers import Parts, by_trainer, by_tunewright, seeded

Measured = dict[str, Any]
Question = dict[str, Any]  # id, question, context, answers: [{"text", "answer_start"}]

MAX_LENGTH = 384  # tokens of a window with its question
STRIDE = 128  # tokens that two windows share
NUM_BEST = 20  # starts and ends that are tried
LONGEST_ANSWER = 30  # tokens
CLS = 0  # its place: where a window points that lacks the answer


def read_questions(path: Path) -> list[Question]:
    """A row a question, of a SQuAD file."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    return [{**asked, "context": paragraph["context"]} for paragraph in paragraphs for asked in paragraph["qas"]]


def lengths(job: Job) -> list[int]:
    """Tokens of each window."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.model)
    parts = windows(read_questions(Path(job.train)), tokenizer, padded=False)
    return [len(window["inputs"]["input_ids"]) for window in parts]


def trainer(job: Job) -> Measured:
    """`padded`: every window to MAX_LENGTH, as the script's defaults are."""
    import transformers as hf

    seeded(job)
    padded = job.settings.get("padded", False)
    train, test = read_questions(Path(job.train)), read_questions(Path(job.test))
    tokenizer = hf.AutoTokenizer.from_pretrained(job.model)
    test_windows = windows(test, tokenizer, padded)
    parts = Parts(
        model=hf.AutoModelForQuestionAnswering.from_pretrained(job.model),
        tokenizer=tokenizer,
        collator=hf.default_data_collator if padded else hf.DataCollatorWithPadding(tokenizer),
        train=[
            {**window["inputs"], **positions(window, train[window["question"]])}
            for window in windows(train, tokenizer, padded)
        ],
        test=[window["inputs"] for window in test_windows],
    )
    logits, measured = by_trainer(job, parts)
    if logits is not None:
        answer(job, answers_of(test, test_windows, *logits))
    return measured


def windows(questions: list[Question], tokenizer: Any, padded: bool) -> list[dict[str, Any]]:
    """Of each: the model's `inputs`, the number of its `question`, and `spans`.

    A span is (first, end) in characters of the context, None where a token is none of the context's.
    """
    encoded = tokenizer(
        [asked["question"].lstrip() for asked in questions],
        [asked["context"] for asked in questions],
        truncation="only_second",
        max_length=MAX_LENGTH,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if padded else False,
    )
    owners, offsets = encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping")
    return [
        {
            "inputs": {key: values[at] for key, values in encoded.items()},
            "question": owner,
            "spans": [
                span if part == 1 else None for span, part in zip(offsets[at], encoded.sequence_ids(at), strict=True)
            ],
        }
        for at, owner in enumerate(owners)
    ]


def positions(window: dict[str, Any], asked: Question) -> dict[str, int]:
    """The tokens where the first answer starts and ends; CLS where it is not wholly in this window."""
    wanted = asked["answers"][0]
    start, end = wanted["answer_start"], wanted["answer_start"] + len(wanted["text"])
    inside = [(place, span) for place, span in enumerate(window["spans"]) if span is not None]
    if not inside or inside[0][1][0] > start or inside[-1][1][1] < end:
        return {"start_positions": CLS, "end_positions": CLS}
    return {
        "start_positions": max(place for place, span in inside if span[0] <= start),
        "end_positions": min(place for place, span in inside if span[1] >= end),
    }


def answers_of(questions: list[Question], parts: list[dict[str, Any]], starts: Any, ends: Any) -> dict[str, str]:
    """The text of the best span over a question's windows, by its id. `starts`, `ends`: (windows, T) logits."""
    found: dict[int, tuple[float, str]] = {}
    for window, start, end in zip(parts, starts, ends, strict=True):
        number = window["question"]
        for score, (first, last) in candidates(window["spans"], start, end):
            if number not in found or score > found[number][0]:
                found[number] = score, questions[number]["context"][first:last]
    return {asked["id"]: found[number][1] if number in found else "" for number, asked in enumerate(questions)}


def candidates(spans: list[Any], start: Any, end: Any) -> Iterator[tuple[float, tuple[int, int]]]:
    """(score, characters) of each pair among the best starts and ends that can be an answer."""
    for first in best(start):
        for last in best(end):
            if first >= len(spans) or last >= len(spans) or spans[first] is None or spans[last] is None:
                continue
            if first <= last < first + LONGEST_ANSWER:
                yield float(start[first] + end[last]), (spans[first][0], spans[last][1])


def best(logits: Any) -> list[int]:
    """Places of the highest ones, the highest first."""
    places: list[int] = logits.argsort()[: -NUM_BEST - 1 : -1].tolist()
    return places


def tunewright(job: Job) -> Measured:
    run, measured = by_tunewright(job)
    lines = (run / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    answers = {line["id"]: line["predicted"] or "" for line in map(json.loads, lines)}
    answer(job, answers)
    return measured
