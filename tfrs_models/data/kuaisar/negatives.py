"""Items that a user was not after, for samples with one positive."""

from typing import NamedTuple

import numpy as np

_BLOCK = 2**22  # draws in memory at a time


class Events(NamedTuple):
    """Clicks, of samples or of a whole log.

    Attributes:
      user: `[num_events]`.
      item: `[num_events]`.
      moment: `[num_events]` when: times, or places in the user's log.
      session: `[num_events]` search session of the click; 0: of the recommender.
    """

    user: np.ndarray
    item: np.ndarray
    moment: np.ndarray
    session: np.ndarray


class Meetings(NamedTuple):
    """When each user first met each item, and what each search session clicked.

    Attributes:
      pairs: `[num_pairs]` `user * num_items + item`, ascending.
      moments: `[num_pairs]` of the first meeting.
      clicked: `[num_clicked]` `session * num_items + item`, ascending.
      num_items: Above every item.
    """

    pairs: np.ndarray
    moments: np.ndarray
    clicked: np.ndarray
    num_items: int


def first_meetings(events: Events, num_items: int) -> Meetings:
    """Finds when users and items first met.

    Args:
      events: All clicks.
      num_items: Above every item, those that may be drawn among them.
    """
    pair = events.user * num_items + events.item
    order = np.lexsort([events.moment, pair])
    pairs, first = np.unique(pair[order], return_index=True)
    searched = events.session > 0
    clicked = events.session[searched] * num_items + events.item[searched]
    clicked = np.unique(np.append(clicked, -1))  # there may be no clicks in searches
    return Meetings(pairs, events.moment[order][first], clicked, num_items)


def sample_negatives(
    samples: Events,
    num_negatives: int,
    *,
    pool: np.ndarray,
    met: Meetings,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws items for each sample, each once, none of them clicked before or with it.

    Neither the positive is drawn, nor what the user met at an earlier moment, nor what
    the sample's own search session clicked. What the user met later is not known yet
    and may be drawn.

    Args:
      samples: Their positives.
      num_negatives: Of each sample.
      pool: Items to draw from, uniformly: as often in it as they are to be drawn.
      met: Of all clicks.
      rng: Of the draws.

    Returns:
      `[num_samples, num_negatives]` items.

    Raises:
      ValueError: a user who has met almost everything.
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
    """`[num_samples, num_negatives]` bool: to be drawn again."""
    user, item, moment, session = (column[:, None] for column in samples)
    place, known = _places(met.pairs, user * met.num_items + drawn)
    bad = known & (met.moments[place] < moment)
    bad |= _places(met.clicked, session * met.num_items + drawn)[1]
    bad |= drawn == item
    order = np.argsort(drawn, axis=1, kind="stable")
    ranked = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros_like(bad)
    again[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    np.put_along_axis(bad, order, np.take_along_axis(bad, order, 1) | again, axis=1)
    return bad


def _places(known: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in ascending values others may be, and whether they are there."""
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return place, known[place] == wanted
