"""Augmenters: one module a technique that makes new rows of old ones."""
