"""Slices of the rows of a split, on each of which a metric tells something else."""

import numpy as np

from tfrs_models.data.interactions import EARLIER, Interactions, timeline
from tfrs_models.data.splits import SPLIT_NAMES
from tfrs_models.data.times import SECOND, row_times

_LENGTHS = {
    "no history": (0, 0),
    "history 1": (1, 1),
    "history 2-5": (2, 5),
    "history 6-20": (6, 20),
    "history over 20": (21, np.inf),
}


def row_slices(
    data: Interactions, split: str, *, session_gap_seconds: float = 3600
) -> dict[str, np.ndarray]:
    """Tells of each row of a split whether it repeats, ties or begins a session.

    What comes before a row are the user's earlier rows of all splits, in the order of
    time and, for equal times, of the table. Without times they are the user's rows in
    earlier splits. Rows of the unknown user, who stands for many, have nothing before.

    Args:
      data: interactions with or without timestamps.
      split: "train", "validation" or "test".
      session_gap_seconds: longest pause within a session, in seconds.

    Returns:
      A dict of `[num_rows]` bool arrays. "repeat" rows have an item that the user has
      in an earlier split or an earlier row, the others are "new". "tied" rows have the
      time of the user's previous or next row of any split, the others are "untied".
      Rows "after a gap" come more than `session_gap_seconds` after the user's previous
      row, rows "within a session" at most that; a user's first row is neither. "no
      history", "history 1", "history 2-5", "history 6-20" and "history over 20" are
      the numbers of rows before. Data without times have no slices "tied", "untied",
      "after a gap" and "within a session".

    Raises:
      ValueError: the split is unknown, or the gap is not positive.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaaa"), "item_id": list("pqrp")})
      >>> frame = frame.assign(timestamp=[0, 60, 120, 9999])
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> slices = tm.data.row_slices(data, "test")
      >>> [name for name, rows in slices.items() if rows[0]]
      ['repeat', 'untied', 'after a gap', 'history 2-5']
    """
    if split not in SPLIT_NAMES:
        raise ValueError(f"`split` must be one of {SPLIT_NAMES}. Got {split!r}.")
    if not session_gap_seconds > 0:
        raise ValueError(
            f"`session_gap_seconds` must be positive. Got {session_gap_seconds}."
        )
    code = SPLIT_NAMES.index(split)
    train = data.splits["train"]
    if "timestamp" not in train:
        return _without_times(data, code)
    columns, part, order = timeline(data, SPLIT_NAMES)
    user, item = (column[order] for column in columns.values())
    time = np.concatenate([row_times(data.splits[name]) for name in SPLIT_NAMES])
    time = time[order]
    part = part[order]
    known = user > 0
    same_user = known & (user == np.append(-1, user[:-1]))
    gap = np.where(same_user, np.diff(time, prepend=time[:1]), -1)
    length = np.arange(len(user)) - np.where(
        known, np.searchsorted(user, user), np.arange(len(user))
    )
    tied = gap == 0
    tied |= np.append(tied[1:], False)
    longest = session_gap_seconds * SECOND
    found = {
        **_repeats(user, item, part, code),
        "tied": tied,
        "untied": ~tied,
        "after a gap": gap > longest,
        "within a session": (gap >= 0) & (gap <= longest),
        **_of_length(length),
    }
    chosen = np.flatnonzero(part == code)
    # Rows of a split follow each other in the timeline's columns as in the split.
    chosen = chosen[np.argsort(order[chosen])]
    return {name: rows[chosen] for name, rows in found.items()}


def _without_times(data: Interactions, code: int) -> dict[str, np.ndarray]:
    name = SPLIT_NAMES[code]
    names = (*EARLIER[name], name)
    user, item = (
        np.concatenate([data.splits[s][column] for s in names])
        for column in ("user_id", "item_id")
    )
    sizes = [len(data.splits[s]["user_id"]) for s in names]
    part = np.repeat(np.arange(len(names)), sizes)
    counts = np.bincount(user[part < code], minlength=data.num_users + 1)
    counts[0] = 0
    found = {**_repeats(user, item, part, code), **_of_length(counts[user])}
    return {name: rows[part == code] for name, rows in found.items()}


def _repeats(
    user: np.ndarray, item: np.ndarray, part: np.ndarray, code: int
) -> dict[str, np.ndarray]:
    """Rows, in their order, whose pair is in an earlier row or an earlier split."""
    pair = user * (item.max(initial=0) + 1) + item
    _, first = np.unique(pair, return_index=True)
    repeat = np.ones(len(pair), bool)
    repeat[first] = False
    repeat |= np.isin(pair, pair[part < code])
    repeat &= user > 0
    return {"repeat": repeat, "new": ~repeat}


def _of_length(length: np.ndarray) -> dict[str, np.ndarray]:
    return {
        name: (least <= length) & (length <= most)
        for name, (least, most) in _LENGTHS.items()
    }
