"""Item-kNN: scores by the nearest neighbours of the items of a history."""

import numpy as np


def item_knn_weights(
    interactions: np.ndarray, *, num_neighbours: int, shrinkage: float
) -> np.ndarray:
    """Computes item-to-item weights `W`; a history `x` scores items by `x W`.

    Args:
      interactions: `[num_users, num_items]` 1 where the user has the item, else 0.
      num_neighbours: number of neighbours of each item; ties with the last one are
        included, and all other weights are 0.
      shrinkage: value added to the denominator of the cosine, which lowers weights by
        few common users.

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
