"""Columns of dense vectors, such as embeddings of texts, and files of them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models.data.columns import MISSING, refuse
from tfrs_models.data.table_files import require_file

_ENCLOSED = re.compile(r"\s*[\[(](.*)[\])]\s*", re.DOTALL)
_FILE = re.compile(r"([^=]+)=(.+\.npy)", re.DOTALL)


def read_vectors(column: pd.Series, name: str, *, table: str) -> np.ndarray:
    """Reads a column of dense vectors; a missing vector is zeros.

    A cell is a list or an array of numbers, or the text of one: "[0.5, -1]" or "0.5
    -1". An empty cell and an empty list are missing.

    Args:
      column: `[num_rows]` cells.
      name: name of the column.
      table: the table with the column, for the error message.

    Returns:
      `[num_rows, dim]` float32.

    Raises:
      ValueError: a cell is no list of numbers, a number is not finite, rows have
        different numbers of components, or no row has a vector.
    """
    cells = [_numbers(cell) for cell in column]
    refuse(
        pd.Series([cell is None for cell in cells]),
        column,
        name,
        f"of {table} must hold a list of numbers in each row",
        "make lists such as [0.5, -1.0], of the same length in all rows, or leave a "
        "missing vector empty",
    )
    lengths = np.array([len(cell) for cell in cells])
    if not lengths.any():
        raise ValueError(
            f"`{name}` of {table} must have a vector in at least one row. Got "
            f"{len(cells):,} empty rows: is it the right column?"
        )
    dim = int(np.bincount(lengths[lengths > 0]).argmax())
    ragged = (lengths > 0) & (lengths != dim)
    others = ", ".join(map(str, np.unique(lengths[ragged])))
    refuse(
        pd.Series(ragged),
        column,
        name,
        f"of {table} must have the same number of components in all rows, {dim} as in "
        f"most of them, not {others}",
        "make all vectors with the same model, or leave a missing one empty",
    )
    vectors = np.zeros((len(cells), dim), np.float32)
    if (lengths > 0).any():
        with np.errstate(over="ignore"):  # becomes infinite, which is refused
            vectors[lengths > 0] = np.stack([cell for cell in cells if len(cell)])
    refuse(
        pd.Series(~np.isfinite(vectors).all(axis=1)),
        column,
        name,
        f"of {table} must hold finite numbers",
        "repair them, or leave a missing vector empty (zeros in a .npy file)",
    )
    return vectors


def vectors_beside(
    frame: pd.DataFrame | None, columns: Sequence[str], *, side: str
) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Reads the vectors that are in files beside a table, and adds them to the table.

    Args:
      frame: table with one row per item or user; None if there is no such file.
      columns: names of columns of the table, or "name=path.npy" for a file with one
        row per row of the table.
      side: "item" or "user".

    Returns:
      The table with a column for each file, and the names of all columns.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: there is no table, or a file has no matrix of numbers or another
        number of rows.
    """
    names = []
    for column in columns:
        found = _FILE.fullmatch(column)
        names.append(found[1] if found else column)
        if not found:
            continue
        if frame is None:
            raise ValueError(
                f"`{side}_vector_columns` needs `{side}_table`: row i of a file has "
                f"the vector of row i of this table. Got {column!r} and no table."
            )
        if names[-1] in frame.columns:
            raise ValueError(
                f"`{side}_vector_columns` must give a file a new name. Got {column!r}; "
                f"`{side}_table` has this column."
            )
        vectors = _matrix(found[2], len(frame), side)
        added = pd.Series([*vectors], index=frame.index, dtype=object)
        frame = frame.assign(**{names[-1]: added})
    return frame, tuple(names)


def _matrix(path: str | os.PathLike, num_rows: int, side: str) -> np.ndarray:
    """Reads `[num_rows, dim]` numbers of a .npy file."""
    argument = f"{side}_vector_columns"
    require_file(Path(path), argument)
    rule = f"`{argument}` must name .npy files of a matrix of numbers. Got {path!r}"
    try:
        matrix = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{rule}: {error} What to do: write it with `numpy.save`."
        ) from error
    if not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "iuf":
        kind = getattr(matrix, "dtype", type(matrix).__name__)
        raise ValueError(f"{rule} with {kind}: write it with `numpy.save`.")
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise ValueError(f"{rule} of shape {matrix.shape}: write `[num_rows, dim]`.")
    if len(matrix) != num_rows:
        raise ValueError(
            f"`{argument}` must name files with one row per row of `{side}_table`, "
            f"which has {num_rows:,}. Got {len(matrix):,} in {path!r}: write them in "
            "the order of the table, zeros for a missing vector."
        )
    return matrix


def _numbers(cell) -> np.ndarray | None:
    """Returns the numbers of a cell, none of a missing one; None for anything else."""
    if isinstance(cell, str):
        return np.zeros(0) if cell.strip() in MISSING else _numbers_in(cell)
    if not isinstance(cell, (list, tuple, np.ndarray)):
        is_missing = pd.api.types.is_scalar(cell) and pd.isna(cell)
        return np.zeros(0) if is_missing else None
    try:
        numbers = np.asarray(cell, np.float64)
    except (ValueError, TypeError):  # texts, or lists of several lengths
        return None
    return numbers if numbers.ndim == 1 else None


def _numbers_in(text: str) -> np.ndarray | None:
    found = _ENCLOSED.fullmatch(text)
    parts = (found[1] if found else text).replace(",", " ").split()
    if not found and len(parts) < 2:  # a column of numbers
        return None
    try:
        return np.array([float(part) for part in parts])
    except ValueError:
        return None
