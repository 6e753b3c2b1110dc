"""Towers from a user's history to the embedding of the next item."""
