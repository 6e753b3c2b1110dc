"""Which users and items have enough interactions among themselves."""

import numpy as np


def k_core(
    user: np.ndarray, item: np.ndarray, k: int, required: np.ndarray | None = None
) -> np.ndarray:
    """Drops users and items with fewer than `k` interactions until none is left.

    Args:
      user: `[num_interactions]` int from 0.
      item: `[num_interactions]` int from 0.
      k: Interactions, repeated ones included, that a user and an item need.
      required: `[num_interactions]` bool: users need one of these, too.

    Returns:
      `[num_interactions]` bool, the interactions that stay.
    """
    keep = np.ones(len(user), bool)
    while keep.any():
        users, items = user[keep], item[keep]
        num_users, num_items = user.max() + 1, item.max() + 1
        good = np.bincount(users, minlength=num_users) >= k
        if required is not None:
            good &= np.bincount(users[required[keep]], minlength=num_users) > 0
        good_item = np.bincount(items, minlength=num_items) >= k
        stay = keep & good[user] & good_item[item]
        if stay.sum() == keep.sum():
            break
        keep = stay
    return keep
