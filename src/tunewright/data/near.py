"""Near-duplicates: texts of which few words differ. MinHash with banding proposes pairs; each is then verified.

Two texts are alike as far as they share words, in the same order: the smaller one of `share_of` and `order_of`.
"""

from __future__ import annotations

import unicodedata
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.int64]
    Found = Iterator[tuple[Places, Places, NDArray[np.float32]]]
    Progress = Callable[[int, int], None]

THRESHOLD = 0.75  # share of the words that must be the same and in order: three in twelve may differ
SHORT = 12  # words; of shorter texts letters must agree as well: "how do I get my card", "how do I replace my card"
NUMBER = 3  # words that a number is worth: "order 4471 is late" is not "order 9982 is late"
BANDS, HASHES = 64, 4  # a pair that shares half of what is hashed is proposed with 98 %, a tenth with 0.6 %
WIDE = 256  # rows in a bucket from which on a row is compared with FEW of them, else with SOME
SOME, FEW = 16, 2
ENOUGH = 128  # comparisons after which a text is proposed no more: where all look alike, work stays in proportion
AT_ONCE = 1 << 17  # pairs that are verified together
ORDERED = 4096  # words from a text's start whose order is compared, so that a book costs milliseconds
READ_AT_ONCE = 4096  # texts between two signs of life


# A letter where a script has no blanks, a sign that has a meaning of its own (emoji, currencies), or a word.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = regex.compile(rf"[{UNSPACED}\p{{Extended_Pictographic}}\p{{Sc}}]|[\p{{L}}\p{{M}}\p{{N}}]+")


def words(text: str) -> list[str]:
    """What is compared: case, width, punctuation and blanks do not matter."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    found: list[str] = WORD.findall(folded.casefold())
    return found


@lru_cache(maxsize=1 << 18)
def code(word: str) -> int:
    """32 bits of hash, a bit that says whether it is a number, 7 bits of length."""
    number = any(map(str.isdigit, word))
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) << 8 | number << 7 | min(len(word), 127)


def codes(text: str) -> list[int]:
    """One for each word, in order; a word that comes again has another one, so that bags are sets."""
    found = list(map(code, words(text)))
    if len(set(found)) == len(found):
        return found
    before = Counter[int]()
    for place, each in enumerate(found):
        found[place] += before[each] << 40
        before[each] += 1
    return found


def worth_of(found: NDArray[np.uint64]) -> NDArray[np.float32]:
    """(V, 2) what words count: in words, and in letters (their root: a long word says more, but not in proportion)."""
    in_words = np.where(found & 128, NUMBER, 1).astype(np.float32)
    return np.stack([in_words, in_words * np.sqrt((found & 127).astype(np.float32))], axis=1)


def hash_of(found: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """(N,) the words' hashes alone: the same for a word that comes again."""
    return (found >> np.uint64(8)).astype(np.uint32)


def share_of(shared: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """(P,) the share of the larger one of each pair, from the worth (P, 2) of what is shared and of all of it."""
    share = shared / np.maximum(whole, 1)
    return np.where(whole[:, 0] < SHORT, share.min(axis=1), share[:, 0])


def order_of(one: list[int], other: list[int]) -> float:
    """Share of the longer text's words that come in the other in the same order; or of its neighbours, if more.

    A word that moved is one that differs, and a sentence that moved parts few neighbours.
    """
    longer = max(len(one), len(other), 1)
    neighbours = (Counter(pairwise(one)) & Counter(pairwise(other))).total()
    return max(in_order(one, other) / longer, neighbours / max(longer - 1, 1))


def in_order(one: list[int], other: list[int]) -> int:
    """Length of the longest common subsequence, a bit for each word (Hyyrö 2004, "Bit-parallel LCS-length")."""
    places = dict[int, int]()
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    every = open_still = (1 << len(one)) - 1
    for word in other:
        met = open_still & places.get(word, 0)
        open_still = ((open_still + met) | (open_still - met)) & every
    return len(one) - open_still.bit_count()


@dataclass(frozen=True)
class Bags:
    """Texts as sets of words, and their words in order.

    Args:
        holds: (N, V) sparse, 1 where a text has a word; words stand in the order of their rarity.
        said: of each text its words in order, as 32-bit hashes, one text after another.
        worth: (V, 2) of each word.
        size: (N, 2) sums of `worth`.
        boundary: the place at which the last of several parts starts.
    """

    holds: Any
    said: NDArray[np.uint32]
    worth: NDArray[np.float32]
    size: NDArray[np.float32]
    boundary: int

    @classmethod
    def of(cls, *parts: Iterable[str], progress: Progress | None = None) -> Bags:
        from scipy.sparse import csr_array

        flat, ends, boundary = array("Q"), array("q", [0]), 0
        for part in parts:
            boundary = len(ends) - 1
            for place, text in enumerate(part):
                if progress and place % READ_AT_ONCE == 0:
                    progress(0, BANDS)
                flat.extend(codes(text))
                ends.append(len(flat))
        every = np.array(flat, dtype=np.uint64)
        said = hash_of(every)
        known, ids, counts = np.unique(every, return_inverse=True, return_counts=True)
        order = np.argsort(counts, kind="stable")  # of words as rare as each other the hash decides, not the file
        rank = np.empty(len(known), dtype=np.int32)
        rank[order] = np.arange(len(known), dtype=np.int32)
        shape = (len(ends) - 1, len(known))
        holds = csr_array((np.ones(len(ids), dtype=np.int8), rank[ids], np.array(ends)), shape=shape)
        holds.sort_indices()
        worth = worth_of(known[order])
        return cls(holds, said, worth, holds @ worth, boundary)

    def similarity(self, first: Places, second: Places, threshold: float = 0) -> NDArray[np.float32]:
        """(P,) share of the longer text that P pairs have in common: 0 to 1; below the threshold in whatever order."""
        parts = [np.empty(0, dtype=np.float32)]
        for start in range(0, len(first), AT_ONCE):
            one, two = first[start : start + AT_ONCE], second[start : start + AT_ONCE]
            shared = self.holds[one].multiply(self.holds[two]).tocsr() @ self.worth
            share = share_of(shared, np.maximum(self.size[one], self.size[two]))
            for place in np.flatnonzero(share >= threshold).tolist():
                share[place] = min(share[place], order_of(self.text(one[place]), self.text(two[place])))
            parts.append(share)
        return np.concatenate(parts)

    def text(self, place: int) -> list[int]:
        """The words of a text in order, as far as order is compared."""
        start, end = self.holds.indptr[place : place + 2].tolist()
        found: list[int] = self.said[start : min(end, start + ORDERED)].tolist()
        return found


def similarity(one: str, other: str) -> float:
    """Share of the words that two texts have in common, as `pairs` measures it; 0 where a text has no words."""
    return float(Bags.of([one, other]).similarity(np.array([0]), np.array([1]))[0])


def clusters(texts: Iterable[str], progress: Progress | None = None) -> NDArray[np.int64]:
    """(N,) for each text the smallest place in its cluster: texts that near-duplicates link, one by one.

    Args:
        progress: hears (done, total) of the work; may raise.
    """
    bags = Bags.of(texts, progress=progress)
    cluster = np.arange(len(bags.size))

    def known(first: Places, second: Places) -> NDArray[np.bool_]:
        return cluster[first] == cluster[second]

    for first, second, _ in search(bags, None, progress, known):
        cluster = joined(cluster, first, second)
    return cluster


def joined(cluster: Places, first: Places, second: Places) -> Places:
    """The clusters after these links."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = (np.ones(len(first), dtype=np.int8), (cluster[first], cluster[second]))
    _, component = connected_components(coo_array(links, shape=(len(cluster),) * 2), directed=False)
    found = component[cluster]
    _, smallest, inverse = np.unique(found, return_index=True, return_inverse=True)
    return smallest[inverse]


def pairs(
    texts: Iterable[str], others: Iterable[str] | None = None, progress: Progress | None = None
) -> Iterator[tuple[int, int, float]]:
    """(place, other place, similarity) of near-duplicates, ascending; the places are of `texts`, or of both.

    Of texts with the same words in the same order only the first is paired with others. Where very many texts look
    alike, each is compared with a few of them; once it has SOME partners before it, with none.

    Args:
        others: where given, pairs are of a text and one of these.
    """
    bags = Bags.of(texts, *([] if others is None else [others]), progress=progress)
    count, boundary = len(bags.size), None if others is None else bags.boundary
    found, alike = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    partners = np.zeros(count, dtype=np.int64)

    def known(first: Places, second: Places) -> NDArray[np.bool_]:
        return (partners[second] >= SOME) | np.isin(first * count + second, found)

    for first, second, share in search(bags, boundary, progress, known):
        found, alike = np.concatenate([found, first * count + second]), np.concatenate([alike, share])
        partners += np.bincount(second, minlength=count)
    order = np.argsort(found)
    places, other_places = np.divmod(found[order], max(count, 1))
    return zip(places.tolist(), (other_places - (boundary or 0)).tolist(), alike[order].tolist(), strict=True)


def search(
    bags: Bags, boundary: int | None, progress: Progress | None, known: Callable[[Places, Places], NDArray[np.bool_]]
) -> Found:
    """Near-duplicates band by band, the smaller place first.

    Args:
        boundary: where given, pairs are of a text before it and one from there on.
        known: which of these pairs need not be found again; asked anew for each band.
    """
    generator = np.random.default_rng([0, 41])
    kept, first, repeats = without_repeats(bags, boundary, generator)
    if boundary is None:
        yield first, repeats, np.ones(len(first), dtype=np.float32)
    ids, starts = rare_words(bags, kept)
    compared = np.zeros(len(bags.size), dtype=np.int64)
    for band in range(BANDS if len(kept) else 0):
        keys = band_keys(ids, starts, len(bags.worth), generator)
        one, two = proposed(kept, keys, boundary)
        open_still = compared[two] < ENOUGH
        one, two = one[open_still], two[open_still]
        fresh = ~known(one, two)
        one, two = one[fresh], two[fresh]
        compared += np.bincount(two, minlength=len(compared))
        share = bags.similarity(one, two, THRESHOLD)
        near = share >= THRESHOLD
        yield one[near], two[near], share[near]
        if progress:
            progress(band + 1, BANDS)


def without_repeats(bags: Bags, boundary: int | None, generator: np.random.Generator) -> tuple[Places, Places, Places]:
    """(places that are compared, first place with the same words in order, its repetition); texts without words go.

    From `boundary` on nothing is a repetition: each of the others is to be found.
    """
    places = np.flatnonzero(np.diff(bags.holds.indptr))
    starts, sizes = bags.holds.indptr[places], np.diff(bags.holds.indptr)[places]
    of_place = generator.integers(2**63, size=sizes.max(initial=0), dtype=np.uint64)  # in a text
    hashes = bags.said * of_place[np.arange(len(bags.said)) - np.repeat(starts, sizes)]
    key = np.add.reduceat(hashes, starts) if len(places) else hashes
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    first = places[first[inverse]]
    repeated = (first < places) & (places < (len(bags.size) if boundary is None else boundary))
    return places[~repeated], first[repeated], places[repeated]


def rare_words(bags: Bags, kept: Places) -> tuple[NDArray[np.int64], Places]:
    """Two thirds of the words of each text, the rarest (frequent ones say little): ids, and each text's start."""
    start, count = bags.holds.indptr[kept], np.diff(bags.holds.indptr)[kept]
    taken = np.minimum(count, 2 * count // 3 + 1)
    starts = np.cumsum(taken) - taken
    return bags.holds.indices[np.repeat(start - starts, taken) + np.arange(taken.sum())], starts


def band_keys(
    ids: NDArray[np.int64], starts: Places, num_words: int, generator: np.random.Generator
) -> NDArray[np.uint64]:
    """(K,) one number for HASHES smallest hashes: the same for two texts with the chance similarity ** HASHES."""
    keys = np.zeros(len(starts), dtype=np.uint64)
    for _ in range(HASHES):
        hashes = generator.integers(2**32, size=num_words, dtype=np.uint32)
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + np.minimum.reduceat(hashes[ids], starts)
        keys ^= keys >> np.uint64(29)
    return keys


def proposed(kept: Places, keys: NDArray[np.uint64], boundary: int | None) -> tuple[Places, Places]:
    """Pairs with the same key: each text with the first SOME of its bucket, with the first FEW of a WIDE one."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[edges, len(ordered)])
    place, start, size = kept[order], np.repeat(edges, sizes), np.repeat(sizes, sizes)
    later = np.flatnonzero((size > 1) & (place >= (boundary or 0)))
    one, two = [kept[:0]], [kept[:0]]
    for nth in range(SOME):
        chosen = later[(start[later] + nth < later) & ((nth < FEW) | (size[later] <= WIDE))]
        if boundary is not None:
            chosen = chosen[place[start[chosen] + nth] < boundary]
        one.append(place[start[chosen] + nth])
        two.append(place[chosen])
    return np.concatenate(one), np.concatenate(two)
