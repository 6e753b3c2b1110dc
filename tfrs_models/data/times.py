"""Checked times of a user's table, in microseconds since 1970."""

import datetime
from collections.abc import Mapping

import numpy as np
import pandas as pd

from tfrs_models.data.columns import as_strings, refuse, require_column

SECOND = 10**6  # microseconds, the internal unit
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FIRST_SECOND = 31_536_000  # start of 1971: earlier dates are zeros or another unit
END_SECOND = 4_102_444_800  # end of 2099
_DAYS = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y-%m-%d", "%Y/%m/%d", "%b %d, %Y")
_HOURS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %I:%M:%S %p")
_FORMATS = (
    *(day + hour for day in _DAYS for hour in _HOURS),
    "%a %b %d %H:%M:%S %z %Y",
    "%d/%b/%Y:%H:%M:%S %z",
)
_COMPACT = {
    4: ("%Y",),
    6: ("%Y%m", "%y%m%d"),
    7: (),
    8: ("%Y%m%d", "%d%m%Y", "%m%d%Y"),
    12: ("%Y%m%d%H%M",),
    14: ("%Y%m%d%H%M%S",),
}
_LOOKED_AT = 10_000  # number of rows that decide whether numbers are dates


def row_times(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Returns the times of the rows of a split in microseconds, or None without times.

    Args:
      columns: name -> `[num_rows]` values; interactions that a caller constructs may
        have whole seconds only.
    """
    if "timestamp_us" in columns:
        return columns["timestamp_us"]
    if "timestamp" in columns:
        return columns["timestamp"] * SECOND
    return None


def read_timestamps(
    frame: pd.DataFrame,
    name: str,
    *,
    unit: str = "s",
    form: str | None = None,
    argument: str,
) -> np.ndarray:
    """Reads timestamps from 1971 to 2099 as microseconds since 1970.

    Numbers that all lie within the first year are accepted too: they count steps, or
    seconds since some other start.

    Args:
      frame: the table.
      name: name of the column, which holds numbers, dates, or ISO 8601 dates as text.
      unit: unit of numbers: "s", "ms", "us" or "ns".
      form: format of dates as text or as numbers, "%m/%d/%Y %I:%M %p" or "%Y%m%d"; None
        for ISO 8601 and for numbers in `unit`.
      argument: the argument that named the column, for the error message.

    Returns:
      `[num_rows]` int64 microseconds.

    Raises:
      ValueError: there is no such column; a timestamp is missing, negative or
        unreadable; or the unit or the format gives years outside 1971 to 2099.
    """
    if unit not in PER_SECOND:
        raise ValueError(
            f"`timestamp_unit` must be one of {tuple(PER_SECOND)}. Got {unit!r}."
        )
    column = require_column(frame, name, argument=argument)
    refuse(
        column.isna(), column, name, "must not be missing (NaN)", "drop or repair them"
    )
    if form is not None:
        return _in_range(_parse(column, name, unit, form), column, name)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if not pd.api.types.is_datetime64_any_dtype(column):
        numbers = _numbers(column)
        if not numbers.isna().any():
            return _of_numbers(numbers.to_numpy(), column, name, unit)
        if numbers.notna().any():
            return _in_range(_iso_dates(column, name, numbers), column, name)
    return _in_range(_iso_dates(column, name), column, name)


def _numbers(column: pd.Series) -> pd.Series:
    """Numbers, also from text; NaN for other text, truth values and durations."""
    if column.dtype.kind in "bmc":
        return pd.Series(np.nan, column.index)
    return pd.to_numeric(column, errors="coerce")


def _iso_dates(
    column: pd.Series, name: str, numbers: pd.Series | None = None
) -> np.ndarray:
    is_date = pd.api.types.is_datetime64_any_dtype(column)
    text = column if is_date else column.astype(str)
    dates = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
    unread = dates.isna()
    first = unread if numbers is None else unread & numbers.isna()
    rules = {
        "must be a number, or a date such as 2024-01-31 23:59:59": first,
        "must be dates in all rows or a number in all": unread,
    }
    for rule, bad in rules.items():
        if bad.any():
            refuse(bad, column, name, rule, _cure(text[bad.to_numpy()].iloc[0]))
    return _microseconds_of(dates)


def _cure(text: str) -> str:
    """Advice that names the formats that can read this text."""
    fitting = [
        form
        for form in _FORMATS
        if pd.notna(pd.to_datetime(text, format=form, errors="coerce", utc=True))
    ]
    if not fitting:
        return "repair them, or name their form with `timestamp_format`"
    named = " or ".join(f'`timestamp_format="{form}"`' for form in fitting[:2])
    return f"say {named}"


def _parse(column: pd.Series, name: str, unit: str, form: str) -> np.ndarray:
    if not isinstance(form, str) or "%" not in form:
        raise ValueError(
            "`timestamp_format` must say where year, month and day stand, such as "
            f'"%m/%d/%Y %I:%M %p". Got {form!r}.'
        )
    if unit != "s":
        raise ValueError(
            "`timestamp_format` is for dates, `timestamp_unit` for numbers: leave one "
            f"of them out. Got {form!r} and {unit!r}."
        )
    text = pd.Series(as_strings(column), column.index)
    if pd.api.types.is_numeric_dtype(column):  # numbers have lost leading zeros
        text = text.str.zfill(len(datetime.datetime(2000, 1, 1).strftime(form)))
    try:
        dates = pd.to_datetime(text, format=form, errors="coerce", utc=True)
    except ValueError as error:  # the format has an unknown directive
        raise ValueError(
            f"`timestamp_format` must be one that Python reads. Got {form!r}: {error}."
        ) from error
    rule = f'must be dates of the form "{form}" (`timestamp_format`)'
    refuse(dates.isna(), column, name, rule, "repair them, or name another form")
    return _microseconds_of(dates)


def _microseconds_of(dates: pd.Series) -> np.ndarray:
    return dates.dt.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)


def _of_numbers(
    values: np.ndarray, column: pd.Series, name: str, unit: str
) -> np.ndarray:
    seconds = values.astype(np.float64) / PER_SECOND[unit]
    refuse(
        pd.Series(~np.isfinite(seconds) | (seconds < 0)),
        column,
        name,
        "must be finite and not negative",
        "drop or repair them",
    )
    form = _compact_form(values)
    if form:
        raise ValueError(
            f"`{name}` holds dates such as {column.iloc[0]}, which are no number of "
            f'{unit} since 1970. What to do: say `timestamp_format="{form}"`.'
        )
    _check_range(seconds, column, name, unit, values)
    per_second = PER_SECOND[unit]
    if values.dtype in (np.float16, np.float32):
        step = float(np.spacing(values.max(initial=0))) / per_second
        if step > 1:
            raise ValueError(
                f"`{name}` must tell seconds apart. Got {values.dtype}, in which these "
                f"times are {step:g} s apart. What to do: read the column as float64 "
                "or as whole numbers."
            )
    if values.dtype.kind in "iu":
        if per_second > SECOND:
            return (values // (per_second // SECOND)).astype(np.int64)
        return values.astype(np.int64) * (SECOND // per_second)
    return np.rint(values.astype(np.float64) * (SECOND / per_second)).astype(np.int64)


def _compact_form(values: np.ndarray) -> str | None:
    """The format of numbers that are mostly dates without separators, or None."""
    values = values[:_LOOKED_AT]
    largest = float(values.max(initial=0))
    digits = len(str(int(largest))) if largest < 1e15 else 0
    if digits not in _COMPACT or not np.all(values % 1 == 0):
        return None
    digits += digits == 7  # 1 February 2024 as 1022024 has lost a zero
    text = pd.Series(values.astype(np.int64)).astype(str).str.zfill(digits)
    for form in _COMPACT[digits]:
        dates = pd.to_datetime(text, format=form, errors="coerce")
        if dates.dt.year.between(1971, 2099).mean() > 0.5:
            return form
    return None


def _in_range(micro: np.ndarray, column: pd.Series, name: str) -> np.ndarray:
    refuse(
        pd.Series(micro < 0),
        column,
        name,
        "must be finite and not negative",
        "drop or repair what lies before 1970",
    )
    _check_range(micro / SECOND, column, name)
    return micro


def _check_range(
    seconds: np.ndarray,
    column: pd.Series,
    name: str,
    unit: str | None = None,
    values: np.ndarray | None = None,
) -> None:
    """Raises unless rows are in 1971 to 2099, or all of them in the first year."""
    early, late = seconds < FIRST_SECOND, seconds >= END_SECOND
    others = [] if unit is None else [u for u in PER_SECOND if u != unit]
    fits = {u: _is_plausible(values / PER_SECOND[u]) for u in others}
    bad = early | late
    if early.all() and not any(fit.any() for fit in fits.values()):
        return
    if not bad.any():
        return
    found = [u for u, fit in fits.items() if (fit & bad).any()]
    cure = "drop or repair them: 0 and the like stand for times that are missing"
    if found:
        cure = f'is it "{found[0]}"? Then say `timestamp_unit="{found[0]}"`'
        if not bad.all():
            cure = (
                f'some are in "{unit}" and some in "{found[0]}": bring all to one unit'
            )
    elif late.any():
        cure = "drop or repair them, or name the `timestamp_unit` of numbers"
    where = "" if unit is None else f' with timestamp_unit="{unit}"'
    refuse(
        pd.Series(bad),
        column,
        name,
        f"must lie between 1971 and 2099{where}",
        cure,
    )


def _is_plausible(seconds: np.ndarray) -> np.ndarray:
    return (seconds >= FIRST_SECOND) & (seconds < END_SECOND)
