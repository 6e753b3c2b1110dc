"""A user's history, weighted by how recent its items are."""

import numpy as np


def recency_weighted(
    histories: np.ndarray, *, num_items: int, half_life: float, floor: float
) -> np.ndarray:
    """The history as a row of weights, `0.5^(age / half_life) + floor` for an item.

    In place of the 0s and 1s that EASE and the like multiply with their weights. Peers
    that see no order lose to models that see it for this reason alone.

    Args:
      histories: `[num_users, length]` items, oldest first, 0 beyond the newest.
      num_items: Of the catalogue.
      half_life: In items.
      floor: What an item counts at least.

    Returns:
      `[num_users, num_items]`; an item that occurs twice counts by its newer place.
    """
    weights = np.zeros((len(histories), num_items + 1))
    count = (histories > 0).sum(axis=1)
    users = np.arange(len(histories))
    for place in range(histories.shape[1]):  # newer ones overwrite
        age = np.maximum(count - 1 - place, 0)
        weights[users, histories[:, place]] = 0.5 ** (age / half_life) + floor
    return weights[:, 1:]
