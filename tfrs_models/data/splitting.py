"""Splits by name, and the errors of a table that cannot be split that way."""

import numpy as np

from tfrs_models.data.splits import (
    SPLIT_NAMES,
    TEST,
    TRAIN,
    split_global_time,
    split_leave_last_out,
    split_new_items,
    split_per_user_time,
    split_random,
)

TIME_SPLITS = ("per_user_time", "leave_last_out", "global_time", "new_items")
SPLITS = (*TIME_SPLITS, "random")


def split_rows(
    user: np.ndarray,
    item: np.ndarray,
    timestamp: np.ndarray | None,
    *,
    split: str,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> np.ndarray:
    """Splits rows the way that `split` names.

    Args:
      user: `[num_rows]` user of the row, as non-negative ints.
      item: `[num_rows]` item of the row.
      timestamp: `[num_rows]` time of the row; None will do for the random split.
      split: one of `SPLITS`.
      validation_fraction: see the functions of `data.splits`.
      test_fraction: see there.
      seed: of what is drawn: the random rows or the new items.

    Returns:
      `[num_rows]` int8 split of the row.

    Raises:
      ValueError: an unknown split, or one that leaves train or test empty.
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {SPLITS}. Got {split!r}.")
    fractions = {
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
    }
    if split == "per_user_time":
        part = split_per_user_time(user, timestamp, **fractions)
    elif split == "leave_last_out":
        part = split_leave_last_out(user, timestamp)
    elif split == "global_time":
        part = split_global_time(timestamp, **fractions)
    elif split == "new_items":
        part = split_new_items(
            user, item, timestamp, test_fraction=test_fraction, seed=seed
        )
    else:
        part = split_random(len(user), seed=seed, **fractions)
    for code in (TRAIN, TEST):
        if not np.any(part == code):
            raise ValueError(
                f'`split="{split}"` must leave rows in train and in test. Got no '
                f"{SPLIT_NAMES[code]} row out of {len(user):,}: use more data, other "
                "fractions or another split."
            )
    return part
