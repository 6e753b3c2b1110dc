"""Interactions by the name of a data set, or from a file: a known format or a table."""

import dataclasses
import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tfrs_models.data import movielens
from tfrs_models.data.columns import require_column
from tfrs_models.data.formats.description import Part
from tfrs_models.data.formats.reading import read_format
from tfrs_models.data.formats.recognition import (
    Recognised,
    has_usual_name,
    recognise,
    unknown_text,
)
from tfrs_models.data.interactions import Interactions
from tfrs_models.data.table import from_frame
from tfrs_models.data.table_files import (
    SUFFIXES,
    WITHOUT_HEADER,
    column_names,
    ends_in_a_line,
    first_lines,
    read_table,
    require_file,
    separator_of,
    split_header,
    suffix_of,
    unpacked,
)
from tfrs_models.data.vectors import vectors_beside

FORMS = (
    "movielens-latest-small",
    "recbole:ml-100k",
    "tfds:movielens/100k-ratings",
    "path/to/interactions.parquet",
    "path/to/interactions.csv",
    "path/to/ratings.dat",
)
_AUTO = "auto"


def load(
    dataset: str | os.PathLike = "movielens-latest-small",
    *,
    later: str | os.PathLike | pd.DataFrame | None = None,
    **options: Any,
) -> Interactions:
    """Loads and splits a data set by its name or path.

    Args:
      dataset: "movielens-latest-small" (offline), "recbole:ml-100k",
        "tfds:movielens/<config>", or the path of a file: a known format such as
        `ratings.dat`, or an own table as `.parquet`, `.csv` or `.tsv`.
      later: rows that came after those of `dataset`, a table or the path of a Parquet
        file, with the columns of the source, as `read_rows` returns them.
      **options: arguments of `from_frame`. A path also takes `file_format`, the name of
        its format if that is ambiguous, `item_table` and `user_table`, paths of tables
        with one row per item or user, files of their vectors (`item_vector_columns`,
        `user_vector_columns`), `events`, the kinds of events to keep, with
        their `event_column`, and `encoding`, the encoding of text files without a byte
        order mark.

    Returns:
      The split data; print them for a summary.

    Raises:
      ValueError: the name is none of these forms, or the table cannot be used.

    Example:
      >>> data = tm.data.load("movielens-latest-small", split="leave_last_out")
      >>> print(data)
      movielens-latest-small: split leave_last_out, all rows are positives
        users  671 in train, 0 more in test
        items  9,066, of which 53 never in train
        rows   train 98,662  validation 671  test 671  (density 1.64%)
      ...
    """
    dataset = str(dataset)
    if later is not None:
        is_frame = isinstance(later, pd.DataFrame)
        options["later"] = later if is_frame else read_table(later, argument="later")
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
    """Tells whether `dataset` is the path of a file that `from_table` reads."""
    path = Path(dataset)
    is_name = str(dataset) in ("", *FORMS) or str(dataset).startswith("tfds:")
    return not is_name and (suffix_of(path) in SUFFIXES or path.exists())


def from_table(
    path: str | os.PathLike,
    *,
    file_format: str = "auto",
    user_column: str = "auto",
    item_column: str = "auto",
    item_table: str | os.PathLike | None = None,
    user_table: str | os.PathLike | None = None,
    events: Sequence[str] | None = None,
    event_column: str | None = None,
    item_vector_columns: Sequence[str] = (),
    user_vector_columns: Sequence[str] = (),
    encoding: str | None = None,
    **options: Any,
) -> Interactions:
    """Reads a file with one row per interaction: a known format, or an own table.

    A known format is recognised by its first lines; it determines the columns, the unit
    of the times, and the tables of items and users that lie beside the file. A given
    argument wins over that of the format. A file that has the given columns for users
    and items is an own table.

    Text files may be compressed (`.csv.gz`, `.bz2`, `.xz`). The separator of an own
    table is the most frequent of comma, semicolon, tab and bar in the header. Values of
    text files stay as they are written: "007" and "NA" are values, an empty field is a
    missing value.

    Args:
      path: path of the interactions, or of a folder with one such file.
      file_format: name of the format; "auto" recognises it, "table" stands for an
        own table.
      user_column: column of the user ids; "auto" stands for that of the format, or
        `user_id`.
      item_column: column of the item ids; "auto" stands for that of the format, or
        `item_id`.
      item_table: path of a file with one row per item; None for the one that the format
        has beside the interactions, if any.
      user_table: path of a file with one row per user; None for the one that the format
        has beside the interactions, if any.
      events: kinds of events to keep, such as "transaction"; None keeps all.
      event_column: column of the kinds of events, which becomes the column `event` of
        the splits; None stands for that of the format, which only `events` reads.
      item_vector_columns: columns of the items with one dense vector a row, as
        `from_frame` reads them, or "name=path.npy" for a feature `name` whose vectors
        are the rows of a file of NumPy, in the order of the rows of `item_table`.
      user_vector_columns: the same of the users.
      encoding: encoding of text files without a byte order mark, such as "latin-1";
        None stands for UTF-8, in known formats for Latin-1 where UTF-8 is not possible.
      **options: columns and splitting rule, the arguments of `from_frame`.

    Returns:
      The split data, named after the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file cannot be read, has no or several known formats, or its table
        cannot be used.
    """
    path = _one_file(Path(path), encoding)
    tables = {"item": item_table, "user": user_table}
    tables = {side: table for side, table in tables.items() if table is not None}
    columns = {"user_column": user_column, "item_column": item_column}
    later = options.pop("later", None)
    given = {k: v for k, v in (columns | options).items() if v != _AUTO}
    found = _recognised(path, file_format, given, encoding)
    kept = {} if event_column is None else {"event_column": event_column}
    if found is None:
        part, frames = Part(_own_table(path, given, encoding), given), {}
    else:
        part, frames = read_format(
            path, found, given=given, own_tables=tables, encoding=encoding
        )
        event_column = event_column or found.form.event_column
    part = _chosen_events(part, events, event_column)
    if later is not None and events is not None:
        later = later[later[event_column].astype(str).isin(events).to_numpy()]
    frames |= {
        f"{side}_frame": read_table(table, encoding=encoding, argument=f"{side}_table")
        for side, table in tables.items()
    }
    vectors = {"item": item_vector_columns, "user": user_vector_columns}
    for side, columns in vectors.items():
        table = frames[f"{side}_frame"] if side in tables else None
        table, names = vectors_beside(table, columns, side=side)
        frames |= {f"{side}_vector_columns": names}
        frames |= {} if table is None else {f"{side}_frame": table}
    named = {"name": unpacked(path).stem, **frames, **part.options, **kept}
    try:
        data = from_frame(part.frame, later=later, **named)
    except ValueError as error:
        if str(path) in str(error):
            raise
        cut = (
            "" if ends_in_a_line(path) else " Its last line has no end: is it cut off?"
        )
        raise ValueError(f"{error} Read from {path}.{cut}") from error
    if found is None and not part.notes:
        return data
    lines = part.notes if found is None else (_title(found, part), *part.notes)
    summary = dataclasses.replace(data.summary, reading=lines)
    return dataclasses.replace(data, summary=summary)


def read_rows(
    path: str | os.PathLike,
    *,
    file_format: str = _AUTO,
    encoding: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Reads the rows of a file as `from_table` does, before they are indexed.

    Args:
      path: path of the interactions.
      file_format: name of the format; "auto" recognises it, "table" stands for an own
        table.
      encoding: encoding of text files without a byte order mark.
      **options: columns, as `from_table` takes them.

    Returns:
      The table, with the column names of the file or of its format.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file cannot be read.
    """
    path = _one_file(Path(path), encoding)
    given = {k: v for k, v in options.items() if v != _AUTO}
    found = _recognised(path, file_format, given, encoding)
    if found is None:
        return _own_table(path, given, encoding)
    return read_format(path, found, given=given, encoding=encoding)[0].frame


def _one_file(path: Path, encoding: str | None) -> Path:
    """The path itself, or the only file of a known format in a folder."""
    if not path.is_dir():
        if suffix_of(path) in SUFFIXES:
            require_file(path, "path")
        return path
    files = [file for file in sorted(path.iterdir()) if file.is_file()]
    known = [f for f in files if suffix_of(f) in SUFFIXES]
    known = [f for f in known if recognise(f, encoding=encoding) is not None]
    if len(known) != 1:
        names = ", ".join(file.name for file in known or files[:10])
        raise ValueError(
            "`path` must be a file, or a folder with one file of a known format. Got "
            f"{str(path)!r} with {len(known)} of them: name one of the files {names}."
        )
    return known[0]


def _recognised(
    path: Path, file_format: str, given: dict, encoding: str | None
) -> Recognised | None:
    if not path.is_file() or suffix_of(path) not in SUFFIXES:
        return None  # `read_table` has the error
    chosen = [given.get(name) for name in ("user_column", "item_column")]
    if file_format == _AUTO and set(chosen) <= set(_header(path, encoding)):
        return None
    return recognise(path, file_format=file_format, encoding=encoding)


def _header(path: Path, encoding: str | None) -> list[str]:
    if suffix_of(path) == ".parquet":
        return column_names(path)
    line = next(iter(first_lines(path, encoding)), "")
    return split_header(line, separator_of(line, suffix_of(path)))


def _own_table(path: Path, given: dict, encoding: str | None) -> pd.DataFrame:
    is_known = suffix_of(path) in WITHOUT_HEADER or has_usual_name(path)
    if is_known and path.is_file():
        columns = {"user_column": "user_id", "item_column": "item_id"} | given
        wanted = {columns["user_column"], columns["item_column"]}
        if not wanted & set(_header(path, encoding)):
            raise unknown_text(path, encoding)
    return read_table(path, argument="path", encoding=encoding)


def _chosen_events(
    part: Part, events: Sequence[str] | None, column: str | None
) -> Part:
    if column is None:
        if events is not None:
            raise ValueError(
                f"`events` needs the column of the kinds of events. Got {events} and "
                f"no `event_column`; the columns are {list(part.frame.columns)}."
            )
        return part
    kinds = require_column(part.frame, column, argument="event_column").astype(str)
    counts = kinds.value_counts()
    text = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
    if events is None:
        return part.plus(part.frame, f"events: {text}; all are kept")
    unknown = sorted(set(events) - set(counts.index))
    if unknown or not len(events):
        raise ValueError(
            f"`events` must be kinds in the column {column!r}: {text}. Got "
            f"{tuple(events)}."
        )
    frame = part.frame[kinds.isin(events).to_numpy()].reset_index(drop=True)
    return part.plus(frame, f"events: {text}; kept {', '.join(events)}")


def _title(found: Recognised, part: Part) -> str:
    """The line on a recognised format and the meaning of its columns."""
    options = part.options
    parts = {
        "users": options["user_column"],
        "items": options["item_column"],
        "ratings": options.get("rating_column"),
        "times": options.get("timestamp_column"),
    }
    meaning = ", ".join(f"{name} {column}" for name, column in parts.items() if column)
    return f"read as {found.form.title} ({found.form.name}): {meaning}"
