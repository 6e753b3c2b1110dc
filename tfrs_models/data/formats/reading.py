"""Tables of files in known formats, joined with the files beside them."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from tfrs_models.data.formats.description import Companion, Format, Look, Part, fold
from tfrs_models.data.formats.recognition import Recognised, fits, has_name
from tfrs_models.data.table_files import read_fields, read_table, unpacked

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
    return part, frames


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
