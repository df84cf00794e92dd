"""K-means: one row of each cluster of the pool. What to begin with, while nothing has a label."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import numpy as np

from .base import Acquisition, Choice, Floats, Places, Situation
from .core_set import spread

ITERATIONS = 20  # of k-means; which row is nearest to a centre hardly changes after


class KMeans(Acquisition):
    """The row nearest to the centre of each of `count` clusters (Zhdanov 2019, section 3, without weights)."""

    asks_model: ClassVar[bool] = False
    says: ClassVar[str] = "stands for {:,.0f} rows"
    kind: Literal["kmeans"] = "kmeans"

    def choose(self, situation: Situation, count: int) -> Choice:
        found, sizes = central(situation.features, count, situation.generator)
        return found, sizes.astype(float)


def central(features: Floats, count: int, generator: np.random.Generator, weights: Any = None) -> tuple[Places, Places]:
    """Places of the rows nearest to the centres of `count` clusters, and how many rows each cluster has."""
    from sklearn.cluster import KMeans as Clusters
    from sklearn.exceptions import ConvergenceWarning

    if len(features) <= count:
        return np.arange(len(features)), np.ones(len(features), dtype=np.int64)
    clusters = Clusters(count, n_init=1, max_iter=ITERATIONS, random_state=int(generator.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters: filled up below
        clusters.fit(features, sample_weight=weights)
    distance = np.square(features - clusters.cluster_centers_[clusters.labels_]).sum(1)
    order = np.lexsort((distance, clusters.labels_))
    _, first, sizes = np.unique(clusters.labels_[order], return_index=True, return_counts=True)
    found = order[first]
    rest = np.setdiff1d(np.arange(len(features)), found)
    more = rest[spread(features[rest], count - len(found), features[found])[0]]
    return np.concatenate([found, more]), np.concatenate([sizes, np.ones(len(more), dtype=np.int64)])
