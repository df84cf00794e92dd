"""Evidence: how sure a difference between contestants is; numbers in, numbers out."""
