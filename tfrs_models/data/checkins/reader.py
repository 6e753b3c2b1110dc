"""Readers of Foursquare and Gowalla check-ins, in the published file formats."""

import contextlib
import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from tfrs_models.data.checkins.check_ins import (
    DAY,
    NO_CATEGORY,
    OPTIONAL,
    CheckIns,
    are_coordinates,
    find_columns,
    looks_like_header,
    order_in_time,
    sun_offset,
)
from tfrs_models.data.ties import check_ties
from tfrs_models.data.times import END_SECOND, SECOND

_FOURSQUARE = ("user", "poi", "category_id", "category", "lat", "lon", "offset", "time")
_GOWALLA = ("user", "time", "lat", "lon", "poi")
_MAX_PROBLEMS = 100
_FORMS = ("%a %b %d %H:%M:%S %z %Y", "%Y-%m-%dT%H:%M:%S%z")
_SEPARATORS = ("\t", ",", ";")
_MARK, _GZIP, _UTF_16 = b"\xef\xbb\xbf", b"\x1f\x8b", (b"\xff\xfe", b"\xfe\xff")


def read_foursquare(
    path: str | os.PathLike,
    *,
    strict: bool = False,
    ties: str = "random",
    seed: int = 42,
) -> CheckIns:
    """Reads `dataset_TSMC2014_NYC.txt`, `dataset_TSMC2014_TKY.txt`, or a similar file.

    The file is tab-separated without a header: user, venue, category id, category name,
    latitude, longitude, whole minutes ahead of UTC, UTC time ("Tue Apr 03 18:00:09
    +0000 2012", from 1970 to 2099). The originals are in Latin-1; a file that is valid
    UTF-8 is read as UTF-8, and a gzip file is decompressed. A file with a header, such
    as Kaggle's `dataset_TSMC2014_NYC.csv`, may have commas or semicolons, columns in
    any order (see `CheckIns.from_frame`), and ISO 8601 times.

    Args:
      path: path of the file.
      strict: whether a line that cannot be used is an error; otherwise it is skipped
        and counted.
      ties: "random" puts check-ins with equal times in an order drawn with the seed,
        "file" takes the order of the file for the order of events.
      seed: seed of the draw.

    Returns:
      The check-ins; their categories are the category names.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: no line can be used, or one cannot and the reader is strict; the file
        is UTF-16, or a broken gzip file; `ties` is unknown.

    Example:
      >>> row = ["470", "49bb", "4bf1", "Museum", "40.7", "-74", "-240"]
      >>> row = chr(9).join([*row, "Tue Apr 03 18:00:09 +0000 2012"])
      >>> with open("nyc.txt", "w") as file:
      ...     _ = file.write(row)
      >>> check_ins = tm.data.checkins.read_foursquare("nyc.txt")
      >>> check_ins.category, check_ins.hour  # four hours behind UTC
      (array(['Museum'], dtype='<U6'), array([14]))

    Reference:
      Yang et al., Modeling user activity preference by leveraging user spatial temporal
      characteristics in LBSNs, IEEE TSMC 2015 (the data).
    """
    frame = _read(path, _FOURSQUARE, optional=())
    time = _microseconds(frame["time"], _FORMS[0])
    offset = pd.to_numeric(frame["offset"], errors="coerce").to_numpy(np.float64)
    options = {"strict": strict, "ties": ties, "seed": seed}
    return _check_ins(path, frame, time, offset, **options)


def read_gowalla(
    path: str | os.PathLike,
    *,
    offset: int | None = None,
    strict: bool = False,
    ties: str = "random",
    seed: int = 42,
) -> CheckIns:
    """Reads `Gowalla_totalCheckins.txt.gz`, decompressed or not, or a similar file.

    The file is tab-separated without a header: user, UTC time ("2010-10-19T23:55:27Z"),
    latitude, longitude, location. It has no categories, so all are `"place"`. It has no
    time zone either: without `offset`, local time is solar time, a whole hour for every
    15 degrees of longitude. Borders and daylight saving time make that wrong by an hour
    or two.

    Args:
      path: path of the file.
      offset: minutes ahead of UTC, negative in America, for data of one city.
      strict: whether a line that cannot be used is an error; otherwise it is skipped
        and counted.
      ties: "random" puts check-ins with equal times in an order drawn with the seed,
        "file" takes the order of the file for the order of events.
      seed: seed of the draw.

    Returns:
      The check-ins.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: no line can be used, or one cannot and the reader is strict; the file
        is UTF-16, or a broken gzip file; `ties` is unknown.

    Example:
      >>> row = ["0", "2010-10-19T23:55:27Z", "30.2359", "-97.7951", "22847"]
      >>> with open("gowalla.txt", "w") as file:
      ...     _ = file.write(chr(9).join(row))
      >>> check_ins = tm.data.checkins.read_gowalla("gowalla.txt", offset=-300)
      >>> check_ins.poi, check_ins.hour  # five hours behind UTC
      (array(['22847'], dtype='<U5'), array([18]))

    Reference:
      Cho et al., Friendship and mobility: user movement in location-based social
      networks, KDD 2011 (the data).
    """
    frame = _read(path, _GOWALLA, optional=OPTIONAL).assign(category=NO_CATEGORY)
    time = _microseconds(frame["time"], _FORMS[1])
    if offset is None:
        longitude = pd.to_numeric(frame["lon"], errors="coerce").to_numpy(np.float64)
        minutes = sun_offset(longitude)
    else:
        minutes = np.full(len(frame), float(offset))
    options = {"strict": strict, "ties": ties, "seed": seed}
    return _check_ins(path, frame, time, minutes, **options)


def _read(
    path: str | os.PathLike, names: tuple[str, ...], *, optional: tuple[str, ...]
) -> pd.DataFrame:
    """All columns as text, and for each row its line and its number of extra columns.

    Args:
      path: path of the file.
      names: column names of a file without a header.
      optional: parts that may be missing in a header.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        with _open(path) as file:
            first = file.readline().decode("latin-1").rstrip("\r\n")
        separator = max(_SEPARATORS, key=first.count)
        header = next(csv.reader([first], delimiter=separator), [])
        if looks_like_header(header):
            return _read_with_header(path, header, separator, optional)
        with _open(path) as file:
            # Latin-1 reads any bytes, and a tab is the same byte in UTF-8.
            lines = io.TextIOWrapper(file, encoding="latin-1")
            sizes = np.fromiter((line.count("\t") + 1 for line in lines), np.int64)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} must be a whole gzip file: {error}.") from error
    if not len(sizes):
        raise ValueError(f"{path} must hold check-ins. Got none.")
    if not (sizes == len(names)).any():
        raise ValueError(
            f"{path} must have {len(names)} columns, separated by tabs. Got {sizes[0]} "
            "in line 1, and no line that fits: try the other format, or give a file "
            "with commas or other columns a header, such as user_id,venue_id,"
            "venue_category,latitude,longitude,timezone_offset,utc_time."
        )
    options = {"sep": "\t", "header": None, "quoting": csv.QUOTE_NONE}
    options |= {"names": list(names), "usecols": range(len(names)), "index_col": False}
    frame = _text(path, skip_blank_lines=False, **options)
    return frame.assign(line=np.arange(1, len(frame) + 1), extra=sizes - len(names))


def _read_with_header(
    path: Path, header: list[str], separator: str, optional: tuple[str, ...]
) -> pd.DataFrame:
    columns = find_columns(header, optional=optional)
    try:
        frame = _text(path, sep=separator)
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{path} must have a header for all columns: {error}"
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(f"{path} must have a header for all columns. Got {header}.")
    if not len(frame):
        raise ValueError(f"{path} must hold check-ins. Got none.")
    frame = pd.DataFrame({part: frame[name] for part, name in columns.items()})
    return frame.assign(line=np.arange(2, len(frame) + 2), extra=0)


def _text(path: Path, **options: Any) -> pd.DataFrame:
    options |= {"dtype": str, "keep_default_na": False, "na_values": [""]}
    try:
        with _open(path) as file:
            return pd.read_csv(file, encoding="utf-8", **options)
    except UnicodeDecodeError:
        with _open(path) as file:
            return pd.read_csv(file, encoding="latin-1", **options)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Opens a file, decompressed if it is gzip, after its UTF-8 byte order mark."""
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    with gzip.open(path) if packed else path.open("rb") as file:
        start = file.read(len(_MARK))
        if start.startswith(_UTF_16):
            raise ValueError(
                f"{path} must be UTF-8 or Latin-1. Got UTF-16: convert it."
            )
        if start != _MARK:
            file.seek(0)
        yield file


def _microseconds(times: pd.Series, usual: str) -> np.ndarray:
    """Microseconds since 1970; -1 for text that neither file format allows."""
    parsed = pd.Series(pd.NaT, times.index, dtype="datetime64[us, UTC]")
    for form in dict.fromkeys((usual, *_FORMS, "ISO8601")):
        rest = parsed.isna()
        if rest.any():
            read = pd.to_datetime(times[rest], format=form, errors="coerce", utc=True)
            parsed[rest] = read.dt.as_unit("us")
    parsed = parsed.dt.tz_convert(None).to_numpy("datetime64[us]")
    micro = parsed.astype(np.int64)  # NaT is the smallest number
    return np.where((micro >= 0) & (micro < END_SECOND * SECOND), micro, -1)


def _check_ins(
    path: str | os.PathLike,
    frame: pd.DataFrame,
    micro: np.ndarray,
    offset: np.ndarray,
    *,
    strict: bool,
    ties: str,
    seed: int,
) -> CheckIns:
    check_ties(ties)
    coordinates = np.stack(
        [
            pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64)
            for name in ("lat", "lon")
        ],
        axis=1,
    )
    text = ("user", "poi", "category")
    extra = frame["extra"].to_numpy()
    missing = frame[list(text)].isna().any(axis=1).to_numpy()
    zones = (np.abs(offset) <= DAY) & (offset == np.floor(offset))  # False of NaN
    of_columns = {
        "a user, POI or category is missing": missing,
        "the time cannot be read": micro < 0,
        "latitude or longitude is missing or out of range": ~are_coordinates(
            coordinates
        ),
        "the time zone is no whole number of minutes of a day": ~zones,
    }
    wrong = {"columns are missing": extra < 0, "there are columns too many": extra > 0}
    wrong |= {reason: rows & (extra == 0) for reason, rows in of_columns.items()}
    line_of = frame["line"].to_numpy()
    problems = sorted(
        (int(line_of[row]), reason)
        for reason, rows in wrong.items()
        for row in np.flatnonzero(rows)[:_MAX_PROBLEMS]
    )
    lines = tuple(f"{path}, line {line}: {reason}" for line, reason in problems)
    skipped = np.any(list(wrong.values()), axis=0)
    if (strict and lines) or skipped.all():
        raise ValueError(lines[0])
    kept = np.flatnonzero(~skipped)
    user, poi = (frame[name].to_numpy(object)[kept] for name in ("user", "poi"))
    kept = kept[order_in_time(micro[kept], user, poi, ties=ties, seed=seed)]
    return CheckIns(
        name=Path(Path(path).name.removesuffix(".gz")).stem,
        **{name: frame[name].to_numpy(object)[kept].astype(str) for name in text},
        coordinates=coordinates[kept],
        timestamp=micro[kept] // SECOND,
        offset=offset[kept].astype(np.int64),
        problems=lines[:_MAX_PROBLEMS],
        num_skipped=int(skipped.sum()),
    )
