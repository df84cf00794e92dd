"""Evidence: how sure a difference between contestants is; numbers in, numbers out."""

from .intervals import LEVEL, RESAMPLES, intervals
from .verdict import compared

__all__ = ["LEVEL", "RESAMPLES", "compared", "intervals"]
