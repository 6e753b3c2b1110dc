"""Ranks of candidates: exact ranks in a corpus, metrics of ranks, top-k of blocks."""
