"""Lists of a user's rated items, for a ranker to order."""

import numpy as np
import tensorflow as tf

from tfrs_models.data.activity import activity_layout
from tfrs_models.data.batching import row_batches
from tfrs_models.data.interactions import Interactions, timeline
from tfrs_models.data.splits import SPLIT_NAMES

PADDING = -1.0


def list_batches(
    data: Interactions,
    split: str,
    batch_size: int,
    *,
    list_size: int = 20,
    click_rating: float = 4.0,
    shuffle: bool = False,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Makes batches of lists: items that a user rated in succession, with ratings.

    The rows of a user in the split are cut into lists of at most `list_size` rows, in
    the order of time. The user features of a list are those before its first row. Each
    row of the unknown user, which stands for many users, is a list of one row.

    Args:
      data: interactions with ratings, and with activity from `with_activity`.
      split: "train", "validation" or "test".
      batch_size: number of lists in a batch; the last batch may have fewer.
      list_size: number of positions in a list.
      click_rating: smallest rating that counts as a click.
      shuffle: whether each epoch has another order of the lists.
      seed: seed of the order; None follows `tf.random.set_seed`.

    Returns:
      A dataset of known cardinality of dicts: `user_id` and `group_id` (see
      `ranking_groups`) `[batch]` int64, `user_features` `[batch, U]`; `item_id`
      `[batch, list_size]` int64, 0 after the end of a list; `item_features` and
      `cross_features` `[batch, list_size, ...]`; `labels`, the ratings, and `clicks`, 0
      or 1, `[batch, list_size]` float32, -1 after the end of a list.

    Raises:
      ValueError: the data have no activity or ratings, the split is unknown, or a
        number is out of range.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aaaab"), "item_id": list("pqrsp")})
      >>> frame = frame.assign(timestamp=range(5), rating=[5, 2, 4, 3, 1])
      >>> data = tm.data.from_frame(frame, split="leave_last_out")
      >>> data = tm.data.with_activity(data)
      >>> batch = next(iter(tm.data.list_batches(data, "train", 2, list_size=3)))
      >>> batch["labels"].numpy().tolist()
      [[5.0, 2.0, -1.0], [1.0, -1.0, -1.0]]
    """
    if split not in SPLIT_NAMES:
        raise ValueError(f"`split` must be one of {SPLIT_NAMES}. Got {split!r}.")
    if list_size < 1:
        raise ValueError(f"`list_size` must be at least 1. Got {list_size}.")
    columns = data.splits[split]
    missing = {"user_features", "rating"} - columns.keys()
    if missing:
        raise ValueError(
            f"`data` must have ratings, and activity from `with_activity`. Missing: "
            f"{sorted(missing)}."
        )
    rows = rows_of_lists(data, split, list_size)
    layout = activity_layout(data)
    first = rows[:, 0]
    user = columns["user_id"][first]
    groups = np.where(user > 0, user, data.num_users + 1 + first)
    of_list = {
        "user_id": tf.constant(data.users["user_id"][user]),
        "group_id": tf.constant(groups),
        "user_features": tf.constant(columns["user_features"][first]),
        "item_id": tf.constant(np.where(rows >= 0, columns["item_id"][rows], 0)),
    }
    rating = columns["rating"][rows]
    click = (rating >= click_rating).astype(np.float32)
    of_list["labels"] = tf.constant(np.where(rows >= 0, rating, PADDING), tf.float32)
    of_list["clicks"] = tf.constant(np.where(rows >= 0, click, PADDING), tf.float32)
    items = tf.constant(data.items["item_features"])

    def join(chosen: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = {name: tf.gather(column, chosen) for name, column in of_list.items()}
        batch["item_features"] = tf.gather(items, batch["item_id"])
        batch["cross_features"] = layout.cross_features(
            batch["user_features"][:, None], batch["item_features"]
        )
        return batch

    chosen = row_batches(len(rows), batch_size, shuffle=shuffle, seed=seed)
    return chosen.map(join, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def rows_of_lists(data: Interactions, split: str, list_size: int) -> np.ndarray:
    """Finds the rows of a split that make up each list.

    Args:
      data: interactions with timestamps.
      split: "train", "validation" or "test".
      list_size: number of positions in a list.

    Returns:
      `[num_lists, list_size]` int64 row numbers in the order of time, -1 after the end
      of a list.

    Raises:
      ValueError: the data have no timestamps.
    """
    columns, _, order = timeline(data, (split,), ("user_id",))
    user = columns["user_id"][order]
    position = np.arange(len(user)) - np.searchsorted(user, user)
    begins = (position % list_size == 0) | (user == 0)
    number = np.cumsum(begins) - 1
    within = np.arange(len(user)) - np.flatnonzero(begins)[number]
    rows = np.full((int(begins.sum()), list_size), -1, np.int64)
    rows[number, within] = order
    return rows
