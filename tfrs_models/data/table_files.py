"""Parquet and text files as tables."""

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import lzma
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow.parquet as pq

SUFFIXES = (
    *(".parquet", ".csv", ".tsv", ".txt", ".dat", ".data", ".inter", ".item", ".user"),
)
WITHOUT_HEADER = (".txt", ".dat", ".data", ".inter")
PACKED = (".gz", ".bz2", ".xz")
_OPEN = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UNIT = b"\x1f"  # stands for a separator of several bytes
_LOOKED_AT = 2**16  # number of bytes of a first look


def read_table(
    path: str | os.PathLike, *, argument: str, encoding: str | None = None
) -> pd.DataFrame:
    """Reads a file; values of a text file stay text, so that "007" stays "007".

    Args:
      path: path of a Parquet file, or of a text file with a header.
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
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise ValueError(
            f"`{argument}` must end with one of {SUFFIXES}, texts also packed as "
            f"{', '.join(PACKED)}. Got {str(path)!r}: convert it with pandas."
        )
    require_file(path, argument)
    _encoding(path, encoding)
    try:
        if suffix == ".parquet":
            # Integer columns with missing values stay integers.
            return pd.read_parquet(
                path, dtype_backend="numpy_nullable", page_checksum_verification=True
            )
        return _read_text(path, suffix, encoding)
    except UnicodeError as error:
        raise ValueError(
            f"`{argument}` must be in {encoding or 'UTF-8'}. Got {str(path)!r}: "
            f'{error}. What to do: name its `encoding`, often "latin-1" or "cp1252".'
        ) from error
    except (ValueError, OSError) as error:
        raise ValueError(
            f"`{argument}` must be a readable {suffix} file with a header. Got "
            f"{str(path)!r}: {error}"
        ) from error


def require_file(path: Path, argument: str) -> None:
    """Raises a `FileNotFoundError` that names the argument if there is no such file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"`{argument}` must be a file that exists. Got {str(path)!r}, looked up "
            f"from {str(Path.cwd())!r}."
        )


def suffix_of(path: Path) -> str:
    """Returns the suffix in lower case, without that of a compression."""
    return unpacked(path).suffix.lower()


def unpacked(path: Path) -> Path:
    """Returns the path without the suffix of a compression."""
    return path.with_suffix("") if path.suffix.lower() in PACKED else path


@contextlib.contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Opens a file and decompresses it by its first bytes, whatever its name is.

    Raises:
      ValueError: what is in the compressed file was cut off or is damaged.
    """
    with path.open("rb") as file:
        start = file.read(8)
    unpack = (opener for mark, opener in _OPEN.items() if start.startswith(mark))
    try:
        with next(unpack, open)(path, "rb") as file:
            yield file
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if getattr(error, "errno", None) is not None:  # of the system
            raise
        raise ValueError(
            f"{path} must be a whole compressed file: {error}. It was cut off or "
            "damaged: get it again."
        ) from error


def ends_in_a_line(path: Path) -> bool:
    """Returns whether a text file's last line has an end, as in a file that is whole.

    Args:
      path: path of the file; one that is compressed, or no text, counts as whole.
    """
    if suffix_of(path) == ".parquet" or not path.is_file() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        if any(file.read(8).startswith(mark) for mark in _OPEN):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) in b"\r\n\0"  # UTF-16 ends in a zero


def first_lines(path: Path, encoding: str | None = None) -> list[str]:
    """Reads the first lines of a text file that are not empty, some 64 KiB of them.

    Args:
      path: path of the file, packed or not.
      encoding: encoding of a file without a byte order mark; None stands for UTF-8.
        Bytes that it does not allow are replaced.

    Returns:
      The lines, without their ends.
    """
    with _open(path) as file:
        start = file.read(_LOOKED_AT)
    lines = start.decode(_encoding(path, encoding), errors="replace").splitlines()
    if len(start) == _LOOKED_AT and len(lines) > 1:
        lines.pop()  # it may be cut
    return [line for line in lines if line.strip()]


def column_names(path: Path) -> list[str]:
    """Returns the column names of a Parquet file, none if it cannot be read."""
    try:
        return list(pq.read_schema(path).names)
    except (ValueError, OSError):
        return []  # `read_table` has the error


def split_header(line: str, separator: str) -> list[str]:
    """Splits a header, whose names may be in quotes."""
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])


def read_fields(
    path: Path,
    *,
    separator: str,
    columns: Sequence[str],
    has_header: bool = False,
    encoding: str | None = None,
) -> tuple[pd.DataFrame, str]:
    """Reads a text file line by line: quotes are characters like others.

    Args:
      path: path of the file, packed or not.
      separator: text between two fields.
      columns: names of the fields.
      has_header: whether the first line is a header, which is skipped.
      encoding: encoding of the file; None stands for UTF-8, and for Latin-1 if the file
        is not valid UTF-8.

    Returns:
      The table, whose values are text, and the encoding.

    Raises:
      ValueError: a line has another number of fields; the message has its number.
    """
    with _open(path) as file:
        content = file.read()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16").encode()
        encoding = "utf-8"
    mark = separator.encode()
    wanted = len(columns) - 1
    for number, line in enumerate(io.BytesIO(content), 1):
        if line.count(mark) != wanted and line.strip():
            text = line.decode("latin-1").rstrip("\r\n")
            raise ValueError(
                f"every line must have {wanted + 1} fields, separated by "
                f"{separator!r}. Got {line.count(mark) + 1} in line {number}: "
                f"{text[:80]!r}."
            )
    if len(mark) > 1:
        content = content.replace(mark, _UNIT)
    options = {"sep": separator if len(mark) == 1 else _UNIT.decode(), "header": None}
    options |= {"names": list(columns), "dtype": str, "quoting": csv.QUOTE_NONE}
    options |= {"skiprows": int(has_header)}
    options |= {"keep_default_na": False, "na_values": [""], "index_col": False}
    name = encoding or _encoding(path, encoding)
    try:
        return pd.read_csv(io.BytesIO(content), encoding=name, **options), name
    except UnicodeDecodeError:
        if encoding is not None:
            raise
        name = "latin-1"
        return pd.read_csv(io.BytesIO(content), encoding=name, **options), name


def _encoding(path: Path, encoding: str | None) -> str:
    """The encoding that a byte order mark names, the given one, or UTF-8."""
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError as error:
        raise ValueError(f"`encoding` must be one that Python has: {error}.") from error
    with _open(path) as file:
        start = file.read(len(codecs.BOM_UTF8))
    marked = (name for mark, name in _MARKS.items() if start.startswith(mark))
    return next(marked, encoding or "utf-8")


def _read_text(path: Path, suffix: str, encoding: str | None) -> pd.DataFrame:
    encoding = _encoding(path, encoding)
    with _open(path) as file:
        lines = (line.strip("\r\n") for line in codecs.getreader(encoding)(file))
        header = next((line for line in lines if line.strip()), "")
    separator = separator_of(header, suffix)
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


def separator_of(header: str, suffix: str) -> str:
    """Finds the most frequent separator of a header; a bar only without any other."""
    usual = "," if suffix == ".csv" else "\t"
    counts = {mark: header.count(mark) for mark in (usual, ",", ";", "\t")}
    if not any(counts.values()) and "|" in header:
        return "|"
    return max(counts, key=counts.get)
