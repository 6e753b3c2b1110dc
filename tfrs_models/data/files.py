"""The user's own Parquet or CSV file as `Interactions`."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from tfrs_models.data.interactions import Interactions
from tfrs_models.data.table import from_frame

SUFFIXES = (".parquet", ".csv")


def is_table(dataset: str | os.PathLike) -> bool:
    """Whether a name is that of a file which `from_table` reads."""
    return Path(dataset).suffix in SUFFIXES


def from_table(
    path: str | os.PathLike,
    *,
    item_table: str | os.PathLike | None = None,
    user_table: str | os.PathLike | None = None,
    user_column: str = "user_id",
    item_column: str = "item_id",
    **options: Any,
) -> Interactions:
    """Reads a `.parquet` or `.csv` file with one row per interaction.

    Args:
      path: the interactions.
      item_table: a file with one row per item, or None.
      user_table: a file with one row per user, or None.
      user_column: the users.
      item_column: the items.
      **options: further columns and the split, see `from_frame`.

    Returns:
      The data, split; its name is the file's.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a file that cannot be read, or a table that cannot be used.
    """
    ids = (user_column, item_column)
    tables = {"item_frame": item_table, "user_frame": user_table}
    frames = {
        argument: read_table(
            table, ids=ids, argument=argument.replace("frame", "table")
        )
        for argument, table in tables.items()
        if table is not None
    }
    return from_frame(
        read_table(path, ids=ids, argument="path"),
        user_column=user_column,
        item_column=item_column,
        **{"name": Path(path).stem, **frames, **options},
    )


def read_table(
    path: str | os.PathLike, *, ids: tuple[str, ...], argument: str
) -> pd.DataFrame:
    """Reads a file; in CSV the columns `ids` stay text, so that "007" stays "007".

    Args:
      path: a `.parquet` or `.csv` file.
      ids: columns of ids, if the file has them.
      argument: the argument that named the file, for the error.

    Returns:
      The table.

    Raises:
      FileNotFoundError: no such file.
      ValueError: another suffix, or a file that is not what its suffix says.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"`{argument}` must end with one of {SUFFIXES}. Got {str(path)!r}: convert "
            "it with pandas."
        )
    if not path.exists():
        raise FileNotFoundError(
            f"`{argument}` must be a file that exists. Got {str(path)!r}, looked up "
            f"from {str(Path.cwd())!r}."
        )
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else _csv(path, ids)
    except (ValueError, OSError) as error:  # of both parsers
        raise ValueError(
            f"`{argument}` must be a readable {path.suffix} file with a header. Got "
            f"{str(path)!r}: {error}"
        ) from error


def _csv(path: Path, ids: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.read_csv(path)
    found = [column for column in ids if column in frame]
    # An id "NA" is an id: only the empty text is missing there.
    text = {"dtype": str, "keep_default_na": False, "na_values": [""]}
    return frame.assign(**pd.read_csv(path, usecols=found, **text))
