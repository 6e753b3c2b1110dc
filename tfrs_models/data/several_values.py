"""Cells with several values: read as bags, refused in columns of single values."""

import ast
import re
from collections.abc import Iterable, Mapping

import pandas as pd

from tfrs_models.data.columns import as_strings, refuse

_OTHERS = ("|", ";", ",", "\t", " / ")  # separators that people use
_ENCLOSED = re.compile(r"\s*(\[.*\]|\(.*\)|\{.*\})\s*", re.DOTALL)
# Lists without commas, as NumPy prints arrays: Python would join their texts to one.
_WITHOUT_COMMAS = re.compile(r"['\"]\s+['\"]|\s*\[[-+.\de\s]+\]\s*")


def bags(
    column: pd.Series, name: str, *, separator: str, argument: str
) -> list[list[str]]:
    """Reads the distinct values of each row; a missing cell has no values.

    Args:
      column: lists, texts with a separator, or texts of lists such as "['x', 'y']".
      name: name of the column.
      separator: separator between the values of a text.
      argument: the argument that named the column, for the error message.

    Returns:
      A list of strings for each row.

    Raises:
      ValueError: there are lists in lists, or texts of lists that cannot be read; the
        separator is empty; or no text has this separator and some have another.
    """
    if not separator:
        raise ValueError("`bag_separator` must be a text. Got an empty one.")
    cells = [_decoded(cell) for cell in column]
    listed = [_list_in(cell) if _is_listed(cell) else cell for cell in cells]
    refuse(
        pd.Series([_is_listed(cell) or _is_nested(cell) for cell in listed]),
        column,
        name,
        "must hold lists of texts or numbers",
        f"make lists of them, or texts with `bag_separator` {separator!r}",
    )
    texts = [cell if isinstance(cell, str) else "" for cell in listed]
    if not any(separator in text for text in texts):
        for other in _OTHERS:
            refuse(
                pd.Series([other in text for text in texts]),
                column,
                name,
                f"must separate values by `bag_separator`, {separator!r}; no row does",
                f"say `bag_separator={other!r}`, or name the column in "
                f"`{argument.replace('bag', 'item_category')}` if each is one value",
            )
    return [_parts(cell, separator) for cell in listed]


def refuse_lists(
    column: pd.Series, name: str, *, separator: str, argument: str
) -> None:
    """Raises a `ValueError` if a column of single values has several in a row.

    Args:
      column: `[num_rows]` cells with one value each.
      name: name of the column.
      separator: separator between the values of bags.
      argument: the argument that named the column, for the error message.
    """
    cure = "make a column of each value"
    if argument.startswith("item"):
        cure = "name the column in `bag_columns`"
    cells = [_decoded(cell) for cell in column]
    refuse(
        pd.Series(
            [
                _is_listed(cell)
                or (isinstance(cell, Iterable) and not isinstance(cell, str))
                for cell in cells
            ]
        ),
        column,
        name,
        "must hold one value a row, not a list",
        cure,
    )
    refuse(
        pd.Series(
            [isinstance(cell, str) and separator in cell.strip() for cell in cells]
        ),
        column,
        name,
        f"must hold one value a row, none with {separator!r} (`bag_separator`)",
        f"{cure}, or say another `bag_separator` if they are single values",
    )


def _decoded(cell):
    return as_strings([cell])[0] if isinstance(cell, bytes) else cell


def _is_listed(cell) -> bool:
    """Tells whether a text is a list: "[deleted]" and "(500) Days (2009)" are not."""
    if not isinstance(cell, str) or not _ENCLOSED.fullmatch(cell):
        return False
    looks_so = "," in cell or _WITHOUT_COMMAS.search(cell)
    is_bracket = cell.strip().startswith("[")
    return bool(is_bracket and looks_so) or isinstance(_list_in(cell), (list, dict))


def _list_in(text: str) -> list | dict | str:
    """Parses the text of a list, tuple, set or dict; returns other text as it is."""
    if re.search(r"['\"]\s+['\"]", text):
        return text
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    if isinstance(found, (tuple, set)):
        return sorted(found, key=str)
    return found if isinstance(found, (list, dict)) else text


def _is_nested(cell) -> bool:
    if isinstance(cell, Mapping):
        return True
    if isinstance(cell, str) or not isinstance(cell, Iterable):
        return False
    return any(
        isinstance(value, Iterable) and not isinstance(value, (str, bytes))
        for value in cell
    )


def _parts(cell, separator: str) -> list[str]:
    if isinstance(cell, str):
        cell = [part.strip() for part in cell.split(separator)]
    elif not isinstance(cell, Iterable):
        cell = [] if pd.isna(cell) else [cell]
    parts = as_strings(pd.Series(list(cell), dtype=object))
    return list(dict.fromkeys(part for part in parts if part))
