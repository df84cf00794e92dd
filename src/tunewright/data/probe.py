"""Linear probe: logistic regression on features of texts; seconds on one core, without torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .desk import Desk, Part
    from .row import Row

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # L2, strong to weak; noisy or few labels want strong ones
EVALUATIONS = 150  # of the loss; L-BFGS ends by its tolerance before
TOLERANCE = 1e-4  # of the loss, relative; more digits change no decision
FEW = 2000  # rows below which a strength is judged on every fold, because one would be too small
WORDS = 5000  # words and pairs of neighbours that are told apart
NORM = 20.0  # of a text's word features: about that of 384 standardised ones, so that one strength means the same


@dataclass(frozen=True)
class Probe:
    """A fitted linear classifier.

    Args:
        weight: (d, C).
        bias: (C,).
        multi_label: any number of labels a row.
        strength: the L2 regularisation of features of variance one.
    """

    weight: Floats
    bias: Floats
    multi_label: bool
    strength: float

    def probabilities(self, features: Any) -> Floats:
        """(N, C) of (N, d) features; rows sum to one unless multi-label."""
        return squashed(np.asarray(features @ self.weight + self.bias, dtype=np.float32), self.multi_label)


def fit(features: Any, targets: Any, num_classes: int, strength: float | None = None) -> Probe:
    """Multinomial logistic regression; of several labels a row, one against the rest.

    Args:
        features: (N, d) numbers, which are standardised, or a scipy sparse matrix, which is taken as it is.
        targets: (N,) class numbers, or (N, C) zeros and ones.
        strength: of the L2 regularisation; None: the one with the least log loss on held-out folds.
    """
    targets = np.asarray(targets)
    if strength is None:
        strength = choose(features, targets, num_classes)
    return solve(features, targets, num_classes, strength)[0]


def out_of_fold(
    features: Any, targets: Any, num_classes: int, folds: int = 5, seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Floats:  # fmt: skip
    """(N, C) probabilities of N >= 2 rows, each by a probe that did not see the row (arguments as `fit`).

    Args:
        progress: hears (folds done, folds in all), before each.
    """
    targets = np.asarray(targets)
    made = np.zeros((len(targets), num_classes), dtype=np.float32)
    parts = list(stratified(targets, folds, seed))
    heard = (lambda: progress(0, len(parts))) if progress else (lambda: None)
    strength = choose(features, targets, num_classes, seed, heard)
    for number, (train, held) in enumerate(parts):
        if progress:
            progress(number, len(parts))
        made[held] = solve(features[train], targets[train], num_classes, strength)[0].probabilities(features[held])
    return made


def stratified(targets: Any, folds: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """(train, held out) places of each fold: every class is spread evenly, however few rows it has.

    Rows of several labels are spread by their rarest one.
    """
    targets = np.asarray(targets)
    if targets.ndim == 2:
        counts = targets.sum(0)
        targets = np.where(targets > 0, counts, np.inf).argmin(1) + (targets.sum(1) == 0) * targets.shape[1]
    order = np.lexsort((np.random.default_rng(seed).permutation(len(targets)), targets))
    folds = min(folds, len(targets))
    fold = np.empty(len(targets), dtype=np.int64)
    fold[order] = np.arange(len(targets)) % folds
    for number in range(folds):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def choose(
    features: Any, targets: NDArray[Any], num_classes: int, seed: int = 0, heard: Callable[[], None] = lambda: None
) -> float:
    """The strongest regularisation whose log loss on held-out rows is within a standard error of the least.

    Breiman et al. 1984, section 3.4.3. From strong to weak, each solution starting the next, until it gets worse.
    """
    parts = list(stratified(targets, 5, seed)) if len(targets) > 1 else []
    parts = parts if len(targets) < FEW else parts[:1]
    starts: list[Any] = [None] * len(parts)
    means, limit = [], np.inf
    for strength in STRENGTHS if parts else ():
        heard()
        losses = []
        for place, (train, held) in enumerate(parts):
            probe, starts[place] = solve(features[train], targets[train], num_classes, strength, starts[place])
            losses.append(row_losses(probe.probabilities(features[held]), targets[held]))
        each = np.concatenate(losses)
        means.append(each.mean())
        if means[-1] > min(means):
            break
        limit = means[-1] + each.std() / len(each) ** 0.5
    return next((strength for strength, mean in zip(STRENGTHS, means, strict=False) if mean <= limit), STRENGTHS[2])


def row_losses(probabilities: Floats, targets: NDArray[Any]) -> Floats:
    """(N,) log losses in nats; of several labels their sum."""
    return -np.log(of_given(probabilities, targets)).reshape(len(targets), -1).sum(axis=1)


def of_given(probabilities: Floats, targets: NDArray[Any]) -> Floats:
    """What is given to the targets: (N,) for class numbers, (N, C) for zeros and ones; never zero."""
    if targets.ndim == 2:
        found = np.where(targets > 0, probabilities, 1 - probabilities)
    else:
        found = probabilities[np.arange(len(targets)), targets]
    return np.maximum(found, np.float32(1e-7))


def solve(
    features: Any, targets: NDArray[Any], num_classes: int, strength: float, start: Any = None
) -> tuple[Probe, Any]:
    """Minimises mean loss + strength / 2 * |weight|^2 by L-BFGS; also what a next solution may start from."""
    from scipy.optimize import minimize

    several = targets.ndim == 2
    wanted = targets.astype(np.float32) if several else np.eye(num_classes, dtype=np.float32)[targets]
    dense = isinstance(features, np.ndarray)
    mean, deviation = (features.mean(0), features.std(0) + 1e-6) if dense else (0.0, 1.0)
    inputs = ((features - mean) / deviation).astype(np.float32) if dense else features
    width, count = features.shape[1], max(len(wanted), 1)

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight, bias = np.split(flat.reshape(width + 1, num_classes).astype(np.float32), [width])
        found = squashed(inputs @ weight + bias, several)
        loss = float(row_losses(found, targets).sum(dtype=np.float64)) / count + strength / 2 * float(
            np.square(weight).sum()
        )
        wrong = (found - wanted) / count
        gradient = np.concatenate([inputs.T @ wrong + strength * weight, wrong.sum(0, keepdims=True)])
        return loss, gradient.ravel().astype(np.float64)

    if start is None:
        share = (wanted.sum(0) + 0.5) / (count + 1)
        start = np.zeros((width + 1, num_classes))
        start[-1] = np.log(share / (1 - share) if several else share)
    options = {"maxfun": EVALUATIONS, "gtol": 1e-5, "ftol": TOLERANCE}
    flat = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options).x
    solution = flat.reshape(width + 1, num_classes).astype(np.float32)
    weight = solution[:-1] / np.reshape(deviation, (-1, 1)).astype(np.float32)
    bias = solution[-1] - (mean @ weight if dense else 0)
    return Probe(weight, bias.astype(np.float32), several, strength), flat


def squashed(logits: Floats, several: bool) -> Floats:
    """Probabilities: sigmoid of each of several labels, else softmax over the classes."""
    if several:
        small = np.exp(-np.abs(logits))
        return np.where(logits >= 0, 1, small) / (1 + small)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def word_features(texts: Sequence[tuple[str, ...]]) -> tuple[Any, list[str]]:
    """(N, V) sparse TF-IDF of words and pairs of neighbours, as `fit` takes it, and what its V columns count.

    Terms count 1 + log(tf), weighed by 1 + log((1 + N) / (1 + df)), as scikit-learn's TfidfVectorizer has it; that one
    takes a second to import.
    """
    from scipy.sparse import csr_matrix

    counts, spread, total = [], Counter[str](), Counter[str]()
    for text in texts:
        words = re.findall(r"\w+", " ".join(text).lower())
        terms = [*words, *map(" ".join, pairwise(words))]
        counts.append(Counter(terms))
        spread.update(counts[-1].keys())
        total.update(terms)
    least = 2 if len(texts) > 20 else 1  # what is there once tells nothing of another row
    kept = sorted((term for term in sorted(total) if spread[term] >= least), key=lambda term: -total[term])
    names = sorted(kept[:WORDS])
    if not names:  # not one word occurs twice
        return csr_matrix((len(texts), 1), dtype=np.float32), [""]
    places = {name: place for place, name in enumerate(names)}
    rare = 1 + np.log((1 + len(texts)) / (1 + np.array([spread[name] for name in names])))
    found = [(places[term], count) for each in counts for term, count in each.items() if term in places]
    columns, times = np.array(found).reshape(-1, 2).T
    owners = np.repeat(np.arange(len(texts)), [sum(term in places for term in each) for each in counts])
    values = (1 + np.log(times)) * rare[columns]
    lengths = np.sqrt(np.bincount(owners, values**2, len(texts)))
    shape = (len(texts), len(names))
    return csr_matrix(((NORM * values / lengths[owners]).astype(np.float32), (owners, columns)), shape=shape), names


def views(desk: Desk, part: Part) -> tuple[list[Row], list[Any], list[str]]:
    """The sampled rows of a part, what is seen of them (words, and an encoder's features), and the names of that."""
    rows = [part.rows[place] for place in desk.sample(part)]
    seen, names = [desk.once(("words", part.name), lambda: word_features([row.text for row in rows])[0])], ["words"]
    if desk.encoder is not None:
        seen, names = [*seen, desk.features(part)], [*names, desk.encoder.name]
    return rows, seen, names


def consensus(
    seen: Sequence[Any], targets: Any, num_classes: int, folds: int = 5, seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Floats:  # fmt: skip
    """(N, C) out-of-fold probabilities, the mean over several views of the rows; of few rows also over three foldings.

    Views err in different rows, so their mean ranks wrong labels better than the best of them.
    """
    repeats = 3 if len(targets) < FEW else 1
    made: list[Floats] = []
    total = len(seen) * repeats * folds
    for number in range(repeats):
        for view in seen:
            begun = len(made) * folds
            heard = (lambda done, _, begun=begun: progress(begun + done, total)) if progress else None
            made.append(out_of_fold(view, targets, num_classes, folds, seed + number, heard))
    return np.asarray(np.mean(made, axis=0), dtype=np.float32)
