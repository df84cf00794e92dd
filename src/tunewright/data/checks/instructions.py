"""instructions: answers that are empty, copied, refused, repeated, cut short or too long; turns out of order."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..desk import EVERY, Desk, Part
from ..ledger import normalised
from ..row import Row
from .base import LISTED, Check, Notebook

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
ROLES = "system first, then user and assistant by turns, the assistant last"
OPENING = 200  # characters of an answer in which a refusal would stand
ENDS = tuple(".!?…。！？؟।\"'”’»)]}`>*|:;0123456789")
TURNS = ("a system turn", "a second system turn", "nothing answers it")  # as reading says it
WRAPPED = ("classification", "question_answering")  # shapes whose answers are short and come again

Hashes = NDArray[np.int64]


class Instructions(Check):
    """Looks at prompts and the answers to them."""

    title: ClassVar[str] = "instructions and answers"
    tasks: ClassVar[tuple[str, ...]] = ("causal_lm", "seq2seq")

    kind: Literal["instructions"] = "instructions"
    copied: float = Field(0.9, gt=0, le=1, description="of a prompt that an answer begins with")
    distinct_trigrams: float = Field(0.5, gt=0, lt=1, description="of an answer's: with fewer it goes in circles")
    same_answer: int = Field(5, ge=2, description="prompts, and 1 % of all, with one answer of four words or more")
    unfinished: float = Field(0.2, gt=0, lt=1, description="of long answers: fewer without an end are told")

    def cannot(self, desk: Desk) -> str | None:
        return "plain texts have no answers" if getattr(desk.task, "shape", None) == "text" else None

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts["instructions"] = {}
        for part in desk.parts.values():
            tell_unusable(part, notebook)
            facts[part.name] = self.read(desk, part, notebook)
            facts[part.name]["too_long"] = look_at_lengths(desk, part, notebook)

    def read(self, desk: Desk, part: Part, notebook: Notebook) -> dict[str, Any]:
        """One pass over a part."""
        wrapped = getattr(desk.task, "shape", None) in WRAPPED
        copying: Any = "note" if desk.task.kind == "seq2seq" else "warning"  # a right text is corrected to itself
        answers, pairs, numbers = array("q"), array("q"), array("q")  # hashes, and the rows they are of
        long, cut = 0, list[tuple[int, str]]()
        for row in desk.each(part, "instructions"):
            look_at_turns(row, part, notebook)
            if wrapped:
                continue
            answer, prompt = normalised((row.label,)), normalised(prompt_of(row))
            self.look_at(row, answer, prompt, copying, part, notebook)
            words = answer.split()
            long += len(words) >= 20
            if len(words) >= 20 and is_cut(row.label.strip()) and len(cut) < LISTED:
                cut.append((row.number, row.label.rstrip()[-40:]))
            if len(words) >= 4:
                answers.append(hash(answer))
                pairs.append(hash((answer, prompt)))
                numbers.append(row.number)
        self.tell_cut(cut, long, part, notebook)
        self.tell_same(np.array(answers), np.array(pairs), numbers, part, notebook)
        return {"rows": len(part.rows), "long_answers": long, "without_end": len(cut)}

    def look_at(self, row: Row, answer: str, prompt: str, copying: Any, part: Part, notebook: Notebook) -> None:
        number = row.number
        if not any(sign.isalnum() for sign in answer):
            what = f"the answer is '{row.label[:20]}'"
            notebook.add("instructions.near_empty", "warning", what, "answer, or drop the row", part, number)
        elif copies(prompt, answer, self.copied):
            what = f"the answer copies the prompt: '{' '.join(row.label[:60].split())}'"
            notebook.add("instructions.copy", copying, what, "write the answer alone", part, number)
        if REFUSAL.search(row.label[:OPENING]):
            what = f"a refusal: '{' '.join(row.label[:60].split())}'"
            remedy = "keep it only if the model shall refuse such prompts"
            notebook.add("instructions.refusal", "note", what, remedy, part, number)
        trigrams = list(zip(*(answer.split()[at:] for at in range(3)), strict=False))
        if len(trigrams) >= 30 and len(set(trigrams)) < self.distinct_trigrams * len(trigrams):
            share = len(set(trigrams)) / len(trigrams)
            what = f"the answer goes in circles ({share:.0%} of its word triples are distinct)"
            notebook.add("instructions.repetitive", "warning", what, "cut the repetition", part, number, share=share)

    def tell_cut(self, cut: Sequence[tuple[int, str]], long: int, part: Part, notebook: Notebook) -> None:
        """Answers without an end, where most others have one."""
        if len(cut) > self.unfinished * long:
            return
        for number, tail in cut:
            if DANGLING.search(tail):
                what = f"the answer breaks off: '...{tail}'"
                notebook.add("instructions.cut_off", "warning", what, "finish it, or drop the row", part, number)
                continue
            what = f"the answer ends without a mark, unlike most: '...{tail}'"
            notebook.add("instructions.no_mark", "note", what, "check that it is whole", part, number)

    def tell_same(self, answers: Hashes, pairs: Hashes, numbers: Sequence[int], part: Part, notebook: Notebook) -> None:
        """Answers that several prompts have; a prompt that comes again counts once."""
        distinct = np.sort(np.unique(pairs, return_index=True)[1])
        _, first, counts = np.unique(answers[distinct], return_index=True, return_counts=True)
        often = np.flatnonzero(counts >= max(self.same_answer, len(part.rows) / 100))
        for at in sorted(often, key=lambda at: (-counts[at], first[at]))[:100]:
            number, count = numbers[distinct[first[at]]], int(counts[at])
            what = f"{count} prompts have this answer, word for word"
            remedy = "keep a few, or answer each prompt by itself"
            notebook.add("instructions.same_answer", "warning", what, remedy, part, number, prompts=count)


def tell_unusable(part: Part, notebook: Notebook) -> None:
    """Of the rows that can't be read: empty answers, and turns out of order."""
    empty = tuple(f"column {name!r} is empty" for name in part.roles.label)
    for number, reason in part.unusable:
        what = f"{reason}"
        if reason.startswith(("there is no answer", *empty)):
            notebook.add("instructions.empty", "warning", what, "answer, or drop the row", part, number)
        elif any(phrase in reason for phrase in TURNS):
            notebook.add("instructions.roles", "warning", what, ROLES, part, number)


def look_at_turns(row: Row, part: Part, notebook: Notebook) -> None:
    """Reading has made sure of the system turn and of the last answer."""
    roles = [turn["role"] for turn in row.dialogue.messages if turn["role"] != "system"] if row.dialogue else []
    twice = next((role for role, after in pairwise(roles) if role == after != "tool"), None)
    if twice or (roles and roles[0] != "user"):
        what = f"two turns of the {twice} in a row" if twice else f"the {roles[0]} speaks first"
        notebook.add("instructions.roles", "warning", f"{what}", ROLES, part, row.number)


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


def is_cut(answer: str) -> bool:
    """Ends without a mark; lists, verses, tables and code do so by right."""
    return "\n" not in answer and not answer.endswith(ENDS)


def look_at_lengths(desk: Desk, part: Part, notebook: Notebook) -> Any:
    """Answers of the sample that alone are longer than what the model reads or writes; how many."""
    written = getattr(desk.task, "max_target_length", None)
    limit, setting = written or desk.max_length, "task.max_target_length" if written else "data.max_length"
    if desk.tokenizer is None or limit is None:
        return "skipped: no tokenizer is known"
    places, done, found = iter(desk.sample(part)), 0, 0
    while chunk := [part.rows[place] for place in islice(places, EVERY)]:
        desk.progress(f"lengths of answers: {part.name}", done, len(part.rows))
        done += len(chunk)
        made = desk.tokenizer([row.label for row in chunk], add_special_tokens=False, verbose=False)["input_ids"]
        for row, ids in zip(chunk, made, strict=True):
            if len(ids) > limit:
                found += 1
                what = f"the answer alone has {len(ids):,} tokens; {limit:,} are read"
                notebook.add("instructions.too_long", "warning", what, f"shorten it, or raise {setting}", part,
                             row.number, tokens=len(ids))  # fmt: skip
    return found
