"""From a logged session to an input."""

from collections.abc import Mapping

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput

_REQUIRED = ("search_query", "search_results")


def session_to_input(session: Mapping) -> FineTuningInput:
    """What a session says about its results.

    Args:
      session: `search_query` (any value), `search_results`, a list of `{"object_id",
        "rank"}` in the order they were shown, and optionally `events`, a list of
        `{"object_id"}`, and `created_at`, unix seconds. Other fields are not read. An
        event may carry its importance in `meta["importance"]`.

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
    results = [
        _field(result, "search_results", "object_id")
        for result in _list(session, "search_results")
    ]
    ranks = {
        result["object_id"]: result.get("rank") for result in session["search_results"]
    }
    importance = {}
    for event in _list(session, "events"):
        meta = event.get("meta") or {} if isinstance(event, Mapping) else {}
        clicked = _field(event, "events", "object_id")
        importance[clicked] = max(
            importance.get(clicked, 0.0), float(meta.get("importance", 1.0))
        )
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


def _field(entry: object, where: str, name: str) -> object:
    if not isinstance(entry, Mapping) or entry.get(name) is None:
        raise ValueError(f"Each of `{where}` must have `{name}`. Got {entry!r}.")
    return entry[name]
