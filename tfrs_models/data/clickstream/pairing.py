"""Searches with a click beside searches without one."""

import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput

Pair = tuple[FineTuningInput, FineTuningInput | None]


def cycle_to_equal_length(a: Sequence, b: Sequence) -> tuple[list, list]:
    """Repeats the shorter sequence from its front until both are equally long.

    Args:
      a: At least one element.
      b: At least one element.

    Raises:
      ValueError: one of them is empty and the other is not.
    """
    if not a or not b:
        if a or b:
            raise ValueError("An empty sequence cannot be repeated to a length.")
        return [], []
    length = max(len(a), len(b))
    return (
        [a[place % len(a)] for place in range(length)],
        [b[place % len(b)] for place in range(length)],
    )


class PairedInputs(Sequence):
    """Pairs of a search with a click and one without, or None.

    Attributes:
      pairs: The pairs.
      relevant_ids: Ids of all results of searches with a click.
      irrelevant_ids: Ids of all results of searches without one.
    """

    def __init__(
        self, pairs: Sequence[Pair], relevant_ids: set[str], irrelevant_ids: set[str]
    ) -> None:
        self.pairs = list(pairs)
        self.relevant_ids = relevant_ids
        self.irrelevant_ids = irrelevant_ids

    def __getitem__(self, place: int) -> Pair:
        """The pair at a place."""
        return self.pairs[place]

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)


def pair_inputs(
    inputs: Iterable[FineTuningInput],
    randomize: bool = False,
    inputs_count: int = -1,
    *,
    seed: int | None = None,
) -> PairedInputs:
    """Pairs every search with a click with one without, where there are any.

    Args:
      inputs: Searches of both kinds.
      randomize: Whether both kinds are shuffled, each by itself, before they are
        paired; without searches of the second kind nothing is shuffled.
      inputs_count: At most so many pairs where above 0; without searches of the second
        kind there are all.
      seed: Of the shuffling.

    Returns:
      As many pairs as the larger kind has searches; the other kind is repeated.

    Raises:
      ValueError: no search has a click.
    """
    inputs = list(inputs)
    relevant = [search for search in inputs if not search.is_irrelevant]
    irrelevant = [search for search in inputs if search.is_irrelevant]
    ids = [
        {result for search in kind for result in search.results}
        for kind in (relevant, irrelevant)
    ]
    if not inputs:
        warnings.warn("There is no search to pair.", stacklevel=2)
    if not relevant and irrelevant:
        raise ValueError(
            f"`inputs` must have a search with a click: none of {len(irrelevant)} has "
            "one, so nothing is better than anything else. Give more sessions, or "
            "another split."
        )
    if not irrelevant:
        return PairedInputs([(search, None) for search in relevant], *ids)
    sides = cycle_to_equal_length(relevant, irrelevant)
    if randomize:
        rng = np.random.default_rng(seed)
        sides = [
            [side[place] for place in rng.permutation(len(side))] for side in sides
        ]
    pairs = list(zip(*sides, strict=True))
    return PairedInputs(pairs[:inputs_count] if inputs_count > 0 else pairs, *ids)


def stream_pairs(inputs: Iterable[FineTuningInput]) -> Iterator[Pair]:
    """Pairs each search with a click with the last one before it that had none.

    Args:
      inputs: Searches of both kinds, which need not fit in memory.

    Yields:
      Pairs in the order of the searches with a click.
    """
    latest = None
    for search in inputs:
        if search.is_irrelevant:
            latest = search
        else:
            yield search, latest
