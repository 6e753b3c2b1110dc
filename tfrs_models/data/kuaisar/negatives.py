"""Items that a user was not after, for samples with one positive."""

from typing import NamedTuple

import numpy as np

_BLOCK = 2**22  # draws in memory at a time


class Meetings(NamedTuple):
    """When each user first met each item.

    Attributes:
      pairs: `[num_pairs]` `user * num_items + item`, ascending.
      times: `[num_pairs]` of the first meeting.
      num_items: Above every item.
    """

    pairs: np.ndarray
    times: np.ndarray
    num_items: int


def first_meetings(
    user: np.ndarray, item: np.ndarray, time: np.ndarray, num_items: int
) -> Meetings:
    """Finds when users and items first met.

    Args:
      user: `[num_interactions]`.
      item: `[num_interactions]`.
      time: `[num_interactions]`.
      num_items: Above every item, those that may be drawn among them.
    """
    pair = user * num_items + item
    order = np.lexsort([time, pair])
    pairs, first = np.unique(pair[order], return_index=True)
    return Meetings(pairs, time[order][first], num_items)


def sample_negatives(
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    num_negatives: int,
    *,
    pool: np.ndarray,
    met: Meetings,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws items for each sample, each once, neither its positive nor met before.

    Args:
      user: `[num_samples]`.
      item: `[num_samples]`, the positives.
      time: `[num_samples]`; what the user met later is not known yet and may be drawn.
      num_negatives: Of each sample.
      pool: Items to draw from, uniformly: as often in it as they are to be drawn.
      met: Of all interactions.
      rng: Of the draws.

    Returns:
      `[num_samples, num_negatives]` items.

    Raises:
      ValueError: a user who has met almost everything.
    """
    if not len(user):
        return np.zeros([0, num_negatives], np.int64)
    rows = max(1, _BLOCK // max(num_negatives, 1))
    parts = [
        _draw(
            user[start : start + rows],
            item[start : start + rows],
            time[start : start + rows],
            num_negatives,
            pool=pool,
            met=met,
            rng=rng,
        )
        for start in range(0, len(user), rows)
    ]
    return np.concatenate(parts)


def _draw(
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    num_negatives: int,
    *,
    pool: np.ndarray,
    met: Meetings,
    rng: np.random.Generator,
) -> np.ndarray:
    drawn = np.zeros([len(user), num_negatives], np.int64)
    open_rows, open_columns = np.indices(drawn.shape).reshape(2, -1)
    for _ in range(1000):
        if not len(open_rows):
            return drawn
        drawn[open_rows, open_columns] = rng.choice(pool, len(open_rows))
        rows = np.unique(open_rows)
        bad = _unfit(drawn[rows], user[rows], item[rows], time[rows], met)
        row, open_columns = np.nonzero(bad)
        open_rows = rows[row]
    left = np.unique(open_rows)
    raise ValueError(
        f"`num_negatives` of {num_negatives} is too many for {len(left)} samples, such "
        f"as one of user {user[left[0]]}, who has met most of the "
        f"{len(np.unique(pool))} items: draw fewer, or keep more items."
    )


def _unfit(
    drawn: np.ndarray,
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    met: Meetings,
) -> np.ndarray:
    """`[num_samples, num_negatives]` bool: to be drawn again."""
    pair = user[:, None] * met.num_items + drawn
    place = np.minimum(np.searchsorted(met.pairs, pair), len(met.pairs) - 1)
    bad = (met.pairs[place] == pair) & (met.times[place] < time[:, None])
    bad |= drawn == item[:, None]
    order = np.argsort(drawn, axis=1, kind="stable")
    ranked = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros_like(bad)
    again[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    np.put_along_axis(bad, order, np.take_along_axis(bad, order, 1) | again, axis=1)
    return bad
