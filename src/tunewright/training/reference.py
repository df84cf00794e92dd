"""The reference is data: its log-probabilities are computed once, before the strategy changes the model (N6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tasks.base import Encoded
from .store import Store, key_of

if TYPE_CHECKING:
    from ..tasks.preference import Preference


def with_reference(
    task: Preference, encoded: Encoded, origin: dict[str, Any], outputs: Callable[[], list[Any]], main: bool
) -> tuple[Encoded, bool]:
    """The pairs with the reference's log-probabilities, and whether those came from the cache.

    Args:
        origin: what they depend on besides the tokens: model, tokenizer, arithmetic.
        outputs: asks the model that is the reference; `Compared` of each pair.
        main: whether this process keeps the cache.
    """
    keys = [key_of([number for ids in item.windows for number in (len(ids), *ids)], None, item.prompt)
            for item in encoded.features]  # fmt: skip
    store, order = Store("reference", origin), {key: place for place, key in enumerate(dict.fromkeys(keys))}
    found, known = store.get(list(order))
    if found is not None and known.all():
        return task.with_reference(encoded, list(found[[order[key] for key in keys]])), True
    values = np.stack([output.log_probabilities for output in outputs()]).astype(np.float32)
    if main:
        store.add(keys, values)
    return task.with_reference(encoded, list(values)), False
