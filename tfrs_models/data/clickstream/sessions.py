"""From a logged session to an input."""

from collections.abc import Mapping

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput, as_id

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
      ValueError: a field is missing or of the wrong kind, or a result is there twice.
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
        timestamp=session.get("created_at"),
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
    return as_id(entry["object_id"])


def _importance(event: Mapping) -> float:
    meta = event.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise ValueError(f"`meta` of an event must have fields. Got {meta!r}.")
    value = meta.get("importance")  # a column of Parquet is null where it is absent
    return 1.0 if value is None else float(value)
