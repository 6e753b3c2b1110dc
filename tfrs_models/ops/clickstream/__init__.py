"""Tensor functions of searches with clicks: scores, confidences, packing, pairs."""
