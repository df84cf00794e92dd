"""Advice: which strategy when, and when not to fine-tune at all."""
