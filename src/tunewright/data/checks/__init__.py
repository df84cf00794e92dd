"""Checks: one file each, found without registration. Rows and context in, findings out."""
