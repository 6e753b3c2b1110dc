"""Top-k lists for tests."""

import numpy as np


def random_lists(rng, num_users, k, num_items):
    """Lists of different lengths, of popular items more than of others."""
    weights = 1 / np.arange(1, num_items + 1)
    lists = np.zeros((num_users, k), int)
    for row in lists:
        size = rng.integers(k + 1)
        row[:size] = rng.choice(
            num_items, size, replace=False, p=weights / weights.sum()
        )
        row[:size] += 1
        row[size:] = rng.choice([0, -1])
    return lists
