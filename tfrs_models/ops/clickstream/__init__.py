"""Tensor functions of searches with clicks: objects, pairs, confidences."""
