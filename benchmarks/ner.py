"""NER on NCBI-disease, MiniLM, 3 epochs: the Trainer, plain and at its best, and Tunewright; and its prefix cache."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .contest import OURS, Contest, Contestant, Faster, Files, NoWorse, Reaches, Scope
from .data import UnusableError, folder
from .ner_contestants import Sentence, read_sentences
from .trainers import BEST

NAMES = ("train.tsv", "test.tsv")
CACHED = 2000  # sentences for the two with and without the cache


def prepare(work: Path, scope: Scope, num_rows: int | None = None) -> Files:
    """The data set's own files; or the first sentences of each, in `work`.

    Raises:
        UnusableError: a file is missing, or seqeval.
    """
    if importlib.util.find_spec("seqeval") is None:  # told before the first run, not after it
        raise UnusableError("seqeval is not installed; run: pip install 'tunewright[dev]'")
    sources = [folder("bio_ner") / "NCBI-disease-IOB" / name for name in NAMES]
    for source in sources:
        if not source.is_file():
            raise UnusableError(f"{source} is not there; the data set is incomplete, fetch it again")
    limits = (min(filter(None, (num_rows, scope.limit)), default=None), scope.limit)
    return Files(
        *(
            write_sentences(work / source.name, read_sentences(source)[:limit]) if limit else source
            for source, limit in zip(sources, limits, strict=True)
        )
    )


def write_sentences(path: Path, sentences: Iterable[Sentence]) -> Path:
    lines = ("".join(f"{token}\t{tag}\n" for token, tag in sentence) for sentence in sentences)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def score(test: Path, answers: list[list[str]]) -> dict[str, float]:
    """Of whole entities, type and both ends right: seqeval, strict, IOB2. `answers`: a tag for each token.

    A contestant that cut a sentence off answers with fewer tags: the rest of them are O.
    """
    from seqeval.metrics import f1_score, precision_score, recall_score
    from seqeval.scheme import IOB2

    true = [[tag for _, tag in sentence] for sentence in read_sentences(test)]
    told = [tags + ["O"] * (len(wanted) - len(tags)) for tags, wanted in zip(answers, true, strict=True)]
    measures = {"F1": f1_score, "precision": precision_score, "recall": recall_score}
    return {
        name: float(measure(true, told, mode="strict", scheme=IOB2, zero_division=0))
        for name, measure in measures.items()
    }


NER = Contest(
    name="ner",
    what="NCBI-disease, 5,424 sentences, 3 epochs, full, MiniLM",
    contestants={
        "plain": Contestant(
            "Trainer, plain: padded to 128, fp32",
            "ner_contestants:trainer",
            {"padded": True},
            equal_steps=True,
            once=True,
        ),
        "best": Contestant("Trainer, best", "ner_contestants:trainer", {"trainer": BEST}),
        OURS: Contestant("tunewright, defaults", "ner_contestants:tunewright"),
    },
    prepare=prepare,
    promises=(
        Faster("NCBI-disease, full", "plain", 5),
        Faster("NCBI-disease, full", "best", 1.4),
        NoWorse("NCBI-disease, full", "best", "F1", 0.01),
        Reaches("NCBI-disease, full"),
    ),
    bases=("plain", "best"),
    epochs=3,
    runs=1,
    lengths="ner_contestants:lengths",
    score=score,
    scores=("F1", "precision", "recall"),
    note="Equal: sentences, epochs, one answer to the test set, one saved model. The plain recipe is the Trainer's "
    "defaults (5e-5, batches of 8); `best` has 1e-4 and batches of 16; ours its own defaults. F1: seqeval, strict.",
)


def top(**training: str) -> dict[str, Any]:
    """Two of six blocks and the head."""
    return {"strategy": {"kind": "freeze", "blocks": 4}, "training": {"batch_size": 16, **training}}


CACHE = Contest(
    name="cache",
    what=f"NCBI-disease, {CACHED:,} sentences, 3 epochs, the top 2 of 6 blocks, MiniLM, batch 16",
    contestants={
        "no cache": Contestant(
            "tunewright, frozen blocks in each pass", "ner_contestants:tunewright", top(prefix_cache=False)
        ),
        OURS: Contestant("tunewright, frozen blocks once", "ner_contestants:tunewright", top()),
    },
    prepare=lambda work, scope: prepare(work, scope, CACHED),
    promises=(
        Faster("top 2 of 6, 3 epochs", "no cache", 1.8, by="fit_seconds"),
        NoWorse("top 2 of 6, 3 epochs", "no cache", "F1", 0.01),
    ),
    bases=("no cache",),
    epochs=3,
    score=score,
    scores=("F1",),
    note="The pass that fills the cache is in `fit s`; the cache is empty at the start.",
)
