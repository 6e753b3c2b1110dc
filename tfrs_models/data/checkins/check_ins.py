"""Who was where, and when."""

import dataclasses
from collections.abc import Sequence

import numpy as np

PLACE = "place"  # the category where the data have none
DAY = 1440  # minutes: zones are from -720 to 840
_TEXT, _WHOLE = ("user", "poi", "category"), ("timestamp", "offset")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CheckIns:
    """Check-ins in the order of the file.

    Columns may be lists, or arrays of narrower numbers: they are kept as said here.

    Args:
      name: Of the data.
      user: `[num_rows]` strings.
      poi: `[num_rows]` strings, the place.
      category: `[num_rows]` strings, of the place; "place" for all where the data have
        none.
      coordinates: `[num_rows, 2]` float64 latitudes and longitudes in degrees.
      timestamp: `[num_rows]` int64 seconds UTC.
      offset: `[num_rows]` int64 minutes of the local clock ahead of UTC, negative in
        America.
      problems: What was skipped and why, of the first hundred lines.
      num_skipped: Lines that could not be used.
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
        """Raises a ValueError for what are no such columns, and names them."""
        columns = {name: _text(name, getattr(self, name)) for name in _TEXT}
        columns |= {name: _whole(name, getattr(self, name)) for name in _WHOLE}
        columns["coordinates"] = _degrees(self.coordinates)
        sizes = {name: len(values) for name, values in columns.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"All columns must have as many rows. Got {sizes}.")
        wrong = np.flatnonzero(~are_places(columns["coordinates"]))
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
        for name, values in columns.items():
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        """The number of check-ins."""
        return len(self.timestamp)

    @property
    def local_time(self) -> np.ndarray:
        """`[num_rows]` int64: the seconds that a clock on the wall would count."""
        return self.timestamp + 60 * self.offset

    @property
    def hour(self) -> np.ndarray:
        """`[num_rows]` int64 local hours, 0 to 23."""
        return self.local_time // 3600 % 24

    @property
    def weekday(self) -> np.ndarray:
        """`[num_rows]` int64 local days, 0 for Monday."""
        return (self.local_time // 86_400 + 3) % 7  # the first day was a Thursday


def are_places(coordinates: np.ndarray) -> np.ndarray:
    """`[num_rows]` bool, whether they are latitudes and longitudes in degrees."""
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
