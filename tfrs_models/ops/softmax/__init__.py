"""Softmax cross-entropy over blocks of candidates, and InfoNCE of pairs."""
