"""Compare: which strategy is best for this data, and how sure one can be."""
