"""Length: tokens of the rows, what each max_length would cut, and which one is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..ledger import percentiles
from .base import Check, Notebook, Page

if TYPE_CHECKING:
    from ..desk import Desk
    from ..row import Row

LIMITS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
UNKNOWN = 1_000_000  # tokenizers that know no limit name a huge one
Lengths = NDArray[np.int64]


def windowed(task: Any) -> bool:
    """Whether the task reads what is too long in several windows, so that nothing is cut."""
    by_windows = task.kind in ("question_answering", "token_classification")
    return by_windows or getattr(task, "long_text", "") == "windows" or getattr(task, "shape", "") == "text"


class Length(Check):
    """Too few tokens cut the rows; too many cost memory."""

    kind: Literal["length"] = "length"
    title: ClassVar[str] = "length"
    cost: ClassVar[int] = 1
    untouched: float = 0.99  # share of the rows that the length advised leaves whole
    cut: float = 0.05  # share of rows cut that is worth a warning

    def cannot(self, desk: Desk) -> str | None:
        return "no tokenizer: name the model (--model)" if desk.tokenizer is None else None

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts[self.kind] = {"max_length": desk.max_length, "parts": {}}
        for part in desk.parts.values():
            chunks = desk.chunks(part, "lengths")
            found = [length for rows in chunks for length in batch_lengths(rows, desk.tokenizer)]
            lengths = np.array(found, dtype=np.int64)
            if len(lengths):
                facts["parts"][part.name] = described(lengths, limits(desk))
                self.judge(desk, lengths, facts, Page(notebook, self.kind, part))

    def judge(self, desk: Desk, lengths: Lengths, facts: dict[str, Any], page: Page) -> None:
        wanted = int(np.percentile(lengths, 100 * self.untouched, method="higher"))
        most, given = limits(desk)[-1], desk.max_length or 0
        advised = min(-(-wanted // 8) * 8, most)
        if page.part.name == "train":
            facts["advised"] = advised
            message = f"{self.untouched:.0%} of the rows have at most {wanted} tokens, the longest {lengths.max()}"
            enough = "is enough" if wanted <= most else f"is all that the model reads; {ways(desk.task)}"
            page.note("advised", message, f"data.max_length: {advised} {enough}", advised=advised)
        over = int((lengths > given).sum()) if given else 0
        if over:
            lost = float(np.maximum(lengths - given, 0).sum() / lengths.sum())
            message = f"{over} of {len(lengths)} rows ({over / len(lengths):.1%}) are longer than {given} tokens and "
            message += "read in windows" if windowed(desk.task) else f"cut, by {lost:.1%} of all tokens"
            many = over / len(lengths) > self.cut and not windowed(desk.task)
            remedy = f"raise data.max_length to {advised}" if advised > given else ways(desk.task)
            page.add("cut", "warning" if many else "note", message, remedy, rows=over, share=lost)


def ways(task: Any) -> str:
    """What to do where the model itself reads no more."""
    if windowed(task):
        return "windows lose no text"
    choice = "task.long_text: windows, " if hasattr(task, "long_text") else ""
    return f"{choice}a model that reads more, or shorter texts"


def limits(desk: Desk) -> list[int]:
    """Lengths worth comparing, ascending; the last is what the model can read."""
    own = getattr(desk.tokenizer, "model_max_length", None) or UNKNOWN
    most = max(own, desk.max_length or 0) if own < UNKNOWN else max(desk.max_length or 0, LIMITS[-1])
    return sorted({*(limit for limit in LIMITS if limit < most), *([desk.max_length] if desk.max_length else []), most})


def batch_lengths(rows: list[Row], tokenizer: Any) -> list[int]:
    """Tokens of the rows, special ones included; of a preference pair the longer answer counts."""
    if rows[0].dialogue is None:
        columns = [list(texts) for texts in zip(*(row.text for row in rows), strict=True)]
        return list(map(len, tokenizer(*columns, verbose=False)["input_ids"]))
    return [dialogue_length(row, tokenizer) for row in rows]


def dialogue_length(row: Row, tokenizer: Any) -> int:
    """Tokens of what is said; a template adds a few a turn."""

    def tokens(messages: Any) -> int:
        said = [str(message.get("content") or "") for message in messages]
        return sum(map(len, tokenizer(said, add_special_tokens=False, verbose=False)["input_ids"])) if said else 0

    assert row.dialogue is not None
    answers = (getattr(row.label, "chosen", ()), getattr(row.label, "rejected", ()))
    return tokens(row.dialogue.messages) + max(map(tokens, answers))


def described(lengths: Lengths, compared: list[int]) -> dict[str, Any]:
    """Plain values for the report: percentiles, a histogram, what each length would cut."""
    edges = np.unique(np.linspace(0, lengths.max() + 1, 41).astype(int))
    counts, edges = np.histogram(lengths, edges)
    cuts = [
        {"max_length": limit, "rows": float((lengths > limit).mean()),
         "tokens": float(np.maximum(lengths - limit, 0).sum() / max(lengths.sum(), 1))}
        for limit in compared
    ]  # fmt: skip
    histogram = {"edges": edges.tolist(), "counts": counts.tolist()}
    return {"rows": len(lengths), "percentiles": percentiles(lengths.tolist()), "histogram": histogram, "cuts": cuts}
