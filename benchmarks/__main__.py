"""`python -m benchmarks NAME [OPTIONS]`; without a name, what there is."""

from __future__ import annotations

import importlib
import sys
from typing import Any

CONTESTS = {  # name: where they are defined, and what they are; `all` holds them in this order
    "share": ("share:SHARE", "training steps' share of the peak of this machine's matrix products"),
    "start": ("start:START", "seconds of --help, to the first training step, and of one prediction"),
    "sst2": ("sst2:SST2", "full fine-tuning of MiniLM on 4,096 rows of SST-2, against four others"),
    "lora": ("sst2:LORA", "LoRA on 2,048 of them, against PEFT and the Trainer at its best"),
    "ner": (
        "ner:NER",
        "named entities on NCBI-disease, 3 epochs, against transformers' Trainer, plain and at its best",
    ),
    "cache": ("ner:CACHE", "the same with two of six blocks trained: frozen blocks once, and in every pass"),
    "qa": ("qa:QA", "extractive question answering on SQuADShifts, 1 epoch, against the same two"),
    "features": ("features:FEATURES", "a head on banking77's frozen features, against one pass and ten plain epochs"),
    "sft": ("generation:SFT", "dolly_3k with a 7M Llama, against TRL at its defaults and at its best"),
    "dpo": ("generation:DPO", "hh_rlhf_harmless_test with the same, against the same"),
    "predict": ("predict:PREDICT", "10,000 short texts, against transformers' pipeline"),
    "growth": ("growth:GROWTH", "10,000 to 1,000,000 made-up rows: time a row, and memory"),
}
GROUPS = {"all": list(CONTESTS), "generation": ["sft", "dpo"]}
OTHERS = {
    "step": "one step of full fine-tuning of MiniLM on a CPU: milliseconds, share of the peak, where the time goes",
    "head": "the language-model head in chunks, against plain torch",
    "strategies": "every strategy with its defaults on banking77 or NCBI-disease",
    "label_noise": "labels flipped in banking77 and SST-2: suspects found, and training on corrected or filtered data",
    "active_learning": "labels that active learning needs on banking77 or sst2, against random choice",
    "near_duplicates": "planted leakage in banking77, and near-duplicates among a million made-up rows",
    "evidence": "the comparisons of docs/evidence.md: banking77 and SST-2, three seeds",
    "verdicts": "made-up predictions with known scores: coverage of the intervals, false and true differences",
    "compare": "compare of four strategies that share a frozen encoder, against four train runs",
    "plan": "the planner's peak memory, from the configuration and after a probe, against real runs",
    "plan_time": "seconds that `tunewright plan` foresees, against fourteen real runs",
    "stories": "five stories from a file to answers: our commands, and an expert's script; docs/stories.md",
    "kills": "300 SIGKILLs at random moments of every task and strategy: is each resumed run the uninterrupted one?",
    "fuzz": "damaged data, configurations, templates, models and runs: a result or a clear error, never a wrong answer",
    "full_disk": "every verb on disks of too few pages or files (needs root, to mount)",
}


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 1 a contestant failed, 2 the user can fix it."""
    known = {**{name: what for name, (_, what) in CONTESTS.items()}, "generation": "sft and dpo", **OTHERS}
    known = {"all": f"{', '.join(CONTESTS)}; and whether all promises are kept", **known}
    if not arguments or arguments[0] in ("-h", "--help"):
        print("python -m benchmarks NAME [--help]\n")
        for name, what in known.items():
            print(f"  {name:16}{what}")
        return 0
    name, *rest = arguments
    if name not in known:
        print(f"no benchmark {name!r}; there is: {', '.join(known)}", file=sys.stderr)
        return 2
    if name in OTHERS:
        code: int = importlib.import_module(f"benchmarks.{name}").main(rest)
        return code
    from .contest import hold

    return hold([contest(name) for name in GROUPS.get(name, [name])], rest, known[name])


def contest(name: str) -> Any:
    module, constant = CONTESTS[name][0].split(":")
    return getattr(importlib.import_module(f"benchmarks.{module}"), constant)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
