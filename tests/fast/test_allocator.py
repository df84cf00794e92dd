"""The allocator is told once, and only where it is glibc's."""

from __future__ import annotations

import ctypes
import platform

import pytest

from tunewright.fast import allocator


@pytest.mark.parametrize(("library", "told"), [("glibc", {-4: 0, -1: -1, -2: 2**26}), ("musl", {}), ("", {})])
def test_only_glibc_is_told_to_keep_memory(monkeypatch, library, told):
    heard = {}
    monkeypatch.setattr(platform, "libc_ver", lambda: (library, "2.36"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: type("C", (), {"mallopt": staticmethod(heard.__setitem__)}))
    allocator.keep_memory()
    assert heard == told
