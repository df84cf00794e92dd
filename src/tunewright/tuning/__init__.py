"""Search: settings tried under a budget, and whether tuning beat the defaults."""
