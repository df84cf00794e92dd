"""Techniques as they are typed on the command line, and the models and tables that they work with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..component import members
from ..config import describe, edits
from ..data.augment.base import Aids, Augmenter, Rewriting, Writer
from ..data.augment.tables import read_synonyms
from ..errors import ConfigError, suggest
from .writers import EndpointWriter, LocalWriter, MaskedModel

USUAL = ("typos", "spelling", "deletion", "swap")
WITH_TABLE = ("synonyms",)


def chosen(kinds: Sequence[str], settings: Sequence[str], with_table: bool) -> list[Augmenter]:
    """The techniques of these kinds.

    Args:
        settings: as in typos.share=0.2.

    Raises:
        ConfigError: an unknown kind or field, a value out of range, or a setting of a technique that was not chosen.
    """
    kinds = list(dict.fromkeys(kinds)) or [*USUAL, *(WITH_TABLE if with_table else ())]
    known = members(Augmenter)
    for kind in kinds:
        if kind not in known:
            raise ConfigError(f"there is no technique {kind!r}", where="--technique", fix=suggest(kind, known))
    raw: dict[str, dict[str, Any]] = {kind: {"kind": kind} for kind in kinds}
    for path, value in edits(settings):
        if len(path) != 2 or path[0] not in raw:
            fix = f"write technique.field=value of one that is chosen ({', '.join(kinds)})"
            raise ConfigError("is no setting of a chosen technique", where=".".join(path), fix=fix)
        raw[path[0]][path[1]] = value
    return [validated(known[kind], raw[kind]) for kind in kinds]


def validated(member: type[Augmenter], raw: dict[str, Any]) -> Augmenter:
    try:
        return member.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("; ".join(describe(error, raw)), where=raw["kind"]) from None


def aids_of(
    techniques: Sequence[Augmenter], names: Sequence[str], endpoint: str | None, endpoint_model: str | None,
    table: Path | None, trust_remote_code: bool = False,
) -> Aids:  # fmt: skip
    """What techniques need, as far as it was given; models are loaded when they are first asked.

    Raises:
        ConfigError: a technique lacks its table or model, or something was given that none of them needs.
    """
    needs = {item.needs for item in techniques}
    if (endpoint is None) != (endpoint_model is None):
        raise ConfigError("belong together", where="--endpoint, --endpoint-model", fix="give both, or neither")
    for flag, given, useful in (
        ("--table", table, needs & {"table"}),
        ("--model", names, needs & {"masked", "writer", "writers"}),
        ("--endpoint", endpoint, needs & {"writer", "writers"}),
    ):
        if given and not useful:
            kinds = ", ".join(item.kind for item in techniques)
            raise ConfigError(f"none of the techniques needs it ({kinds})", where=flag, fix="leave it out")
    aids = Aids()
    for item in techniques:
        if item.needs == "table":
            if table is None:
                fix = "give a file of synonyms, two or more on each line, or a WordNet .zip: --table FILE"
                raise ConfigError("needs a table of synonyms", where=f"--technique {item.kind}", fix=fix)
            aids.synonyms = read_synonyms(table)
        elif item.needs == "masked":
            aids.fill = MaskedModel(named(item, "model", names, 0), trust_remote_code)
        elif isinstance(item, Rewriting):
            legs = ("model", "backward") if item.needs == "writers" else ("model",)
            aids.writers[item.kind] = [
                writer(item, leg, names, place, endpoint, endpoint_model, trust_remote_code)
                for place, leg in enumerate(legs)
            ]
    return aids


def writer(
    item: Rewriting, leg: str, names: Sequence[str], place: int, endpoint: str | None, endpoint_model: str | None,
    trust_remote_code: bool,
) -> Writer:  # fmt: skip
    """The model of a technique's own field, else of the endpoint, else the one given for all."""
    if endpoint is not None and endpoint_model is not None and getattr(item, leg) is None:
        return EndpointWriter(endpoint, endpoint_model, item.temperature, item.max_new_tokens)
    name = named(item, leg, names, place)
    return LocalWriter(name, item.temperature, item.max_new_tokens, trust_remote_code)


def named(item: Augmenter, leg: str, names: Sequence[str], place: int) -> str:
    """Raises ConfigError where nobody named that model."""
    name = getattr(item, leg, None) or (names[place] if place < len(names) else None)
    if name is None:
        back = " back" if place else ""
        what = f"needs a {'masked language model' if item.needs == 'masked' else 'model that writes'}{back}"
        way = "" if item.needs == "masked" else ", or --endpoint URL --endpoint-model NAME"
        twice = " (twice: there and back)" if item.needs == "writers" else ""
        fix = f"give --model FOLDER_OR_ID{twice}{way}"
        raise ConfigError(what, where=f"--technique {item.kind}", fix=fix)
    return str(name)
