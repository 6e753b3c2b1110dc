"""Ranks of positives under scores that a NumPy function computes in blocks."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.metrics.rank_tables import RankTable

_VALUES = 2**23  # scores of a block: 32 MiB


def rank_scores(
    score: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    rows: Mapping[str, np.ndarray],
    *,
    exclusions: tf.RaggedTensor | None = None,
    block_size: int | None = None,
    by_row: bool = False,
) -> RankTable:
    """Ranks the positive of every row among all items by dense scores.

    Scores are computed for a block of rows at a time, in the order of their times, so
    memory holds a block only. A score that is NaN counts as above every other, and a
    positive whose own score is NaN ranks last.

    Args:
      score: function from `[block]` users and `[block]` int64 times in microseconds
        (None where the rows have none) to `[block, num_items]` scores; item `i` is
        column `i - 1`. It may be the `score` of a baseline.
      rows: columns `user_id`, `item_id` (the positives) and, if there are times,
        `timestamp_us` or `timestamp`, each `[num_rows]`, such as a split of
        `data.Interactions`. A positive of 0 or above the number of items is a miss.
      exclusions: `[num_users + 1, None]` items that do not compete in the rows of a
        user, such as `data.known_items("test")`; None excludes nothing. A positive
        that is among them is a miss, and `hidden`.
      block_size: number of rows of a block; None stands for blocks of 32 MiB.
      by_row: True if `score` takes `[block]` row numbers instead of users.

    Returns:
      The table of all rows, in their order.

    Raises:
      ValueError: the block size is not positive, or the scores have another shape.

    Example:
      >>> rows = {"user_id": np.array([1, 2]), "item_id": np.array([3, 2])}
      >>> scores = np.array([[0, 0, 0], [5, 7, 6], [1, 1, 2]])
      >>> table = tm.metrics.rank_scores(lambda users, times: scores[users], rows)
      >>> table.above, table.tied
      (array([1, 1], dtype=int32), array([0, 1], dtype=int32))
    """
    if block_size is not None and block_size < 1:
        raise ValueError(f"`block_size` must be positive. Got {block_size}.")
    users, times = np.asarray(rows["user_id"]), _times(rows)
    positives = np.asarray(rows["item_id"], np.int64) - 1
    order = np.arange(len(users))
    if times is not None:
        order = np.argsort(times, kind="stable")
    parts, start, size = [], 0, block_size or 1
    while start < len(order):
        block = order[start : start + size]
        now = None if times is None else times[block]
        scores = np.asarray(score(block if by_row else users[block], now))
        if scores.ndim != 2 or len(scores) != len(block):
            raise ValueError(
                "`score` must return `[block, num_items]` scores. Got shape "
                f"{scores.shape} for {len(block)} rows."
            )
        known = _exclusions(exclusions, users[block])
        parts.append(_ranks(scores, positives[block], *known))
        start += size
        size = block_size or max(1, min(1024, _VALUES // max(1, scores.shape[1])))
    if not parts:
        parts = [_ranks(np.zeros((0, 1)), positives, *_exclusions(None, users))]
    back = np.argsort(order)
    return RankTable(
        **{name: np.concatenate([p[name] for p in parts])[back] for name in parts[0]}
    )


def _times(rows: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if "timestamp_us" in rows:
        return np.asarray(rows["timestamp_us"], np.int64)
    if "timestamp" in rows:
        return np.asarray(rows["timestamp"], np.int64) * 10**6
    return None


def _exclusions(
    exclusions: tf.RaggedTensor | None, users: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `users` and columns of all exclusions."""
    if exclusions is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    splits = np.asarray(exclusions.row_splits)
    counts = np.diff(splits)[users]
    owner = np.repeat(np.arange(len(users)), counts)
    first = splits[users] - (np.cumsum(counts) - counts)
    index = np.repeat(first, counts) + np.arange(len(owner))
    return owner, np.asarray(exclusions.values, np.int64)[index] - 1


def _ranks(
    scores: np.ndarray, positives: np.ndarray, owner: np.ndarray, column: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns of the table for a block; `column` of row `owner` does not compete."""
    num_items = scores.shape[1]
    is_held = (positives >= 0) & (positives < num_items)
    hidden = np.zeros(len(scores), bool)
    hidden[owner[column == positives[owner]]] = True
    hidden &= is_held
    found = is_held & ~hidden
    own = scores[np.arange(len(scores)), np.where(is_held, positives, 0)][:, None]
    inside = (column >= 0) & (column < num_items)
    owner, column = np.divmod(  # no exclusion counts twice
        np.unique(owner[inside] * num_items + column[inside]), num_items
    )
    excluded, bar = scores[owner, column], own[owner, 0]

    def count(flags: np.ndarray, flags_excluded: np.ndarray) -> np.ndarray:
        fewer = np.bincount(owner[flags_excluded], minlength=len(scores))
        return np.count_nonzero(flags, axis=1) - fewer

    is_nan = np.isnan(own[:, 0])
    above = count(~(scores <= own), ~(excluded <= bar)) - is_nan  # NaN beats itself
    tied = count(scores == own, excluded == bar) - ~is_nan
    rivals = num_items - found - np.bincount(owner, minlength=len(scores))
    return {
        "above": np.where(found, above, 0).astype(np.int32),
        "tied": np.where(found, tied, 0).astype(np.int32),
        "num_candidates": rivals.astype(np.int32),
        "found": found,
        "hidden": hidden,
    }
