"""EASE, a linear autoencoder over items in closed form."""

import numpy as np


def ease_weights(interactions: np.ndarray, *, regularization: float) -> np.ndarray:
    """Computes item-to-item weights `B`; a history `x` scores items by `x B`.

    Args:
      interactions: `[num_users, num_items]` 1 where the user has the item, else 0.
      regularization: value added to the diagonal of the Gram matrix; large values
        approach plain co-occurrence.

    Returns:
      `[num_items, num_items]` with a diagonal of zeros.

    Reference:
      Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019.
    """
    gram = interactions.T @ interactions
    gram[np.diag_indices_from(gram)] += regularization
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights
