"""Splits: which rows train, and which are held out. One file for each kind; all are seeded, none reads a file."""
