"""Lists of words as the log and the pickles write them."""

import ast
from collections.abc import Iterable, Sequence

import numpy as np


def parse_words(value: object) -> list[int]:
    """Word ids of a caption or a query.

    Text is parsed, never evaluated: it can hold numbers and nothing else.

    Args:
      value: A list or an array of ints, an int (one word), the text of either, or
        nothing (None, NaN, an empty text).

    Raises:
      ValueError: something else, or a word below 0.
    """
    read = value
    if isinstance(value, str):
        try:
            read = ast.literal_eval(value) if value.strip() else []
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise _error(value) from error
    if read is None or (isinstance(read, float) and np.isnan(read)):
        return []
    if np.ndim(read) == 0:
        read = [read]
    if not isinstance(read, (list, tuple, np.ndarray)) or np.ndim(read) != 1:
        raise _error(value)
    words = [_word(word) for word in read]
    if None in words:
        raise _error(value)
    return words


def pad_words(lists: Iterable[Sequence[int]], width: int) -> np.ndarray:
    """Lists as rows `[num_lists, width]` int32, cut to `width`, 0 behind the end."""
    lists = [words[:width] for words in lists]
    rows = np.zeros([len(lists), width], np.int32)
    lengths = np.array([len(words) for words in lists], np.int64)
    flat = [word for words in lists for word in words]
    rows[np.arange(width) < lengths[:, None]] = flat
    return rows


def _word(word: object) -> int | None:
    whole = isinstance(word, (int, np.integer)) and not isinstance(word, bool)
    if not whole and isinstance(word, (float, np.floating)):
        whole = float(word).is_integer()
    return int(word) if whole and word >= 0 else None


def _error(value: object) -> ValueError:
    return ValueError(
        "Words must be a list of whole numbers from 0, such as [3, 17], or its text. "
        f"Got {value!r:.200}."
    )
