"""Models that all tests of a file share."""

from __future__ import annotations

import pytest

from tests.language_models import make_language_model
from tests.strategies.language_models import (
    KINDS,
)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    home = tmp_path_factory.mktemp("zoo")
    for kind in KINDS:
        make_language_model(home / kind, kind, spread=0.3)
    return home
