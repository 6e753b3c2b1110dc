"""What must hold of the tables that `from_frame` joins, said by argument."""

import difflib

import numpy as np
import pandas as pd

from tfrs_models.data.attributes import Attributes
from tfrs_models.data.times import FIRST_SECOND, SECOND

RESERVED = (
    "rating",
    "timestamp",
    "timestamp_us",
    "candidate_sampling_probability",
    "known_items",
    "history",
    "activity",
    "user_features",
    "item_features",
    "history_timestamp",
)


def found_column(frame: pd.DataFrame, column: str | None, default: str) -> str | None:
    """The column asked for; for "auto" the default one if the table has it."""
    if column != "auto":
        return column
    return default if default in frame.columns else None


def refuse_shared_columns(**columns: str | None) -> None:
    """Raises a `ValueError` where two arguments name one column."""
    named = [name for name, column in columns.items() if column is not None]
    for place, name in enumerate(named):
        for other in named[:place]:
            if columns[name] == columns[other]:
                raise ValueError(
                    f"`{other}` and `{name}` must be two columns. Got "
                    f"{columns[name]!r} for both."
                )


def refuse_time_split(frame: pd.DataFrame, split: str) -> None:
    """Raises the `ValueError` of a split by time in a table without times."""
    near = difflib.get_close_matches("timestamp", map(str, frame.columns), n=1)
    hint = f" Did you mean `timestamp_column={near[0]!r}`?" if near else ""
    raise ValueError(
        f'`split="{split}"` needs timestamps. Got a table without: name their column '
        f'with `timestamp_column`, or use split="random". The columns are '
        f"{list(frame.columns)}.{hint}"
    )


def refuse_shared_names(users: Attributes, items: Attributes) -> None:
    """Raises a `ValueError` for features whose name a batch has already."""
    for name in (*users.columns, *items.columns):
        if name in RESERVED or (name in users.columns and name in items.columns):
            raise ValueError(
                f"`{name}` cannot name a feature: a batch has this key already. Rename "
                "the column."
            )


def missing_rows(side: str, count: int, of: int) -> list[str]:
    """A note where more than a tenth of the users or items have no row of their own."""
    if count <= 0.1 * of:
        return []
    return [
        f"{count:,} of {of:,} {side}s have no row in the {side} table: their features "
        "are unknown."
    ]


def step_notes(micro: np.ndarray) -> list[str]:
    """A note where times, in microseconds, number rows or steps and are no dates."""
    if micro.max(initial=0) >= FIRST_SECOND * SECOND:
        return []
    return [
        "all times lie in 1970: they tell the order, and their differences are taken "
        "for seconds. Dates need `timestamp_unit` or `timestamp_format`."
    ]
