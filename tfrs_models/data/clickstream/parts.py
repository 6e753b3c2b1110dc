"""Long objects cut into parts, each of which is embedded by itself."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput, as_id


def part_items(
    items: Mapping[str, object], splitter: Callable[[object], Sequence]
) -> tuple[dict[str, object], dict[str, list[str]]]:
    """Cuts every object.

    Args:
      items: Object id -> the object.
      splitter: From an object to its parts, in order.

    Returns:
      Part id (`"object:0"`, `"object:1"`, ...) -> the part; object id -> ids of its
      parts.

    Raises:
      ValueError: an object without a part.
    """
    parts, parts_of = {}, {}
    for name, item in items.items():
        name = as_id(name)
        pieces = list(splitter(item))
        if not pieces:
            raise ValueError(
                f"`splitter` must return at least one part. Got none of {name!r}."
            )
        parts_of[name] = [f"{name}:{number}" for number in range(len(pieces))]
        parts |= dict(zip(parts_of[name], pieces, strict=True))
    return parts, parts_of


def split_into_parts(
    inputs: Iterable[FineTuningInput], parts_of: Mapping[str, Sequence[str]]
) -> list[FineTuningInput]:
    """Inputs over parts in place of objects.

    Every part has the rank and the importance of its object, and is clicked where the
    object was.

    Args:
      inputs: Over objects.
      parts_of: Object id -> ids of its parts; an object that is not there is its own
        only part.
    """
    parts_of = {
        as_id(name): [as_id(part) for part in parts] for name, parts in parts_of.items()
    }
    return [_split(search, parts_of) for search in inputs]


def _split(
    search: FineTuningInput, parts_of: Mapping[str, Sequence[str]]
) -> FineTuningInput:
    def pieces(name: str) -> Sequence[str]:
        return parts_of.get(name, [name])

    types = search.event_types
    if types is not None:
        owners = search.results if len(types) == len(search) else search.events
        types = [
            value
            for owner, value in zip(owners, types, strict=True)
            for _ in pieces(owner)
        ]
    return dataclasses.replace(
        search,
        events=[part for event in search.events for part in pieces(event)],
        results=[part for result in search.results for part in pieces(result)],
        ranks={
            part: rank
            for result, rank in search.ranks.items()
            for part in pieces(result)
        },
        event_types=types,
        part_to_object={
            part: search.object_of(result)
            for result in search.results
            for part in pieces(result)
        },
    )
