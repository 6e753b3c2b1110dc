"""From a logged session to an input."""

import datetime
from collections.abc import Mapping

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput, as_id
from tfrs_models.data.times import END_SECOND

_REQUIRED = ("search_query", "search_results")


def session_to_input(session: Mapping) -> FineTuningInput:
    """What a session says about its results.

    Args:
      session: `search_query` (any value), `search_results`, a list of `{"object_id",
        "rank"}` in the order they were shown, and optionally `events`, a list of
        `{"object_id"}`, and `created_at`, unix seconds. Other fields are not read. An
        event may carry its importance in `meta["importance"]`, else it is 1.

    Returns:
      The input. Events on results that were not shown are left out.

    Raises:
      ValueError: a field is missing or of the wrong kind, a result is there twice, or
        the time is in another unit.
    """
    if not isinstance(session, Mapping):
        raise ValueError(f"A session must be an object with fields. Got {session!r}.")
    missing = [name for name in _REQUIRED if session.get(name) is None]
    if missing:
        raise ValueError(
            f"A session must have the fields {list(_REQUIRED)}. Missing: {missing}."
        )
    shown = _list(session, "search_results")
    results = [_object_id(result, "search_results") for result in shown]
    ranks = {
        name: result.get("rank") for name, result in zip(results, shown, strict=True)
    }
    importance = {}
    for event in _list(session, "events"):
        clicked = _object_id(event, "events")
        importance[clicked] = max(importance.get(clicked, 0.0), _importance(event))
    return FineTuningInput(
        query=session["search_query"],
        events=[result for result in results if result in importance],
        results=results,
        ranks=ranks,
        event_types=[importance.get(result, 1.0) for result in results],
        timestamp=_seconds(session.get("created_at")),
    )


def _list(session: Mapping, name: str) -> list:
    values = session.get(name)
    if values is None:
        return []
    if isinstance(values, (str, Mapping)) or not hasattr(values, "__iter__"):
        raise ValueError(f"`{name}` of a session must be a list. Got {values!r}.")
    return list(values)


def _object_id(entry: object, where: str) -> str:
    if not isinstance(entry, Mapping) or entry.get("object_id") is None:
        raise ValueError(f"Each of `{where}` must have `object_id`. Got {entry!r}.")
    name = as_id(entry["object_id"])
    if not name.strip():
        raise ValueError(f"`object_id` of `{where}` must not be empty. Got {entry!r}.")
    return name


def _seconds(moment: object) -> float | None:
    """Unix seconds of a number or of a date of a Parquet file."""
    if isinstance(moment, datetime.datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        moment = aware.timestamp()
    is_number = isinstance(moment, (int, float)) and not isinstance(moment, bool)
    if moment is None or (is_number and 0 <= moment < END_SECOND):
        return moment
    raise ValueError(
        "`created_at` of a session must be seconds since 1970, before 2100. Got "
        f"{moment!r}: bring milliseconds and dates to seconds, or leave it out."
    )


def _importance(event: Mapping) -> float:
    meta = event.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise ValueError(f"`meta` of an event must have fields. Got {meta!r}.")
    value = meta.get("importance")  # a column of Parquet is null where it is absent
    return 1.0 if value is None else float(value)
