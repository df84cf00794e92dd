"""Tasks: what the rows mean. One module per member."""
