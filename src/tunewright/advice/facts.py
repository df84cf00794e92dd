"""Facts: what the rules may ask, what follows from other facts, and what would be if one were different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..errors import ConfigError, suggest

TASKS = ("sequence_classification", "token_classification", "question_answering", "causal_lm", "seq2seq", "preference")
NEEDS = ("none", "latency", "quality", "many-tasks", "freshness", "format")
KINDS = ("encoder", "causal", "seq2seq")
FULL_BYTES, LORA_BYTES, QLORA_BYTES = 16, 4.1, 0.75  # a parameter, where only their number is known: fp32 weights with
# gradients and AdamW's moments; fp32 weights; NF4 with embeddings in fp32 (QLoRA paper, section 3). Activations on top.


class Fact(NamedTuple):
    """form: a number, a flag, or the choices. shown: of a number. can_change: by a person, so that flips are sought."""

    form: Literal["number", "flag"] | tuple[str, ...]
    means: str
    shown: str = "{:,.3g}"
    can_change: bool = False


FACTS = {
    "task": Fact(TASKS, "task"),
    "need": Fact(NEEDS, "need", can_change=True),
    "rows": Fact("number", "labelled rows", "{:,.0f}", can_change=True),
    "classes": Fact("number", "classes", "{:,.0f}"),
    "rows_per_class": Fact("number", "rows of the median class", "{:,.0f}"),
    "rows_of_rarest": Fact("number", "rows of the rarest class", "{:,.0f}"),
    "majority": Fact("number", "share of the largest class", "{:.1%}"),
    "imbalance": Fact("number", "largest class over the rarest", "{:,.1f} times"),
    "tokens_median": Fact("number", "tokens of the median row", "{:,.0f}"),
    "tokens_95": Fact("number", "tokens of the 95th percentile", "{:,.0f}"),
    "limit": Fact("number", "tokens that are read at once", "{:,.0f}"),
    "too_long": Fact("number", "share of rows longer than is read at once", "{:.1%}"),
    "tokens_per_word": Fact("number", "tokens per word", "{:.2f}"),
    "unknown_tokens": Fact("number", "share of unknown tokens", "{:.2%}"),
    "perplexity": Fact("number", "perplexity of the answers, untuned", "{:,.1f}"),
    "words_score": Fact("number", "linear model on words (TF-IDF), out of fold", "{:.3f}"),
    "probe_score": Fact("number", "linear model on frozen features, out of fold", "{:.3f}"),
    "encoder_gain": Fact("number", "features over words", "{:+.3f}"),
    "curve_gain": Fact("number", "gain of twice the rows, by the learning curve", "{:+.3f}"),
    "label_noise": Fact("number", "share of labels that look wrong", "{:.1%}"),
    "label_agreement": Fact("number", "share of labels that a probe would give too", "{:.1%}"),
    "duplicates": Fact("number", "share of rows that repeat another", "{:.1%}"),
    "pairs": Fact("number", "preference pairs beside the data", "{:,.0f}"),
    "parameters": Fact("number", "parameters of the model", "{:,.0f}"),
    "model_kind": Fact(KINDS, "kind of model"),
    "instruction_tuned": Fact("flag", "tuned on instructions"),
    "gpu": Fact("flag", "trains on a GPU"),
    "devices": Fact("number", "devices", "{:,.0f}"),
    "memory_gb": Fact("number", "memory of a device, GB", "{:,.1f}", can_change=True),
    "peak_full_gb": Fact("number", "predicted peak of full fine-tuning, GB", "{:,.1f}"),
    "peak_lora_gb": Fact("number", "predicted peak of lora, GB", "{:,.1f}"),
    "peak_qlora_gb": Fact("number", "predicted peak of qlora, GB", "{:,.1f}"),
    "full_fits": Fact("flag", "full fine-tuning fits"),
    "lora_fits": Fact("flag", "lora fits"),
    "qlora_fits": Fact("flag", "qlora fits"),
}


@dataclass
class Facts:
    """What is known, and why the rest is not.

    Args:
        values: by the names of FACTS; numbers, flags and choices.
        unknown: why a fact was not measured.
    """

    values: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def reason(self, name: str) -> str:
        return self.unknown.get(name, "nobody measured it here")


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Facts that a person gives, as they were meant.

    Raises:
        ConfigError: there is no such fact, or it is no such value.
    """
    for name, value in given.items():
        if name not in FACTS:
            raise ConfigError("there is no such fact", where=f"facts.{name}", fix=suggest(name, FACTS))
        form = FACTS[name].form
        right = value in form if isinstance(form, tuple) else isinstance(value, bool) == (form == "flag")
        if not right or (form == "number" and not isinstance(value, int | float)):
            wanted = " or ".join(form) if isinstance(form, tuple) else "true or false" if form == "flag" else "a number"
            raise ConfigError(f"must be {wanted}; got {value!r}", where=f"facts.{name}")
    return dict(given)


def complete(values: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with what follows from them; what is known already stays."""
    known = dict(values)
    if {"words_score", "probe_score"} <= set(known):
        known.setdefault("encoder_gain", known["probe_score"] - known["words_score"])
    if {"rows", "classes"} <= set(known):
        known.setdefault("rows_per_class", known["rows"] / max(known["classes"], 1))
    for kind, each in (("full", FULL_BYTES), ("lora", LORA_BYTES), ("qlora", QLORA_BYTES)):
        if "parameters" in known:
            known.setdefault(f"peak_{kind}_gb", known["parameters"] * each / 1e9)
        if {f"peak_{kind}_gb", "memory_gb"} <= set(known):
            known.setdefault(f"{kind}_fits", known[f"peak_{kind}_gb"] <= known["memory_gb"])
    return known


def altered(values: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The facts as they would be with another one; classes grow with the rows."""
    found = {**values, name: value}
    if name == "rows" and values.get("rows"):
        for count in ("rows_per_class", "rows_of_rarest"):
            if count in values:
                found[count] = values[count] * value / values["rows"]
    return found


def shown(name: str, value: Any) -> str:
    """A fact for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return FACTS[name].shown.format(value) if FACTS[name].form == "number" else str(value)
