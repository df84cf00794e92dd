"""Planner: the memory and time of a run, before it begins."""
