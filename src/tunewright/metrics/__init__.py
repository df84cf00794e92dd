"""Scores: pure functions of arrays, no network, no state."""
