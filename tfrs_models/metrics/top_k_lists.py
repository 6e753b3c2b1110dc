"""Checks of top-k lists, and of what is known of their items and users."""

import numbers
from collections.abc import Sequence

import numpy as np


def checked_lists(
    lists: np.ndarray,
    num_items: int,
    *,
    name: str = "lists",
    may_be_empty: bool = False,
) -> np.ndarray:
    """Returns top-k lists with 0 for every padding.

    Args:
      lists: `[num_users, k]` item indices in 1 to `num_items`; 0 and -1 are padding.
      num_items: number of items in the catalogue.
      name: name of the argument in errors.
      may_be_empty: whether the lists may hold padding only.

    Returns:
      `[num_users, k]` int64 item indices, 0 where a list has no item.

    Raises:
      ValueError: no lists, no integers, an index out of range, a list that repeats an
        item, or lists without a single item.
    """
    if not isinstance(num_items, numbers.Integral) or num_items < 1:
        raise ValueError(
            f"`num_items` must be a whole number above 0. Got {num_items}."
        )
    lists = np.asarray(lists)
    if lists.ndim != 2 or 0 in lists.shape:
        raise ValueError(
            f"`{name}` must be `[num_users, k]` item indices of at least one user and "
            f"one position. Got the shape {lists.shape}."
        )
    if not np.issubdtype(lists.dtype, np.integer):
        raise ValueError(
            f"`{name}` must hold item indices, which are integers. Got {lists.dtype}: "
            "pass the items of the top-k search, not their scores."
        )
    if lists.min() < -1 or lists.max() > num_items:
        raise ValueError(
            f"`{name}` must hold item indices from 1 to {num_items}, or 0 or -1 for "
            f"padding. Got {lists.min()} to {lists.max()}: the index of an item is its "
            "row in `items`, whose row 0 is the unknown item."
        )
    lists = np.maximum(lists.astype(np.int64), 0)
    if not may_be_empty and not lists.any():
        raise ValueError(f"`{name}` must hold at least one item. Got padding only.")
    ordered = np.sort(lists, axis=1)
    repeats = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)).any(axis=1)
    if repeats.any():
        row = int(np.flatnonzero(repeats)[0])
        raise ValueError(
            f"`{name}` must not repeat an item within a list. Got {lists[row]} in row "
            f"{row}, one of {repeats.sum()} such lists."
        )
    return lists


def checked_counts(
    counts: np.ndarray, *, name: str, num_items: int | None = None
) -> np.ndarray:
    """Returns numbers of items that are finite and not negative, as float64.

    Args:
      counts: `[num_items + 1]` numbers; row 0 is the unknown item.
      name: name of the argument in errors.
      num_items: number of items in the catalogue, None if it is not known.

    Raises:
      ValueError: the shape is another, or a number is negative or not finite.
    """
    counts = np.asarray(counts)
    length = num_items + 1 if num_items is not None else max(2, len(np.ravel(counts)))
    if counts.shape != (length,):
        raise ValueError(
            f"`{name}` must be `[num_items + 1]`, here [{length}]: row 0 is the "
            f"unknown item. Got the shape {counts.shape}."
        )
    counts = counts.astype("float64")
    if not (np.isfinite(counts).all() and counts.min() >= 0):
        raise ValueError(
            f"`{name}` must be finite and not negative. Got {counts.min()} to "
            f"{counts.max()}."
        )
    return counts


def rows_of_users(
    items: Sequence[np.ndarray], num_users: int, num_items: int, *, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Flattens the items of users to rows of (user, item).

    Args:
      items: items of each user: `num_users` arrays, a padded array or a
        `tf.RaggedTensor`; 0 and -1 are padding.
      num_users: number of users, which have a list each.
      num_items: number of items in the catalogue.
      name: name of the argument in errors.

    Returns:
      `[num_rows]` row of the user in `items` and `[num_rows]` item index, int64, in the
      order of the users.

    Raises:
      ValueError: the number of users is another, or an index is no item.
    """
    if hasattr(items, "row_splits"):
        lengths = np.diff(np.asarray(items.row_splits))
        values = np.asarray(items.values)
    else:
        parts = [np.asarray(part) for part in items]
        lengths = np.array([len(part) for part in parts], np.int64)
        parts = [part for part in parts if len(part)] or [np.zeros(0, np.int64)]
        values = np.concatenate(parts)
    if len(lengths) != num_users:
        raise ValueError(
            f"`{name}` must hold the items of all {num_users} users of `lists`, in "
            f"their order. Got {len(lengths)} users."
        )
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"`{name}` must hold item indices, one row of integers for each user. Got "
            f"{values.dtype} of the shape {values.shape}."
        )
    if len(values) and (values.min() < -1 or values.max() > num_items):
        raise ValueError(
            f"`{name}` must hold item indices from 1 to {num_items}, or 0 or -1 for "
            f"padding. Got {values.min()} to {values.max()}."
        )
    users = np.repeat(np.arange(num_users), lengths)
    some = values > 0
    return users[some], values[some].astype(np.int64)


def mean_of_lists(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Averages values over the items of each list.

    Args:
      values: `[num_users, k]` values.
      mask: `[num_users, k]`, True where a list has an item.

    Returns:
      `[num_users]` means; NaN for a list without items.
    """
    counts = mask.sum(axis=1)
    totals = np.where(mask, values, 0.0).sum(axis=1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
