"""What a comparison says: who is best, who is as good as far as the rows can tell, which of those is cheapest."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..metrics.rows import Scorer, scorer
from .comparisons import Measured, measure, pairs_of, versus
from .intervals import interval

LARGE = 0.05  # of a score: where so much may be had, too few rows or seeds are no reason not to fine-tune
Lines = Sequence[dict[str, Any]]


def compared(
    lines: Mapping[str, Sequence[Lines]], metric: str, higher_is_better: bool, costs: Mapping[str, float],
    seed: int = 0, **known: Any,
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:  # fmt: skip
    """Scores with intervals, each contestant's test against the best, and the verdict.

    Args:
        lines: predictions of each contestant's seeds, all on the same rows; none of a run that failed.
        costs, seed, known: as in `judged`.

    Returns:
        `score` and `versus_best` by contestant, as comparison.json has them, without those whose score is no number;
        and the verdict without its path, None where there is no contestant.

    Raises:
        ValueError: contestants predicted different numbers of rows.
    """
    scorers = {name: [scorer(each) for each in runs] for name, runs in lines.items()}
    usable: dict[str, list[Scorer]] = {
        name: [one for one in each if one] for name, each in scorers.items() if each and usable_for(each, metric)
    }
    return judged(usable, metric, higher_is_better, costs, seed, unscored=set(lines) - set(usable), **known)


def usable_for(each: Sequence[Scorer | None], metric: str) -> bool:
    """Whether all seeds of a contestant have a score that is a number."""
    ones = [one(np.ones(one.table.shape[0])) for one in each if one]
    return len(ones) == len(each) and all(math.isfinite(found.get(metric, math.nan)) for found in ones)


def judged(
    scorers: Mapping[str, Sequence[Scorer]], metric: str, higher_is_better: bool, costs: Mapping[str, float],
    seed: int = 0, *, floors: Collection[str] = (), stopped: Mapping[str, str] | None = None,
    unscored: Collection[str] = (), seedless: Collection[str] = (),
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:  # fmt: skip
    """The same from scorers.

    Args:
        costs: seconds; the least decides among those that are not detectably worse than the best.
        seed: of the resampling.
        floors: contestants that nothing is fine-tuned for; no seed changes them.
        stopped: why contestants were stopped or failed; they win only where nobody finished.
        unscored: contestants without a score, to be named.
        seedless: other contestants that no seed changes.
    """
    if not scorers:
        return {}, None
    if len({one.table.shape[0] for each in scorers.values() for one in each}) > 1:
        raise ValueError("contestants predicted different numbers of rows")
    names, sign, stopped = list(scorers), 1 if higher_is_better else -1, stopped or {}
    raw = measure(scorers, metric, seed)
    found = replace(raw, means=sign * raw.means, rows=sign * raw.rows)
    worth = dict(zip(names, found.means, strict=True))
    price = {name: costs.get(name, math.inf) for name in names}
    racing = [name for name in names if name not in stopped] or names
    best = max(racing, key=lambda name: (worth[name], -price[name]))
    pairs, place = pairs_of(found, seed), names.index(best)
    contestants = {
        name: {
            "score": score_of(raw, at),
            "versus_best": None if at == place else versus(found, pairs, at, place, sign),
        }
        for at, name in enumerate(names)
    }
    order = sorted(names, key=lambda name: -worth[name])
    beaten = {name for name, told in contestants.items() if (told["versus_best"] or {}).get("detectable")}
    equals = [name for name in order if name in racing and name not in beaten]
    winner = min(equals, key=lambda name: (price[name], order.index(name)))
    alone = {name for name in names if len(scorers[name]) == 1} - {*floors, *seedless}
    rows = raw.rows.shape[1]
    said = Facts(metric, rows, contestants, order, best, winner, equals, costs, floors, stopped, alone, unscored)
    verdict = {"best": best, "winner": winner, "detectable": len(names) > 1 and len(equals) == 1, "equals": equals,
               "sentence": sentence(said), "advice": advice(said)}  # fmt: skip
    return contestants, verdict


def score_of(found: Measured, place: int) -> dict[str, Any]:
    """A contestant's mean over seeds with its interval, and the deviation between seeds."""
    value, values = float(found.means[place]), found.values[place]
    low, high = interval(value, float(found.covariance[place, place]), found.rows.shape[1], found.share)
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"value": value, "low": low, "high": high, "seed_deviation": deviation}


@dataclass(frozen=True)
class Facts:
    """What the sentence and the advice are made of; `order`: best score first; `alone`: with one seed."""

    metric: str
    rows: int
    contestants: dict[str, dict[str, Any]]
    order: list[str]
    best: str
    winner: str
    equals: list[str]
    costs: Mapping[str, float]
    floors: Collection[str]
    stopped: Mapping[str, str]
    alone: Collection[str]
    unscored: Collection[str]

    def value(self, name: str) -> str:
        return f"{self.contestants[name]['score']['value']:.3f}"

    def listed(self, names: Sequence[str]) -> str:
        return joined([f"{name} ({self.value(name)})" for name in names])

    def against(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.contestants[name]["versus_best"]
        return found


def sentence(facts: Facts) -> str:
    """The verdict in a sentence or two."""
    metric, best = facts.metric.replace("_", " "), facts.best
    worse = [name for name in facts.order if name not in facts.equals and name not in facts.stopped]
    if len(facts.order) == 1:
        return f"{best} is the only contestant: {metric} {facts.value(best)} on {count(facts.rows, 'row')}."
    if len(facts.equals) == 1:
        rest = f", detectably better than {facts.listed(worse)}" if worse else ""
        return f"{best} is the best: {metric} {facts.value(best)}{rest}."
    after = f" Detectably worse: {joined(worse)}." if worse else ""
    cheapest = "the cheapest" if facts.winner in facts.costs else "taken"
    equals = facts.listed(facts.equals)
    return f"No detectable difference in {metric} between {equals}; {facts.winner} is {cheapest}.{after}"


def advice(facts: Facts) -> list[str]:
    """What to do about it, and what the comparison cannot tell."""
    return [line for line in (of_floors(facts), of_the_best(facts), *of_more(facts), *of_runs(facts)) if line]


def of_floors(facts: Facts) -> str | None:
    """Whether fine-tuning pays at all."""
    floors = [name for name in facts.order if name in facts.floors and name not in facts.stopped]
    tuned = [name for name in facts.order if name not in facts.floors and name not in facts.stopped]
    if not floors or not tuned:
        return None
    good = [name for name in floors if name in facts.equals]
    on = f"as far as {count(facts.rows, 'row')} can tell"
    if facts.winner in floors:
        gain = "" if facts.winner == facts.best else f"; fine-tuning would gain {most(facts, facts.winner)}"
        if facts.winner != facts.best and abs(facts.against(facts.winner)["difference"]) > LARGE:
            return f"Whether fine-tuning pays is not known: {facts.winner} is not detectably worse{gain}."
        return f"Do not fine-tune: {facts.winner}, which needs no fine-tuning, is as good {on}{gain}."
    if good:
        return f"{joined(good)}, which {'needs' if len(good) == 1 else 'need'} no fine-tuning, is as good {on}."
    behind = abs(facts.against(floors[0])["difference"])
    return f"Fine-tuning pays: {floors[0]}, the best without it, is detectably worse by {behind:.3f}."


def of_the_best(facts: Facts) -> str | None:
    """What the winner gives up."""
    if facts.winner == facts.best:
        return None
    found, costs = facts.against(facts.winner), facts.costs
    difference = abs(found["difference"])
    if not difference:
        return f"{facts.best} and {facts.winner} score exactly the same."
    ratio = costs[facts.best] / costs[facts.winner] if facts.best in costs and costs.get(facts.winner) else 0.0
    time = f" and takes {ratio:.1f} times as long to fit" if ratio >= 1.05 else ""
    return (
        f"{facts.best} scores {difference:.3f} better than {facts.winner}{time}; chance alone gives such a difference "
        f"with p = {probability(found['p_corrected'])}, and it may gain {most(facts, facts.winner)}."
    )


def of_more(facts: Facts) -> list[str]:
    """How many rows or seeds would tell the winner from the best, or from the next."""
    others = [name for name in facts.equals if name != facts.best]
    if not others:
        return []
    other = facts.winner if facts.winner != facts.best else others[0]
    found = facts.against(other)
    rows, seeds = found["rows_needed"], found["seeds_needed"]
    wanted = [f"about {rough(rows)} rows (now {facts.rows:,})"] if rows else []
    wanted += [f"{seeds} seeds"] if seeds else []
    if not wanted:
        return []
    size = abs(found["difference"])
    return [f"To tell {facts.best} from {other}, if {size:.3f} is the true difference, takes {joined(wanted)}."]


def of_runs(facts: Facts) -> list[str]:
    """What the runs themselves leave open."""
    found = [f"{name} can't win: {reason}." for name, reason in facts.stopped.items()]
    found += [f"{name} is left out: its {facts.metric} is no number." for name in sorted(facts.unscored)]
    if facts.alone and len(facts.order) > 1:
        names = joined([name for name in facts.order if name in facts.alone])
        found.append(f"One seed only for {names}: how far another seed would move a score is unknown.")
    return found


def most(facts: Facts, name: str) -> str:
    """What the best may have over another contestant at most."""
    ends = [facts.against(name)[end] for end in ("low", "high")]
    return "an unknown amount" if None in ends else f"{max(map(abs, ends)):.3f} at most"


def probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "less than 0.001"


def rough(number: int) -> str:
    """Two digits of a number, rounded up, which is all that such a forecast is good for."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return f"{math.ceil(number / unit) * unit:,}"


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
