"""Chat templates: which one a model gets, the text that it makes of a dialogue, and where the answers stand in it.

Every format is a Jinja template that the tokenizer itself renders, and that is stored with the model: plain
transformers then feeds a model what it was trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError, suggest
from .parted import EncodedDialogue, EncodedPreference, Pieces, parted, shared
from .row import Dialogue
from .tokens import QUIET, boundaries

FORMATS = ("chatml", "alpaca", "instruction", "plain")
NAMES = ("auto", "tokenizer", *FORMATS)
CHATML_END = "'<|im_end|>' + eos_token | default('')"
NO_PREFIX = "answers that do not begin with the template's generation prompt"
REWRITTEN = "answers that the template rewrites once others follow: not learned"
ALTERED = "answers that the template does not write as they are"
TOOLS_LEFT_OUT = "tools that the template does not write"
OPENING = "answers before any prompt: not learned"
MERGED = "prompts whose tokens change once the answer follows: tokenised apart from it"
SMALL = ({"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"})
# What code in a template may raise besides Jinja's own errors.
FAULTS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError)
AT_ONCE = 256  # dialogues tokenised together
Span = tuple[int, int]


# --- which ----------------------------------------------------------------------------------------------------------


def choose(name: str, tokenizer: Any, shape: str) -> tuple[str, str]:
    """(Jinja text, what was chosen and why) of `task.template`.

    Args:
        name: auto, tokenizer (its own), chatml, alpaca, instruction, plain, or the path of a .jinja file.
        shape: of the rows (`dialogues.SHAPES`); decides where the name is auto.

    Raises:
        ConfigError: there is no such template, or it is no Jinja; naming the line.
    """
    own = own_template(tokenizer)
    if name == "auto":
        name, why = automatic(own, shape)
        text, note = choose(name, tokenizer, shape)
        return text, f"{note} ({why})"
    if name == "tokenizer":
        if own is None:
            raise ConfigError("the tokenizer has no template", where="task.template", fix="take chatml, or auto")
        return own, "template: the tokenizer's own"
    if name in FORMATS:
        return built_in(name, tokenizer), f"template: {name}"
    return from_file(name, tokenizer), f"template: {name}"


def own_template(tokenizer: Any) -> str | None:
    """The template that came with a tokenizer; the default where it has several."""
    found = tokenizer.chat_template
    return found.get("default") if isinstance(found, dict) else found


def automatic(own: str | None, shape: str) -> tuple[str, str]:
    """(name, why) of the template that suits."""
    if shape == "completion":
        return "plain", "prompts are fed as they stand"
    if own is not None:
        return "tokenizer", "it has one"
    return "alpaca" if shape == "instruction" else "chatml", "the tokenizer has none"


def built_in(name: str, tokenizer: Any) -> str:
    """A format of ours. Where <|im_end|> is a token, it ends ChatML's answers; else the tokenizer's own end does."""
    text = (resources.files(__package__) / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    return text.replace(CHATML_END, "'<|im_end|>'") if "<|im_end|>" in tokenizer.get_added_vocab() else text


def from_file(name: str, tokenizer: Any) -> str:
    """A Jinja file of the user's."""
    from jinja2.exceptions import TemplateError, TemplateSyntaxError

    where = f"task.template: {name}"
    if not name.endswith(".jinja"):
        raise ConfigError(f"unknown template ({suggest(name, NAMES)})", where=where, fix="name one, or a .jinja file")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=where, fix="give the path of a .jinja file") from None
    try:
        apply(tokenizer, text, Dialogue(SMALL[:1]), True)
    except TemplateSyntaxError as error:
        raise ConfigError(f"line {error.lineno}: {error.message}", where=where, fix="mend the template") from None
    except (TemplateError, *FAULTS):
        pass  # it may refuse this dialogue and take those of the data
    return text


# --- what it makes of a dialogue ------------------------------------------------------------------------------------


def apply(tokenizer: Any, template: str, dialogue: Dialogue, generation_prompt: bool) -> str:
    made: str = tokenizer.apply_chat_template(
        list(dialogue.messages), chat_template=template, tools=list(dialogue.tools) or None, tokenize=False,
        add_generation_prompt=generation_prompt,
    )  # fmt: skip
    return made


def render(tokenizer: Any, template: str, dialogue: Dialogue, generation_prompt: bool = False) -> str:
    """The text of a dialogue; with the generation prompt, what an answer is written behind.

    Raises:
        DataError: the template refuses it (roles that do not alternate, a system turn); with the template's words.
    """
    from jinja2.exceptions import TemplateError

    try:
        return apply(tokenizer, template, dialogue, generation_prompt)
    except (TemplateError, *FAULTS) as error:
        fix = "mend the dialogue, or take another template (task.template: chatml takes any)"
        what = str(error) or type(error).__name__
        raise DataError(f"the template refuses the dialogue: {what}", fix=fix) from None


def spans(
    tokenizer: Any, template: str, dialogue: Dialogue, last_only: bool = False, ends: tuple[str, ...] | None = None
) -> tuple[str, list[Span], Counter[str]]:
    """(text, (first character, one past the last) of each assistant turn that can be learned, faults).

    A span begins where the generation prompt ends and has the end of the turn in it, but not the blanks behind a
    special token: nobody generates those.

    Args:
        last_only: look at the last turn alone.
        ends: the tokenizer's special tokens, where they are known already.

    Raises:
        DataError: the template refuses the dialogue.
    """
    text = render(tokenizer, template, dialogue)
    found, faults = answer_spans(tokenizer, template, dialogue, text, last_only, ends)
    return text, found, faults


def answer_spans(
    tokenizer: Any, template: str, dialogue: Dialogue, text: str, last_only: bool, ends: tuple[str, ...] | None = None
) -> tuple[list[Span], Counter[str]]:
    """Where the assistant turns of a dialogue stand in `text`, which may go on behind them."""
    ends = special_tokens(tokenizer) if ends is None else ends
    messages, found, faults = dialogue.messages, [], Counter[str]()
    for place in range(len(messages) - 1 if last_only else 0, len(messages)):
        if messages[place]["role"] != "assistant":
            continue
        if place == 0:
            faults[OPENING] += 1
            continue
        prompt = render(tokenizer, template, Dialogue(messages[:place], dialogue.tools), True)
        whole = render(tokenizer, template, Dialogue(messages[: place + 1], dialogue.tools))
        start = shared(prompt, whole)
        end = answer_end(whole, start, ends)
        if text[:end] != whole[:end]:
            faults[REWRITTEN] += 1
            continue
        faults[NO_PREFIX] += start < len(prompt)
        faults[ALTERED] += not says(text[start:end], messages[place])
        found.append((start, end))
    faults[TOOLS_LEFT_OUT] += any(tool.get("function", tool).get("name", "") not in text for tool in dialogue.tools)
    return found, +faults


def says(text: str, message: dict[str, Any]) -> bool:
    """Whether a rendered turn has the message's content and the names of the functions that it calls."""
    names = [call["function"]["name"] for call in message.get("tool_calls", ())]
    return all(part in text for part in (message["content"].strip(), *names))


def answer_end(whole: str, start: int, ends: tuple[str, ...]) -> int:
    """One past the last character of the answer that begins at `start`."""
    bare = whole[start:].rstrip()
    return start + len(bare) if bare.endswith(ends) else len(whole)


def special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The texts of all special tokens."""
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    return tuple(dict.fromkeys([*map(str, tokenizer.all_special_tokens), *added]))


def end_of_turn(tokenizer: Any, template: str) -> int | None:
    """The special token that a template ends an answer with; None where it writes none."""
    answer = small_answer(tokenizer, template)
    written = [token for token in special_tokens(tokenizer) if answer.endswith(token)]
    return int(tokenizer.convert_tokens_to_ids(max(written, key=len))) if written else None


def closing(tokenizer: Any, template: str) -> str:
    """What a template writes between an answer and its special token: written answers end with it, too."""
    answer = small_answer(tokenizer, template)
    for token in special_tokens(tokenizer):
        answer = answer.replace(token, "")
    said, _, tail = answer.rpartition(SMALL[1]["content"])
    return tail.strip() if len(said) + len(tail) < len(answer) else ""


def without(closing: str, answer: str) -> str:
    """A written answer without what the template closes answers with as text."""
    return answer.removesuffix(closing).rstrip() if closing else answer


def small_answer(tokenizer: Any, template: str) -> str:
    """An answer as a template writes it, its end included."""
    with located(["task.template"], 0):
        text, found, _ = spans(tokenizer, template, Dialogue(SMALL))
    return text[slice(*found[-1])] if found else ""


# --- token ids ------------------------------------------------------------------------------------------------------


class DialogueEncoder:
    """Encodes dialogues in bulk; a prompt has the same ids with its answer and without.

    The beginning-of-sequence token is there once, where the tokenizer writes one or the template does; blanks behind
    the end of the last turn are left out.

    Args:
        template: Jinja, as `choose` gives it.
        max_length: tokens of a dialogue; of longer ones the end is cut.
        loss_on: "answers", "last_answer" or "everything".
        prompt_weight: of tokens that are no answer.
    """

    def __init__(
        self, tokenizer: Any, template: str, max_length: int, loss_on: str = "answers", prompt_weight: float = 0.0
    ) -> None:
        self.tokenizer, self.template, self.max_length = tokenizer, template, max_length
        self.last_only, self.everything = loss_on != "answers", loss_on == "everything"
        self.prompt_weight = prompt_weight
        self.ends = special_tokens(tokenizer)
        self.front, end = boundaries(tokenizer)
        self.back = end if end_of_turn(tokenizer, template) is None else []

    def encode(self, dialogues: Sequence[Dialogue], names: Sequence[str] = ()) -> list[EncodedDialogue]:
        """Token ids and weights.

        Args:
            names: what an error calls each ("inbox.jsonl, row 118").

        Raises:
            DataError: the template refuses a dialogue.
        """
        rendered = []
        for place, dialogue in enumerate(dialogues):
            with located(names, place):
                text, found, faults = spans(self.tokenizer, self.template, dialogue, self.last_only, self.ends)
            if found and not text[found[-1][1] :].strip():
                text = text[: found[-1][1]]
            answered = dialogue.messages[-1]["role"] == "assistant"
            rendered.append((text, found, tuple(faults), answered))
        bounds = [[*(bound for span in found for bound in span), len(text)] for text, found, _, _ in rendered]
        tokens = self.tokens([text for text, *_ in rendered], bounds)
        return [self.weigh(made, *item[1:]) for made, item in zip(tokens, rendered, strict=True)]

    def weigh(self, made: Pieces, found: list[Span], faults: tuple[str, ...], answered: bool) -> EncodedDialogue:
        """One dialogue's tokens with their weights, cut to what fits."""
        front = self.missing_front(made.whole)
        places = [place + len(front) for place in made.places]
        ids = [*front, *made.whole, *(self.back if answered else [])]
        parts = [slice(*places[2 * number : 2 * number + 2]) for number in range(len(found))]
        prompt = parts[-1].start if answered and parts else len(ids)
        if answered and parts and self.back:
            parts[-1] = slice(prompt, len(ids))
        learned = np.full(len(ids), self.everything)
        for part in parts:
            learned[part] = True
        learned[:1] = False
        weights = np.where(learned, 1, self.prompt_weight).astype(np.float32)
        weights[:1] = 0
        faults = (*faults, *([MERGED] if made.start else []))
        most, over = self.max_length, max(len(ids) - self.max_length, 0)
        return EncodedDialogue(ids[:most], weights[:most], prompt, over, bool(learned[most:].any()), faults)

    def encode_prompts(self, dialogues: Sequence[Dialogue], names: Sequence[str] = ()) -> list[list[int]]:
        """What a model is fed to answer: the ids of each dialogue and the generation prompt, of whatever length."""
        found = self.prompts(dialogues, names)
        return [[*self.missing_front(made.whole), *made.whole] for _, _, made in found]

    def prompts(self, dialogues: Sequence[Dialogue], names: Sequence[str]) -> list[tuple[str, list[int], Pieces]]:
        """(text, bounds, tokens) of each dialogue with the generation prompt."""
        texts, bounds = [], []
        for place, dialogue in enumerate(dialogues):
            with located(names, place):
                text = render(self.tokenizer, self.template, dialogue, True)
                found: list[Span] = []
                if not self.last_only:
                    found, _ = answer_spans(self.tokenizer, self.template, dialogue, text, False, self.ends)
            texts.append(text)
            bounds.append([*(bound for span in found for bound in span), len(text)])
        return list(zip(texts, bounds, self.tokens(texts, bounds), strict=True))

    def pairs(
        self,
        prompts: Sequence[Dialogue],
        answers: Sequence[tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]],
        names: Sequence[str] = (),
    ) -> list[EncodedPreference]:
        """Two answers (messages) to each prompt, behind the same ids.

        Prompt and answer together have at most `max_length` tokens; the answers' ends are cut.

        Raises:
            DataError: the template refuses a dialogue.
        """
        found = []
        for place, (asked, made) in enumerate(zip(prompts, self.prompts(prompts, names), strict=True)):
            with located(names, place):
                texts = [self.with_answer(asked, answer) for answer in answers[place]]
            found.append(self.pair(made[0], made[1], made[2], texts))
        return found

    def with_answer(self, asked: Dialogue, answer: Sequence[dict[str, Any]]) -> str:
        whole = render(self.tokenizer, self.template, Dialogue((*asked.messages, *answer), asked.tools))
        return whole[: answer_end(whole, 0, self.ends)]

    def pair(self, text: str, bounds: list[int], made: Pieces, texts: list[str]) -> EncodedPreference:
        faults = []
        end = min(shared(text, whole) for whole in texts)
        if end < len(text):
            faults.append(NO_PREFIX)
            made = self.tokens([text[:end]], [[*(bound for bound in bounds if bound < end), end]])[0]
        known = len(made.ids)
        together = [self.tokenise(whole[made.start :]) for whole in texts]
        apart = any(ids[:known] != made.ids for ids in together)
        ends = [self.tokenise(whole[end:]) for whole in texts] if apart else [ids[known:] for ids in together]
        faults += [MERGED] if apart or made.start else []
        front = self.missing_front(made.whole)
        prompt = [*front, *made.whole][: self.max_length]
        room = self.max_length - len(prompt)
        chosen, rejected = ([*ids, *self.back] for ids in ends)
        over = sum(max(len(ids) - room, 0) for ids in (chosen, rejected))
        return EncodedPreference(prompt, chosen[:room], rejected[:room], over, tuple(faults))

    def tokens(self, texts: Sequence[str], bounds: Sequence[list[int]]) -> list[Pieces]:
        """Tokens of each text, parted at its bounds; the last bound is its end."""
        found: list[Pieces] = []
        for first in range(0, len(texts), AT_ONCE):
            part = list(zip(texts[first : first + AT_ONCE], bounds[first : first + AT_ONCE], strict=True))
            heads = list(dict.fromkeys(text[:bound] for text, ends in part for bound in ends))
            known = dict(zip(heads, self.tokenizer(heads, add_special_tokens=False, **QUIET)["input_ids"], strict=True))
            found += [parted(text, ends, partial(self.looked_up, known)) for text, ends in part]
        return found

    def looked_up(self, known: dict[str, list[int]], text: str) -> list[int]:
        return known[text] if text in known else self.tokenise(text)

    def tokenise(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, **QUIET)["input_ids"]
        return ids

    def missing_front(self, ids: list[int]) -> list[int]:
        """The beginning-of-sequence token, where the tokenizer writes one and the template did not (D4)."""
        return [] if ids[: len(self.front)] == self.front else self.front


@contextmanager
def located(names: Sequence[str], place: int) -> Iterator[None]:
    """Says which dialogue a DataError is about."""
    try:
        yield
    except DataError as error:
        where = names[place] if names else f"dialogue {place + 1}"
        raise DataError(error.what, where=where, fix=error.fix) from None
