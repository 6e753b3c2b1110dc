"""The user's own Parquet, CSV or TSV file as `Interactions`."""

import bz2
import codecs
import csv
import difflib
import gzip
import lzma
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from tfrs_models.data import movielens
from tfrs_models.data.interactions import Interactions
from tfrs_models.data.table import from_frame

FORMS = (
    "movielens-latest-small",
    "recbole:ml-100k",
    "tfds:movielens/100k-ratings",
    "path/to/interactions.parquet",
    "path/to/interactions.csv",
)


def load(
    dataset: str | os.PathLike = "movielens-latest-small", **options: Any
) -> Interactions:
    """Loads and splits a data set.

    Args:
      dataset: "movielens-latest-small" (offline), "recbole:ml-100k",
        "tfds:movielens/<config>", or the path of a table, see `from_table`.
      **options: of `from_frame`; of `from_table` for a path.

    Returns:
      The data, split; print its summary.

    Raises:
      ValueError: any other name, and whatever the loader finds wrong.
    """
    dataset = str(dataset)
    source, _, name = dataset.partition(":")
    if dataset == "movielens-latest-small":
        return movielens.latest_small(**options)
    if dataset == "recbole:ml-100k":
        return movielens.recbole_ml_100k(**options)
    if source == "tfds":
        return movielens.tfds(name, **options)
    if is_table(dataset):
        return from_table(dataset, **options)
    near = difflib.get_close_matches(dataset, FORMS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"`dataset` must be one of these forms: {', '.join(FORMS)}. Got "
        f"{dataset!r}.{hint}"
    )


SUFFIXES = (".parquet", ".csv", ".tsv")
_PACKED = (".gz", ".bz2", ".xz")
_OPEN = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def is_table(dataset: str | os.PathLike) -> bool:
    """Whether a name is that of a file which `from_table` reads."""
    return _suffix(Path(dataset)) in SUFFIXES


def from_table(
    path: str | os.PathLike,
    *,
    item_table: str | os.PathLike | None = None,
    user_table: str | os.PathLike | None = None,
    encoding: str | None = None,
    **options: Any,
) -> Interactions:
    """Reads a `.parquet`, `.csv` or `.tsv` file with one row per interaction.

    Text files may be compressed (`.csv.gz`, `.bz2`, `.xz`); values may be separated by
    commas, semicolons, tabs or bars, whichever the header has most of. What they hold
    is kept as it is written: "007" and "NA" are values, and nothing is a missing one.

    Args:
      path: the interactions.
      item_table: a file with one row per item, or None.
      user_table: a file with one row per user, or None.
      encoding: of text files without a byte order mark, such as "latin-1"; UTF-8 where
        None.
      **options: columns and the split, see `from_frame`.

    Returns:
      The data, split; its name is the file's.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a file that cannot be read, or a table that cannot be used.
    """
    tables = {"item_frame": item_table, "user_frame": user_table}
    frames = {
        argument: read_table(
            table, encoding=encoding, argument=argument.replace("frame", "table")
        )
        for argument, table in tables.items()
        if table is not None
    }
    return from_frame(
        read_table(path, encoding=encoding, argument="path"),
        **{"name": _unpacked(Path(path)).stem, **frames, **options},
    )


def read_table(
    path: str | os.PathLike, *, argument: str, encoding: str | None = None
) -> pd.DataFrame:
    """Reads a file; all that a text file holds stays text, so that "007" stays "007".

    Args:
      path: see `from_table`.
      argument: the argument that named the file, for the error.
      encoding: of text files without a byte order mark; UTF-8 where None.

    Returns:
      The table.

    Raises:
      FileNotFoundError: no such file.
      ValueError: another suffix, another encoding, a column twice, or a file that is
        not what its suffix says.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise ValueError(
            f"`{argument}` must end with one of {SUFFIXES}, the last two also packed "
            f"as {', '.join(_PACKED)}. Got {str(path)!r}: convert it with pandas."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"`{argument}` must be a file that exists. Got {str(path)!r}, looked up "
            f"from {str(Path.cwd())!r}."
        )
    try:
        if suffix == ".parquet":
            # Whole numbers with gaps stay whole.
            return pd.read_parquet(path, dtype_backend="numpy_nullable")
        return _read_text(path, suffix, encoding)
    except UnicodeError as error:
        raise ValueError(
            f"`{argument}` must be in {encoding or 'UTF-8'}. Got {str(path)!r}: "
            f'{error}. What to do: name its `encoding`, often "latin-1" or "cp1252".'
        ) from error
    except LookupError as error:
        raise ValueError(f"`encoding` must be one that Python has: {error}.") from error
    except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"`{argument}` must be a readable {suffix} file with a header. Got "
            f"{str(path)!r}: {error}"
        ) from error


def _suffix(path: Path) -> str:
    """In lower case, without that of a compression."""
    return _unpacked(path).suffix.lower()


def _unpacked(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in _PACKED else path


def _open(path: Path) -> BinaryIO:
    """Unpacks what is packed, whatever the file is called."""
    with path.open("rb") as file:
        start = file.read(8)
    unpack = (opener for mark, opener in _OPEN.items() if start.startswith(mark))
    return next(unpack, open)(path, "rb")


def _read_text(path: Path, suffix: str, encoding: str | None) -> pd.DataFrame:
    with _open(path) as file:
        start = file.read(len(codecs.BOM_UTF8))
    marked = (name for mark, name in _MARKS.items() if start.startswith(mark))
    encoding = next(marked, encoding or "utf-8")
    with _open(path) as file:
        lines = (line.strip("\r\n") for line in codecs.getreader(encoding)(file))
        header = next((line for line in lines if line.strip()), "")
    separator = _separator(header, suffix)
    # Written for people: "user_id, item_id".
    form = {"skipinitialspace": f"{separator} " in header}
    names = Counter(next(csv.reader([header], delimiter=separator, **form), []))
    twice = [name for name, count in names.items() if name and count > 1]
    if twice:
        raise ValueError(
            f"the header must have each column once. It has {twice} more than once: "
            "rename or drop one of them."
        )
    with _open(path) as file:
        frame = pd.read_csv(
            file,
            sep=separator,
            encoding=encoding,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            **form,
        )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(
            f"rows must have as many values as the header. It has {len(names)} columns "
            "and rows have more: is there a separator at the end of each row?"
        )
    return frame


def _separator(header: str, suffix: str) -> str:
    """What the header has most of: a bar counts only where there is nothing else."""
    usual = "\t" if suffix == ".tsv" else ","
    counts = {mark: header.count(mark) for mark in (usual, ",", ";", "\t")}
    if not any(counts.values()) and "|" in header:
        return "|"
    return max(counts, key=counts.get)
