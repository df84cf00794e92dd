"""Terms: texts as sparse TF-IDF vectors of words, pairs of words, and the letters within words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 150_000  # terms of each view, the most frequent first
VIEWS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "token_pattern": r"\w+|[^\w\s]", "ngram_range": (1, 2)},
    "letters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}


class Terms:
    """Sublinear TF-IDF (scikit-learn's), each of both views of length one, so that a text has length sqrt(2).

    Args:
        names: the terms of each view, in the order of the columns.
        weights: their inverse document frequencies.
    """

    def __init__(self, names: dict[str, list[str]], weights: dict[str, NDArray[Any]]) -> None:
        self.names, self.weights = names, weights
        self.vectorizers = [vectorizer(view, None, names[view]) for view in VIEWS]
        for fitted, view in zip(self.vectorizers, VIEWS, strict=True):
            fitted.idf_ = weights[view]

    @classmethod
    def of(cls, texts: Sequence[str], most: int = MOST) -> Terms:
        names, weights = {}, {}
        for view in VIEWS:
            fitted = vectorizer(view, most).fit([*texts, "."])  # never without a term
            names[view] = [str(name) for name in fitted.get_feature_names_out()]
            weights[view] = np.asarray(fitted.idf_, dtype=np.float32)
        return cls(names, weights)

    @classmethod
    def saved(cls, numbers: dict[str, Any], words: dict[str, Any]) -> Terms:
        """From what `numbers` and `words` of a learner hold."""
        return cls({view: words[view] for view in VIEWS}, {view: numbers[f"idf_{view}"] for view in VIEWS})

    def numbers(self) -> dict[str, NDArray[Any]]:
        return {f"idf_{view}": values for view, values in self.weights.items()}

    def __call__(self, texts: Sequence[str]) -> Any:
        """(N, V) sparse."""
        from scipy.sparse import hstack

        return hstack([fitted.transform(texts) for fitted in self.vectorizers], format="csr", dtype=np.float32)


def vectorizer(view: str, most: int | None, names: list[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        **VIEWS[view], sublinear_tf=True, dtype=np.float32, vocabulary=names, max_features=most
    )  # fmt: skip
