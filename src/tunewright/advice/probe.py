"""Evidence in about a minute: a learning curve, a short contest of the two best, and where rules disagree with them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

from ..config import RunConfig
from ..data.checks.base import Notebook
from ..data.checks.enough_data import EnoughData
from ..data.desk import TimeIsUp
from ..errors import TunewrightError
from ..training.progress import Listener
from .facts import Facts
from .measure import ASKED, Subject

CURVE_SECONDS = 20.0
CONTEST_SECONDS = 45.0  # by prediction; on a busy machine it may take twice that
ROWS = 2000  # of the training file in the contest
UNTOLD = ["no strategy that trains the base was done in time: this says nothing for or against the rules"]
AGREED = ["the rules and this short contest agree"]
LINEAR = ("feature_extraction", "tfidf")  # contestants that train no part of the base


def learning_curve(subject: Subject, facts: Facts) -> None:
    """What twice the rows would bring, as a fact."""
    check, notebook, desk = EnoughData(), Notebook(), subject.desk
    if subject.task.kind not in check.tasks:
        facts.unknown["curve_gain"] = f"means nothing for {subject.task.kind}"
        return
    if reason := check.cannot(desk):
        facts.unknown["curve_gain"] = reason
        return
    desk.seconds = float(desk.seconds or 0) - desk.seconds_left() + CURVE_SECONDS  # from now on
    try:
        check.run(desk, notebook)
    except TimeIsUp:
        facts.unknown["curve_gain"] = f"the {CURVE_SECONDS:g} s for the learning curve were over"
        return
    ahead = notebook.facts["enough_data"]["more"]
    twice = min(ahead, key=lambda entry: abs(entry["rows"] - len(desk.train.rows)))
    facts.values.setdefault("curve_gain", twice["gain"])


def contest(subject: Subject, told: Mapping[str, Any], listener: Listener) -> dict[str, Any]:
    """The two best and the floors, one seed, for a short time: each one's score, and what that says of the rules."""
    from ..contest.compare import compare

    kinds = contestants(subject, told)
    if reason := unfit(subject, kinds):
        return {"contestants": [], "lines": [f"no contest: {reason}"], "agrees": None}
    config, short = shortened(subject, kinds, told)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = compare(
                config, kinds, seeds=1, budget=2 * CONTEST_SECONDS, out=f"{folder}/contest", listener=listener
            ).comparison
        except TunewrightError as error:
            return {"contestants": [], "lines": [f"no contest: {error}"], "agrees": None}
    against = disagreements(told, found)
    kept = ("name", "kind", "score", "fit_seconds")
    each = [shown(item, found["metric"]["name"]) for item in found["contestants"]]
    return {
        "contestants": [{key: item[key] for key in kept} for item in found["contestants"]], "verdict": found["verdict"],
        "rows": found["data"]["rows"], "split": found["split"], "agrees": None if against is None else not against,
        "lines": [short, *each, *(UNTOLD if against is None else against or AGREED)],
    }  # fmt: skip


def shortened(subject: Subject, kinds: list[str], told: Mapping[str, Any]) -> tuple[RunConfig, str]:
    """The configuration with as few rows and epochs as the time allows by prediction; and what that is, in words."""
    data, training, count = subject.config.data, subject.config.training, len(subject.train.rows)
    limit = min(data.limit or count, ROWS, count)
    trained = [kind for kind in kinds if subject.numbers(kind)]
    usual = min((subject.numbers(kind)["epochs"] for kind in trained), default=1.0)
    needed = sum(cost["seconds"] or 0.0 for cost in told["costs"] if cost["strategy"] in kinds) * limit / count
    epochs = max(1.0, round(usual * min(1.0, CONTEST_SECONDS / needed))) if needed else min(usual, 2.0)
    update = {"check_seconds": 0.0, **({"limit": limit} if limit < count else {})}
    sections: dict[str, Any] = {"data": data.model_copy(update=update)}
    if trained:
        sections["training"] = training.model_copy(update={"epochs": epochs})
    short = f"a contest of {limit:,} rows, one seed, {epochs:g} of {usual:g} epochs: more would favour what trains"
    return subject.config.model_copy(update=sections), short


def contestants(subject: Subject, told: Mapping[str, Any]) -> list[str]:
    """The two best; of whole texts always the solved head, which takes seconds."""
    kinds = list(told["ordering"][:2])
    if subject.task.kind == "sequence_classification":
        kinds = [*(kind for kind in kinds if kind != "feature_extraction"), "feature_extraction"]
    return kinds


def unfit(subject: Subject, kinds: list[str]) -> str:
    if not kinds:
        return "no strategy fits"
    if not subject.has_weights:
        return "no weights of the model are on this machine"
    return f"{subject.parameters:,} parameters take longer than a minute" if subject.parameters > ASKED else ""


def shown(item: Mapping[str, Any], metric: str) -> str:
    """A contestant's line; without a score, why it has none."""
    score = item["score"]
    if score is None:
        why = next((run["reason"] for run in item["runs"] if run["reason"]), "no time was left")
        return f"{item['name']}: no score ({why})"
    return (f"{item['name']}: {metric} {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f}), "
            f"{item['fit_seconds'] or 0:.0f} s")  # fmt: skip


def disagreements(told: Mapping[str, Any], comparison: Mapping[str, Any]) -> list[str] | None:
    """Where the measured scores speak against the rules, plainly; None where nothing that trains the base was scored.

    Args:
        told: the advice.
        comparison: what comparison.json holds.
    """
    scored = {item["name"]: item for item in comparison["contestants"] if item["score"]}
    verdict, found, on = comparison["verdict"], [], f" ({comparison['rows']:,} {comparison['split']} rows)"
    if not verdict or not set(scored) - {*LINEAR, "majority"}:
        return None
    equals = {verdict["best"], *verdict["equals"]}
    linear = [name for name in LINEAR if name in scored]
    answer, first = told["fine_tune"]["answer"], told["ordering"][0]
    level = [name for name in linear if name in equals and name != verdict["best"]]
    if answer == "yes" and first not in LINEAR and verdict["best"] in LINEAR:
        found.append(f"rules say fine-tune, but here {verdict['best']} is the best{on}")
    elif answer == "yes" and first not in LINEAR and level:
        found.append(f"rules say fine-tune, but here {level[0]} is not detectably worse than {verdict['best']}{on}")
    if answer == "linear_model" and linear and not equals & set(linear):
        found.append(f"rules say a linear model is enough, but here {verdict['best']} is detectably better{on}")
    if first in scored and first not in equals:
        gap = scored[first]["versus_best"]["difference"]
        found.append(f"rules put {first} first, but here {verdict['best']} is better by {abs(gap):.3f}{on}")
    return found
