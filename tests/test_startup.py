"""The garbage collector rests while a program starts, and only then."""

from __future__ import annotations

import gc

import pytest

from tunewright import startup


@pytest.fixture(autouse=True)
def collector():
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_the_usual_collector_is_back_when_all_is_there():
    usual = gc.get_threshold()
    startup.hurry()
    assert gc.get_threshold() > usual
    startup.settled()
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() > 0


def test_who_did_not_hurry_keeps_a_collector_of_their_own():
    gc.set_threshold(321, 5, 5)
    startup.settled()
    assert gc.get_threshold() == (321, 5, 5)
    assert gc.get_freeze_count() == 0
