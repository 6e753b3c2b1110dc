"""Fewer of the results that were not clicked, whole objects at a time."""

import math

import numpy as np

from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput


def downsample_not_events(
    input: FineTuningInput,  # noqa: A002  the name of the specification
    factor: float,
    rng: np.random.Generator | int | None = None,
    *,
    min_groups: int = 0,
) -> list[str]:
    """Draws objects without a click; all parts of an object stay together.

    Args:
      input: A search.
      factor: Share of the objects that is kept, rounded down, in [0, 1].
      rng: Of the draw, or its seed.
      min_groups: Objects that are kept at least, where there are so many.

    Returns:
      Ids of the parts of the objects that were drawn, in the order they were shown. An
      object with a clicked part is no candidate: its rank is the positive's.

    Raises:
      ValueError: a factor out of range.
    """
    if not 0 <= factor <= 1:
        raise ValueError(f"`factor` must be in [0, 1]. Got {factor}.")
    groups = unclicked_objects(input)
    count = max(math.floor(factor * len(groups)), min(min_groups, len(groups)))
    chosen = np.random.default_rng(rng).choice(len(groups), count, replace=False)
    names = list(groups)
    drawn = {part for place in chosen for part in groups[names[place]]}
    return [result for result in input.results if result in drawn]


def unclicked_objects(
    input: FineTuningInput,  # noqa: A002  the name of the specification
) -> dict[str, list[str]]:
    """Objects without a clicked part in the order of their first one -> their parts."""
    clicked = {input.object_of(event) for event in input.events}
    groups = {}
    for part in input.not_events:
        owner = input.object_of(part)
        if owner not in clicked:
            groups.setdefault(owner, []).append(part)
    return groups
