"""Floors: simple baselines that a fine-tuned model must beat; one module per member."""
