"""Histories weighted by the recency of their items."""

import numpy as np


def recency_weighted(
    histories: np.ndarray, *, num_items: int, half_life: float, floor: float
) -> np.ndarray:
    """Weighs the items of histories by `0.5^(age / half_life) + floor`.

    The weights replace the 0s and 1s by which EASE and item-kNN multiply their weights:
    without the order of the items they lose to sequence models for this reason alone.

    Args:
      histories: `[num_users, length]` item indices, oldest first, 0 for padding at the
        end.
      num_items: number of items of the catalogue.
      half_life: number of newer items after which a weight is halved.
      floor: smallest weight of an item in the history.

    Returns:
      `[num_users, num_items]`; a repeated item counts by its newest position.
    """
    weights = np.zeros((len(histories), num_items + 1))
    count = (histories > 0).sum(axis=1)
    users = np.arange(len(histories))
    for position in range(histories.shape[1]):  # newer positions overwrite
        age = np.maximum(count - 1 - position, 0)
        weights[users, histories[:, position]] = 0.5 ** (age / half_life) + floor
    return weights[:, 1:]
