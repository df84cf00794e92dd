"""The reference is data: its log-probabilities are computed once, before the strategy changes the model (N6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..files import cache_folder
from ..tasks.base import Encoded
from .features import key_of, load, store

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
    prompts = [item.prompt for item in encoded.features]
    path = cache_folder() / "reference" / f"{key_of(encoded, prompts=prompts, **origin)}.npy"
    values: NDArray[np.float32] | None = load(path, len(encoded.features))
    cached = values is not None
    if values is None:
        values = np.stack([output.log_probabilities for output in outputs()]).astype(np.float32)
        if main:
            store(path, values)
    return task.with_reference(encoded, list(values)), cached
