"""Descriptions of file formats: how a file is recognised and what its columns mean."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd


class Part(NamedTuple):
    """A table on its way from a file to `from_frame`.

    Attributes:
      frame: the table.
      options: arguments of `from_frame` that the format determines.
      notes: sentences for the summary.
      shown: ids of items that were shown, which the catalogue has too.
    """

    frame: pd.DataFrame
    options: dict[str, Any]
    notes: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    def plus(self, frame: pd.DataFrame, *notes: str, **options: Any) -> "Part":
        """Makes a part with another table and additional notes and options."""
        return Part(frame, self.options | options, (*self.notes, *notes), self.shown)


@dataclasses.dataclass(frozen=True)
class Look:
    """One way to write a format: its separator, and its header or its fields.

    Args:
      separator: text between two fields.
      columns: names of the columns. A file with a header must have them, in any order
        and among others, whatever their case and underscores; without a header they are
        the names of the fields in their order.
      fields: regular expression of each field in a file without a header; empty for a
        file with a header.
      cells: regular expression of all names of a header, instead of `columns`.
    """

    separator: str = ","
    columns: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    cells: str | None = None

    @property
    def has_header(self) -> bool:
        """Whether the first line has the names of the columns."""
        return not self.fields

    def fits_header(self, header: list[str]) -> bool:
        """Tells whether these column names are those of the format."""
        if self.cells is not None:
            return bool(header) and all(re.fullmatch(self.cells, h) for h in header)
        folded = {fold(name) for name in header}
        return self.has_header and folded.issuperset(map(fold, self.columns))

    def fits_line(self, line: str) -> bool:
        """Tells whether a line without a header has the fields of the format."""
        values = line.split(self.separator)
        return len(values) == len(self.fields) and all(
            re.fullmatch(field, value.strip())
            for field, value in zip(self.fields, values, strict=True)
        )


@dataclasses.dataclass(frozen=True)
class Companion:
    """A file beside the interactions, with one row per item or user.

    Args:
      side: "item" or "user".
      files: names of the file, as patterns; `{stem}` is the name of the interactions
        without its suffix.
      look: separator, and header or fields; fields have no expressions here, only their
        number counts.
      options: arguments of `from_frame` for the features of the table.
      prepare: function that derives columns, or None.
    """

    side: str
    files: tuple[str, ...]
    look: Look
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prepare: Callable[[Part], Part] | None = None


@dataclasses.dataclass(frozen=True)
class Format:
    """A known format of files with interactions.

    Args:
      name: short name, a value of the argument `file_format`.
      title: name for the summary, "RetailRocket events".
      files: usual names of the file, as patterns; they decide between two formats that
        a file looks like.
      looks: ways to write the format.
      options: arguments of `from_frame`: columns and unit of the times.
      companions: files that may lie beside it; of those of one side the first counts.
      prepare: function that derives columns or rows, or None.
      event_column: column with the kind of an event, or None.
      read: function that reads the whole file, for formats with a reader of their own.
      sessions: function from the table of the file and its path to sessions with shown
        results, for `data.clickstream`, or None.
      session_events: kinds of events that are not in the sessions, so that a model may
        be trained on them first; empty if there are none.
      notes: sentences for the summary.
    """

    name: str
    title: str
    files: tuple[str, ...]
    looks: tuple[Look, ...]
    options: Mapping[str, Any]
    companions: tuple[Companion, ...] = ()
    prepare: Callable[[Part], Part] | None = None
    event_column: str | None = None
    read: Callable[[Path], Part] | None = None
    sessions: Callable[[pd.DataFrame, Path], list[dict]] | None = None
    session_events: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def fold(name: str) -> str:
    """Writes a column name in lower case, without blanks and marks."""
    return "".join(c for c in str(name).lower() if c.isalnum())
