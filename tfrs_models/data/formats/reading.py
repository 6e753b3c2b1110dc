"""Tables of files in known formats, joined with the files beside them."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from tfrs_models.data.formats.description import Companion, Format, Look, Part, fold
from tfrs_models.data.formats.known import FORMATS
from tfrs_models.data.formats.recognition import (
    Recognised,
    fits,
    has_name,
    recognise,
)
from tfrs_models.data.table_files import (
    SUFFIXES,
    read_fields,
    read_table,
    suffix_of,
    unpacked,
)

_SIDES = ("item", "user")


def read_format(
    path: Path,
    found: Recognised,
    *,
    given: dict[str, Any],
    own_tables: Collection[str] = (),
    encoding: str | None = None,
) -> tuple[Part, dict[str, pd.DataFrame]]:
    """Reads a file in a known format, and the files beside it.

    Args:
      path: path of the interactions.
      found: format of the file.
      given: arguments of `from_frame` that the caller gave; they win over those of the
        format.
      own_tables: "item", "user" or both, if the caller gave a table for them.
      encoding: encoding of text files; None stands for UTF-8, or Latin-1 for a file
        that is not valid UTF-8.

    Returns:
      The interactions with the arguments of `from_frame` and notes, and a table for
      each of `item_frame` and `user_frame` that was found.

    Raises:
      ValueError: a line has another number of fields than the format.
    """
    form = found.form
    if form.read is not None:
        part = form.read(path)
    else:
        frame, notes = read_look(path, found, encoding)
        part = Part(frame, {}, tuple(notes))
    options = {**form.options, **part.options, **given}
    part = Part(part.frame, options, (*form.notes, *part.notes))
    if form.prepare is not None:
        part = form.prepare(part)
        part = part.plus(part.frame, **given)
    frames = {}
    for side in _SIDES:
        if side in own_tables:
            continue
        of_side = [c for c in form.companions if c.side == side]
        beside = next(_beside(path, of_side), None)
        if beside is None:
            if of_side:
                part = part.plus(part.frame, _missing(path, form, side))
            continue
        companion, file = beside
        table = _companion(file, companion, part, encoding)
        frames[f"{side}_frame"] = table.frame
        part = part.plus(
            part.frame,
            f"{side}s from {file.name}",
            *table.notes,
            **(table.options | part.options),
        )
    if part.shown and "item" not in own_tables:
        table = frames.get("item_frame")
        frames["item_frame"], notes = _with_shown(
            table, part.shown, part.options["item_column"]
        )
        part = part.plus(part.frame, *notes)
    return part, frames


def _with_shown(
    table: pd.DataFrame | None,
    shown: tuple[str, ...],
    column: str,
) -> tuple[pd.DataFrame, list[str]]:
    """Adds rows without features for shown items that have none."""
    if table is None:
        table = pd.DataFrame({column: []}, dtype=object)
    more = pd.Index(shown).difference(table[column].astype(str), sort=False)
    rows = pd.DataFrame({column: more})
    notes = (
        [f"{len(more):,} items were shown and have no features"] if len(more) else []
    )
    return pd.concat([table, rows], ignore_index=True), notes


def is_log(path: Path) -> bool:
    """Tells whether a file is a click log that `read_log` reads."""
    if not path.is_file() or suffix_of(path) not in SUFFIXES:
        return False
    found = recognise(path)
    return found is not None and found.form.sessions is not None


def read_log(path: Path, *, encoding: str | None = None) -> list[dict]:
    """Reads the sessions with shown results of a click log in a known format.

    Args:
      path: path of the log, such as MIND's `behaviors.tsv`.
      encoding: encoding of a text file without a byte order mark.

    Returns:
      Sessions as `data.clickstream.session_to_input` takes them, in the order of their
      times.

    Raises:
      ValueError: the file has no known format, or one without shown results.
    """
    found = recognise(path, encoding=encoding)
    if found is None or found.form.sessions is None:
        known = [form.title for form in FORMATS if form.sessions is not None]
        kind = "no known format" if found is None else f"{found.form.title}"
        raise ValueError(
            f"{str(path)!r} must have sessions with shown results: {', '.join(known)}. "
            f"Got {kind}."
        )
    frame, _ = read_look(path, found, encoding)
    sessions = found.form.sessions(frame, path)
    return sorted(sessions, key=lambda session: session["created_at"])


def read_look(
    path: Path, found: Recognised, encoding: str | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Reads the table of a file as it is, with the column names of its format.

    Args:
      path: path of the file.
      found: format of the file.
      encoding: encoding of a text file without a byte order mark.

    Returns:
      The table, and notes on how it was read.
    """
    return _table(path, found.look, found.header, encoding)


def _table(
    path: Path, look: Look, header: tuple[str, ...], encoding: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Reads a table and gives its columns the names that the format has for them."""
    if look.has_header and look.separator != "\t":
        frame, notes = read_table(path, argument="path", encoding=encoding), []
    else:
        try:
            frame, found = read_fields(
                path,
                separator=look.separator,
                columns=header or look.columns,
                has_header=look.has_header,
                encoding=encoding,
            )
        except ValueError as error:
            raise ValueError(f"{str(path)!r} cannot be read: {error}") from error
        notes = [f"{path.name} is read as Latin-1"] if found == "latin-1" else []
    folded = {fold(name): name for name in reversed(list(frame.columns))}
    more = {
        name: frame[folded[fold(name)]]
        for name in look.columns
        if name not in frame.columns
    }
    return frame.assign(**more), notes


def _beside(
    path: Path, companions: list[Companion]
) -> Iterator[tuple[Companion, Path]]:
    files = sorted(file for file in path.parent.iterdir() if file.is_file())
    stem = unpacked(path).stem
    for companion in companions:
        patterns = tuple(pattern.format(stem=stem) for pattern in companion.files)
        for file in files:
            if has_name(file, patterns) and fits(companion.look, file) is not None:
                yield companion, file


def _companion(
    file: Path, companion: Companion, part: Part, encoding: str | None
) -> Part:
    header = fits(companion.look, file, encoding) or ()
    frame, notes = _table(file, companion.look, tuple(header), encoding)
    columns = {key: part.options[key] for key in ("user_column", "item_column")}
    found = Part(frame, columns, tuple(notes))
    found = found if companion.prepare is None else companion.prepare(found)
    return found.plus(found.frame, **{**companion.options, **found.options})


def _missing(path: Path, form: Format, side: str) -> str:
    names = dict.fromkeys(
        pattern.format(stem=unpacked(path).stem)
        for companion in form.companions
        if companion.side == side
        for pattern in companion.files
    )
    return f"no {' or '.join(names)} beside it: {side}s have no features but their ids"
