"""instructions: answers that are empty, copied, refused, repeated, cut short or too long; turns out of order."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..desk import Desk
from ..ledger import normalised
from ..row import Row
from .base import Check, Page, Severity

CANNOT = r"(can['’]?t|can ?not|won['’]?t|am unable|am not able)"
REFUSAL = re.compile(
    rf"i['’]?m (very |so )?sorry,? (but )?(i|as an ai)\b.{{0,30}}{CANNOT}|"
    rf"\bi {CANNOT} (to )?(help|assist|fulfil|comply|provide|do that|answer)|"
    r"as an? (ai|artificial intelligence|(large )?language model)\b",
    re.IGNORECASE,
)
DANGLING = re.compile(
    r"([,–—-]|\b(an?|the|and|or|of|to|with|for|from|in|on|at|by|is|are|was|that|which|because))$", re.IGNORECASE
)  # what no sentence ends with
LONG = 20  # words of an answer that one expects to end
OPENING = 200  # characters of an answer in which a refusal would stand
ROLES = ("roles", "system first, then user and assistant by turns, the assistant last")
EMPTY = ("empty", "write it, or drop the row")
WRAPPED = ("classification", "question_answering")  # shapes whose answers are short and come again

Hashes = NDArray[np.int64]


class Instructions(Check):
    """Looks at prompts and the answers to them."""

    title: ClassVar[str] = "instructions and answers"
    tasks: ClassVar[tuple[str, ...]] = ("causal_lm", "seq2seq")
    unusable: ClassVar[Mapping[str, tuple[str, str]]] = {
        "there is no answer": EMPTY, "is empty": EMPTY,
        "a system turn": ROLES, "a second system turn": ROLES, "nothing answers it": ROLES,
    }  # fmt: skip

    kind: Literal["instructions"] = "instructions"
    copied: float = Field(0.9, gt=0, le=1, description="of a prompt that an answer begins with")
    distinct_trigrams: float = Field(0.5, gt=0, lt=1, description="of an answer's: with fewer it goes in circles")
    same_answer: int = Field(5, ge=2, description="prompts, and 1 % of all, with one answer of four words or more")

    def cannot(self, desk: Desk) -> str | None:
        return "plain texts have no answers" if getattr(desk.task, "shape", None) == "text" else None

    def look(self, desk: Desk, page: Page) -> dict[str, Any]:
        """One pass over a part."""
        wrapped = getattr(desk.task, "shape", None) in WRAPPED
        copying: Severity = "note" if desk.task.kind == "seq2seq" else "warning"  # a right text is corrected to itself
        answers, pairs, numbers = array("q"), array("q"), array("q")  # hashes, and the rows they are of
        for row in desk.each(page.part, "instructions"):
            look_at_turns(row, page)
            if wrapped:
                continue
            answer, prompt = normalised((row.label,)), normalised(prompt_of(row))
            self.look_at(row, answer, prompt, copying, page)
            if len(answer.split()) >= 4:
                answers.append(hash(answer))
                pairs.append(hash((answer, prompt)))
                numbers.append(row.number)
        self.tell_same(np.array(answers), np.array(pairs), numbers, page)
        return {"rows": len(page.part.rows), "too_long": look_at_lengths(desk, page)}

    def look_at(self, row: Row, answer: str, prompt: str, copying: Severity, page: Page) -> None:
        shown, words, tail = " ".join(row.label[:60].split()), answer.split(), row.label.strip()[-40:]
        if not any(sign.isalnum() for sign in answer):
            page.warn("near_empty", f"the answer is '{row.label[:20]}'", "answer, or drop the row", row.number)
        elif copies(prompt, answer, self.copied):
            what = f"the answer copies the prompt: '{shown}'"
            page.add("copy", copying, what, "write the answer alone", row.number)
        if REFUSAL.search(row.label[:OPENING]):
            page.note("refusal", f"a refusal: '{shown}'", "keep it only if the model shall refuse such prompts",
                      row.number)  # fmt: skip
        if len(words) >= LONG and "\n" not in row.label.strip() and DANGLING.search(tail):
            page.warn("cut_off", f"the answer breaks off: '...{tail}'", "finish it, or drop the row", row.number)
        trigrams = list(zip(*(words[at:] for at in range(3)), strict=False))
        if len(trigrams) >= 30 and len(set(trigrams)) < self.distinct_trigrams * len(trigrams):
            share = len(set(trigrams)) / len(trigrams)
            what = f"the answer goes in circles ({share:.0%} of its word triples are distinct)"
            page.warn("repetitive", what, "cut the repetition", row.number, share=share)

    def tell_same(self, answers: Hashes, pairs: Hashes, numbers: Sequence[int], page: Page) -> None:
        """Answers that several prompts have; a prompt that comes again counts once."""
        distinct = np.sort(np.unique(pairs, return_index=True)[1])
        _, first, counts = np.unique(answers[distinct], return_index=True, return_counts=True)
        often = np.flatnonzero(counts >= max(self.same_answer, len(page.part.rows) / 100))
        for at in sorted(often, key=lambda at: (-counts[at], first[at]))[:100]:
            number, count = numbers[distinct[first[at]]], int(counts[at])
            what = f"{count} prompts have this answer, word for word"
            page.warn("same_answer", what, "keep a few, or answer each prompt by itself", number, prompts=count)


def look_at_turns(row: Row, page: Page) -> None:
    """Reading has made sure of the system turn and of the last answer."""
    roles = [turn["role"] for turn in row.dialogue.messages if turn["role"] != "system"] if row.dialogue else []
    twice = next((role for role, after in pairwise(roles) if role == after != "tool"), None)
    if twice or (roles and roles[0] != "user"):
        what = f"two turns of the {twice} in a row" if twice else f"the {roles[0]} speaks first"
        page.warn(ROLES[0], what, ROLES[1], row.number)


def prompt_of(row: Row) -> tuple[str, ...]:
    """What the answer answers: all turns before it, so that answers to different dialogues count as such."""
    return tuple(turn["content"] for turn in row.dialogue.messages[:-1]) if row.dialogue else row.text


def copies(prompt: str, answer: str, share: float) -> bool:
    """Whether an answer is the prompt, or begins with nearly all of it; of prompts of five words or more."""
    prompt = prompt.rsplit("\0", 1)[-1].strip()  # the last turn
    if prompt == answer:
        return True
    if len(prompt.split()) < 5:
        return False
    common = next((at for at, pair in enumerate(zip(prompt, answer, strict=False)) if pair[0] != pair[1]), len(prompt))
    common = min(common, len(answer))
    return common >= share * len(prompt)


def look_at_lengths(desk: Desk, page: Page) -> Any:
    """Answers of the sample that alone are longer than what the model reads or writes; how many."""
    written = getattr(desk.task, "max_target_length", None)
    limit, setting = written or desk.max_length, "task.max_target_length" if written else "data.max_length"
    if desk.tokenizer is None or limit is None:
        return "skipped: no tokenizer is known"
    found = 0
    for chunk in desk.chunks(page.part, "lengths of answers"):
        made = desk.tokenizer([row.label for row in chunk], add_special_tokens=False, verbose=False)["input_ids"]
        for row, ids in zip(chunk, made, strict=True):
            if len(ids) > limit:
                found += 1
                what = f"the answer alone has {len(ids):,} tokens; {limit:,} are read"
                page.warn("too_long", what, f"shorten it, or raise {setting}", row.number, tokens=len(ids))
    return found
