"""Lists of words as the log and the pickles write them."""

import ast
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tfrs_models.data.kuaisar.whole_numbers import is_whole


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
