"""Shapes, positions and discounts of lists of scored items."""
