"""Columns of check-ins by the names that people give them."""

from collections.abc import Iterable, Mapping

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


def looks_like_header(values: Iterable[str]) -> bool:
    """Whether the values of a first line are names of columns and no check-in."""
    return len(_by_name(values)) >= 3


def find_columns(
    columns: Iterable[str],
    given: Mapping[str, str] | None = None,
    *,
    optional: tuple[str, ...] = OPTIONAL,
) -> dict[str, str]:
    """Which column holds what.

    Args:
      columns: the names in the table.
      given: part of a check-in, a key of `NAMES`, -> its column, which goes before what
        its name says.
      optional: parts that need not be there.

    Returns:
      Part -> column.

    Raises:
      ValueError: a part that is none, or that no column holds.
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
