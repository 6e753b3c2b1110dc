"""Parsers of whole numbers and of lists of words in files."""

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
    """Converts values to integers, and refuses values that a cast would change.

    Args:
      values: numbers in an array, a list or a column.
      name: name of the values and of their file, for the error message.
      first: smallest allowed value; None stands for that of the dtype.
      last: largest allowed value; None stands for that of the dtype.
      dtype: dtype of the integers.
      axes: allowed numbers of axes.
      rows: row numbers in the file; None stands for 0, 1, ...

    Returns:
      An array of the shape of `values`.

    Raises:
      ValueError: a value is not a whole number in the range, or the number of axes is
        wrong.
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
        index = tuple(np.argwhere(~whole)[0])
        row = index[0] if rows is None else rows[index[0]]
        raise ValueError(
            f"{name} must hold whole numbers from {first} to {last}. Got "
            f"{found.item(index)!r:.200} in row {row}."
        )
    return found.astype(dtype)


def is_whole(value: object, first: int, last: int) -> bool:
    """Tells whether a value is a number without a fraction in the range."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, bool) or not first <= value <= last:
        return False
    return value == int(value)


def check_axes(name: str, values: np.ndarray, axes: tuple[int, ...]) -> None:
    """Raises a `ValueError` unless the number of axes of an array is one of `axes`."""
    if values.ndim not in axes:
        wanted = " or ".join(map(str, axes))
        raise ValueError(f"{name} must be of rank {wanted}. Got {values.shape}.")


def _array(values: object) -> np.ndarray:
    """An array of ints or floats if all values are; otherwise of objects."""
    try:
        found = np.asarray(values)
    except ValueError:  # lists of unequal lengths
        found = None
    if found is None or found.dtype.kind not in "iuf":
        found = np.asarray(values, object)
    return found


def parse_words(value: object, dtype: type = np.int64) -> list[int]:
    """Reads the word ids of a caption or a query.

    Text is parsed, never evaluated: it may contain numbers only.

    Args:
      value: a list or array of ints, one int (one word), the text of either, or an
        empty value (None, NaN, empty text).
      dtype: dtype of the words, which bounds them.

    Returns:
      The word ids.

    Raises:
      ValueError: the value is something else, or a word is negative or too large for
        the dtype.
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
    """Reads the word ids of each value of a column.

    Args:
      values: values that `parse_words` reads.
      name: name of the column and of its file, for the error message.
      dtype: dtype of the words, which bounds them.
      rows: row numbers in the file; None stands for 0, 1, ...

    Yields:
      The word ids of each value.

    Raises:
      ValueError: a value is refused.
    """
    numbered = enumerate(values) if rows is None else zip(rows, values, strict=True)
    for row, value in numbered:
        try:
            yield parse_words(value, dtype)
        except ValueError as error:
            raise ValueError(f"{name}, row {row}: {error}") from error


def pad_words(lists: Iterable[Sequence[int]], width: int) -> np.ndarray:
    """Cuts lists to `width` and pads them with 0 to `[num_lists, width]` int32."""
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
