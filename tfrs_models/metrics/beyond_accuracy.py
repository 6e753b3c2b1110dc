"""Popularity and novelty of top-k lists, and all measures beyond accuracy at once."""

from collections.abc import Mapping, Sequence

import numpy as np

from tfrs_models.metrics.exposure import exposure
from tfrs_models.metrics.list_attributes import (
    calibration_divergence,
    intra_list_diversity,
)
from tfrs_models.metrics.serendipity import serendipity
from tfrs_models.metrics.top_k_lists import (
    checked_counts,
    checked_lists,
    mean_of_lists,
)


def average_popularity(lists: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """Computes the mean popularity of the items of each list (ARP).

    `sum_{i in L_u} popularity_i / |L_u|`, as RecTools' `AvgRecPopularity`.

    Args:
      lists: `[num_users, k]` item indices; 0 and -1 are padding.
      popularity: `[num_items + 1]` number or share of the earlier interactions of each
        item; row 0 is the unknown item.

    Returns:
      `[num_users]` means; NaN for a list without items.

    Raises:
      ValueError: `lists` are no item indices, or `popularity` is negative.

    Example:
      >>> lists = np.array([[1, 2], [3, 0]])
      >>> tm.metrics.average_popularity(lists, np.array([0, 90, 10, 4]))
      array([50.,  4.])

    Reference:
      Yin et al., Challenging the long tail recommendation, VLDB 2012.
    """
    popularity = checked_counts(popularity, name="popularity")
    lists = checked_lists(lists, len(popularity) - 1)
    return mean_of_lists(popularity[lists], lists > 0)


def novelty(
    lists: np.ndarray, users_per_item: np.ndarray, num_users: int
) -> np.ndarray:
    """Computes the mean self-information of the items of each list, in bits.

    `-sum_{i in L_u} log2(users_i / num_users) / |L_u|`: 0 if all users had the items,
    1 bit more if half as many had them. An item that no user had counts as if one user
    had it, as in RecTools' `MeanInvUserFreq`.

    Args:
      lists: `[num_users, k]` item indices; 0 and -1 are padding.
      users_per_item: `[num_items + 1]` number of users who had each item before; row 0
        is the unknown item.
      num_users: number of users whose items were counted.

    Returns:
      `[num_users]` means; NaN for a list without items.

    Raises:
      ValueError: `lists` are no item indices, or more users had an item than there are.

    Example:
      >>> lists = np.array([[1, 2], [3, 0]])
      >>> tm.metrics.novelty(lists, np.array([0, 64, 16, 1]), num_users=64)
      array([1., 6.])

    Reference:
      Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender
      systems, PNAS 2010.
    """
    users_per_item = checked_counts(users_per_item, name="users_per_item")
    lists = checked_lists(lists, len(users_per_item) - 1)
    if num_users < 1 or users_per_item.max() > num_users:
        raise ValueError(
            "`num_users` must be the number of users whose items were counted. Got "
            f"{num_users}, but {users_per_item.max():.0f} users had one item: count "
            "each user once, not every repeat."
        )
    information = -np.log2(np.maximum(users_per_item, 1) / num_users)
    return mean_of_lists(information[lists], lists > 0)


def beyond_accuracy(
    lists: np.ndarray,
    *,
    num_items: int,
    users_per_item: np.ndarray | None = None,
    num_users: int | None = None,
    attributes: Mapping[str, np.ndarray] | None = None,
    embeddings: np.ndarray | None = None,
    histories: Sequence[np.ndarray] | None = None,
    relevant: Sequence[np.ndarray] | None = None,
    simple_lists: np.ndarray | None = None,
) -> dict[str, float]:
    """Computes all measures beyond accuracy that the given inputs permit.

    Means are over the users whose list has the measure. The single functions have the
    formulas, the papers and a value for each user.

    Args:
      lists: `[num_users, k]` item indices; 0 and -1 are padding.
      num_items: number of items in the catalogue.
      users_per_item: `[num_items + 1]` number of users who had each item before; gives
        `average_popularity` and `novelty`.
      num_users: number of users whose items were counted in `users_per_item`.
      attributes: name -> categories or bags of the items, as for
        `intra_list_diversity`; gives `diversity/name` and, with `histories`,
        `calibration_divergence/name`.
      embeddings: `[num_items + 1, embedding_dim]` floats; gives `embedding_diversity`.
      histories: item indices that each of the users had before.
      relevant: item indices that each of the users took; with `simple_lists` it gives
        `serendipity`.
      simple_lists: `[num_users, length]` items that a simple recommender shows.

    Returns:
      Name -> value: `covered_users` (share of the users with at least one item),
      `coverage`, `gini`, `largest_reach`, `share_of_top_1_percent`, and the measures
      of the optional inputs; NaN for a measure that no list has.

    Raises:
      ValueError: an input is wrong, or one comes without another that it needs.

    Example:
      >>> measures = tm.metrics.beyond_accuracy(np.array([[1, 2], [1, 0]]), num_items=3)
      >>> measures["largest_reach"], round(measures["coverage"], 2)
      (1.0, 0.67)
    """
    lists = checked_lists(lists, num_items)
    _check_pair(users_per_item=users_per_item, num_users=num_users)
    _check_pair(relevant=relevant, simple_lists=simple_lists)
    attributes = dict(attributes or {})
    if embeddings is not None:
        attributes[""] = embeddings
    for name, values in attributes.items():
        if len(values) != num_items + 1:
            what = f"attributes[{name!r}]" if name else "embeddings"
            raise ValueError(
                f"`{what}` must have {num_items + 1} rows: one for the unknown item, "
                f"then one for each item. Got {len(values)}."
            )
    shown = exposure(lists, num_items)
    measures = {
        "covered_users": float((lists > 0).any(axis=1).mean()),
        "coverage": shown.coverage,
        "gini": shown.gini,
        "largest_reach": shown.largest_reach,
        "share_of_top_1_percent": shown.share_of_top(0.01),
    }
    by_user = {}
    if users_per_item is not None:
        users_per_item = checked_counts(
            users_per_item, name="users_per_item", num_items=num_items
        )
        by_user["average_popularity"] = average_popularity(lists, users_per_item)
        by_user["novelty"] = novelty(lists, users_per_item, num_users)
    for name, values in attributes.items():
        measure = f"diversity/{name}" if name else "embedding_diversity"
        by_user[measure] = intra_list_diversity(lists, values)
        if name and histories is not None:
            by_user[f"calibration_divergence/{name}"] = calibration_divergence(
                lists, histories, values
            )
    if relevant is not None:
        by_user["serendipity"] = serendipity(
            lists, relevant, simple_lists, num_items=num_items
        )
    return measures | {name: _mean(values) for name, values in by_user.items()}


def _check_pair(**arguments: object) -> None:
    """Checks that two arguments are both given or both left out."""
    given = [name for name, value in arguments.items() if value is not None]
    if len(given) == 1:
        both = " and ".join(f"`{name}`" for name in arguments)
        raise ValueError(f"{both} must come together. Got `{given[0]}` alone.")


def _mean(values: np.ndarray) -> float:
    """Averages the values of the users who have one; NaN without any."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
