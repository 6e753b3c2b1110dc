"""Columns of the user's table, checked once, with errors that say what to do."""

import difflib

import numpy as np
import pandas as pd

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEAR_5138 = 10**11  # in seconds; as milliseconds it is 1973


def require_column(frame: pd.DataFrame, name: str, *, argument: str) -> pd.Series:
    """The column of that name, or an error that lists the ones there are.

    Args:
      frame: the table.
      name: the column wanted.
      argument: the argument that named it, for the error.

    Returns:
      `[num_rows]` series.

    Raises:
      ValueError: no such column.
    """
    columns = [str(column) for column in frame.columns]
    if columns.count(name) > 1:
        raise ValueError(
            f"`{argument}` must name one column. Got {name!r}, which the table has "
            f"{columns.count(name)} times."
        )
    if name in frame.columns:
        return frame[name]
    folded = {column.lower(): column for column in columns}
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    hint = f" Did you mean `{argument}={folded[near[0]]!r}`?" if near else ""
    raise ValueError(
        f"`{argument}` must be a column of the table. Got {name!r}; the columns are "
        f"{columns}.{hint}"
    )


def read_ids(
    frame: pd.DataFrame, name: str, *, argument: str
) -> tuple[np.ndarray, np.ndarray]:
    """Ids as codes into their distinct strings, in order of first appearance.

    Args:
      frame: the table.
      name: the column of the ids: strings, bytes or numbers.
      argument: the argument that named it, for the error.

    Returns:
      `[num_rows]` int64 codes and the `[num_ids]` strings that they index.

    Raises:
      ValueError: no such column, or missing ids.
    """
    column = require_column(frame, name, argument=argument)
    _refuse(column.isna(), column, name, "must not have missing ids", "drop these rows")
    codes, values = pd.factorize(column)
    names = as_strings(values)
    again, names = pd.factorize(names)  # 7 and "7" are one id
    return again[codes].astype(np.int64), np.asarray(names, dtype=str)


def as_strings(values) -> np.ndarray:
    """Values as a person writes them: bytes decoded, whole floats without `.0`."""
    values = np.asarray(values)
    if values.dtype.kind == "f" and np.all(np.isfinite(values) & (values % 1 == 0)):
        values = values.astype(np.int64)
    text = [v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()]
    return np.array(text, dtype=object)


def read_timestamps(
    frame: pd.DataFrame, name: str, *, unit: str = "s", argument: str
) -> np.ndarray:
    """Timestamps as whole seconds since 1970.

    Args:
      frame: the table.
      name: the column: numbers, dates, or ISO 8601 dates as text.
      unit: of numbers: "s", "ms", "us" or "ns".
      argument: the argument that named the column, for the error.

    Returns:
      `[num_rows]` int64 seconds.

    Raises:
      ValueError: no such column; missing, negative or unreadable timestamps; numbers
        that cannot be in this unit.
    """
    if unit not in _PER_SECOND:
        raise ValueError(
            f"`timestamp_unit` must be one of {tuple(_PER_SECOND)}. Got {unit!r}."
        )
    column = require_column(frame, name, argument=argument)
    _refuse(
        column.isna(), column, name, "must not be missing (NaN)", "drop or repair them"
    )
    is_date = pd.api.types.is_datetime64_any_dtype(column)
    numbers = column if is_date else pd.to_numeric(column, errors="coerce")
    if is_date or numbers.isna().any():
        text = column if is_date else column.astype(str)
        dates = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
        rule = "must be a number, or a date such as 2024-01-31 23:59:59"
        for bad in (dates.isna() & numbers.isna(), dates.isna()):
            _refuse(bad, column, name, rule, "repair them")
        numbers, unit = dates.dt.as_unit("s").astype(np.int64), "s"
    values = numbers.to_numpy()
    _refuse(
        pd.Series(~np.isfinite(values) | (values < 0)),
        column,
        name,
        "must be finite and not negative",
        "drop or repair them",
    )
    seconds = (values // _PER_SECOND[unit]).astype(np.int64)
    if len(seconds) and seconds.max() > _YEAR_5138:
        raise ValueError(
            f"`{name}` must hold seconds since 1970, or say another `timestamp_unit`. "
            f'Got {values.max()} with timestamp_unit="{unit}": is it "ms"?'
        )
    return seconds


def read_numbers(frame: pd.DataFrame, name: str, *, argument: str) -> np.ndarray:
    """Numbers as floats, NaN where missing.

    Args:
      frame: the table.
      name: the column.
      argument: the argument that named it, for the error.

    Returns:
      `[num_rows]` float64.

    Raises:
      ValueError: no such column, or values that are not finite numbers.
    """
    column = require_column(frame, name, argument=argument)
    numbers = pd.to_numeric(column, errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = (np.isnan(values) & column.notna().to_numpy()) | np.isinf(values)
    _refuse(pd.Series(bad), column, name, "must hold finite numbers", "repair them")
    return values


def read_ratings(frame: pd.DataFrame, name: str, *, argument: str) -> np.ndarray:
    """Ratings, none missing.

    Args:
      frame: the table.
      name: the column.
      argument: the argument that named it, for the error.

    Returns:
      `[num_rows]` float32.

    Raises:
      ValueError: no such column, or values that are missing or not finite numbers.
    """
    ratings = read_numbers(frame, name, argument=argument)
    _refuse(
        pd.Series(np.isnan(ratings)),
        frame[name],
        name,
        "must not be missing (NaN)",
        f"drop these rows, or pass `{argument}=None` to do without ratings",
    )
    return ratings.astype(np.float32)


def _refuse(bad: pd.Series, column: pd.Series, name: str, rule: str, cure: str) -> None:
    bad = bad.to_numpy(dtype=bool)
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"`{name}` {rule}. Got {bad.sum():,} of {len(bad):,} rows that break it, "
            f"the first at row {first} (from 0): {column.iloc[first]!r}. What to do: "
            f"{cure}."
        )
