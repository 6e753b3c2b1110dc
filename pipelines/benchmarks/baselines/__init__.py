"""Models of others, to stand beside in a table."""
