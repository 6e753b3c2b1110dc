"""Serendipity of top-k lists against the lists of a simple recommender."""

from collections.abc import Sequence

import numpy as np

from tfrs_models.metrics.top_k_lists import (
    checked_lists,
    mean_of_lists,
    rows_of_users,
)


def serendipity(
    lists: np.ndarray,
    relevant: Sequence[np.ndarray],
    simple_lists: np.ndarray,
    *,
    num_items: int,
) -> np.ndarray:
    """Computes how many of the hits of each list a simple recommender would not show.

    `sum_{i in L_u} max(p_i - s_i, 0) rel_i / |L_u|` with `p_i = (n + 1 - rank_i) / n`,
    `n` the number of items, `s_i` the same of the rank in the list of the simple
    recommender, 0 if it is not there, and `rel_i` 1 for a relevant item. RecTools'
    `Serendipity` is the same with one simple list for all users: the whole catalogue,
    by popularity.

    Args:
      lists: `[num_users, k]` item indices, best first; 0 and -1 are padding.
      relevant: item indices that each user took: one array a user, a padded
        `[num_users, length]` array or a `tf.RaggedTensor`.
      simple_lists: `[num_users, length]` item indices of the simple recommender, best
        first, or `[1, length]` for all users; 0 and -1 are padding.
      num_items: number of items in the catalogue.

    Returns:
      `[num_users]` values in [0, 1]; NaN for a list without items.

    Raises:
      ValueError: the lists are no item indices, or are of different users.

    Example:
      >>> lists, simple = np.array([[1, 2], [3, 4]]), np.array([[1, 5]])
      >>> relevant = [[1], [4]]  # the first user's hit is in the simple list too
      >>> tm.metrics.serendipity(lists, relevant, simple, num_items=5)
      array([0. , 0.4])

    Reference:
      Ge et al., Beyond accuracy: evaluating recommender systems by coverage and
      serendipity, RecSys 2010.
    """
    lists = checked_lists(lists, num_items)
    simple_lists = checked_lists(
        simple_lists, num_items, name="simple_lists", may_be_empty=True
    )
    if len(simple_lists) not in (1, len(lists)):
        raise ValueError(
            f"`simple_lists` must have a row for each of the {len(lists)} rows of "
            f"`lists`, or one for all. Got {len(simple_lists)}."
        )
    users, items = rows_of_users(relevant, len(lists), num_items, name="relevant")
    offsets = np.arange(len(lists))[:, None] * (num_items + 1)
    keys = lists + offsets
    hit = np.isin(keys, items + users * (num_items + 1))
    own_lists = len(simple_lists) > 1
    simple_rank = _ranks(
        keys if own_lists else lists,
        simple_lists + offsets if own_lists else simple_lists,
        simple_lists > 0,
        missing=num_items + 1,
    )
    rank = np.arange(1, lists.shape[1] + 1)
    gain = np.maximum(simple_rank - rank, 0) / num_items
    return mean_of_lists(np.where(hit, gain, 0.0), lists > 0)


def _ranks(
    keys: np.ndarray, simple_keys: np.ndarray, mask: np.ndarray, *, missing: int
) -> np.ndarray:
    """Looks up the ranks of keys among those of the simple lists.

    Args:
      keys: `[num_users, k]` distinct number of each user and item.
      simple_keys: `[rows, length]` such numbers, best first.
      mask: `[rows, length]`, True where a simple list has an item.
      missing: rank of a key that the simple lists lack.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return np.full(keys.shape, missing)
    known = simple_keys[rows, columns]
    order = np.argsort(known)
    known, ranks = known[order], columns[order] + 1
    index = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[index] == keys, ranks[index], missing)
