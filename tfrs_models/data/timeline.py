"""All rows of some splits in the order of users and time."""

from typing import NamedTuple

import numpy as np

from tfrs_models.data.interactions import Interactions


class Timeline(NamedTuple):
    """Rows of several splits, one split after the other, and their order.

    Attributes:
      columns: name -> `[num_rows]`, the columns that were asked for.
      split: `[num_rows]` number of the row's split among those that were asked for.
      order: `[num_rows]` row numbers by user, then time.
    """

    columns: dict[str, np.ndarray]
    split: np.ndarray
    order: np.ndarray


def timeline(
    data: Interactions,
    splits: tuple[str, ...],
    names: tuple[str, ...] = ("user_id", "item_id"),
) -> Timeline:
    """The rows of some splits and their order by user and time.

    Of rows with equal times those of an earlier split come first, which is the order of
    the table in every split by time.

    Args:
      data: with timestamps.
      splits: names of splits; none is a timeline without rows.
      names: of the columns.

    Returns:
      The rows, in the order of `splits`.

    Raises:
      ValueError: no timestamps.
    """
    train = data.splits["train"]
    if "timestamp" not in train:
        raise ValueError(
            "`data` must have timestamps: what came before is a matter of time. Got "
            f"{list(train)}. Name their column with `timestamp_column`."
        )
    # Tables that were put together by hand may have whole seconds only.
    time = "timestamp_us" if "timestamp_us" in train else "timestamp"
    lengths = [len(data.splits[split]["user_id"]) for split in splits]

    def column(name: str) -> np.ndarray:
        none = train[name][:0]
        return np.concatenate([none, *(data.splits[split][name] for split in splits)])

    return Timeline(
        columns={name: column(name) for name in names},
        split=np.repeat(np.arange(len(splits)), lengths),
        order=np.lexsort((column(time), column("user_id"))),
    )
