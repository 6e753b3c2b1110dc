"""One search: its query, the results that were shown and the clicks on them."""

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

LEAST_RESULTS = 2  # a pair needs two


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuningInput:
    """A search with the results that were shown and the clicks on them.

    Ids become strings: the first element of a tuple, the value of a scalar tensor.

    Args:
      query: input of the query tower: a string, numbers, or a dict of features.
      events: ids that were clicked, in any order; stored in the order of the results.
      results: ids that were shown, in display order, each once.
      ranks: result id -> score that the search gave it, None if unknown.
      event_types: an importance for each result or for each event, or None. It is read
        as one for each result if there are as many; an event that is given twice has
        the larger one. Stored in the order of the results.
      timestamp: unix seconds, or None.
      is_irrelevant: whether there are no events; always computed, a given value is
        ignored.
      part_to_object: id of a part -> id of its object, or None.

    Raises:
      ValueError: results that are not unique, a result without an entry in `ranks`, or
        an event that is not a result.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     "shoes", events=[7], results=["a", 7, "b"],
      ...     ranks={"a": 0.9, 7: 0.5, "b": None})
      >>> search.events, search.not_events, search.is_irrelevant, search.is_ranked
      (['7'], ['a', 'b'], False, False)
    """

    query: object
    events: Sequence[str]
    results: Sequence[str]
    ranks: Mapping[str, float | None]
    event_types: Sequence[float] | None = None
    timestamp: int | None = None
    is_irrelevant: bool | None = None
    part_to_object: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Normalises ids to strings and checks the fields against each other."""
        results = [as_id(result) for result in self.results]
        events = [as_id(event) for event in self.events]
        ranks = {as_id(key): rank for key, rank in self.ranks.items()}
        shown = set(results)
        if len(shown) < len(results):
            seen = {r for r in shown if results.count(r) > 1}
            raise ValueError(
                f"`results` must be unique: an id has one rank. Got {sorted(seen)[:5]} "
                f"more than once, for query {self.query!r}."
            )
        if shown != ranks.keys():
            raise ValueError(
                "`ranks` must have one entry for each result, None where the rank is "
                f"not known. Missing: {sorted(shown - ranks.keys())[:5]}, too many: "
                f"{sorted(ranks.keys() - shown)[:5]}, for query {self.query!r}."
            )
        strangers = sorted(set(events) - shown)
        if strangers:
            raise ValueError(
                "`events` must be among the results: nobody clicks what was not shown. "
                f"Got {strangers[:5]}, for query {self.query!r}."
            )
        clicked, types = set(events), self.event_types
        owners = self.part_to_object
        if types is not None and len(types) not in (len(results), len(events)):
            raise ValueError(
                "`event_types` must have a number for each result or each event. Got "
                f"{len(types)} of {len(results)} results and {len(events)} events."
            )
        self._set(
            events=[result for result in results if result in clicked],
            results=results,
            ranks={result: _rank(result, ranks[result]) for result in results},
            event_types=None if types is None else _types(types, results, events),
            is_irrelevant=not clicked,
            part_to_object=None if owners is None else _owners(owners),
        )

    @property
    def not_events(self) -> list[str]:
        """Ids of the results without a click, in display order."""
        clicked = set(self.events)
        return [result for result in self.results if result not in clicked]

    @property
    def is_ranked(self) -> bool:
        """Whether the score of every result is known."""
        return all(rank is not None for rank in self.ranks.values())

    def object_of(self, part: str) -> str:
        """Returns the object of a part; an id that is no part is its own object."""
        return (self.part_to_object or {}).get(part, part)

    def __len__(self) -> int:
        """Returns the number of results."""
        return len(self.results)

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def remove_results(
    input: FineTuningInput,  # noqa: A002  the name of the specification
    ids: Iterable[Hashable],
) -> FineTuningInput:
    """Makes a search without some of its results.

    Args:
      input: the search.
      ids: ids of the results to remove. In a search of parts (`part_to_object` is not
        None) they are ids of objects, and all parts of these are removed.

    Returns:
      Another search with matching events, scores and importances. With fewer than two
      results it forms no pair.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     "shoes", ["b"], ["a", "b", "c"], {"a": 0.9, "b": 0.5, "c": 0.1})
      >>> rest = tm.data.clickstream.remove_results(search, ["a"])
      >>> rest.results, rest.ranks
      (['b', 'c'], {'b': 0.5, 'c': 0.1})
    """
    ids = {as_id(value) for value in ids}
    of_parts = input.part_to_object is not None
    results = [
        result
        for result in input.results
        if (input.object_of(result) if of_parts else result) not in ids
    ]
    types, shown = input.event_types, set(results)
    if types is not None:
        owners = input.results if len(types) == len(input) else input.events
        types = [
            value for owner, value in zip(owners, types, strict=True) if owner in shown
        ]
    return dataclasses.replace(
        input,
        events=[event for event in input.events if event in shown],
        results=results,
        ranks={result: input.ranks[result] for result in results},
        event_types=types,
        part_to_object=(
            {p: o for p, o in input.part_to_object.items() if o not in ids}
            if of_parts
            else None
        ),
    )


def downsample_not_events(
    input: FineTuningInput,  # noqa: A002  the name of the specification
    factor: float,
    rng: np.random.Generator | int | None = None,
    *,
    min_groups: int = 0,
) -> list[str]:
    """Draws objects without a click, without replacement; parts stay together.

    Args:
      input: the search.
      factor: share of the objects to draw, rounded down, in [0, 1].
      rng: random generator of the draw, or its seed; None gives another draw each time.
      min_groups: least number of objects to draw, if there are that many.

    Returns:
      Ids of all parts of the drawn objects, in display order. An object with a clicked
      part is never drawn, because its score is the positive's score.

    Raises:
      ValueError: a factor out of range.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     "shoes", ["b"], list("abcde"), dict.fromkeys("abcde", 0.5))
      >>> drawn = tm.data.clickstream.downsample_not_events(search, 0.5, rng=0)
      >>> len(drawn), "b" in drawn
      (2, False)
    """
    if not 0 <= factor <= 1:
        raise ValueError(f"`factor` must be in [0, 1]. Got {factor}.")
    groups = unclicked_objects(input)
    count = max(math.floor(factor * len(groups)), min(min_groups, len(groups)))
    chosen = np.random.default_rng(rng).choice(len(groups), count, replace=False)
    names = list(groups)
    drawn = {part for index in chosen for part in groups[names[index]]}
    return [result for result in input.results if result in drawn]


def unclicked_objects(
    input: FineTuningInput,  # noqa: A002  the name of the specification
) -> dict[str, list[str]]:
    """Groups the results of objects without a clicked part by object.

    Args:
      input: the search.

    Returns:
      Object id -> ids of its parts, in the order of the first parts.
    """
    clicked = {input.object_of(event) for event in input.events}
    groups = {}
    for part in input.not_events:
        owner = input.object_of(part)
        if owner not in clicked:
            groups.setdefault(owner, []).append(part)
    return groups


def part_items(
    items: Mapping[str, object], splitter: Callable[[object], Sequence]
) -> tuple[dict[str, object], dict[str, list[str]]]:
    """Cuts every object into parts.

    Args:
      items: object id -> the object.
      splitter: function from an object to its parts, in order.

    Returns:
      Part id (`"object:0"`, `"object:1"`, ...) -> the part; and object id -> ids of its
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
    """Replaces the objects of searches by their parts.

    Every part has the score and the importance of its object, and is clicked if the
    object was.

    Args:
      inputs: searches whose results are objects.
      parts_of: object id -> ids of its parts; a missing object is its own only part.

    Returns:
      Searches whose results are parts.
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


def as_id(value: object) -> str:
    """Returns an id as text; it may be a tuple that begins with it, or a scalar."""
    if isinstance(value, tuple):
        value = value[0]
    if isinstance(value, (tf.Tensor, np.ndarray, np.generic)):
        value = np.asarray(value).item()
    if isinstance(value, float):  # pandas makes floats of integers if some are missing
        if not abs(value) < 2**53:
            raise ValueError(
                f"An id must be a text or a whole number. Got {value}, which floats "
                "cannot tell from its neighbours."
            )
        value = int(value) if value.is_integer() else value
    return value.decode() if isinstance(value, bytes) else str(value)


def _types(
    types: Sequence[float], results: list[str], events: list[str]
) -> list[float]:
    if len(types) == len(results):
        return list(types)
    importance = {}
    for event, value in zip(events, types, strict=True):
        importance[event] = max(importance.get(event, value), value)
    return [importance[result] for result in results if result in importance]


def _owners(part_to_object: Mapping) -> dict[str, str]:
    return {as_id(part): as_id(owner) for part, owner in part_to_object.items()}


def _rank(result: str, rank: object) -> float | None:
    if rank is None:
        return None
    value = float(rank)
    if not np.isfinite(value):
        raise ValueError(
            f"`ranks` must be finite numbers, or None. Got {rank!r} of {result!r}."
        )
    return value
