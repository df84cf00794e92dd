"""The desk's encoder: pooled features of texts, by the cache that feature_extraction trains from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import models
from ..data.row import Row
from ..tasks.sequence_classification import SequenceClassification
from ..training import features, precision


@dataclass
class PooledEncoder:
    """Features of texts from an encoder without a head.

    Args:
        name: an embedded alias, a local folder or a hub id.
        trust_remote_code: whether Python code that comes with it may run.

    Raises ModelError where it is asked first and there is no such model.
    """

    name: str = "minilm"
    trust_remote_code: bool = False
    _model: Any = field(default=None, repr=False)

    @cached_property
    def source(self) -> models.Source:
        return models.locate(self.name, self.trust_remote_code)

    @cached_property
    def task(self) -> SequenceClassification:
        return SequenceClassification(labels=("0", "1")).settle(self.source, True)

    @cached_property
    def tokenizer(self) -> Any:
        return models.load_tokenizer(self.source)

    @cached_property
    def device(self) -> Any:
        import torch

        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def __call__(
        self, texts: Sequence[tuple[str, ...]], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """(N, d) features of N texts or pairs."""
        import torch

        before = torch.get_float32_matmul_precision()
        width, depth = models.widths(self.source.config)
        precision.use_fast_fp32(width, depth, self.device)
        try:
            return self.features(texts, progress)
        finally:
            torch.set_float32_matmul_precision(before)  # a run that comes after chooses for its own model

    def features(
        self, texts: Sequence[tuple[str, ...]], progress: Callable[[int, int], None] | None
    ) -> NDArray[np.float32]:
        rows = [Row(place, text) for place, text in enumerate(texts)]
        encoded = self.task.encode(rows, self.tokenizer, self.task.max_length(self.source))
        origin = features.origin_of(self.source, pooling=self.task.pooling, kernels="fast")
        collate = partial(self.task.collate, tokenizer=self.tokenizer)
        return features.features_of(lambda: self.model, encoded, collate, self.device, origin, progress)[0]

    @property
    def model(self) -> Any:
        """Loaded where the cache does not know a text; sped up as a run's is, so that both give the same features."""
        if self._model is None:
            self._model = self.task.build(self.source).requires_grad_(False).to(self.device)
            precision.use_fast_kernels(self._model, self.source.config, self.device)
        return self._model
