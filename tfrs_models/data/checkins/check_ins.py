"""Check-ins: which user was at which point of interest (POI), and when."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd

from tfrs_models.data.columns import read_ids, read_numbers
from tfrs_models.data.ties import check_ties, drawn_order, hashes
from tfrs_models.data.times import END_SECOND, SECOND, read_timestamps

NAMES = {
    "user": ("userid", "user"),
    "poi": ("venueid", "poiid", "placeid", "locationid", "poi", "venue", "location"),
    "category": (
        "venuecategoryname",
        "poicatname",
        "venuecategory",
        "categoryname",
        "category",
    ),
    "lat": ("latitude", "lat"),
    "lon": ("longitude", "lon", "lng", "long"),
    "offset": ("timezoneoffset", "timezone", "offset"),
    "time": ("utctimestamp", "utctime", "timestamp", "checkintime", "time", "datetime"),
}
OPTIONAL = ("category", "offset")
NO_CATEGORY = "place"  # the category if the data have none
DAY = 1440  # minutes; time zones are from -720 to 840
_TEXT, _WHOLE = ("user", "poi", "category"), ("timestamp", "offset")


def looks_like_header(values: Iterable[str]) -> bool:
    """Tells whether the values of a first line are column names, not a check-in."""
    return len(_by_name(values)) >= 3


def find_columns(
    columns: Iterable[str],
    given: Mapping[str, str] | None = None,
    *,
    optional: tuple[str, ...] = OPTIONAL,
) -> dict[str, str]:
    """Finds the column of each part of a check-in.

    Args:
      columns: column names of the table.
      given: part of a check-in (a key of `NAMES`) -> its column, which overrides the
        search by name.
      optional: parts that may be missing.

    Returns:
      A dict from part to column.

    Raises:
      ValueError: a key of `given` is not a part, or a part has no column.
    """
    columns, given = [str(column) for column in columns], dict(given or {})
    unknown = [part for part in given if part not in NAMES]
    if unknown:
        raise ValueError(
            f"`columns` must have keys of {tuple(NAMES)}. Got {unknown[0]!r}."
        )
    found = _by_name(columns) | given
    missing = [part for part in NAMES if part not in found and part not in optional]
    if missing:
        raise ValueError(
            f"The table must have columns of {missing}. Got {columns}: give them names "
            f"like {[NAMES[part][0] for part in missing]}, or name them with `columns`."
        )
    return found


def _by_name(columns: Iterable[str]) -> dict[str, str]:
    folded = {}
    for column in columns:
        key = "".join(c for c in str(column).lower() if c.isalnum())
        folded.setdefault(key, str(column))
    return {
        part: folded[name]
        for part, names in NAMES.items()
        for name in reversed(names)
        if name in folded
    }


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CheckIns:
    """Check-ins of users at points of interest (POIs).

    Check-ins of a user with equal times follow each other in the order of the rows.

    Columns may be lists, or arrays of narrower numbers; they are converted.

    Args:
      name: name of the data.
      user: `[num_rows]` strings, ids of the users.
      poi: `[num_rows]` strings, ids of the POIs.
      category: `[num_rows]` strings, categories of the POIs; `"place"` for all if the
        data have no categories.
      coordinates: `[num_rows, 2]` float64 latitudes and longitudes in degrees.
      timestamp: `[num_rows]` int64 seconds UTC.
      offset: `[num_rows]` int64 minutes by which the local clock is ahead of UTC,
        negative in America.
      problems: reasons why lines were skipped, for the first hundred lines.
      num_skipped: number of lines that could not be used.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user": ["ann"], "venue": ["museum"], "lat": [48.9]})
      >>> frame = frame.assign(lon=2.3, time="2024-01-01 12:00", timezone=60)
      >>> check_ins = tm.data.checkins.CheckIns.from_frame(frame)
      >>> check_ins.poi, check_ins.hour, check_ins.weekday  # 13 o'clock on a Monday
      (array(['museum'], dtype='<U6'), array([13]), array([0]))
    """

    name: str
    user: np.ndarray
    poi: np.ndarray
    category: np.ndarray
    coordinates: np.ndarray
    timestamp: np.ndarray
    offset: np.ndarray
    problems: tuple[str, ...] = ()
    num_skipped: int = 0

    def __post_init__(self) -> None:
        """Raises a `ValueError` that names a column with wrong values."""
        columns = {name: _text(name, getattr(self, name)) for name in _TEXT}
        columns |= {name: _whole(name, getattr(self, name)) for name in _WHOLE}
        columns["coordinates"] = _degrees(self.coordinates)
        sizes = {name: len(values) for name, values in columns.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"All columns must have as many rows. Got {sizes}.")
        wrong = np.flatnonzero(~are_coordinates(columns["coordinates"]))
        if len(wrong):
            raise ValueError(
                "`coordinates` must be latitudes in [-90, 90] and longitudes in [-180, "
                f"180]. Got {columns['coordinates'][wrong[0]]} in row {wrong[0]}."
            )
        wrong = columns["offset"][np.abs(columns["offset"]) > DAY]
        if len(wrong):
            raise ValueError(
                f"`offset` must be minutes from {-DAY} to {DAY}. Got {wrong[0]}."
            )
        seconds = columns["timestamp"]
        wrong = seconds[(seconds <= -END_SECOND) | (seconds >= END_SECOND)]
        if len(wrong):
            raise ValueError(
                "`timestamp` must be seconds since 1970, before 2100. Got "
                f"{wrong[0]}: bring milliseconds and the like to seconds."
            )
        for name, values in columns.items():
            object.__setattr__(self, name, values)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        name: str = "table",
        columns: Mapping[str, str] | None = None,
        offset: int | None = None,
        timestamp_unit: str = "s",
        timestamp_format: str | None = None,
        ties: str = "random",
        seed: int = 42,
    ) -> Self:
        """Makes check-ins from a table with one row each.

        Columns are found by their usual names: `userId` or `user_id`, `venueId`,
        `POI_id` or `location_id`, `venueCategory`, `latitude` or `lat`, `longitude` or
        `lon`, `timezoneOffset`, `utcTimestamp`, `UTC_time` or `timestamp`, and similar
        ones.

        Args:
          frame: table with one row per check-in.
          name: name of the data.
          columns: "user", "poi", "category", "lat", "lon", "offset" or "time" -> name
            of its column, if that is not a usual one.
          offset: minutes by which all rows are ahead of UTC. None reads their column;
            without that column it is solar time, as in `read_gowalla`.
          timestamp_unit: unit of times that are numbers: "s", "ms", "us" or "ns".
          timestamp_format: format of dates that are not ISO 8601.
          ties: "random" puts check-ins with equal times in an order drawn with the
            seed, "file" takes the order of the table for the order of events.
          seed: seed of the draw.

        Returns:
          The check-ins, by time if times have fractions of a second; without a column
          of categories all have the category `"place"`.

        Raises:
          ValueError: a column is missing, or has values that cannot be used.
        """
        if not len(frame):
            raise ValueError("`frame` must have at least one row. Got none.")
        found = find_columns(frame.columns, columns)

        def text(part: str) -> np.ndarray:
            codes, names = read_ids(frame, found[part], argument=f"columns[{part!r}]")
            return names[codes]

        def numbers(part: str) -> np.ndarray:
            return read_numbers(frame, found[part], argument=f"columns[{part!r}]")

        time = read_timestamps(
            frame,
            found["time"],
            unit=timestamp_unit,
            form=timestamp_format,
            argument="columns['time']",
        )
        coordinates = np.stack([numbers("lat"), numbers("lon")], axis=1)
        if offset is not None:
            zone = np.full(len(frame), offset)
        elif "offset" in found:
            zone = numbers("offset")
        else:
            zone = sun_offset(coordinates[:, 1])
        if not np.all(zone == np.floor(zone)):  # False of NaN
            raise ValueError(
                f"`{found.get('offset', 'offset')}` must be whole minutes ahead of "
                f"UTC. Got {zone[zone != np.floor(zone)][0]}."
            )
        category = np.full(len(frame), NO_CATEGORY)
        if "category" in found:
            category = text("category")
        user, poi = text("user"), text("poi")
        order = order_in_time(time, user, poi, ties=ties, seed=seed)
        return cls(
            name=name,
            user=user[order],
            poi=poi[order],
            category=category[order],
            coordinates=coordinates[order],
            timestamp=time[order] // SECOND,
            offset=zone[order].astype(np.int64),
        )

    def __len__(self) -> int:
        """Returns the number of check-ins."""
        return len(self.timestamp)

    @property
    def local_time(self) -> np.ndarray:
        """`[num_rows]` int64 local times in seconds, as a wall clock counts them."""
        return self.timestamp + 60 * self.offset

    @property
    def hour(self) -> np.ndarray:
        """`[num_rows]` int64 local hours, 0 to 23."""
        return self.local_time // 3600 % 24

    @property
    def weekday(self) -> np.ndarray:
        """`[num_rows]` int64 local days of the week, 0 for Monday."""
        return (self.local_time // 86_400 + 3) % 7  # 1 January 1970 was a Thursday


def order_in_time(
    micro: np.ndarray, user: np.ndarray, poi: np.ndarray, *, ties: str, seed: int
) -> np.ndarray:
    """Orders check-ins so that a stable sort by whole seconds keeps their exact order.

    Args:
      micro: `[num_rows]` int64 microseconds since 1970.
      user: `[num_rows]` ids of the users.
      poi: `[num_rows]` ids of the POIs.
      ties: "random" or "file", the order of equal times.
      seed: seed of the random order.

    Returns:
      `[num_rows]` int64 row numbers.

    Raises:
      ValueError: `ties` is neither.
    """
    check_ties(ties)
    order = np.arange(len(micro))
    if ties == "random":
        order = drawn_order(micro, (hashes(user), hashes(poi)), seed=seed)
    if (micro % SECOND).any():
        order = order[np.argsort(micro[order], kind="stable")]
    return order


def sun_offset(longitude: np.ndarray) -> np.ndarray:
    """`[num_rows]` minutes of solar time ahead of UTC: an hour for every 15 degrees."""
    return 60 * np.round(longitude / 15)


def are_coordinates(coordinates: np.ndarray) -> np.ndarray:
    """`[num_rows]` bool, True for latitudes and longitudes in degrees."""
    return np.all(np.abs(coordinates) <= [90, 180], axis=1)  # False of NaN


def _text(name: str, given: Sequence) -> np.ndarray:
    values = _array(name, given)
    text = values.dtype.kind == "U" or all(isinstance(v, str) for v in values.flat)
    if values.ndim != 1 or not text:
        raise ValueError(f"`{name}` must be [num_rows] strings. Got {_kind(values)}.")
    return values.astype(str)


def _whole(name: str, given: Sequence) -> np.ndarray:
    values = _array(name, given)
    whole = np.can_cast(values.dtype, np.int64) and values.dtype.kind in "iu"
    if values.ndim != 1 or (values.size and not whole):
        raise ValueError(f"`{name}` must be [num_rows] integers. Got {_kind(values)}.")
    return values.astype(np.int64)


def _degrees(given: Sequence) -> np.ndarray:
    values = _array("coordinates", given)
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"`coordinates` must be [num_rows, 2] numbers. Got {_kind(values)}."
        )
    return values.astype(np.float64)


def _array(name: str, given: Sequence) -> np.ndarray:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ValueError(f"`{name}` must be an array. Got several lengths.") from error


def _kind(values: np.ndarray) -> str:
    return f"{values.dtype} of shape {values.shape}"
