"""Lists of words as the log and the pickles write them."""

import ast
from collections.abc import Iterable, Iterator, Sequence

import numpy as np


def whole_numbers(
    values: object,
    name: str,
    *,
    first: int | None = 0,
    last: int | None = None,
    dtype: type = np.int64,
    axes: tuple[int, ...] = (1,),
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Values as integers; what a cast would change is refused.

    Args:
      values: Numbers, in an array, a list or a column.
      name: Of the values, with the file that has them.
      first: The least that is allowed; None: that of the dtype.
      last: The most that is allowed; None: that of the dtype.
      dtype: Of the integers.
      axes: How many axes there may be.
      rows: Numbers of the rows in the file; None: 0, 1, ...

    Raises:
      ValueError: a value that is no whole number in that range, or another rank.
    """
    limits = np.iinfo(dtype)
    first = limits.min if first is None else first
    last = int(limits.max) if last is None else last
    found = _array(values)
    check_axes(name, found, axes)
    if found.dtype.kind == "O":
        flat = [is_whole(value, first, last) for value in found.ravel()]
        whole = np.array(flat, bool).reshape(found.shape)
    else:
        whole = (found >= first) & (found < last + 1)
        if found.dtype.kind == "f":
            whole &= found == np.floor(found)
    if not whole.all():
        place = tuple(np.argwhere(~whole)[0])
        row = place[0] if rows is None else rows[place[0]]
        raise ValueError(
            f"{name} must hold whole numbers from {first} to {last}. Got "
            f"{found.item(place)!r:.200} in row {row}."
        )
    return found.astype(dtype)


def is_whole(value: object, first: int, last: int) -> bool:
    """Whether a value is a number without a fraction in that range."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, bool) or not first <= value <= last:
        return False
    return value == int(value)


def check_axes(name: str, values: np.ndarray, axes: tuple[int, ...]) -> None:
    """Raises a `ValueError` where an array has another rank than one of `axes`."""
    if values.ndim not in axes:
        wanted = " or ".join(map(str, axes))
        raise ValueError(f"{name} must be of rank {wanted}. Got {values.shape}.")


def _array(values: object) -> np.ndarray:
    """Of ints or floats where all are; of objects where one is something else."""
    try:
        found = np.asarray(values)
    except ValueError:  # lists of several lengths
        found = None
    if found is None or found.dtype.kind not in "iuf":
        found = np.asarray(values, object)
    return found


def parse_words(value: object, dtype: type = np.int64) -> list[int]:
    """Word ids of a caption or a query.

    Text is parsed, never evaluated: it can hold numbers and nothing else.

    Args:
      value: A list or an array of ints, an int (one word), the text of either, or
        nothing (None, NaN, an empty text).
      dtype: Of the words.

    Raises:
      ValueError: something else, or a word below 0 or beyond the dtype.
    """
    read, last = value, int(np.iinfo(dtype).max)
    if isinstance(value, str):
        try:
            read = ast.literal_eval(value) if value.strip() else []
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise _error(value, last) from error
    if isinstance(read, np.ndarray):
        read = read.tolist()
    if read is None or (isinstance(read, float) and np.isnan(read)):
        return []
    words = read if isinstance(read, (list, tuple)) else [read]
    if not all(is_whole(word, 0, last) for word in words):
        raise _error(value, last)
    return [int(word) for word in words]


def parse_column(
    values: Iterable[object],
    name: str,
    *,
    dtype: type = np.int64,
    rows: Iterable[int] | None = None,
) -> Iterator[list[int]]:
    """Words of each value of a column.

    Args:
      values: As `parse_words` reads them.
      name: Of the column, with the file that has it.
      dtype: Of the words.
      rows: Numbers of the rows in the file; None: 0, 1, ...

    Raises:
      ValueError: a value that is refused.
    """
    numbered = enumerate(values) if rows is None else zip(rows, values, strict=True)
    for row, value in numbered:
        try:
            yield parse_words(value, dtype)
        except ValueError as error:
            raise ValueError(f"{name}, row {row}: {error}") from error


def pad_words(lists: Iterable[Sequence[int]], width: int) -> np.ndarray:
    """Lists as rows `[num_lists, width]` int32, cut to `width`, 0 behind the end."""
    lists = [words[:width] for words in lists]
    rows = np.zeros([len(lists), width], np.int32)
    lengths = np.array([len(words) for words in lists], np.int64)
    flat = [word for words in lists for word in words]
    rows[np.arange(width) < lengths[:, None]] = flat
    return rows


def _error(value: object, last: int) -> ValueError:
    return ValueError(
        f"Words must be a list of whole numbers from 0 to {last}, such as [3, 17], or "
        f"its text. Got {value!r:.200}."
    )
