"""Tests of contestants against the best of them, on the same rows, over their seeds.

What is tested is whether two ways of training have the same score, over new rows and new seeds. The variance of a
difference of means over seeds is that over rows (paired bootstrap) and that over seeds (Bouthillier et al. 2021). The
deviation between seeds is partly the rows' doing: each seed errs on other rows, which the bootstrap counts already.
That part is taken off the variance, but not off the doubt about it. Few seeds tell a variance badly, so it is at least
the contestants' mean one; with each one's own, 12 % of comparisons of eight equal ones with three seeds found a
difference. One whose seeds all say the same has none. Satterthwaite's degrees of freedom (1946) say how well all that
is known.

The best is picked by the rows that it is tested on, so every pair competes, as in Tukey's range test: a p value is
corrected to the chance that any of the pairs falls below it if all scores were equal, with the contestants' own
correlations (single-step min-p; Westfall and Young 1993, section 2.3). Holm's correction rejected less in simulation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics.classification import Floats
from ..metrics.rows import Scorer
from .intervals import LEVEL, resampled

POWER = 0.8
DRAWS = 20_000  # of the joint distribution: p = 0.05 to within 0.003
SAME = 1e-14  # a variance that is rounding


@dataclass(frozen=True)
class Measured:
    """Scores of k contestants on the same N rows.

    Args:
        values: (S,) of each seed, by contestant.
        means: (k,) over seeds.
        rows: (k, N) what each row contributes to the mean.
        covariance: (k, k) of the means, over samples of rows.
        seeds: (k,) variance of the means, over seeds.
        observed: (k,) the same with what rows do to it; that is what `freedom` degrees of freedom are of.
        share: whether scores lie between 0 and 1.
    """

    values: list[Floats]
    means: Floats
    rows: Floats
    covariance: Floats
    seeds: Floats
    observed: Floats
    freedom: float
    share: bool


def measure(scorers: Mapping[str, Sequence[Scorer]], metric: str, seed: int) -> Measured:
    flat = [one for each in scorers.values() for one in each]
    ends, count = np.cumsum([len(each) for each in scorers.values()])[:-1], flat[0].table.shape[0]
    values = np.split(np.array([float(one(np.ones(count))[metric]) for one in flat]), ends)
    drawn = np.split(np.stack([one[metric] for one in resampled(flat, seed)]), ends)  # (S, R) each
    rows = np.split(np.stack([one.pseudo_values(metric) for one in flat]), ends)
    spread = over_seeds(values, drawn)
    covariance = np.atleast_2d(np.cov([each.mean(0) for each in drawn]))
    means, rows_of_means = np.array([each.mean() for each in values]), np.stack([each.mean(0) for each in rows])
    return Measured(values, means, rows_of_means, covariance, *spread, flat[0].shares)


def over_seeds(values: Sequence[Floats], drawn: Sequence[Floats]) -> tuple[Floats, Floats, float]:
    """`seeds`, `observed` and `freedom` of contestants, from (S,) scores and (S, R) resamples of each.

    Of a contestant with one seed nothing is known, and nothing is taken from others: of an unfinished comparison, in
    which one contestant alone has two seeds, that hid differences of 0.3. The advice says that it is unknown.
    """
    number = np.array([len(each) for each in values])
    found = np.array([np.var(each, ddof=1) if len(each) > 1 else 0.0 for each in values])
    of_rows = np.array([own_rows(each) if len(each) > 1 else 0.0 for each in drawn])
    still = (found < SAME) & (of_rows < SAME)
    freedoms = np.where(still, 0, number - 1)
    if not freedoms.any():
        return np.zeros(len(values)), np.zeros(len(values)), 1.0
    usual, freedom = usual_variance(found, freedoms)
    shared = max(0.0, usual - float(np.mean(of_rows[freedoms > 0])))
    seeds, observed = np.maximum(found - of_rows, shared), np.maximum(found, usual)
    return np.where(freedoms, seeds, 0.0) / number, np.where(freedoms, observed, 0.0) / number, freedom


def usual_variance(found: Floats, freedoms: Any) -> tuple[float, float]:
    """What a contestant's variance over seeds is at least taken to be, and its degrees of freedom.

    Of three or more their median: with their mean one restless contestant (LoRA at 0.024 beside 0.005, banking77) hides
    the others' differences; made-up ones like it were found in 74 instead of 34 %, with no more false alarms. A
    contestant's own variance, of few seeds, is too small too often (12 % false alarms of eight contestants).
    """
    from scipy.stats import chi2

    known = freedoms > 0
    if known.sum() < 3:
        return float(freedoms @ found) / float(freedoms.sum()), float(freedoms.sum())
    medians = chi2.median(freedoms[known]) / freedoms[known]  # of an estimate whose mean is right
    return float(np.median(found[known] / medians)), max(1.0, freedoms.sum() / 2)  # a median tells half as much


def own_rows(drawn: Floats) -> float:
    """What rows alone contribute to the variance between seeds, from (S, R) resamples: seeds err on different rows."""
    covariance, count = np.cov(drawn), len(drawn)
    trace = float(np.trace(covariance))
    return trace / count - (float(covariance.sum()) - trace) / (count * (count - 1))


@dataclass(frozen=True)
class Pairs:
    """All P pairs of contestants.

    Args:
        first, second: (P,) which.
        difference: (P,) first minus second.
        of_rows: (P,) variance of the difference over rows, and of_seeds over seeds.
        freedom: (P,) degrees of freedom.
        p: (P,) each by itself; corrected: for all.
        critical: how many standard errors a difference must have at the corrected level, if normal.
        discordant: (P,) whether McNemar's test gave p.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    difference: Floats
    of_rows: Floats
    of_seeds: Floats
    freedom: Floats
    p: Floats
    corrected: Floats
    critical: float
    discordant: NDArray[np.bool_]


def pairs_of(found: Measured, seed: int) -> Pairs:
    """Tests each pair of k contestants, and corrects for their number."""
    from scipy.special import stdtr

    first, second = np.triu_indices(len(found.means), 1)
    difference, count = found.means[first] - found.means[second], found.rows.shape[1]
    each, covariance = found.rows[first] - found.rows[second], found.covariance
    of_rows = np.maximum(covariance[first, first] + covariance[second, second] - 2 * covariance[first, second], 0)
    of_seeds = found.seeds[first] + found.seeds[second]
    if_equal = of_rows + difference**2 / count  # where the scores are equal, rows vary around 0
    total = if_equal + of_seeds
    doubt = if_equal**2 / informative(each) + (found.observed[first] + found.observed[second]) ** 2 / found.freedom
    freedom = np.divide(total**2, doubt, out=np.ones_like(total), where=doubt > 0)
    freedom = np.maximum(freedom, found.freedom)  # no sum is less sure than the least sure of its parts
    statistic = np.divide(np.abs(difference), np.sqrt(total), out=np.zeros_like(total), where=total > 0)
    p = 2 * stdtr(freedom, -statistic)
    right = np.isclose(found.rows, 0, atol=1e-6) | np.isclose(found.rows, 1, atol=1e-6)
    plain = right.all(axis=1) & np.array([len(values) == 1 for values in found.values])
    discordant = plain[first] & plain[second] & (of_seeds == 0)
    p[discordant] = mcnemar((each[discordant] > 0.5).sum(1), (each[discordant] < -0.5).sum(1))
    corrected, critical = correct(p, covariance + np.diag(found.seeds), seed)
    return Pairs(first, second, difference, of_rows, of_seeds, freedom, p, corrected, critical, discordant)


def informative(each: Floats) -> Floats:
    """(P,) how many of the N rows a variance is known by: those that differ, where all differ alike."""
    squares, fourths = (each**2).sum(1), (each**4).sum(1)
    return np.divide(squares**2, fourths, out=np.ones_like(squares), where=fourths > 0)


def mcnemar(only_first: Any, only_second: Any) -> Floats:
    """Two-sided mid-p of McNemar's exact test, from the rows where one is right (Fagerland et al. 2013, equation 5).

    Args:
        only_first, only_second: (P,) numbers of rows.
    """
    from scipy.special import bdtr

    fewer, count = np.minimum(only_first, only_second), np.asarray(only_first) + only_second
    below = np.where(fewer > 0, bdtr(np.maximum(fewer - 1.0, 0), count, 0.5), 0.0)
    p = np.minimum(1.0, bdtr(fewer.astype(float), count, 0.5) + below)  # twice: all below, and half of the same
    return np.where(count > 0, p, 1.0)


def correct(p: Floats, covariance: Floats, seed: int) -> tuple[Floats, float]:
    """(P,) p values corrected for the number of pairs, and the difference in standard errors that is needed."""
    from scipy.special import ndtri

    if len(p) < 2:
        return p, float(ndtri((1 + LEVEL) / 2))
    first, second = np.triu_indices(len(covariance), 1)
    sizes, directions = np.linalg.eigh(covariance)
    root = directions * np.sqrt(np.maximum(sizes, 0))
    drawn = np.random.default_rng([seed, 25]).standard_normal((DRAWS, len(covariance))) @ root.T
    deviations = np.sqrt(np.maximum(np.diag(covariance)[first] + np.diag(covariance)[second]
                                    - 2 * covariance[first, second], 0))  # fmt: skip
    same = deviations <= 1e-9 * math.sqrt(max(float(covariance.max()), 0.0))  # identical: never the largest
    largest = (np.abs(drawn[:, first] - drawn[:, second]) / np.where(same, np.inf, deviations)).max(1)
    above = 1 - np.searchsorted(np.sort(largest), -ndtri(p / 2)) / DRAWS
    critical = max(float(np.quantile(largest, LEVEL)), float(ndtri((1 + LEVEL) / 2)))
    return np.minimum(np.maximum(above, p), np.minimum(1.0, p * len(p))), critical


def versus(found: Measured, pairs: Pairs, one: int, best: int, sign: int = 1) -> dict[str, Any]:
    """What `comparison.json` says of one contestant against the best.

    The interval is the test turned round: it leaves out 0 where the difference is detectable (but McNemar's may differ
    near the edge).

    Args:
        sign: -1 where lower is better and `found` is of negative scores.
    """
    from scipy.special import ndtr, ndtri, stdtrit

    place = int(np.flatnonzero((pairs.first == min(one, best)) & (pairs.second == max(one, best)))[0])
    rows = found.rows.shape[1]
    difference = float(found.means[one] - found.means[best])
    variance = float(pairs.of_rows[place] + pairs.of_seeds[place])
    critical = float(stdtrit(pairs.freedom[place], ndtr(pairs.critical)))
    part = 1 - critical**2 / rows
    half = math.inf if part <= 0 else critical * math.sqrt(variance / part)
    low, high = sorted((sign * (difference - half), sign * (difference + half)))
    detectable = bool(pairs.corrected[place] < 1 - LEVEL)
    variances = float(pairs.of_rows[place]) + difference**2 / rows, float(pairs.of_seeds[place])
    wanted = (difference / (pairs.critical + float(ndtri(POWER)))) ** 2  # the variance that gives that power
    of_a_seed = sum(float(found.seeds[at]) * len(found.values[at]) for at in (one, best))
    more = (None, None) if detectable else needed(wanted, *variances, rows, of_a_seed)
    ends = [max(-1.0, min(end, 1.0)) if found.share else end if math.isfinite(end) else None for end in (low, high)]
    return {
        "difference": sign * difference, "low": ends[0], "high": ends[1],
        "p": float(pairs.p[place]), "p_corrected": float(pairs.corrected[place]),
        "test": "McNemar" if pairs.discordant[place] else "paired bootstrap", "detectable": detectable,
        "rows_needed": more[0], "seeds_needed": more[1],
    }  # fmt: skip


def needed(
    wanted: float, of_rows: float, of_seeds: float, rows: int, of_a_seed: float
) -> tuple[int | None, int | None]:
    """Test rows, and seeds each, by which this difference would be detected with a power of 80 %.

    Rows alone where the seeds leave room; else seeds, and rows besides where those at hand are too few.

    Args:
        wanted: variance of the difference that gives that power; `of_rows` and `of_seeds` are what it is now.
        of_a_seed: what `of_seeds` were with one seed each.
    """
    if not wanted or not math.isfinite(wanted):
        return None, None
    if of_seeds < wanted:
        return max(rows + 1, math.ceil(rows * of_rows / (wanted - of_seeds))), None
    room = wanted - of_rows if of_rows < wanted / 2 else wanted / 2
    more = None if of_rows < wanted / 2 else math.ceil(rows * of_rows / (wanted / 2))
    return more, math.ceil(of_a_seed / room)
