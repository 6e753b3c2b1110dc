"""One search: what was asked, what was shown, what was clicked."""

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

LEAST_RESULTS = 2  # of fewer no pair can be made


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuningInput:
    """A search with the results that were shown, and which of them were clicked.

    Ids are strings: of a tuple the first element counts, of a scalar tensor its value.

    Args:
      query: whatever the query tower takes: a string, numbers, or a dict of features.
      events: ids that were clicked, in any order; kept in that of the results.
      results: ids that were shown, in this order, each once.
      ranks: id -> the rank that the search gave it, None where it is not known.
      event_types: an importance for each result, or for each event as given, or None;
        of the results where these are as many. Kept in the order of the results; an
        event that is given twice has the larger one.
      timestamp: unix seconds, or None.
      is_irrelevant: whether there are no events; always computed, whatever is given.
      part_to_object: id of a part -> id of its object, or None.

    Raises:
      ValueError: results that are not unique, a result without an entry in `ranks`, or
        an event that is no result.
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
        """Brings ids to strings and refuses what contradicts itself."""
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
        """Results without a click, in the order they were shown."""
        clicked = set(self.events)
        return [result for result in self.results if result not in clicked]

    @property
    def is_ranked(self) -> bool:
        """Whether the rank of every result is known."""
        return all(rank is not None for rank in self.ranks.values())

    def object_of(self, part: str) -> str:
        """The object of a part; an id that is no part is its own object."""
        return (self.part_to_object or {}).get(part, part)

    def __len__(self) -> int:
        """How many results were shown."""
        return len(self.results)

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def remove_results(
    input: FineTuningInput,  # noqa: A002  the name of the specification
    ids: Iterable[Hashable],
) -> FineTuningInput:
    """A search without some of its results.

    Args:
      input: The search.
      ids: What to leave out; of a search of parts (`part_to_object` is not None) these
        are ids of objects, whose parts all go.

    Returns:
      Another input, whose events, ranks and importances fit again. With fewer than two
      results it is of no use for training.
    """
    ids = {as_id(value) for value in ids}
    of_parts = input.part_to_object is not None
    kept = [
        result
        for result in input.results
        if (input.object_of(result) if of_parts else result) not in ids
    ]
    types, shown = input.event_types, set(kept)
    if types is not None:
        owners = input.results if len(types) == len(input) else input.events
        types = [
            value for owner, value in zip(owners, types, strict=True) if owner in shown
        ]
    return dataclasses.replace(
        input,
        events=[event for event in input.events if event in shown],
        results=kept,
        ranks={result: input.ranks[result] for result in kept},
        event_types=types,
        part_to_object=(
            {p: o for p, o in input.part_to_object.items() if o not in ids}
            if of_parts
            else None
        ),
    )


def known_results(
    inputs: Iterable[FineTuningInput], known: Iterable[str]
) -> tuple[list[FineTuningInput], int]:
    """Searches without the results that could not be loaded.

    Args:
      inputs: Searches.
      known: Ids of the items that there are.

    Returns:
      The searches that still have at least two results, and how many results were
      removed from all of them.
    """
    known, found, removed = {as_id(name) for name in known}, [], 0
    for search in inputs:
        unknown = [result for result in search.results if result not in known]
        removed += len(unknown)
        if unknown:
            unknown = [search.object_of(part) for part in unknown]
            search = remove_results(search, unknown)
        if len(search) >= LEAST_RESULTS:
            found.append(search)
    return found, removed


def as_id(value: object) -> str:
    """The string of an id, which may be a tuple that begins with it or a scalar."""
    if isinstance(value, tuple):
        value = value[0]
    if isinstance(value, (tf.Tensor, np.ndarray, np.generic)):
        value = np.asarray(value).item()
    if isinstance(value, float):  # of a column of whole numbers, some of them missing
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
