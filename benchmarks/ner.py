"""NER on NCBI-disease, MiniLM, 3 epochs: transformers' own example, the Trainer at its best, and Tunewright."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from .contest import BEST, EXAMPLE, OURS, Contest, Files, hold
from .data import UnusableError, folder
from .ner_contestants import Sentence, read_sentences

NAMES = ("train.tsv", "devel.tsv", "test.tsv")


def prepare(work: Path, limit: int | None) -> Files:
    """The data set's own files; or the first `limit` sentences of each, in `work`.

    Raises:
        UnusableError: a file is missing, or seqeval.
    """
    if importlib.util.find_spec("seqeval") is None:  # told before the first run, not after it
        raise UnusableError("seqeval is not installed; run: pip install 'tunewright[dev]'")
    sources = [folder("bio_ner") / "NCBI-disease-IOB" / name for name in NAMES]
    for source in sources:
        if not source.is_file():
            raise UnusableError(f"{source} is not there; the data set is incomplete, fetch it again")
    if limit is None:
        return Files(*sources)
    return Files(*(write_sentences(work / source.name, read_sentences(source)[:limit]) for source in sources))


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


CONTEST = Contest(
    name="ner",
    what="NCBI-disease, 3 epochs, MiniLM",
    module="benchmarks.ner_contestants",
    titles={
        EXAMPLE: "transformers' run_ner.py",
        BEST: "Trainer, best",
        OURS: "tunewright, defaults",
    },
    epochs=3,
    runs=3,
    prepare=prepare,
    score=score,
    scores=("F1", "precision", "recall"),
)


def main(arguments: list[str]) -> int:
    return hold(CONTEST, __doc__, arguments)
