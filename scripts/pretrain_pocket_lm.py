"""Pretrains pocket-lm, the embedded causal model, with Tunewright's own loop, and writes it into the package.

    python scripts/pretrain_pocket_lm.py --data FOLDER --work build/pocket_lm

FOLDER holds english_novels_100, wikitext2 and dolly_3k; the corpus, the tokenizer and the untrained model are made in
the work folder once; training resumes where it was interrupted. An hour of one CPU core is the budget that the model
was made with; a GPU takes more tokens in less time (--tokens, --steps).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PIECE = 3_000  # characters of a novel that make one document
CONTEXT = 512  # positions
PACKAGE = Path(__file__).parents[1] / "src" / "tunewright" / "pocket_lm"
GLUED = ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), (" n't", "n't"), (" 's", "'s"), (" ,", ","), (" .", "."),
         (" ;", ";"), (" :", ":"), (" !", "!"), (" ?", "?"), ("( ", "("), (" )", ")"))  # fmt: skip


def novels(folder: Path) -> Iterator[tuple[str, str]]:
    """(split, piece) of every novel; every fortieth novel is held out whole."""
    with gzip.open(folder / "english_novels_100" / "novels.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            text = next(value for key, value in json.loads(line).items() if key in ("text", "content", "body"))
            for piece in pieces(re.sub(r"[ \t]+", " ", text.replace("\r", "").lstrip("\ufeff"))):
                yield ("validation" if number % 40 == 39 else "train"), piece


def pieces(text: str) -> Iterator[str]:
    """Runs of paragraphs of about PIECE characters."""
    part, wrapped = "", text.count("\n\n") > len(text) / 2_000  # lines of a page, with blank ones between paragraphs
    for paragraph in re.split(r"\n\s*\n" if wrapped else r"\n+", text):
        part += " ".join(paragraph.split()) + "\n"
        if len(part) >= PIECE:
            yield part.strip()
            part = ""
    if part.strip():
        yield part.strip()


def articles(file: Path) -> Iterator[str]:
    """Wikipedia's articles as people write them: WikiText has signs apart from words, and @-@ inside them."""
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8").split("\n"):
        if re.fullmatch(r" = [^=].* = ", line) and lines:
            yield joined(lines)
            lines = []
        lines.append(line.strip())
    yield joined(lines)


def joined(lines: list[str]) -> str:
    text = "\n".join(line for line in lines if line).replace("<unk>", "")
    for apart, together in GLUED:
        text = text.replace(apart, together)
    return re.sub(r' " ([^"]*?) " ', r' "\1" ', re.sub(r" +", " ", text))


def contexts(folder: Path) -> Iterator[str]:
    rows = json.loads((folder / "dolly_3k" / "dolly_3k.json").read_text(encoding="utf-8"))
    yield from dict.fromkeys(row["input"] for row in rows if len(row["input"]) > 200)


def write_corpus(folder: Path, work: Path, tokens: int) -> None:
    """train.jsonl (about `tokens` tokens, at 4.2 characters each) and validation.jsonl."""
    generator = random.Random(0)
    fiction = list(novels(folder))
    facts = [*articles(folder / "wikitext2" / "wiki.train.tokens"), *contexts(folder)]
    kept = [piece for split, piece in fiction if split == "train"]
    generator.shuffle(kept)
    room, count = int(tokens * 4.2) - sum(map(len, facts)), 0
    while count < len(kept) and room > 0:
        room -= len(kept[count])
        count += 1
    held = [piece for split, piece in fiction if split == "validation"]
    held = [*generator.sample(held, 60), *list(articles(folder / "wikitext2" / "wiki.valid.tokens"))[:30]]
    for name, texts in (("train", [*facts, *kept[:count]]), ("validation", held)):
        texts = [text for text in texts if text.strip()]
        generator.shuffle(texts)
        lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        (work / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def make_tokenizer(texts: list[str], size: int) -> Any:
    """A byte-level BPE: every text can be written in it. <s> begins a text, </s> ends it, <pad> is neither."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[AddedToken(token, special=True) for token in special.values()],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False, min_frequency=2,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>",)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, **special)


def make_model(work: Path) -> None:
    """The untrained model: Llama's architecture, 5.0 million parameters, 2.1 of them embeddings."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    lines = (work / "train.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    texts = [json.loads(line)["text"] for line in random.Random(0).sample(lines, min(len(lines), 6_000))]
    tokenizer = make_tokenizer(texts, 8_192)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4,
        intermediate_size=704, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(work / "untrained")
    tokenizer.save_pretrained(work / "untrained")


def configuration(work: Path, phase: str, steps: int) -> dict[str, Any]:
    """A long phase at a high rate, then a short one in which the rate falls to nothing (Hu et al. 2024, section 4)."""
    warm = phase == "warm"
    schedule = {"schedule": "constant", "warmup": 75} if warm else {"schedule": "linear", "warmup": 0}
    return {
        "model": str(work / "untrained") if warm else str(work / "warm"),
        "data": {"train": f"{work}/train.jsonl", "validation": f"{work}/validation.jsonl", "max_length": CONTEXT},
        "task": {"kind": "causal_lm", "shape": "text", "max_truncated": 1},
        "strategy": {"kind": "full"},
        "training": {
            "max_steps": steps, "batch_size": 16, "learning_rate": 2e-3, "precision": "bf16", "weight_decay": 0.1,
            "evaluate_every": 400, "checkpoint_every": 100, "micro_batch_tokens": 4096,
            "seed": 0 if warm else 1, **schedule,
        },
        "out": str(work / phase),
    }  # fmt: skip


def write_package(work: Path, run: Any) -> None:
    """The weights in bf16 with configuration, tokenizer and card, into the package."""
    import torch
    from transformers import AutoModelForCausalLM

    import tunewright as tw

    model = AutoModelForCausalLM.from_pretrained(run.path / "model").to(torch.bfloat16)
    shutil.rmtree(PACKAGE, ignore_errors=True)
    model.save_pretrained(PACKAGE)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(run.path / "model" / name, PACKAGE / name)
    again = tw.evaluate(run.path, str(work / "validation.jsonl"))
    (work / "scores.json").write_text(json.dumps({"fp32": again, "run": run.metrics}, indent=1, default=str))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/pocket_lm"))
    parser.add_argument("--tokens", type=int, default=16_000_000, help="of the corpus")
    parser.add_argument("--steps", type=int, default=700, help="of 16 windows of 512 tokens, before the rate falls")
    arguments = parser.parse_args()
    import tunewright as tw

    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "train.jsonl").is_file():
        write_corpus(arguments.data, work, arguments.tokens)
    if not (work / "untrained" / "tokenizer.json").is_file():
        make_model(work)
    for phase, steps in (("warm", arguments.steps), ("cooled", arguments.steps // 4)):
        run = tw.train(configuration(work, phase, steps), resume=(work / phase).is_dir())
    write_package(work, run)


if __name__ == "__main__":
    main()
