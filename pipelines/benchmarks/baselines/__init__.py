"""Models of other systems, for comparisons."""
