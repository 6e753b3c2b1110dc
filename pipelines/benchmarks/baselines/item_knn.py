"""Nearest neighbours among items."""

import numpy as np


def item_knn_weights(
    interactions: np.ndarray, *, num_neighbours: int, shrinkage: float
) -> np.ndarray:
    """Item-to-item weights `W`; a user with history `x` scores items by `x W`.

    Args:
      interactions: `[num_users, num_items]` 1 where the user has the item, else 0.
      num_neighbours: Of each item, and those as near as the last of them; the other
        weights are 0.
      shrinkage: Added to the denominator of the cosine: few users in common count less.

    Returns:
      `[num_items, num_items]` with a diagonal of zeros.

    Reference:
      Sarwar et al., Item-based collaborative filtering recommendation algorithms,
      WWW 2001.
    """
    common = interactions.T @ interactions
    length = np.sqrt(np.diag(common))
    weights = common / (np.outer(length, length) + shrinkage + 1e-12)
    np.fill_diagonal(weights, 0)
    if num_neighbours < len(weights):
        column = np.partition(weights, -num_neighbours, axis=0)[-num_neighbours]
        weights[weights < column] = 0
    return weights
