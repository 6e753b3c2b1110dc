"""Interactions by the name of a data set, or from a Parquet, CSV or TSV file."""

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
SUFFIXES = (".parquet", ".csv", ".tsv")
_PACKED = (".gz", ".bz2", ".xz")
_OPEN = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def load(
    dataset: str | os.PathLike = "movielens-latest-small", **options: Any
) -> Interactions:
    """Loads and splits a data set by its name or path.

    Args:
      dataset: "movielens-latest-small" (offline), "recbole:ml-100k",
        "tfds:movielens/<config>", or the path of a `.parquet`, `.csv` or `.tsv` file.
      **options: arguments of `from_frame`. A path also takes `item_table` and
        `user_table`, paths of tables with one row per item or user, and `encoding`, the
        encoding of text files without a byte order mark.

    Returns:
      The split data; print them for a summary.

    Raises:
      ValueError: the name is none of these forms, or the table cannot be used.

    Example:
      >>> data = tm.data.load("movielens-latest-small", split="leave_last_out")
      >>> print(data)
      movielens-latest-small: split leave_last_out, all rows are positives
        users  671 in train, 0 more in test
        items  9,066, of which 55 never in train
        rows   train 98,662  validation 671  test 671  (density 1.64%)
      ...
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


def is_table(dataset: str | os.PathLike) -> bool:
    """Tells whether `dataset` is the name of a file that `from_table` reads."""
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

    Text files may be compressed (`.csv.gz`, `.bz2`, `.xz`). The separator is the most
    frequent of comma, semicolon, tab and bar in the header. Values of text files stay
    as they are written: "007" and "NA" are values, an empty field is a missing value.

    Args:
      path: path of the interactions.
      item_table: path of a file with one row per item, or None.
      user_table: path of a file with one row per user, or None.
      encoding: encoding of text files without a byte order mark, such as "latin-1";
        None stands for UTF-8.
      **options: columns and splitting rule, the arguments of `from_frame`.

    Returns:
      The split data, named after the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file cannot be read, or the table cannot be used.
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
    """Reads a file; values of a text file stay text, so that "007" stays "007".

    Args:
      path: path of a `.parquet`, `.csv` or `.tsv` file.
      argument: the argument that named the file, for the error message.
      encoding: encoding of text files without a byte order mark; None stands for UTF-8.

    Returns:
      The table.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the suffix or the encoding is wrong, a column name is repeated, or the
        content does not have the format of the suffix.
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
            # Integer columns with missing values stay integers.
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
    """The suffix in lower case, without that of a compression."""
    return _unpacked(path).suffix.lower()


def _unpacked(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in _PACKED else path


def _open(path: Path) -> BinaryIO:
    """Opens a file and decompresses it by its first bytes, whatever its name is."""
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
    # Some headers have a blank after each separator: "user_id, item_id".
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
    """The most frequent separator of a header; a bar counts only without any other."""
    usual = "\t" if suffix == ".tsv" else ","
    counts = {mark: header.count(mark) for mark in (usual, ",", ";", "\t")}
    if not any(counts.values()) and "|" in header:
        return "|"
    return max(counts, key=counts.get)
