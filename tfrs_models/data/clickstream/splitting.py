"""Splits searches into those to train on and those to test with."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tfrs_models.data.clickstream.fine_tuning_input import (
    LEAST_RESULTS,
    FineTuningInput,
    as_id,
    remove_results,
)


class SplitInputs(NamedTuple):
    """Two disjoint lists of searches.

    Attributes:
      train: searches to train on.
      test: searches to test with.
    """

    train: list[FineTuningInput]
    test: list[FineTuningInput]


def split_inputs(
    inputs: Sequence[FineTuningInput],
    test_size_ratio: float = 0.2,
    shuffle: bool = True,
    random_state: int | None = None,
    augmenter: Callable[[list[FineTuningInput]], list[FineTuningInput]] | None = None,
    *,
    test_item_ids: Sequence[str] | None = None,
    without_shared_items: bool = False,
) -> SplitInputs:
    """Splits searches by the items that they show.

    A random share of the items is for testing. A search with more than half of its
    results among them is a test search. If there are too few such searches, random
    other ones are moved to the test searches.

    Args:
      inputs: searches.
      test_size_ratio: share of the items for testing, and least share of the test
        searches, in (0, 1).
      shuffle: whether the items are drawn at random; else they are the last ones in the
        order of their ids.
      random_state: seed of the draws; the same number gives the same split in every
        process, None another split each time.
      augmenter: function from the train searches to additional ones, which are appended
        to them.
      test_item_ids: ids of the items for testing, instead of a draw.
      without_shared_items: whether test items are removed from the train searches, and
        all other items from the test searches, so that no test result was ever trained
        on. Searches with fewer than two results left are dropped.

    Returns:
      Train and test searches; both have at least one with a click.

    Raises:
      ValueError: a ratio out of range, no results at all, or too few searches with a
        click for both parts.

    Example:
      >>> searches = [tm.data.clickstream.FineTuningInput(
      ...     query, [shown[0]], list(shown), dict.fromkeys(shown, 0.5))
      ...     for query, shown in [("shoes", "abc"), ("hats", "xyz"), ("bags", "abd")]]
      >>> train, test = tm.data.clickstream.split_inputs(
      ...     searches, test_item_ids=["x", "y", "z"])
      >>> [search.query for search in test]
      ['hats']
    """
    if not (isinstance(test_size_ratio, float) and 0 < test_size_ratio < 1):
        raise ValueError(
            f"`test_size_ratio` must be a float in (0, 1). Got {test_size_ratio!r}."
        )
    if test_size_ratio >= 0.5:
        warnings.warn(
            f"`test_size_ratio` of {test_size_ratio} leaves less to train on than to "
            "test with.",
            stacklevel=2,
        )
    ids = sorted({result for search in inputs for result in search.results})
    if not ids:
        raise ValueError("`inputs` must have searches with results. Got none.")
    rng = np.random.default_rng(random_state)
    if test_item_ids is None:
        count = math.ceil(test_size_ratio * len(ids))
        order = rng.permutation(len(ids)) if shuffle else np.arange(len(ids))
        test_item_ids = [ids[index] for index in order[len(ids) - count :]]
    held_out = {as_id(name) for name in test_item_ids}
    is_test = [
        sum(result in held_out for result in search.results) > len(search) / 2
        for search in inputs
    ]
    train = [
        s for s, test in zip(inputs, is_test, strict=True) if not test and s.results
    ]
    train += [s for s in inputs if not s.results]
    test = [s for s, test in zip(inputs, is_test, strict=True) if test]
    missing = math.floor(test_size_ratio * len(inputs)) - len(test)
    if missing > 0:
        moved = set(rng.choice(len(train), missing, replace=False).tolist())
        test += [s for index, s in enumerate(train) if index in moved]
        train = [s for index, s in enumerate(train) if index not in moved]
    foreign = (held_out, set(ids) - held_out) if without_shared_items else (None, None)
    train, test = _with_a_click((train, test), foreign)
    if augmenter is not None:
        train = train + list(augmenter(train))
    return SplitInputs(train, test)


def _without(
    inputs: list[FineTuningInput], ids: set[str] | None
) -> list[FineTuningInput]:
    if ids is None:
        return inputs
    rest = (
        remove_results(s, {s.object_of(r) for r in s.results if r in ids})
        for s in inputs
    )
    return [search for search in rest if len(search) >= LEAST_RESULTS]


def _with_a_click(
    parts: Sequence[list[FineTuningInput]], foreign: Sequence[set[str] | None]
) -> list[list[FineTuningInput]]:
    """Removes foreign items from both parts and gives each a search with a click.

    A part without a click takes a search of the other part before items are removed, so
    that the moved search shares no item either.
    """
    found = [_without(part, ids) for part, ids in zip(parts, foreign, strict=True)]
    clicked = [_num_clicked(part) for part in found]
    if min(clicked) > 0:
        return found
    needy = clicked.index(min(clicked))
    rich = 1 - needy
    for index, search in enumerate(parts[rich]):
        moved = _without([search], foreign[needy])
        lost = _num_clicked(_without([search], foreign[rich]))
        if _num_clicked(moved) and clicked[rich] > lost:
            rest = parts[rich][:index] + parts[rich][index + 1 :]
            found[needy] = found[needy] + moved
            found[rich] = _without(rest, foreign[rich])
            return found
    raise ValueError(
        "`inputs` must have a search with a click for training and one for testing. "
        f"Got {sum(clicked)} of {sum(map(len, parts))} searches with one: {clicked[0]} "
        f"to train on, {clicked[1]} to test with."
    )


def _num_clicked(inputs: list[FineTuningInput]) -> int:
    return sum(not search.is_irrelevant for search in inputs)
