"""Negative items for samples with one positive."""

from typing import NamedTuple

import numpy as np

_BLOCK = 2**22  # number of draws in memory at a time


class Events(NamedTuple):
    """Clicks, of samples or of a whole log.

    Attributes:
      user: `[num_events]` users.
      item: `[num_events]` items.
      moment: `[num_events]` times, or positions in the user's log.
      session: `[num_events]` search sessions of the clicks; 0 for the recommender.
    """

    user: np.ndarray
    item: np.ndarray
    moment: np.ndarray
    session: np.ndarray


class Meetings(NamedTuple):
    """The first moment of each user-item pair, and the items clicked in each search.

    Attributes:
      pairs: `[num_pairs]` ascending keys `user * num_items + item`.
      moments: `[num_pairs]` moment of the first click of each pair.
      clicked: `[num_clicked]` ascending keys `session * num_items + item`.
      num_items: a number above every item.
    """

    pairs: np.ndarray
    moments: np.ndarray
    clicked: np.ndarray
    num_items: int


def first_meetings(events: Events, num_items: int) -> Meetings:
    """Finds the first moment at which each user clicked each item.

    Args:
      events: all clicks.
      num_items: a number above every item, including all items to draw from.

    Returns:
      First moments by user and item, and clicked items by search session.
    """
    pair = events.user * num_items + events.item
    order = np.lexsort([events.moment, pair])
    pairs, first = np.unique(pair[order], return_index=True)
    searched = events.session > 0
    clicked = events.session[searched] * num_items + events.item[searched]
    clicked = np.unique(np.append(clicked, -1))  # never empty
    return Meetings(pairs, events.moment[order][first], clicked, num_items)


def sample_negatives(
    samples: Events,
    num_negatives: int,
    *,
    pool: np.ndarray,
    met: Meetings,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws distinct items for each sample, none of them clicked before or with it.

    Never drawn are the positive, items that the user met at an earlier moment, and
    items clicked in the same search session. Items that the user meets later are
    unknown at that moment and may be drawn.

    Args:
      samples: the samples, with their positives as items.
      num_negatives: number of negatives for each sample.
      pool: items to draw from uniformly; a repeated item is drawn more often.
      met: first moments and clicked items of the whole log.
      rng: generator of the draws.

    Returns:
      `[num_samples, num_negatives]` items.

    Raises:
      ValueError: a user has met almost all items.
    """
    num_samples = len(samples.user)
    if not num_samples:
        return np.zeros([0, num_negatives], np.int64)
    rows = max(1, _BLOCK // max(num_negatives, 1))
    parts = []
    for start in range(0, num_samples, rows):
        part = Events(*(column[start : start + rows] for column in samples))
        parts.append(_draw(part, num_negatives, pool, met, rng))
    return np.concatenate(parts)


def _draw(
    samples: Events,
    num_negatives: int,
    pool: np.ndarray,
    met: Meetings,
    rng: np.random.Generator,
) -> np.ndarray:
    drawn = np.zeros([len(samples.user), num_negatives], np.int64)
    open_rows, open_columns = np.indices(drawn.shape).reshape(2, -1)
    for _ in range(1000):
        if not len(open_rows):
            return drawn
        drawn[open_rows, open_columns] = rng.choice(pool, len(open_rows))
        rows = np.unique(open_rows)
        bad = _unfit(drawn[rows], Events(*(column[rows] for column in samples)), met)
        row, open_columns = np.nonzero(bad)
        open_rows = rows[row]
    left = np.unique(open_rows)
    raise ValueError(
        f"`num_negatives` of {num_negatives} is too many for {len(left)} samples, such "
        f"as one of user {samples.user[left[0]]}, who has met most of the "
        f"{len(np.unique(pool))} items: draw fewer, or keep more items."
    )


def _unfit(drawn: np.ndarray, samples: Events, met: Meetings) -> np.ndarray:
    """`[num_samples, num_negatives]` bool, True for items to draw again."""
    user, item, moment, session = (column[:, None] for column in samples)
    index, known = _find(met.pairs, user * met.num_items + drawn)
    bad = known & (met.moments[index] < moment)
    bad |= _find(met.clicked, session * met.num_items + drawn)[1]
    bad |= drawn == item
    order = np.argsort(drawn, axis=1, kind="stable")
    ranked = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros_like(bad)
    again[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    np.put_along_axis(bad, order, np.take_along_axis(bad, order, 1) | again, axis=1)
    return bad


def _find(known: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds values in an ascending array: candidate indices, and whether they match."""
    index = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return index, known[index] == wanted
