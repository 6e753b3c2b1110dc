"""Rows that came after those of a table."""

from collections.abc import Sequence

import pandas as pd
from pandas.api.types import is_numeric_dtype

from tfrs_models.data.columns import require_column, require_rows


def with_later(
    frame: pd.DataFrame,
    later: pd.DataFrame,
    *,
    keys: Sequence[str | None],
    others: Sequence[str | None] = (),
) -> pd.DataFrame:
    """Adds rows to a table, without those that it has.

    A table is read as it was saved, so that numbers may be text in one of the two; they
    become what they are in the first.

    Args:
      frame: table with one row per interaction.
      later: table with the same columns; columns of features may be missing.
      keys: columns of user, item and time, None for none. A row of `later` with the
        keys of one of `frame` is left out, and so is one that `later` has twice.
      others: other columns that must not be missing, None for none.

    Returns:
      The rows of `frame`, then the new ones.

    Raises:
      ValueError: `later` has no rows, lacks a column, or has other values in one.

    Example:
      >>> import pandas as pd
      >>> from tfrs_models.data.later import with_later
      >>> first = pd.DataFrame({"user_id": ["a", "b"], "item_id": [1, 2]})
      >>> more = pd.DataFrame({"user_id": ["b", "c"], "item_id": [2, 2]})
      >>> len(with_later(first, more, keys=["user_id", "item_id"]))
      3
    """
    require_rows(later, "later")
    keys = [column for column in keys if column is not None]
    for column in (*keys, *(name for name in others if name is not None)):
        require_column(frame, column, argument="frame")  # the error of the first table
        if column not in later.columns:
            raise ValueError(
                "`later` must have the columns of the first table. It lacks "
                f"{column!r}; its columns are {[*map(str, later.columns)]}."
            )
        later = later.assign(**{column: _alike(frame, later, column)})
    num_first = len(frame)
    both = pd.concat([frame, later], ignore_index=True)
    is_again = both.duplicated(subset=keys)
    is_again[:num_first] = False  # a table may have a row twice: both count
    return both[~is_again.to_numpy()].reset_index(drop=True)


def _alike(frame: pd.DataFrame, later: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column of `later` as numbers or text, as `frame` has it."""
    values, kind = later[column], frame[column].dtype
    if is_numeric_dtype(kind) == is_numeric_dtype(values.dtype):
        return values
    try:
        if is_numeric_dtype(kind):
            return pd.to_numeric(values)
        return values.astype(str)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`later` must have numbers in {column!r}, as the first table has. Got "
            f"{error}."
        ) from error
