"""Comparisons of tiny models."""

from __future__ import annotations

import pytest

from tests.conftest import settings


@pytest.fixture
def raw(tiny, inbox, tmp_path):
    made = settings(tiny, inbox, tmp_path / "contest")
    made["data"].pop("test_share")
    return made
