"""Training rows that are held back for a second model, such as a ranker."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfrs_models.data.interactions import Interactions, timeline
from tfrs_models.data.probabilities import candidate_probabilities
from tfrs_models.data.splits import SPLIT_NAMES


def with_held_back(
    data: Interactions, *, fraction: float = 0.15, most: int = 30
) -> Interactions:
    """Holds back the newest training rows of each user, for a model over another.

    A ranker must learn from what a retrieval model hands over for rows that this model
    was not trained on: lists of its training rows are better than those of any request.
    So a retrieval model is trained on the earlier rows, its lists for the rows held
    back train the ranker, and validation and test rows stay what they are.

    Args:
      data: interactions with timestamps.
      fraction: share of the rows of a user, at least one row of two or more.
      most: largest number of rows of a user, so that few users do not rule.

    Returns:
      The same data, whose split "train" has the earlier rows, "validation" the rows
      held back and "test" the validation rows. The test rows are not in it. Users and
      items keep their indices.

    Raises:
      ValueError: the data have no timestamps, a number is out of range, or no user has
        two training rows.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaaaa"), "item_id": list("pqrst")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> earlier = tm.data.with_held_back(data)
      >>> [len(earlier.splits[s]["item_id"]) for s in ("train", "validation", "test")]
      [2, 1, 1]
    """
    if not 0 < fraction < 1:
        raise ValueError(
            f"`fraction` must be between 0 and 1, both excluded. Got {fraction}."
        )
    if most < 1:
        raise ValueError(f"`most` must be at least 1. Got {most}.")
    train = data.splits["train"]
    rows = timeline(data, ("train",), ("user_id",))
    user = rows.columns["user_id"][rows.order]
    counts = np.bincount(user, minlength=data.num_users + 1)
    number = np.floor(fraction * counts + 0.5).astype(np.int64)
    number = np.minimum(np.clip(number, 1, most), np.maximum(counts - 1, 0))
    number[0] = 0  # the unknown user stands for many users
    newer = np.cumsum(counts)[user] - 1 - np.arange(len(user))
    held = np.zeros(len(user), bool)
    held[rows.order] = newer < number[user]
    if not held.any():
        raise ValueError(
            "`data` must have a user with two training rows: the newer is held back. "
            "Got none."
        )
    earlier = {name: column[~held] for name, column in train.items()}
    splits = {
        "train": earlier,
        "validation": {name: column[held] for name, column in train.items()},
        "test": data.splits["validation"],
    }
    shares = candidate_probabilities(earlier, num_items=data.num_items)
    return dataclasses.replace(data, splits=splits, candidate_probabilities=shares)


def earlier_items(data: Interactions, split: str) -> tf.RaggedTensor:
    """Returns the items that the user of each row had before the row, in any split.

    Args:
      data: interactions with timestamps.
      split: "train", "validation" or "test".

    Returns:
      `[num_rows, None]` int64 items, oldest first; none for the unknown user.

    Raises:
      ValueError: the data have no timestamps, or the split is unknown.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaaaa"), "item_id": list("pqrst")})
      >>> frame = frame.assign(timestamp=range(5))
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> tm.data.earlier_items(data, "validation").numpy().tolist()
      [[1, 2, 3]]
    """
    if split not in SPLIT_NAMES:
        raise ValueError(f"`split` must be one of {SPLIT_NAMES}. Got {split!r}.")
    columns, part, order = timeline(data, SPLIT_NAMES)
    user, item = columns["user_id"][order], columns["item_id"][order]
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    ends = position[part == SPLIT_NAMES.index(split)]
    starts = np.where(user[ends] > 0, np.searchsorted(user, user[ends]), ends)
    lengths = ends - starts
    row_splits = np.concatenate([[0], np.cumsum(lengths)])
    index = np.arange(row_splits[-1]) + np.repeat(starts - row_splits[:-1], lengths)
    return tf.RaggedTensor.from_row_splits(item[index], row_splits, validate=False)
