"""What the tests of tasks that write answers share."""

from __future__ import annotations

import pytest

from tests.language_models import DECODERS


@pytest.fixture(params=DECODERS)
def kind(request):
    return request.param
