"""From files to rows: sources, columns, labels, splits, the ledger, the sampler."""
