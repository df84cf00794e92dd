"""The contestants of ner.

The two of the Trainer follow transformers' examples/pytorch/token-classification/run_ner.py: words are split into
sub-words, the first of each carries the word's label, a batch is padded to its longest text, or to MAX_LENGTH.
"""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

from .jobs import Job, answer
from .trainers import Parts, by_trainer, by_tunewright, seeded

Measured = dict[str, Any]
Sentence = list[tuple[str, str]]  # (token, tag) of each word
MAX_LENGTH = 128  # tokens; the plain recipe pads to it
IGNORED = -100  # the label that the loss leaves out


def read_sentences(path: Path) -> list[Sentence]:
    """Token TAB tag, a blank line after each sentence; as a contestant that brings no reader of its own reads it."""
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    return [[(cells[0], cells[1]) for cells in (line.split("\t") for line in block.split("\n"))] for block in blocks]


def lengths(job: Job) -> list[int]:
    """Tokens of each sentence."""
    from transformers import AutoTokenizer

    words = [[token for token, _ in sentence] for sentence in read_sentences(Path(job.train))]
    encoded = AutoTokenizer.from_pretrained(job.model)(words, truncation=True, is_split_into_words=True)
    return [len(ids) for ids in encoded["input_ids"]]


def trainer(job: Job) -> Measured:
    """`padded`: every text to MAX_LENGTH."""
    import transformers as hf

    seeded(job)
    train, test = read_sentences(Path(job.train)), read_sentences(Path(job.test))
    labels = sorted({tag for sentence in train for _, tag in sentence})
    tokenizer = hf.AutoTokenizer.from_pretrained(job.model)
    cut: dict[str, Any] = {"max_length": MAX_LENGTH} if job.settings.get("padded") else {}
    padding: dict[str, Any] = {**cut, "padding": "max_length"} if cut else {}
    parts = Parts(
        model=hf.AutoModelForTokenClassification.from_pretrained(
            job.model, id2label=dict(enumerate(labels)), label2id={label: at for at, label in enumerate(labels)}
        ),
        tokenizer=tokenizer,
        collator=hf.DataCollatorForTokenClassification(tokenizer, **padding),
        train=encode(train, tokenizer, labels, cut),
        test=encode(test, tokenizer, labels, cut),
    )
    logits, measured = by_trainer(job, parts)
    if logits is not None:
        answer(job, tags_of(logits, parts.test, labels))
    return measured


def encode(sentences: list[Sentence], tokenizer: Any, labels: list[str], cut: dict[str, Any]) -> list[dict[str, Any]]:
    """Features with labels at the first sub-word of each word, IGNORED elsewhere."""
    words = [[token for token, _ in sentence] for sentence in sentences]
    encoded = tokenizer(words, truncation=True, is_split_into_words=True, **cut)
    return [
        {
            **{key: values[at] for key, values in encoded.items()},
            "labels": aligned(encoded.word_ids(at), [labels.index(tag) for _, tag in sentence]),
        }
        for at, sentence in enumerate(sentences)
    ]


def aligned(words: list[int | None], labels: list[int]) -> list[int]:
    """`words`: of each sub-word, the number of its word; None where it is a special token."""
    before = [None, *words[:-1]]
    return [IGNORED if word is None or word == last else labels[word] for word, last in zip(words, before, strict=True)]


def tags_of(logits: Any, features: list[dict[str, Any]], labels: list[str]) -> list[list[str]]:
    """A tag for each word that was not cut off. `logits`: (rows, T, labels), T of the longest row."""
    best = logits.argmax(-1)
    return [
        [labels[found] for found, label in zip(row, feature["labels"], strict=False) if label != IGNORED]
        for row, feature in zip(best.tolist(), features, strict=True)
    ]


def tunewright(job: Job) -> Measured:
    run, measured = by_tunewright(job)
    lines = (run / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = read_sentences(Path(job.test))
    answer(job, [tags_of_line(json.loads(line), words) for line, words in zip(lines, sentences, strict=True)])
    return measured


def tags_of_line(line: dict[str, Any], sentence: Sentence) -> list[str]:
    """From entities in characters of the words joined by blanks. An entity that is not of whole words is an error."""
    words = [token for token, _ in sentence]
    if line["text"] != " ".join(words):
        raise ValueError(f"row {line['row']} of the predictions is of another text")
    ends = list(accumulate((len(word) + 1 for word in words), initial=-1))  # of word n: ends[n + 1]
    firsts = {end + 1: place for place, end in enumerate(ends[:-1])}
    tags = ["O"] * len(words)
    for entity in line["predicted"]:
        first, last = firsts[entity["start"]], ends.index(entity["end"])
        tags[first:last] = [f"B-{entity['type']}", *[f"I-{entity['type']}"] * (last - first - 1)]
    return tags
