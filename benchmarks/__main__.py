"""`python -m benchmarks NAME [OPTIONS]`; without a name, what there is."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "sst2": "full fine-tuning of MiniLM on 1,024 rows of SST-2, against transformers' Trainer",
    "ner": "named entities on NCBI-disease, 3 epochs, against transformers' example and the Trainer at its best",
    "qa": "extractive question answering on SQuADShifts, 1 epoch, against the same two",
    "generation": "SFT on dolly_3k and DPO on hh_rlhf_harmless_test with a 7M Llama, against TRL at its defaults",
    "head": "the language-model head in chunks, against plain torch",
    "strategies": "every strategy with its defaults on banking77 or NCBI-disease",
    "label_noise": "labels flipped in banking77 and SST-2: suspects found, and training on corrected or filtered data",
    "active_learning": "labels that active learning needs on banking77 or sst2, against random choice",
    "near_duplicates": "planted leakage in banking77, and near-duplicates among a million made-up rows",
    "kills": "fifty SIGKILLs at random moments, each resumed: are the final weights the uninterrupted run's?",
}


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 1 a contestant failed, 2 the user can fix it."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("python -m benchmarks NAME [--help]\n")
        for name, what in BENCHMARKS.items():
            print(f"  {name:12}{what}")
        return 0
    name, *rest = arguments
    if name not in BENCHMARKS:
        print(f"no benchmark {name!r}; there is: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    code: int = importlib.import_module(f"benchmarks.{name}").main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
