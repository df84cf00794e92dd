"""Strategies: which parameters train, how the model is changed, at which rates. One module per member."""
