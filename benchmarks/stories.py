"""Five stories from a file to answers: our commands, one after another, and what an expert writes by hand.

python -m benchmarks stories [--only intents] [--rows 2000] [--epochs 1] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import classification, ner, stories_scores
from .data import UnusableError, folder, pretrained, write_csv
from .jobs import PREDICTIONS, Job, JobError, run, tail
from .machine import positive
from .ner_contestants import read_sentences, tags_of_line
from .qa import limited, num_questions
from .table import as_markdown
from .trainers import BEST

DATA = "DATA"  # in a story's folder: a link to the data sets
TEXTS = {**BEST, "learning_rate": 3e-4}  # few steps and a new head: more than the usual 1e-4
RATES = (5e-4, 1e-4)  # of instruction tuning and of DPO, for a model of 5 million parameters


@dataclass(frozen=True)
class Story:
    """One story, told in a folder of its own.

    Args:
        prepare: writes what is not a file of the data set already. Its second argument: training rows at most.
        commands: of `tunewright`, in this order; {epochs} is filled in.
        files: train and test, as the contestant reads them.
        by_hand: `MODULE:NAME` of the expert's script, with `settings`.
        ours: answers of our run, as `score` takes them.
        score: of a test file and the answers to it. None: `judge` scores the saved models.
    """

    what: str
    prepare: Callable[[Path, int | None], None]
    commands: tuple[str, ...]
    files: tuple[str, str]
    by_hand: str
    settings: dict[str, Any] = field(default_factory=dict)
    epochs: int = 3
    ours: Callable[[Path, Path], Any] | None = None
    score: Callable[[Path, Any], dict[str, float]] | None = None


# --- files ------------------------------------------------------------------------------------------------------------


def intents_files(work: Path, rows: int | None) -> None:
    """The data set's rows, or some of them; cells have line ends."""
    known = list(zip(*classification.read_csv(str(folder("banking77") / "train.csv")), strict=True))
    write_csv(work / "intents.csv", random.Random(0).sample(known, min(rows or len(known), len(known))))


def emotions_files(work: Path, rows: int | None) -> None:
    """10,000 rows to train on, 1,000 to choose thresholds by."""
    drawn(folder("goemotions") / "train.tsv", work / "emotions.tsv", rows or 10_000)
    drawn(folder("goemotions") / "dev.tsv", work / "emotions_dev.tsv", 1000)


def entities_files(work: Path, rows: int | None) -> None:
    source = folder("bio_ner") / "NCBI-disease-IOB" / "train.tsv"
    ner.write_sentences(work / "diseases.tsv", read_sentences(source)[:rows])


def questions_files(work: Path, rows: int | None) -> None:
    """Articles drawn into three files, so that no article is in two: 2,000 questions, 300, 600."""
    articles = json.loads((folder("squad2_cs224n") / "dev-v2.0.json").read_text(encoding="utf-8"))["data"]
    left = random.Random(0).sample(articles, len(articles))
    for name, size in (("train", rows or 2000), ("dev", 300), ("test", 600)):
        part = [left.pop()]
        while sum(map(num_questions, part)) < size:
            part.append(left.pop())
        told = json.dumps({"version": "v2.0", "data": limited(part, size)}, ensure_ascii=False)
        (work / f"questions_{name}.json").write_text(told, encoding="utf-8")


def instructions_files(work: Path, rows: int | None) -> None:
    """1,000 instructions with an answer and with a pair of answers; the last 100 are held out."""
    source = folder("llms_from_scratch") / "instruction-data-with-preference.json"
    told = json.loads(source.read_text(encoding="utf-8"))
    shuffled = random.Random(0).sample(told, len(told))
    for name, part in (("", shuffled[: rows or 1000]), ("_test", shuffled[1000:])):
        asked = [f"Instruction:\n{row['instruction']}\n\nInput:\n{row['input']}\n\nResponse:\n" for row in part]
        answers = [{"prompt": text, "completion": row["output"]} for text, row in zip(asked, part, strict=True)]
        pairs = [{"prompt": text, "chosen": row["chosen"], "rejected": row["rejected"]}
                 for text, row in zip(asked, part, strict=True) if row["chosen"] != row["rejected"]]  # fmt: skip
        for kind, lines in (("instructions", answers), ("pairs", pairs)):
            (work / f"{kind}{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def drawn(source: Path, target: Path, count: int) -> None:
    """Some lines of a file, drawn once and for all."""
    lines = source.read_text(encoding="utf-8").split("\n")[:-1]
    target.write_text("".join(f"{line}\n" for line in random.Random(0).sample(lines, min(count, len(lines)))))


# --- our answers ------------------------------------------------------------------------------------------------------


def told(run_folder: Path) -> list[dict[str, Any]]:
    lines = (run_folder / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def predicted(run_folder: Path, test: Path) -> list[Any]:
    return [line["predicted"] for line in told(run_folder)]


def tags(run_folder: Path, test: Path) -> list[list[str]]:
    return [tags_of_line(line, words) for line, words in zip(told(run_folder), read_sentences(test), strict=True)]


def answers(run_folder: Path, test: Path) -> dict[str, str]:
    return {line["id"]: line["predicted"] or "" for line in told(run_folder)}


# --- the stories ------------------------------------------------------------------------------------------------------

ALL_TRAIN = "training.epochs={epochs} data.validation_share=0"
WRITES = "training.batch_size=8 task.template=plain"
NCBI = f"{DATA}/bio_ner/NCBI-disease-IOB"
BANKING, GO = f"{DATA}/banking77/test.csv", f"{DATA}/goemotions"
SENTENCE = "Mutations of BRCA1 cause familial breast cancer and ovarian cancer ."
CONTEXT = (
    "The Normans were the people who in the 10th and 11th centuries gave their name to Normandy, a region in France."
)

STORIES = {
    "intents": Story(
        "banking77: 77 intents of bank customers, from a csv",
        intents_files,
        (
            f"tunewright data check intents.csv --test {BANKING}",
            "tunewright advise intents.csv",
            f"tunewright train intents.csv --test {BANKING} --strategy feature_extraction --out runs/quick",
            f"tunewright train intents.csv --test {BANKING} --out runs/ours {ALL_TRAIN}",
            f"tunewright evaluate runs/ours {BANKING}",
            'tunewright predict runs/ours --text "my card has not arrived yet"',
        ),
        ("intents.csv", BANKING),
        "classification:trainer",
        {"trainer": TEXTS},
        ours=predicted,
        score=classification.score,
    ),
    "emotions": Story(
        "goemotions: any of 28 emotions in a comment",
        emotions_files,
        (
            f"tunewright data check emotions.tsv --test {GO}/test.tsv --label-names {GO}/labels.txt",
            f"tunewright train emotions.tsv --validation emotions_dev.tsv --test {GO}/test.tsv "
            f"--label-names {GO}/labels.txt --out runs/ours training.epochs={{epochs}}",
            'tunewright predict runs/ours --text "thank you so much, this made my day"',
        ),
        ("emotions.tsv", f"{GO}/test.tsv"),
        "stories_by_hand:emotions",
        {"trainer": TEXTS, "names": f"{GO}/labels.txt", "validation": "emotions_dev.tsv"},
        ours=predicted,
        score=stories_scores.emotions,
    ),
    "entities": Story(
        "NCBI-disease: names of diseases in abstracts",
        entities_files,
        (
            f"tunewright data check diseases.tsv --test {NCBI}/test.tsv",
            f"tunewright train diseases.tsv --test {NCBI}/test.tsv --out runs/ours {ALL_TRAIN}",
            f'tunewright predict runs/ours --text "{SENTENCE}"',
        ),
        ("diseases.tsv", f"{NCBI}/test.tsv"),
        "ner_contestants:trainer",
        {"trainer": BEST},
        ours=tags,
        score=ner.score,
    ),
    "questions": Story(
        "SQuAD v2.0: answers in a passage, or none",
        questions_files,
        (
            "tunewright data check questions_train.json --test questions_test.json",
            "tunewright train questions_train.json --validation questions_dev.json --test questions_test.json "
            "--out runs/ours training.epochs={epochs}",
            f'tunewright predict runs/ours --text "Where is Normandy?" --context "{CONTEXT}"',
        ),
        ("questions_train.json", "questions_test.json"),
        "stories_by_hand:questions",
        {"trainer": BEST, "validation": "questions_dev.json"},
        epochs=2,
        ours=answers,
        score=stories_scores.questions,
    ),
    "instructions": Story(
        "llms_from_scratch: instructions, then preferences, with pocket-lm",
        instructions_files,
        (
            "tunewright train instructions.jsonl --test instructions_test.jsonl --task causal_lm --model pocket-lm "
            f"--out runs/sft {ALL_TRAIN} {WRITES} training.learning_rate={RATES[0]}",
            "tunewright train pairs.jsonl --test pairs_test.jsonl --task preference --from runs/sft "
            f"--out runs/dpo {ALL_TRAIN} {WRITES} training.learning_rate={RATES[1]}",
            'tunewright predict runs/dpo --text "Rewrite the sentence in the past tense: He walks to school."',
        ),
        ("instructions.jsonl", "instructions_test.jsonl"),
        "stories_by_hand:instructions",
        {"pairs": "pairs.jsonl", "rates": RATES},
        epochs=2,
    ),
}


# --- telling them -----------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 1 something failed, 2 the user can fix it."""
    parser = argparse.ArgumentParser("python -m benchmarks stories", description=__doc__)
    parser.add_argument("--only", action="append", choices=STORIES, help="a story; may be repeated")
    parser.add_argument("--rows", type=positive, help="training rows at most")
    parser.add_argument("--epochs", type=positive, help="of both; else each story's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", choices=("ours", "by hand"), help="one of them alone")
    parser.add_argument("--keep", type=Path, help="keeps files, runs and what the commands said")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tunewright-stories-") as temporary:
        for name in chosen.only or STORIES:
            try:
                tell(STORIES[name], (chosen.keep or Path(temporary)).resolve() / name, chosen)
            except UnusableError as error:
                print(error, file=sys.stderr)
                return 2
            except JobError as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
    return 0


def tell(story: Story, work: Path, chosen: argparse.Namespace) -> None:
    """Prints the commands and what they cost; then the table."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / DATA).exists():
        (work / DATA).symlink_to(folder("banking77").parent)
    story.prepare(work, chosen.rows)
    epochs, lines = chosen.epochs or story.epochs, []
    print(f"### {story.what}; epochs: {epochs}\n", flush=True)
    if chosen.side != "by hand":
        lines += our_side(story, work, epochs, chosen.seed)
    if chosen.side != "ours":
        lines.append(their_side(story, work, epochs, chosen.seed))
    names = list(dict.fromkeys(name for _, _, scores in lines for name in scores))
    rows = [
        [title, *(f"{used[key]:,.0f}" for key in ("cpu_seconds", "total_seconds", "peak_memory_mb")),
         *(f"{scores[name]:.3f}" if name in scores else "" for name in names)]
        for title, used, scores in lines
    ]  # fmt: skip
    print("\n" + as_markdown(["", "CPU s", "s", "MB", *names], rows) + "\n", flush=True)


Line = tuple[str, dict[str, float], dict[str, float]]  # title, what it used, scores


def our_side(story: Story, work: Path, epochs: int, seed: int) -> list[Line]:
    lines: list[Line] = []
    for number, text in enumerate(story.commands):
        arguments = shlex.split(text.format(epochs=epochs))
        if "train" in arguments[:2]:
            arguments += ["--overwrite"] + ([] if "feature_extraction" in arguments else [f"training.seed={seed}"])
        used = carried_out(arguments, work, work / f"said_{number}.txt")
        print(
            f"{text.format(epochs=epochs)}\n    {used['cpu_seconds']:.0f} s CPU, {used['peak_memory_mb']:.0f} MB",
            flush=True,
        )
        lines.append((shown(arguments), used, scores_of(story, work, arguments)))
    if story.score is None:
        last = max(number for number, (title, _, _) in enumerate(lines) if title.startswith("train"))
        scores = judged(story, work, work / "runs/sft/model", work / "runs/dpo/model")
        lines[last] = (*lines[last][:2], scores)
    return lines


def shown(arguments: list[str]) -> str:
    if arguments[1] != "train":
        return " ".join(arguments[1 : 3 if arguments[1] == "data" else 2])
    return f"train {arguments[2]}" + (" feature_extraction" if "feature_extraction" in arguments else "")


def scores_of(story: Story, work: Path, arguments: list[str]) -> dict[str, float]:
    """Of a run that trained, by the answers that it wrote down."""
    if story.score is None or story.ours is None or arguments[1] != "train":
        return {}
    test = work / story.files[1]
    return story.score(test, story.ours(work / arguments[arguments.index("--out") + 1], test))


def carried_out(arguments: list[str], work: Path, said: Path) -> dict[str, float]:
    """Seconds of the processor and of the clock, and the peak of resident memory, of one command.

    Raises:
        JobError: it failed. An exit code of 1 from `data check` says that it found something.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TUNEWRIGHT_CACHE": str(work / "cache"), "COLUMNS": "120"}
    began = time.perf_counter()
    with said.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=work, env=environment, stdout=log, stderr=log
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1) or (process.returncode and "check" not in arguments):
        raise JobError(f"{shlex.join(arguments)} ended with {process.returncode}:\n{tail(said)}")
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "total_seconds": time.perf_counter() - began,
        "peak_memory_mb": used.ru_maxrss / 1024,
    }


def their_side(story: Story, work: Path, epochs: int, seed: int) -> Line:
    out = work / f"by_hand_{time.time_ns()}"
    found = run(job_of(story, work, story.by_hand, out, epochs, seed, story.settings))
    if story.score is None:
        return "by hand", found, judged(story, work, out / "sft", out / "dpo")
    test = work / story.files[1]
    return "by hand", found, story.score(test, json.loads((out / PREDICTIONS).read_text(encoding="utf-8")))


def judged(story: Story, work: Path, sft: Path, dpo: Path) -> dict[str, float]:
    settings = {"sft": str(sft), "dpo": str(dpo), "pairs_test": "pairs_test.jsonl"}
    found = run(job_of(story, work, "stories_scores:judge", work / f"judged_{time.time_ns()}", 1, 0, settings))
    return {name: found[name] for name in ("loss", "pairs right")}


def job_of(story: Story, work: Path, function: str, out: Path, epochs: int, seed: int, settings: dict[str, Any]) -> Job:
    """Settings that name a file of the story's folder are made whole: a job runs elsewhere."""
    whole = {
        key: str(work / value) if isinstance(value, str) and not Path(value).is_absolute() else value
        for key, value in settings.items()
    }
    train, test = (str(work / name) for name in story.files)
    return Job(f"benchmarks.{function}", train, test, str(model_of(story)), str(out), seed, epochs, whole)


def model_of(story: Story) -> Path:
    if story.score is not None:
        return pretrained()
    import tunewright

    return Path(tunewright.__file__).parent / "pocket_lm"
