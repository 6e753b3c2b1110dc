"""Who was where, and when."""

import dataclasses

import numpy as np

PLACE = "place"  # the category where the data have none


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CheckIns:
    """Check-ins in the order of the file.

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
        """Raises a ValueError for columns of several lengths, or places nowhere."""
        sizes = {
            name: len(getattr(self, name))
            for name in (
                "user",
                "poi",
                "category",
                "coordinates",
                "timestamp",
                "offset",
            )
        }
        if len(set(sizes.values())) > 1:
            raise ValueError(f"All columns must have as many rows. Got {sizes}.")
        wrong = np.flatnonzero(~are_places(self.coordinates))
        if len(wrong):
            raise ValueError(
                "`coordinates` must be latitudes in [-90, 90] and longitudes in [-180, "
                f"180]. Got {self.coordinates[wrong[0]]} in row {wrong[0]}."
            )

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
