"""Where the tokens of encoded windows stand in their texts, found anew from the texts: a check on the encoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..data.pairs import template
from ..data.row import Offsets
from ..data.tokens import TextEncoder

Place = tuple[int, int]  # number of the text, number of the token in it


class Whole(NamedTuple):
    """All tokens of one text: nothing cut, nothing added.

    Args:
        offsets: characters of each token: the first, and one past the last.
        words: the word of each token, where the text is given word by word.
    """

    ids: list[int]
    offsets: list[Offsets]
    words: list[int] | None


def whole_texts(texts: Sequence[str], words: Sequence[Offsets] | None, tokenizer: Any) -> list[Whole]:
    """The tokens of a row's texts; of its words where they are what the tokenizer is given."""
    how = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    if words is None:
        made = tokenizer(list(texts), **how)
        return [Whole(ids, spans, None) for ids, spans in zip(made["input_ids"], made["offset_mapping"], strict=True)]
    ids: list[int] = []
    offsets: list[Offsets] = []
    owners: list[int] = []
    if words:
        made = tokenizer([[texts[0][start:end]] for start, end in words], is_split_into_words=True, **how)
        for number, (start, _) in enumerate(words):
            ids += made["input_ids"][number]
            offsets += [(start + first, start + last) for first, last in made["offset_mapping"][number]]
            owners += [number] * len(made["input_ids"][number])
    return [Whole(ids, offsets, owners)]


def located(
    windows: Sequence[list[int]],
    wholes: Sequence[Whole],
    tokenizer: Any,
    max_length: int,
    answered: Sequence[Any] | None = None,
) -> list[list[Place | None]] | None:
    """What each position of each window stands for, None for a special token.

    Args:
        max_length: tokens per window, special ones included.
        answered: where the text was given word by word, (T,) for each window: the word that a position answers, or -1.

    Returns:
        None where the windows are not made of the texts' own tokens.
    """
    if len(wholes) == 2:
        return of_pairs(windows, wholes, template(tokenizer))
    plain = TextEncoder(tokenizer, max_length)
    inner = without_frame(windows, plain.prefix, plain.suffix)
    if inner is None:
        return None
    if answered is None:
        runs = spread(inner, wholes[0].ids)
    else:
        marks = [[int(word) for word in window[len(plain.prefix) :]] for window in answered]
        runs = of_words(inner, wholes[0], marks, plain.room)
    return None if not runs else [framed(len(plain.prefix), [(0, at) for at in run], len(plain.suffix)) for run in runs]


def without_frame(windows: Sequence[list[int]], before: list[int], behind: list[int]) -> list[list[int]] | None:
    inner = [window[len(before) : len(window) - len(behind)] for window in windows]
    same = all([*before, *part, *behind] == window for part, window in zip(inner, windows, strict=True))
    return inner if same else None


def framed(before: int, inner: Sequence[Place | None], behind: int) -> list[Place | None]:
    return [*[None] * before, *inner, *[None] * behind]


def of_pairs(windows: Sequence[list[int]], wholes: Sequence[Whole], frame: Any) -> list[list[Place | None]] | None:
    """The first of two texts stands in every window, and the second one spreads over them."""
    before, between, behind = frame
    inner = without_frame(windows, before, behind) or []
    for asked in range(len(wholes[0].ids), -1, -1):
        head = [*wholes[0].ids[:asked], *between]
        if not inner or any(part[: len(head)] != head for part in inner):
            continue
        runs = spread([part[len(head) :] for part in inner], wholes[1].ids)
        if runs is not None:
            first = framed(0, [(0, at) for at in range(asked)], len(between))
            return [framed(len(before), [*first, *((1, at) for at in run)], len(behind)) for run in runs]
    return None


def spread(parts: Sequence[list[int]], whole: list[int]) -> list[list[int]] | None:
    """The tokens of each part: a head, a head and a tail, or windows at one distance up to the text's end."""
    if len(parts) == 1:
        pairs = enumerate(zip(parts[0], whole, strict=False))
        head = next((at for at, (fed, known) in pairs if fed != known), min(len(parts[0]), len(whole)))
        runs = [[*range(head), *range(len(whole) - (len(parts[0]) - head), len(whole))]]
    else:
        step = (len(whole) - len(parts[-1])) // (len(parts) - 1)
        runs = [list(range(number * step, number * step + len(part))) for number, part in enumerate(parts)]
    return checked(runs, parts, whole)


def of_words(
    parts: Sequence[list[int]], whole: Whole, answered: Sequence[list[int]], room: int
) -> list[list[int]] | None:
    """The tokens of windows that begin between words; of a word longer than a window only its head is read."""
    words = whole.words or []
    begins = {word: at for at, word in reversed(list(enumerate(words)))}
    read = [at for at, word in enumerate(words) if at - begins[word] < room]
    ids, places = [whole.ids[at] for at in read], {at: place for place, at in enumerate(read)}
    runs, last = [], 0
    for part, marks in zip(parts, answered, strict=True):
        at = next((at for at, word in enumerate(marks) if word >= 0), None)
        if at is not None:
            last = places[begins[marks[at]]] - at
        else:  # it answers nothing: the first place that fits
            last = next((start for start in range(last, len(ids)) if ids[start : start + len(part)] == part), last)
        runs.append(list(range(last, last + len(part))))
    fits = checked(runs, parts, ids)
    return fits and [[read[place] for place in run] for run in fits]


def checked(runs: list[list[int]], parts: Sequence[list[int]], whole: list[int]) -> list[list[int]] | None:
    """The runs where they are the parts' own tokens, else None."""
    inside = all(0 <= place < len(whole) for run in runs for place in run)
    return runs if inside and [[whole[place] for place in run] for run in runs] == list(parts) else None


def in_earlier_windows(windows: Sequence[Sequence[Place | None]], text: int) -> list[set[Place]]:
    """For each window what the ones before it hold of one text."""
    found: list[set[Place]] = [set()]
    for window in windows:
        found.append(found[-1] | {at for at in window if at is not None and at[0] == text})
    return found


def not_located(windows: Sequence[Sequence[Place | None]], wholes: Sequence[Whole]) -> Iterator[tuple[int, int, int]]:
    """(number of the text, first token, last one) of every stretch that no window holds."""
    held = {at for window in windows for at in window}
    for number, whole in enumerate(wholes):
        for first, last in stretches([at for at in range(len(whole.ids)) if (number, at) not in held]):
            yield number, first, last


def stretches(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, last) of every run of neighbours."""
    first = 0
    for number, place in enumerate(places):
        if number + 1 == len(places) or places[number + 1] != place + 1:
            yield places[first], place
            first = number + 1
