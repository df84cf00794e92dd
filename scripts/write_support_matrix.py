"""Writes docs/support_matrix.md: what works and what is refused, and why. `python scripts/write_support_matrix.py`.

tests/matrix walks the same pairs, though not each task with each strategy on each architecture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.component import members
from tunewright.strategies.base import Strategy
from tunewright.tasks.base import Task

PAGE = Path(__file__).parent.parent / "docs" / "support_matrix.md"
HEAD = """# Support matrix

Written by `python scripts/write_support_matrix.py` from the code; a test fails when it is out of date.
`pytest tests/matrix` walks each strategy with each task, and on each architecture: it trains, resumes (bit for bit),
saves, reloads in a new process and serves, with plain transformers and PEFT beside our own loading; or it is refused
with its reason.

yes: works. merges: the saved weights can be plain ones. A number is a refusal; its reason stands below.
What DDP, FSDP2 and DeepSpeed ZeRO-2 take of it: [distributed.md](distributed.md).
"""
ENCODERS = {
    "BERT": "BertConfig", "RoBERTa": "RobertaConfig", "DistilBERT": "DistilBertConfig",
    "ModernBERT": "ModernBertConfig",
}  # fmt: skip
DECODERS = {"Llama": "LlamaConfig", "Qwen2": "Qwen2Config", "GPT-2": "GPT2Config"}
ENCODER_DECODERS = {"T5": "T5Config", "BART": "BartConfig"}
ARCHITECTURES = {"causal_lm": DECODERS, "preference": DECODERS, "seq2seq": ENCODER_DECODERS}  # of the others: ENCODERS


def page() -> str:
    reasons: list[str] = []
    parts = [HEAD]
    for task in members(Task):  # type: ignore[type-abstract]
        known = ARCHITECTURES.get(task, ENCODERS)
        line = "|---" * (len(known) + 2) + "|"
        parts.append(f"\n## {task}\n\n| strategy | {' | '.join(known)} | saved as |\n{line}\n")
        for kind, member in members(Strategy).items():  # type: ignore[type-abstract]
            cells = [cell(member, task, name, reasons) for name in known.values()]
            parts.append(f"| `{kind}` | {' | '.join(cells)} | {form(member)} |\n")
    parts += ["\n## Refusals\n\n", *(f"{number}. {reason}\n" for number, reason in enumerate(reasons, 1))]
    return "".join(parts)


def cell(member: Any, kind: str, architecture: str, reasons: list[str]) -> str:
    import transformers

    task = members(Task)[kind](kind=kind)  # type: ignore[type-abstract]
    strategy = member(kind=member.model_fields["kind"].default)
    if kind == "sequence_classification" and strategy.solves(task):
        task = task.model_copy(update={"pooling": "mean"})
    reason = strategy.refuses(getattr(transformers, architecture)(), task)
    if reason is None:
        return "yes, merges" if "merge" in member.model_fields else "yes"
    if reason not in reasons:
        reasons.append(reason)
    return str(reasons.index(reason) + 1)


def form(member: Any) -> str:
    """Whether the weights are saved whole."""
    adapters = ("lora", "qlora", "ia3", "bottleneck_adapter", "prefix_tuning", "prompt_tuning")
    return "adapter" if member.model_fields["kind"].default in adapters else "whole model"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
