"""Damaged and nonsensical input: each must end in a result or in a TunewrightError, soon, and never in a wrong answer.

Bytes are flipped, cut, repeated, swapped and spliced with other files, and words of each format are put in. Artefacts
and checkpoints are damaged as a disk would (then the answer must be right or refused), and signed again as an attacker
would (then anything is fine that is no crash).

python -m benchmarks fuzz [--seconds 300] [--seed 0] [--only sources] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from .forked import Child, warm_up

LIMIT = 20  # seconds that one case may take
ROWS = [
    {"text": f"the parcel {place} is late", "label": ("late", "lost")[place % 2], "id": place} for place in range(12)
]
ANSWER = {"text": ["parcel"], "answer_start": [4]}
SQUAD = {"data": [{"title": "a", "paragraphs": [{"context": "the parcel is late", "qas": [
    {"id": str(n), "question": "what is late?", "answers": [{"text": "parcel", "answer_start": 4}]}
    for n in range(4)]}]}]}  # fmt: skip
DIALOGUE = {"messages": [{"role": "user", "content": "late?"}, {"role": "assistant", "content": "yes"}]}
WORDS = {
    "sources": r"""\0 " \n \r , \t \xff \xef\xbb\xbf { } [ ] null NaN 1e999 -1 \\ud800 \\u0000 : "label" "text" [] {}
        true \xe2\x80\xa8 \xc2\x85 B- I- O label text -DOCSTART- \'\' 1_000 99999999999999999999999999""",
    "configuration": r"""null ~ [] {} :\x20 -\x20 \t &a\x20 *a <<:\x20*a !!python/object:os.system !!binary !!set
        !!timestamp 2024-01-01 .inf .nan -1 0 1e309 \' " | > % --- kind auto lora true \xff ?\x20 0x 1:2:3
        stages: = ..""",
    "templates": r"""{{ }} {% %} for\x20m\x20in\x20messages endfor if endif set\x20x\x20=\x201 messages[0] [\'content\']
        |tojson |length range(10) loop.index raise_exception(\'no\') eos_token bos_token -1 /0 *99999 generation None
        endgeneration macro\x20a() endmacro namespace(a=1) tools .items() ~ {# add_generation_prompt""",
    "json": r"""null -1 1e400 0.5 [] {} "" true 99999999999999999999999999 "../x" NaN \\ud800 \xff """ + "[" * 3000,
}


def words_of(kind: str) -> list[bytes]:
    """What a format is sensitive to; written above with escapes, between blanks."""
    return [word.encode().decode("unicode_escape").encode("latin-1") for word in WORDS[kind].split()]


def mutated(content: bytes, others: list[bytes], words: list[bytes], generator: random.Random) -> bytes:
    raw = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 3, 8))):
        at = generator.randrange(len(raw) + 1)
        to = min(len(raw), at + generator.choice((1, 1, 2, 5, 20, 200)))
        kind = generator.randrange(8)
        if kind == 0 and at < len(raw):
            raw[at] ^= 1 << generator.randrange(8)
        elif kind == 1:
            del raw[at:to]
        elif kind == 2:
            raw[at:at] = raw[at:to] * generator.choice((1, 2, 50))
        elif kind in (3, 4):
            raw[at:at] = generator.choice(words)
        elif kind == 5:
            raw[at:to] = generator.choice(words)
        elif kind == 6:
            del raw[at:]
        elif others:
            other = generator.choice(others)
            start = generator.randrange(len(other) + 1)
            raw[at:to] = other[start : start + generator.choice((5, 50, 500))]
    return bytes(raw)


class Target:
    """What is fuzzed. `prepare` runs once, `case` draws one case and `check` runs it; each in a folder of its own."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.prepare()

    def prepare(self) -> None: ...

    def case(self, generator: random.Random) -> Any:
        raise NotImplementedError

    def check(self, case: Any) -> str:
        """What the case ended in: "result", or a word of ours. Raises what it must not end in."""
        raise NotImplementedError


class Sources(Target):
    """Data files: read strictly and tolerantly, and taken in as a run would."""

    def prepare(self) -> None:
        import pyarrow
        import pyarrow.parquet

        parquet = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), parquet)
        csv = "id,text,label\n" + "".join(f'{row["id"]},"{row["text"]}",{row["label"]}\n' for row in ROWS)
        line = lambda rows: "".join(json.dumps(row) + "\n" for row in rows)  # noqa: E731
        conll = "-DOCSTART- O\n\n" + "the O\nparcel B-thing\nvan I-thing\nis O\n\n" * 6
        questions = [{"question": "what?", "context": "the parcel is late", "answers": ANSWER}] * 6
        pairs = [{"prompt": "late?", "chosen": " yes", "rejected": " no"}] * 6
        texts = {
            "a.csv": csv, "a.tsv": csv.replace(",", "\t"), "a.jsonl": line(ROWS), "b.jsonl": line(questions),
            "c.jsonl": line([DIALOGUE] * 6), "d.jsonl": line(pairs), "a.json": json.dumps(ROWS),
            "b.json": json.dumps(SQUAD), "c.json": json.dumps({"data": ROWS}), "a.conll": conll, "a.txt": conll,
            "b.csv": "a,b\n" + "".join(f"{row['text']},{row['id'] % 2}\n" for row in ROWS),
        }  # fmt: skip
        self.seeds = {name: text.encode() for name, text in texts.items()} | {"a.parquet": parquet.getvalue()}
        self.seeds["e.csv.gz"] = gzip.compress(self.seeds["a.csv"])

    def case(self, generator: random.Random) -> tuple[str, bytes]:
        name = generator.choice(sorted(self.seeds))
        content = mutated(self.seeds[name], list(self.seeds.values()), words_of("sources"), generator)
        if name.endswith((".gz", ".parquet")) or generator.random() < 0.95:
            return name, content
        return name + ".gz", gzip.compress(content)

    def check(self, case: tuple[str, bytes]) -> str:
        from tunewright.config import load
        from tunewright.data import sources
        from tunewright.errors import DataError
        from tunewright.intake import take_in

        path = self.work / case[0]
        path.write_bytes(case[1])
        try:
            table = sources.read(str(path), faults=[])
            for row in table.rows:
                assert list(row) == table.columns
        except DataError as error:
            if not error.where.startswith(str(path)) or not error.fix:
                raise AssertionError(f"no place, or no remedy: {error}") from error
        take_in(load({"data": {"train": str(path), "on_bad_row": "drop"}}))
        take_in(load({"data": {"train": str(path)}}))
        return "result"


class Configuration(Target):
    """YAML files and overrides; what loads must dump to what loads equal."""

    RECIPE = """\
model: minilm
data: {train: a.csv, text: [text], label: [topic], test_share: 0.1, split: {kind: grouped, column: id}}
task: {kind: sequence_classification, pooling: mean}
strategy: {kind: lora, r: 8, alpha: 16.0, targets: all-linear}
training:
  epochs: 3
  learning_rate: 1e-4
  early_stopping: {metric: loss, patience: 2}
  precision: fp32
out: runs/x
"""
    OVERRIDES = ("strategy.r=16", "strategy=full", "data.text=[a, b]", "training.seed=3", "data.limit=null",
                 "out=2024", "task.kind=causal_lm", "training.early_stopping.patience=3", "data.split=random",
                 "model=x")  # fmt: skip

    def case(self, generator: random.Random) -> tuple[bytes, list[str]]:
        text = self.RECIPE.encode()
        if generator.random() < 0.8:
            text = mutated(text, [line.encode() for line in self.OVERRIDES], words_of("configuration"), generator)
        overrides = generator.sample(self.OVERRIDES, generator.choice((0, 0, 1, 3)))
        others = [self.RECIPE.encode()]
        raw = [mutated(one.encode(), others, words_of("configuration"), generator) for one in overrides]
        return text, [one.decode(errors="replace") for one in raw]

    def check(self, case: tuple[bytes, list[str]]) -> str:
        from tunewright.config import dump, edits, load
        from tunewright.files import parse_yaml, read_mapping
        from tunewright.stages import expand, has_stages

        path = self.work / "run.yaml"
        path.write_bytes(case[0])
        raw = read_mapping(path)
        if has_stages(raw):
            expand(raw, str(path), edits(case[1]))
            return "stages"
        config = load(raw, case[1])
        again = load(parse_yaml(dump(config), "dumped"))
        assert dump(again) == dump(config), "dump and load are not inverse"
        return "result"


class Templates(Target):
    """Chat templates: chosen, rendered, learned from."""

    def prepare(self) -> None:
        from tests.language_models import make_language_tokenizer
        from tunewright.data import templates

        self.tokenizer = make_language_tokenizer("qwen2")
        built_in = [templates.built_in(name, self.tokenizer).encode() for name in templates.FORMATS]
        plain = b"{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}\n{% endfor %}"
        self.seeds = [*built_in, plain]

    def case(self, generator: random.Random) -> bytes:
        return mutated(generator.choice(self.seeds), self.seeds, words_of("templates"), generator)

    def check(self, case: bytes) -> str:
        from tunewright.data import templates
        from tunewright.data.row import Dialogue

        path = self.work / "a.jinja"
        path.write_bytes(case)
        text, _ = templates.choose(str(path), self.tokenizer, "chat")
        dialogue = Dialogue(tuple(DIALOGUE["messages"] * 2))
        templates.render(self.tokenizer, text, dialogue, True)
        templates.spans(self.tokenizer, text, dialogue)
        templates.spans(self.tokenizer, text, dialogue, True)
        return "result"


RUNS: dict[str, tuple[str, dict[str, Any]]] = {  # name: data, and the rest of the configuration
    "full": ("rows.csv", {"strategy": "full"}),
    "lora": ("rows.csv", {"strategy": "lora", "task": {"kind": "sequence_classification", "pooling": "mean"}}),
    "bottleneck": ("rows.csv", {"strategy": "bottleneck_adapter"}),
    "writes": ("pairs.jsonl", {"strategy": "lora", "task": {"kind": "causal_lm", "max_new_tokens": 3}}),
}  # fmt: skip
TRAINING = {"max_steps": 2, "batch_size": 8, "precision": "fp32", "learning_rate": 1e-3, "checkpoint_every": 1,
            "keep_checkpoints": 2}  # fmt: skip


def make_runs(work: Path) -> dict[str, Path]:
    import tunewright as tw
    from tests.conftest import make_model, write_rows
    from tests.language_models import make_language_model
    from tests.matrix.language import write

    os.environ["TUNEWRIGHT_CACHE"] = str(work / "cache")
    make_model(work / "bert")
    make_language_model(work / "llama")
    write_rows(work / "rows.csv")
    write("causal_lm", work / "pairs.jsonl", 24)
    runs = {}
    for name, (data, more) in RUNS.items():
        raw = {"model": str(work / ("llama" if name == "writes" else "bert")), "training": TRAINING, **more,
               "data": {"train": str(work / data), "test_share": 0, "check_seconds": 0},
               "out": str(work / name)}  # fmt: skip
        runs[name] = tw.train(raw, progress=False).path
    return runs


def damaged(file: Path, others: list[Path], generator: random.Random, nonsense: bool = True) -> str:
    """Damages a file in one way and says how. nonsense: also to JSON that is whole and holds other values."""
    raw = file.read_bytes()
    words = words_of("json") if file.suffix in (".json", ".jinja", ".jsonl", ".yaml") else [b"\0" * 8]
    ways = ["flip", "cut", "gone", "swapped", "empty", *["mutated"] * 3, *["values"] * (2 * nonsense)]
    how = generator.choice(ways)
    if how == "flip":
        at = generator.randrange(len(raw))
        file.write_bytes(raw[:at] + bytes([raw[at] ^ (1 << generator.randrange(8))]) + raw[at + 1 :])
    elif how == "cut":
        file.write_bytes(raw[: generator.randrange(len(raw))])
    elif how == "gone":
        file.unlink()
    elif how == "swapped":
        file.write_bytes(generator.choice(others).read_bytes())
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "values" and file.suffix == ".json":
        file.write_text(json.dumps(revalued(json.loads(raw), generator)))
    else:
        file.write_bytes(mutated(raw, [b"\0\xff" * 50], words, generator))
    return how


def revalued(value: Any, generator: random.Random) -> Any:
    """A JSON value with one of its parts replaced or left out; still JSON, no longer what was meant."""
    if isinstance(value, dict) and value and generator.random() < 0.9:
        key = generator.choice(sorted(value))
        if generator.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        return value | {key: revalued(value[key], generator)}
    if isinstance(value, list) and value and generator.random() < 0.7:
        place = generator.randrange(len(value))
        return [*value[:place], revalued(value[place], generator), *value[place + 1 :]]
    return generator.choice(
        (None, -1, 0, 1.5, 10**30, "", "a", [], {}, [1], {"a": 1}, True, "../x", [None], "nan", [[]])
    )


class Artefacts(Target):
    """Models of finished runs: damaged, and damaged and signed again."""

    SIGNED = 0.5

    def prepare(self) -> None:
        self.runs = make_runs(self.work)
        self.expected = {name: self.answers(path) for name, path in self.runs.items()}

    def answers(self, run: Path) -> list[Any]:
        import tunewright as tw

        return [said.to_json() for said in tw.load(run)(["late broken box", "invoice money"])]

    def case(self, generator: random.Random) -> tuple[str, int]:
        return generator.choice(sorted(self.runs)), generator.randrange(1 << 32)

    def check(self, case: tuple[str, int]) -> str:

        name, generator = case[0], random.Random(case[1])
        copy = self.work / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.runs[name], copy)
        files = sorted(path for path in (copy / "model").iterdir() if path.is_file())
        file = generator.choice(files)
        print(file.name, damaged(file, files, generator), flush=True)
        signed = generator.random() < self.SIGNED and file.name != "tunewright.json"
        if signed:
            sign(copy / "model")
        found = self.answers(copy)
        if signed or file.name == "tunewright.json":  # its own fields are not covered by its own checksums
            return "changed" if found != self.expected[name] else "result"
        assert found == self.expected[name], f"a wrong answer: {file.name} is damaged"
        return "result"


def sign(folder: Path) -> None:
    """Makes the checksums right again."""
    from tunewright.files import sha256

    manifest = json.loads((folder / "tunewright.json").read_text())
    manifest["sha256"] = {path.name: sha256(path) for path in folder.iterdir() if path.name != "tunewright.json"}
    (folder / "tunewright.json").write_text(json.dumps(manifest))


class Models(Target):
    """Folders of pretrained models, whose files nothing vouches for."""

    def prepare(self) -> None:
        from tests.conftest import make_model
        from tests.language_models import make_language_model

        make_model(self.work / "bert")
        make_language_model(self.work / "llama")

    case = Artefacts.case
    runs: ClassVar = {"bert": "AutoModelForSequenceClassification", "llama": "AutoModelForCausalLM"}

    def check(self, case: tuple[str, int]) -> str:
        import torch

        from tunewright import models

        generator, copy = random.Random(case[1]), self.work / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.work / case[0], copy)
        files = sorted(copy.iterdir())
        file = generator.choice(files)
        print(file.name, damaged(file, files, generator), flush=True)
        source = models.locate(str(copy))
        tokenizer = models.load_tokenizer(source)
        model = models.load_model(source, self.runs[case[0]])
        with models.loading(source.name), torch.no_grad():
            model(**tokenizer("late broken box", return_tensors="pt"))
        return "result"


class Checkpoints(Target):
    """Files of an unfinished run, which is resumed: its weights must be those of the whole run, or it is refused."""

    def prepare(self) -> None:
        self.runs = {name: path for name, path in make_runs(self.work).items() if name in ("full", "lora")}
        self.expected = {name: weights(path) for name, path in self.runs.items()}

    case = Artefacts.case

    def check(self, case: tuple[str, int]) -> str:
        import tunewright as tw

        name, generator = case[0], random.Random(case[1])
        copy = self.work / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.runs[name], copy)
        for gone in ("metrics.json", "report.html", "README.md"):
            (copy / gone).unlink()
        shutil.rmtree(copy / "model")
        shutil.rmtree(copy / "predictions")
        files = sorted(path for path in copy.rglob("*") if path.is_file() and path.name != ".lock")
        file = generator.choice(files)
        print(file.relative_to(copy), damaged(file, files, generator), flush=True)
        raw = {"model": str(self.work / "bert"), "training": TRAINING, **RUNS[name][1], "out": str(copy),
               "data": {"train": str(self.work / RUNS[name][0]), "test_share": 0, "check_seconds": 0}}  # fmt: skip
        tw.train(raw, progress=False, resume=True)
        assert weights(copy) == self.expected[name], f"other weights: {file.relative_to(copy)} is damaged"
        return "result"


def weights(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "model").glob("*.safetensors")}


class Shown(Target):
    """Files of a finished run that people look at: shown again, and reported again."""

    def prepare(self) -> None:
        self.runs = {name: path for name, path in make_runs(self.work).items() if name in ("full", "writes")}

    case = Artefacts.case

    def check(self, case: tuple[str, int]) -> str:
        from tunewright import cli, report

        generator, copy = random.Random(case[1]), self.work / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.runs[case[0]], copy)
        looked_at = (*copy.iterdir(), *copy.glob("predictions/*"), copy / "model" / "tunewright.json")
        files = sorted(path for path in looked_at if path.suffix in (".json", ".jsonl", ".yaml"))
        file = generator.choice(files)
        print(file.relative_to(copy), damaged(file, files, generator, nonsense=False), flush=True)
        cli.add_verbs()
        code = cli.run(["show", str(copy)])
        assert code in (0, 2), f"show exits with {code}"
        report.write(copy)
        return "result"


TARGETS: dict[str, type[Target]] = {
    "sources": Sources, "configuration": Configuration, "templates": Templates, "artefacts": Artefacts,
    "models": Models, "checkpoints": Checkpoints, "shown": Shown,
}  # fmt: skip


class TooLong(BaseException):
    """A case that does not end."""


def expired(number: int, frame: Any) -> None:
    raise TooLong


def fuzz(name: str, seed: int, seconds: float, work: Path, keep: Path) -> int:
    """One target; in a child, because a crash of native code must be told too."""
    from tunewright.errors import TunewrightError

    signal.signal(signal.SIGALRM, expired)
    work.mkdir(exist_ok=True)
    target, generator = TARGETS[name](work), random.Random(seed)
    ends, found = Counter[str](), Counter[str]()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        case = target.case(generator)
        (keep / f"{name}-last").write_text(repr(case))
        signal.alarm(LIMIT)
        try:
            ends[target.check(case)] += 1
        except TunewrightError as error:
            ends["refused"] += 1
            ends["refused without words"] += not str(error).strip()
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            signal.alarm(0)
            ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "tunewright" in frame.filename]
            place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
            what = f"{type(error).__name__} at {place}: {str(error)[:150]}"
            first = f"{type(error).__name__} at {place}"
            if first not in found:
                number = len(found)
                (keep / f"{name}-{number}").write_text(f"{what}\n{case!r}\n{traceback.format_exc()}")
                print(f"FOUND {name}-{number}: {what}", flush=True)
            found[first] += 1
        finally:
            signal.alarm(0)
    told = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    print(
        f"TOLD {name}: {ends.total() + found.total()} cases: {told}; {len(found)} kinds of findings {dict(found)}",
        flush=True,
    )
    return 1 if found else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", choices=["", *TARGETS])
    parser.add_argument("--keep", type=Path, help="where the cases lie that found something")
    chosen = parser.parse_args(arguments)
    warm_up()
    worst = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        keep = chosen.keep or Path(tempfile.mkdtemp(prefix="tunewright-fuzz-"))
        keep.mkdir(parents=True, exist_ok=True)
        for target in [chosen.only] if chosen.only else TARGETS:
            child = Child(
                partial(fuzz, target, chosen.seed, chosen.seconds, work / target, keep), keep / f"{target}.log"
            )
            child.finished()
            code = child.code()
            lines = [line for line in child.log.read_text().splitlines() if line.startswith(("FOUND", "TOLD"))]
            print(
                "\n".join(lines) if code in (0, 1) and lines else f"{target} ended with {code}: see {child.log}",
                flush=True,
            )
            worst = max(worst, abs(code))
    print(f"cases: {keep}", file=sys.stderr)
    return min(worst, 1)
