"""Which known format a file has, by its first lines and its name."""

import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tfrs_models.data.formats.description import Format, Look
from tfrs_models.data.formats.known import BY_NAME, FORMATS
from tfrs_models.data.table_files import (
    column_names,
    first_lines,
    separator_of,
    split_header,
    suffix_of,
    unpacked,
)

_LINES = 20  # number of lines, half of which must have the fields of a format


class Recognised(NamedTuple):
    """A known format of a file.

    Attributes:
      form: the format.
      look: the way in which this file writes it.
      header: column names in the file; empty without a header.
    """

    form: Format
    look: Look
    header: tuple[str, ...]


def recognise(
    path: Path, *, file_format: str = "auto", encoding: str | None = None
) -> Recognised | None:
    """Finds the known format of a file.

    Args:
      path: path of a file that exists.
      file_format: name of a format, "auto" for the one that the file looks like, or
        "table" for no format.
      encoding: encoding of a text file without a byte order mark.

    Returns:
      The format, or None if there is none.

    Raises:
      ValueError: there is no format of this name, the file does not look like it, or it
        looks like several.
    """
    if file_format == "table":
        return None
    if file_format != "auto" and file_format not in BY_NAME:
        raise ValueError(
            f"`file_format` must be one of {(*BY_NAME, 'table', 'auto')}. Got "
            f"{file_format!r}."
        )
    found = list(_found(path, encoding))
    if file_format != "auto":
        named = [one for one in found if one.form.name == file_format]
        if not named:
            raise ValueError(
                f"`file_format` must be the format of the file. Got {file_format!r} "
                f"and {str(path)!r}, which does not look like "
                f"{_shape(BY_NAME[file_format])}: its first line is "
                f"{_first(path, encoding)!r}."
            )
        return named[0]
    if len({one.form.name for one in found}) > 1:
        by_name = [one for one in found if has_name(path, one.form.files)]
        found = by_name or found
    names = tuple(dict.fromkeys(one.form.name for one in found))
    if len(names) > 1:
        raise ValueError(
            f"`file_format` must be named: {str(path)!r} looks like several formats. "
            f"Its first line is {_first(path, encoding)!r}. The choices are {names}, "
            "or 'table' for your own columns."
        )
    return found[0] if found else None


def has_name(path: Path, patterns: tuple[str, ...]) -> bool:
    """Tells whether a file has one of these usual names, packed or not."""
    name = unpacked(path).name.lower()
    return any(fnmatch.fnmatch(name, pattern.lower()) for pattern in patterns)


def has_usual_name(path: Path) -> bool:
    """Tells whether a file has the usual name of some known format."""
    return any(has_name(path, form.files) for form in FORMATS)


def fits(look: Look, path: Path, encoding: str | None = None) -> list[str] | None:
    """Returns the header of a file, empty if it has none, or None if it does not fit.

    Args:
      look: a way to write a format.
      path: path of the file.
      encoding: encoding of a text file without a byte order mark.
    """
    if suffix_of(path) == ".parquet":
        names = column_names(path)
        return names if look.has_header and look.fits_header(names) else None
    lines = first_lines(path, encoding)[:_LINES]
    if not lines:
        return None
    if look.has_header:
        separator = separator_of(lines[0], suffix_of(path))
        names = split_header(lines[0], separator)
        return names if look.fits_header(names) else None
    # A wrong line among them is the reader's to name.
    return [] if 2 * sum(map(look.fits_line, lines)) >= len(lines) else None


def unknown_text(path: Path, encoding: str | None = None) -> ValueError:
    """Makes the error of a text file that has no known format."""
    shapes = "; ".join(_shape(form) for form in FORMATS)
    usual = " or ".join(
        f"{look.separator!r} between {', '.join(look.columns)}"
        for form in FORMATS
        if has_name(path, form.files)
        for look in form.looks
    )
    hint = f" Files of this name have {usual}." if usual else ""
    return ValueError(
        f"`path` must be a table with a header, or have a known format. Got "
        f"{str(path)!r}, whose first line is {_first(path, encoding)!r}.{hint} The "
        f"known formats are {shapes}. What to do: give the file a header with the "
        "columns user_id, item_id and timestamp, or name its columns with "
        "`user_column`, `item_column` and `timestamp_column`."
    )


def _found(path: Path, encoding: str | None) -> Iterator[Recognised]:
    for form in FORMATS:
        for look in form.looks:
            header = fits(look, path, encoding)
            if header is not None:
                yield Recognised(form, look, tuple(header))
                break


def _shape(form: Format) -> str:
    return f"{form.name} ({', '.join(form.files)})"


def _first(path: Path, encoding: str | None) -> str:
    if suffix_of(path) == ".parquet":
        return ", ".join(column_names(path))
    return next(iter(first_lines(path, encoding)), "")[:80]
