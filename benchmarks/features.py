"""feature_extraction on banking77: the whole run against one forward pass, and against ten plain frozen epochs."""

from __future__ import annotations

from pathlib import Path

from . import data
from .classification import read_csv, score
from .contest import OURS, Contest, Contestant, Faster, Files, NoWorse, Scope, Summary, Verdict

PASS, PLAIN = "one pass", "plain"
AT_MOST = 1.3
WORK = "banking77, feature_extraction"


def prepare(work: Path, scope: Scope) -> Files:
    """The data set's two files; or rows of the first labels: the files are sorted by them."""
    sources = [data.folder("banking77") / f"{name}.csv" for name in ("train", "test")]
    if not scope.limit:
        return Files(*sources)
    rows = [list(zip(*read_csv(str(source)), strict=True)) for source in sources]
    known = sorted({label for _, label in rows[0]})[:2]
    drawn = [[row for row in part if row[1] in known][:: max(1, 200 // scope.limit)] for part in rows]
    return Files(*(data.write_csv(work / source.name, part) for source, part in zip(sources, drawn, strict=True)))


def within(summary: Summary) -> Verdict | None:
    if OURS not in summary or PASS not in summary:
        return None
    whole, one = summary[OURS]["total_seconds"], summary[PASS]["fit_seconds"]
    found = f"{whole / one:.2f}x: {whole:.1f} s, start included; one pass {one:.1f} s, without its start"
    return Verdict(WORK, f"at most {AT_MOST}x one forward pass", found, whole <= AT_MOST * one)


FEATURES = Contest(
    name="features",
    what="banking77, 10,003 rows, MiniLM frozen, a head of 77 labels",
    contestants={
        PLAIN: Contestant(
            "Trainer, frozen, padded to 256, fp32, 10 epochs", "classification:trainer",
            {"padded": True, "frozen": True}, equal_steps=True, once=True,
        ),
        PASS: Contestant("one forward pass over train and test", "classification:forward_pass"),
        OURS: Contestant(
            "tunewright, feature_extraction, converged", "classification:tunewright",
            {"strategy": {"kind": "feature_extraction"}, "data": {"validation_share": 0.1}},
        ),
    },
    prepare=prepare,
    promises=(within, Faster(WORK, PLAIN, 100), NoWorse(WORK, PLAIN, "accuracy", 0.005)),
    bases=(PLAIN, PASS),
    epochs=10,
    score=score,
    scores=("accuracy",),
    note="The pass: Tunewright's own encoder and batches in fp32 over the 13,083 texts that the run reads as "
    "well, with tokenisation, without imports and loading. The run's total has all: imports, reading, "
    "checks, the pass, the head at several strengths (a tenth of the rows chooses), the saved model, "
    "answers. The plain recipe computes each pass anew.",
)  # fmt: skip
