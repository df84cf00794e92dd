"""Preview: what a model is fed for a row, and what a split comes to; before anything is trained.

Nothing is encoded here: data, task and tokenizer are taken in as for a run, and what is told is read off its batches.
"""

from __future__ import annotations

from .prepared import Preview, prepare
from .rows import Described, Token, Window
from .summary import Summary
from .written import Passage, Stretch, WrittenRow

__all__ = ["Described", "Passage", "Preview", "Stretch", "Summary", "Token", "Window", "WrittenRow", "prepare"]
