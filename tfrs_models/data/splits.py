"""Splits of rows into train, validation and test.

Every function returns an int8 array with one entry per row: `TRAIN`, `VALIDATION` or
`TEST`. Rows with equal timestamps keep the order in which they are given. `from_frame`
draws this order with the seed, because a file often sorts such rows by item id; the
audit counts the test rows that depend on it.
"""

import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "validation", "test")
TIME_SPLITS = ("per_user_time", "leave_last_out", "global_time", "new_items")
SPLITS = (*TIME_SPLITS, "random")
UNORDERED_SPLITS = ("new_items", "random")
"""Splits whose test rows may lie before train rows of the same user."""


def split_per_user_time(
    user: np.ndarray,
    timestamp: np.ndarray,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> np.ndarray:
    """Tests on the end of each user's history, validates on the part before it.

    Of a user's `n` rows, `test_fraction * n` are test and `validation_fraction * n` are
    validation, each rounded half up and at least 1 (0 for a `validation_fraction` of
    0). A user with too few rows gives up validation first, then test: one row is train;
    two rows are train, test; three rows are train, validation, test.

    Args:
      user: `[num_rows]` users of the rows, non-negative ints.
      timestamp: `[num_rows]` times of the rows.
      validation_fraction: share of a user's rows in [0, 1).
      test_fraction: share of a user's rows in (0, 1).

    Returns:
      `[num_rows]` int8 split of each row.

    Raises:
      ValueError: a fraction is out of range, or both leave nothing to train on.
    """
    _check_fractions(validation_fraction, test_fraction)
    age, length = _ages(user, timestamp)
    num_test = np.maximum(_round_half_up(test_fraction * length), 1)
    num_test = np.minimum(num_test, length - 1)
    num_validation = _round_half_up(validation_fraction * length)
    if validation_fraction > 0:
        num_validation = np.maximum(num_validation, 1)
    num_validation = np.minimum(num_validation, length - 1 - num_test)
    return _split_by_age(age, num_validation, num_test)


def split_leave_last_out(user: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    """Tests on each user's last row and validates on the one before it.

    All rows of users with fewer than three rows are train.

    Args:
      user: `[num_rows]` users of the rows, non-negative ints.
      timestamp: `[num_rows]` times of the rows.

    Returns:
      `[num_rows]` int8 split of each row.
    """
    age, length = _ages(user, timestamp)
    held_out = (length >= 3).astype(np.int64)
    return _split_by_age(age, held_out, held_out)


def split_global_time(
    timestamp: np.ndarray,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> np.ndarray:
    """Tests on the newest rows of all users and validates on the rows before them.

    This is the only split without information from the future, and the one with the
    most new users.

    Args:
      timestamp: `[num_rows]` times of the rows.
      validation_fraction: share of the rows in [0, 1).
      test_fraction: share of the rows in (0, 1).

    Returns:
      `[num_rows]` int8 split of each row.

    Raises:
      ValueError: a fraction is out of range, or both leave nothing to train on.
    """
    _check_fractions(validation_fraction, test_fraction)
    order = np.argsort(timestamp, kind="stable")
    return _split_order(order, validation_fraction, test_fraction)


def rows_before_window(
    timestamp: np.ndarray, *, windows_back: int, test_fraction: float = 0.1
) -> np.ndarray:
    """Finds the rows that an evaluation at an earlier time knows.

    A rolling origin splits all rows by `split_global_time`, then all but the newest
    test window, then all but the newest two, and so on: each time a model is trained on
    the past of its own test window, and no row is tested twice.

    Args:
      timestamp: `[num_rows]` times of the rows.
      windows_back: number of test windows that have not happened yet.
      test_fraction: share of the rows in one test window, in (0, 1).

    Returns:
      `[num_rows]` bool, False for the newest rows.

    Raises:
      ValueError: the windows leave no row, or the number is negative.

    Example:
      >>> from tfrs_models.data.splits import rows_before_window
      >>> times = np.array([4, 9, 1, 7])
      >>> rows_before_window(times, windows_back=2, test_fraction=0.25)
      array([ True, False,  True, False])
    """
    _check_fractions(0, test_fraction)
    num_rows = len(timestamp)
    dropped = windows_back * int(_round_half_up(test_fraction * num_rows))
    if not 0 <= dropped < num_rows:
        raise ValueError(
            "`windows_back` must be 0 or more and leave rows. Got "
            f"{windows_back} windows of {test_fraction:g} of {num_rows:,} rows."
        )
    keep = np.ones(num_rows, bool)
    keep[np.argsort(timestamp, kind="stable")[num_rows - dropped :]] = False
    return keep


def split_random(
    num_rows: int,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 42,
) -> np.ndarray:
    """Tests on random rows: this needs no timestamps and leaks most of the future.

    Args:
      num_rows: number of rows in the table.
      validation_fraction: share of the rows in [0, 1).
      test_fraction: share of the rows in (0, 1).
      seed: seed of the draw.

    Returns:
      `[num_rows]` int8 split of each row.

    Raises:
      ValueError: a fraction is out of range, or both leave nothing to train on.
    """
    _check_fractions(validation_fraction, test_fraction)
    order = np.random.default_rng(seed).permutation(num_rows)
    return _split_order(order, validation_fraction, test_fraction)


def split_new_items(
    user: np.ndarray,
    item: np.ndarray,
    timestamp: np.ndarray,
    *,
    test_fraction: float = 0.1,
    seed: int = 42,
) -> np.ndarray:
    """Tests on items that training never shows, and on each user's last other row.

    All rows of the drawn items are test, whatever their time, as if the items were new
    in the catalogue. The other rows are split as in `split_leave_last_out`.

    Args:
      user: `[num_rows]` users of the rows, non-negative ints.
      item: `[num_rows]` items of the rows.
      timestamp: `[num_rows]` times of the rows.
      test_fraction: share of the items to hold out, in (0, 1), rounded half up.
      seed: seed of the draw of items.

    Returns:
      `[num_rows]` int8 split of each row.

    Raises:
      ValueError: the fraction is out of range.
    """
    _check_fractions(0, test_fraction)
    user, item, timestamp = map(np.asarray, (user, item, timestamp))
    items = np.random.default_rng(seed).permutation(np.unique(item))
    held_out = items[: _round_half_up(test_fraction * len(items))]
    split = np.full(len(item), TEST, np.int8)
    rest = ~np.isin(item, held_out)
    split[rest] = split_leave_last_out(user[rest], timestamp[rest])
    return split


def _check_fractions(validation: float, test: float) -> None:
    if not 0 < test < 1:
        raise ValueError(
            f"`test_fraction` must be between 0 and 1, both excluded. Got {test}."
        )
    if not 0 <= validation < 1:
        raise ValueError(
            "`validation_fraction` must be at least 0 (no validation rows) and below "
            f"1. Got {validation}."
        )
    if validation + test >= 1:
        raise ValueError(
            "`validation_fraction` and `test_fraction` must leave rows to train on: "
            f"their sum must be below 1. Got {validation} + {test}."
        )


def _round_half_up(x: np.ndarray | float) -> np.ndarray:
    # 0.29 * 50 is 14.499999999999998: without the 1e-9 it would round down.
    return np.floor(np.asarray(x) + 0.5 + 1e-9).astype(np.int64)


def _ages(user: np.ndarray, timestamp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, the number of its user's later rows, and of all its user's rows."""
    user = np.asarray(user)
    order = np.lexsort((timestamp, user))  # stable: ties keep their order
    counts = np.bincount(user)
    ends = np.cumsum(counts)
    age = np.empty(len(user), np.int64)
    age[order] = ends[user[order]] - 1 - np.arange(len(user))
    return age, counts[user]


def _split_by_age(
    age: np.ndarray, num_validation: np.ndarray, num_test: np.ndarray
) -> np.ndarray:
    split = np.where(age < num_test + num_validation, VALIDATION, TRAIN)
    return np.where(age < num_test, TEST, split).astype(np.int8)


def _split_order(order: np.ndarray, validation: float, test: float) -> np.ndarray:
    num_test = int(_round_half_up(test * len(order)))
    num_validation = int(_round_half_up(validation * len(order)))
    split = np.full(len(order), TRAIN, np.int8)
    split[order[len(order) - num_test :]] = TEST
    split[order[len(order) - num_test - num_validation : len(order) - num_test]] = (
        VALIDATION
    )
    return split


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
    """Splits rows by the rule that `split` names.

    Args:
      user: `[num_rows]` users of the rows, non-negative ints.
      item: `[num_rows]` items of the rows.
      timestamp: `[num_rows]` times of the rows; the random split accepts None.
      split: name of the rule, one of `SPLITS`.
      validation_fraction: share of the validation rows, in [0, 1).
      test_fraction: share of the test rows, or of the new items, in (0, 1).
      seed: seed of the draw of random rows or new items.

    Returns:
      `[num_rows]` int8 split of each row.

    Raises:
      ValueError: the split is unknown, or leaves train or test empty.
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
