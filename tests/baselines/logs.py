"""Random logs of interactions, and loops over their rows."""

import dataclasses

import numpy as np
import pandas as pd

from tfrs_models.data import from_frame
from tfrs_models.data.interactions import EARLIER

DAY = 86_400 * 10**6


def random_log(seed, *, rows=60, users=6, items=9, days=20, newcomers=0, **options):
    """Few users, items and times, so that repeats and equal times are certain.

    The newest rows are of as many users as there are newcomers.
    """
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(users, size=rows),
            "item_id": (items * rng.random(rows) ** 2).astype(int),
            "timestamp": 1_400_000_000 + 43_200 * rng.integers(2 * days, size=rows),
        }
    )
    if newcomers:
        newest = np.argsort(frame["timestamp"], kind="stable")[-rows // 6 :]
        frame.loc[newest, "user_id"] = users + rng.integers(newcomers, size=len(newest))
    return from_frame(frame, **options)


def known_rows(data, split, *, own_split=True):
    """(user, item, time, whether the row is of an earlier split) of what may count."""
    rows = []
    for name in EARLIER[split] + ((split,) if own_split and split in EARLIER else ()):
        columns = data.splits.get(name)
        if columns is None:
            continue
        is_earlier = name in EARLIER[split]
        for user, item, time in zip(
            columns["user_id"], columns["item_id"], columns["timestamp_us"], strict=True
        ):
            rows.append((int(user), int(item), int(time), is_earlier))
    return rows


def queries(data, split):
    """Users and times of a split, or of random ones after it for "serving"."""
    columns = data.splits["test" if split == "serving" else split]
    return columns["user_id"], columns["timestamp_us"]


def with_rows(data, **splits):
    """The same data with other rows in some splits."""
    return dataclasses.replace(data, splits=data.splits | splits)
