"""Checked columns of a user's table, with errors that name the repair."""

import decimal
import difflib
import re
import reprlib

import numpy as np
import pandas as pd

# Not possible in a vocabulary file with one id on each line: some end the line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FLOAT = (float, np.floating)
_NONE = "-1"  # an index returns it for "no id"
MISSING = (
    "",
    "NA",
    "N/A",
    "n/a",
    "<NA>",
    "#N/A",
    "NaN",
    "nan",
    "NULL",
    "null",
    "None",
)
SOURCE_ROW = "row of the source"
"""Name of an index with the rows of the user's table, of a table in another order."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_TRUTHS = {"True": 1, "TRUE": 1, "true": 1, "False": 0, "FALSE": 0, "false": 0}


def require_rows(frame: pd.DataFrame, argument: str) -> None:
    """Raises a `ValueError` unless `frame` is a pandas table with at least one row."""
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(
            f"`{argument}` must be a DataFrame of pandas. Got {type(frame)}: convert "
            "it, or give the path of a file to `tm.data.load`."
        )
    if not len(frame):
        raise ValueError(
            f"`{argument}` must have at least one row. Got an empty table with the "
            f"columns {list(frame.columns)}."
        )


def require_column(frame: pd.DataFrame, name: str, *, argument: str) -> pd.Series:
    """Returns a column by name, or raises an error that lists the existing columns.

    Args:
      frame: the table.
      name: name of the column.
      argument: the argument that named the column, for the error message.

    Returns:
      `[num_rows]` series.

    Raises:
      ValueError: the table has no such column, or has it twice.
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
    """Reads ids as codes into their distinct strings, in order of first appearance.

    Args:
      frame: the table.
      name: name of the id column, which holds strings, bytes or numbers.
      argument: the argument that named the column, for the error message.

    Returns:
      `[num_rows]` int64 codes, and the `[num_ids]` strings that the codes index.

    Raises:
      ValueError: there is no such column; an id is missing, empty or -1, has control
        characters, or is a float too large to be exact.
    """
    column = require_column(frame, name, argument=argument)
    try:
        codes, values = pd.factorize(column)  # a missing id has the code -1
    except (TypeError, NotImplementedError) as error:  # lists cannot be compared
        raise ValueError(
            f"`{name}` must hold one id a row, a text or a number. Got {error}."
        ) from error
    _refuse_floats(values, codes, column, name)
    names = as_strings(values)

    def refuse_ids(bad: list[bool], rule: str, cure: str) -> None:
        # The appended element is for the code -1.
        refuse(pd.Series(np.array([*bad, False])[codes]), column, name, rule, cure)

    missing = np.array([*(not text.strip() for text in names), True])[codes]
    refuse(
        pd.Series(missing),
        column,
        name,
        "must not have missing ids",
        "drop these rows: an empty text is no id either",
    )
    refuse_ids(
        [text == _NONE for text in names],
        'must not have the id -1, which stands for "none" in answers',
        "drop these rows, or give them another id",
    )
    refuse_ids(
        [_CONTROL.search(text) is not None for text in names],
        "must not have line breaks or other control characters in ids: a vocabulary "
        "has one id on each line",
        "take them out",
    )
    again, names = pd.factorize(names)  # 7 and "7" are one id
    return again[codes].astype(np.int64), np.asarray(names, dtype=str)


def _refuse_floats(values, codes: np.ndarray, column: pd.Series, name: str) -> None:
    """Raises for floats so large that neighbouring integers are the same float."""
    values = np.asarray(values)
    if values.dtype.kind not in "fO":
        return
    # `factorize` has turned float16 into a wider type.
    kind = column.dtype if column.dtype == np.float16 else values.dtype
    digits = np.finfo(kind).nmant if values.dtype.kind == "f" else 52
    floats = [v if isinstance(v, _FLOAT) else 0.0 for v in values.tolist()]
    bad = ~(np.abs(np.array(floats, np.float64)) < 2.0 ** (digits + 1))
    refuse(
        pd.Series(np.append(bad, False)[codes]),
        column,
        name,
        f"must hold ids that can be told apart: floats from 2^{digits + 1} on cannot",
        "read the column as text or as whole numbers",
    )


def as_strings(values) -> np.ndarray:
    """Writes values as a person does: bytes are decoded, whole floats have no `.0`."""
    return np.array([_as_string(v) for v in np.asarray(values).tolist()], dtype=object)


def _as_string(value) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"Text must be UTF-8. Got {value!r}: {error}.") from error
    is_decimal = isinstance(value, decimal.Decimal) and value.is_finite()
    if (isinstance(value, _FLOAT) or is_decimal) and value % 1 == 0:
        return str(int(value))
    return str(value)


def read_numbers(frame: pd.DataFrame, name: str, *, argument: str) -> np.ndarray:
    """Reads numbers as floats; a missing value is NaN.

    Args:
      frame: the table.
      name: name of the column.
      argument: the argument that named the column, for the error message.

    Returns:
      `[num_rows]` float64.

    Raises:
      ValueError: there is no such column, or a value is not a finite number.
    """
    column = require_column(frame, name, argument=argument)
    if isinstance(column.dtype, pd.ArrowDtype) and column.dtype.kind not in "iufb":
        column = pd.Series(column.to_numpy(object, na_value=None), column.index)
    if not pd.api.types.is_numeric_dtype(column):
        column = column.mask(column.isin(MISSING))
        if column.dropna().isin([*_TRUTHS]).all():
            column = column.map(_TRUTHS)
    numbers = pd.to_numeric(column, errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    is_missing = column.isna().to_numpy()
    values = np.where(is_missing, np.nan, values)  # pandas makes NaT a large number
    bad = (np.isnan(values) & ~is_missing) | np.isinf(values)
    refuse(pd.Series(bad), column, name, "must hold finite numbers", "repair them")
    return values


def read_ratings(frame: pd.DataFrame, name: str, *, argument: str) -> np.ndarray:
    """Reads ratings, which must be present in all rows.

    Args:
      frame: the table.
      name: name of the column.
      argument: the argument that named the column, for the error message.

    Returns:
      `[num_rows]` float32.

    Raises:
      ValueError: there is no such column, or a value is missing or not finite.
    """
    ratings = read_numbers(frame, name, argument=argument)
    refuse(
        pd.Series(np.isnan(ratings)),
        frame[name],
        name,
        "must not be missing (NaN)",
        f"drop these rows, or pass `{argument}=None` to do without ratings",
    )
    return ratings.astype(np.float32)


def read_weights(frame: pd.DataFrame, name: str, *, argument: str) -> np.ndarray:
    """Reads weights of rows, which must be present and not negative.

    Args:
      frame: the table.
      name: name of the column.
      argument: the argument that named the column, for the error message.

    Returns:
      `[num_rows]` float32.

    Raises:
      ValueError: there is no such column, or a value is missing, negative or not
        finite.
    """
    weights = read_numbers(frame, name, argument=argument)
    refuse(
        pd.Series(~(weights >= 0)),
        frame[name],
        name,
        "must hold weights of 0 or more, none missing (NaN)",
        f"drop or repair these rows, or leave `{argument}` out",
    )
    return weights.astype(np.float32)


def refuse(bad: pd.Series, column: pd.Series, name: str, rule: str, cure: str) -> None:
    """Raises a `ValueError` that shows the first row that breaks a rule, if one does.

    Args:
      bad: `[num_rows]` bool, True for rows that break the rule.
      column: `[num_rows]` values, of which the first bad one is shown. An index named
        `SOURCE_ROW` has the numbers of the rows in the message.
      name: name of the column.
      rule: the rule, as the words that follow the name in the message.
      cure: the advice at the end of the message.
    """
    bad = bad.to_numpy(dtype=bool)
    if bad.any():
        rows = np.arange(len(bad))
        if column.index.name == SOURCE_ROW:
            rows = column.index.to_numpy()
        first = np.flatnonzero(bad)[rows[bad].argmin()]
        value = column.iloc[first]
        value = value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
        raise ValueError(
            f"`{name}` {rule}. Got {bad.sum():,} of {len(bad):,} rows that break it, "
            f"the first at row {rows[first]} (from 0): {_SHORT.repr(value)}. What to "
            f"do: {cure}."
        )
