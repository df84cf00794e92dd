"""Acquisition: which rows of a pool to label next; one file a strategy, found without registration."""
