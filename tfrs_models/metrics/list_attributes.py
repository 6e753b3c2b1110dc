"""Diversity and calibration of top-k lists, by attributes of the items."""

from collections.abc import Sequence

import numpy as np

from tfrs_models.metrics.top_k_lists import checked_lists, rows_of_users

# Blocks of users: the first stays in the processor's cache, the second in memory.
_NUMBERS_OF_A_LIST_BLOCK = 2**16
_NUMBERS_OF_A_COUNT_BLOCK = 2**22


def intra_list_diversity(lists: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Computes the mean distance between the items of each list (ILD).

    `2 sum_{i < j in L_u} d(i, j) / (|L_u| (|L_u| - 1))`, where `d` is 1 for different
    categories, `1 - |common| / |union|` (Jaccard) for bags and `1 - cosine` for
    embeddings. Items without an attribute or with an embedding of zeros are left out.
    RecTools' `IntraListDiversity` is the same mean, but 0 for a list of one item.

    Args:
      lists: `[num_users, k]` item indices; 0 and -1 are padding.
      attributes: `[num_items + 1]` integer categories or `[num_items + 1, length]`
        integer bags, both with 0 for "none", or `[num_items + 1, embedding_dim]` float
        embeddings; row 0 is the unknown item and does not count.

    Returns:
      `[num_users]` means; NaN for a list of fewer than two items with attributes.

    Raises:
      ValueError: `lists` are no item indices, or `attributes` are of another kind.

    Example:
      >>> genres = np.array([[0, 0], [1, 2], [1, 0], [3, 0]])
      >>> lists = np.array([[1, 2, 3], [2, 3, 0]])  # distances 1/2, 1, 1; and 1
      >>> tm.metrics.intra_list_diversity(lists, genres).round(2)
      array([0.83, 1.  ])

    Reference:
      Ziegler et al., Improving recommendation lists through topic diversification, WWW
      2005. Vargas and Castells, Rank and relevance in novelty and diversity metrics for
      recommender systems, RecSys 2011.
    """
    attributes = _checked_attributes(attributes)
    lists = checked_lists(lists, len(attributes) - 1)
    if attributes.dtype.kind == "f":
        items, distances = _directions(attributes), _cosine_distances
    else:
        items, distances = _bits(_bags(attributes)), _jaccard_distances
    some = items.any(axis=1)
    step = max(1, _NUMBERS_OF_A_LIST_BLOCK // (lists.shape[1] * items.shape[1]))
    blocks = [lists[start : start + step] for start in range(0, len(lists), step)]
    totals = np.concatenate([distances(block, items, some) for block in blocks])
    counts = some[lists].sum(axis=1)
    pairs = counts * (counts - 1) / 2
    return np.where(pairs > 0, totals / np.maximum(pairs, 1), np.nan)


def calibration_divergence(
    lists: np.ndarray,
    histories: Sequence[np.ndarray],
    attributes: np.ndarray,
    *,
    smoothing: float = 0.01,
) -> np.ndarray:
    """Computes how far the attributes of each list are from the user's history.

    The Kullback-Leibler divergence `sum_g p_g log(p_g / ((1 - s) q_g + s p_g))` in
    nats, where `p` is the distribution of the attributes in the history, `q` in the
    list, and `s` the smoothing. Each item has the same weight, divided equally among
    its attributes. A list with the mix of the history has 0; the maximum is `-log(s)`.

    Args:
      lists: `[num_users, k]` item indices; 0 and -1 are padding.
      histories: item indices that each user had before: one array a user, a padded
        `[num_users, length]` array or a `tf.RaggedTensor`; a repeat counts again.
      attributes: `[num_items + 1]` integer categories or `[num_items + 1, length]`
        integer bags, both with 0 for "none"; row 0 is the unknown item.
      smoothing: share of `p` in the distribution that `p` is compared with, in (0, 1).

    Returns:
      `[num_users]` divergences; NaN where history or list have no attribute.

    Raises:
      ValueError: an input is wrong, or `smoothing` is outside (0, 1).

    Example:
      >>> genres, histories = np.array([0, 1, 1, 2]), [[1, 3], [1, 3]]
      >>> lists = np.array([[2, 3], [1, 2]])  # both genres, one genre
      >>> tm.metrics.calibration_divergence(lists, histories, genres).round(2)
      array([0.  , 1.96])

    Reference:
      Steck, Calibrated recommendations, RecSys 2018.
    """
    attributes = _checked_attributes(attributes)
    if attributes.dtype.kind == "f":
        raise ValueError(
            "`attributes` must be integer categories or bags: embeddings have no "
            f"distribution to compare. Got {attributes.dtype}."
        )
    if not 0 < smoothing < 1:
        raise ValueError(
            "`smoothing` must be between 0 and 1: without it a genre that the list "
            f"lacks has an infinite divergence. Got {smoothing}."
        )
    lists = checked_lists(lists, len(attributes) - 1)
    users, items = rows_of_users(
        histories, len(lists), len(attributes) - 1, name="histories"
    )
    bags = _bags(attributes)
    num_values = int(bags.max()) + 1
    step = max(1, _NUMBERS_OF_A_COUNT_BLOCK // num_values)
    divergences = []
    for start in range(0, len(lists), step):
        block = lists[start : start + step]
        low, high = np.searchsorted(users, [start, start + len(block)])
        history = _distribution(
            users[low:high] - start, items[low:high], len(block), bags, num_values
        )
        rows, columns = np.nonzero(block)
        listed = _distribution(rows, block[rows, columns], len(block), bags, num_values)
        divergences.append(_divergence(history, listed, smoothing))
    return np.concatenate(divergences)


def _checked_attributes(attributes: np.ndarray) -> np.ndarray:
    attributes = np.asarray(attributes)
    kind = attributes.dtype.kind
    if kind not in "iuf" or attributes.ndim not in ((2,) if kind == "f" else (1, 2)):
        raise ValueError(
            "`attributes` must be integers `[num_items + 1]` or `[num_items + 1, "
            "length]`, or float embeddings `[num_items + 1, embedding_dim]`. Got "
            f"{attributes.dtype} of the shape {attributes.shape}: `data.items` has "
            "indices of the values."
        )
    if len(attributes) < 2 or 0 in attributes.shape:
        raise ValueError(
            "`attributes` must have row 0 for the unknown item and a row for each of "
            f"the items. Got the shape {attributes.shape}."
        )
    if kind == "f" and not np.isfinite(attributes).all():
        raise ValueError("`attributes` must be finite. Got NaN or infinity.")
    if kind != "f" and attributes.min() < 0:
        raise ValueError(
            "`attributes` must not be negative: 0 is an item without attributes. Got "
            f"{attributes.min()}."
        )
    return attributes


def _bags(attributes: np.ndarray) -> np.ndarray:
    """Bags `[num_items + 1, length]` without repeats, values numbered from 1; 0 = none.

    Row 0, the unknown item, becomes empty.
    """
    values, index = np.unique(attributes, return_inverse=True)
    bags = index.reshape(len(attributes), -1) + (values[0] > 0)
    bags = np.sort(bags, axis=1)
    bags[:, 1:][bags[:, 1:] == bags[:, :-1]] = 0
    bags[0] = 0
    return bags


def _bits(bags: np.ndarray) -> np.ndarray:
    """Bags as bits of 64-bit words, `[num_items + 1, num_words]`."""
    bits = np.zeros((len(bags), int(bags.max()) // 64 + 1), np.uint64)
    rows, columns = np.nonzero(bags)
    word, bit = np.divmod(bags[rows, columns], 64)
    np.bitwise_or.at(bits, (rows, word), np.uint64(1) << bit.astype(np.uint64))
    return bits


def _directions(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings of length 1; zeros for the unknown item and where they are zeros."""
    embeddings = embeddings.astype("float64")
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = embeddings / np.where(norms > 0, norms, 1)
    directions[0] = 0
    return directions


def _jaccard_distances(
    lists: np.ndarray, bits: np.ndarray, some: np.ndarray
) -> np.ndarray:
    """Sums the distances of all pairs of each list, `[num_users]`."""
    totals = np.zeros(len(lists))
    for column in range(1, lists.shape[1]):
        item, earlier = lists[:, column, None], lists[:, :column]
        ours, theirs = bits[item], bits[earlier]  # [users, 1 or column, words]
        common = np.bitwise_count(ours & theirs).sum(axis=2, dtype=np.int64)
        union = np.bitwise_count(ours | theirs).sum(axis=2, dtype=np.int64)
        distance = 1 - common / np.maximum(union, 1)
        totals += np.where(some[item] & some[earlier], distance, 0).sum(axis=1)
    return totals


def _cosine_distances(
    lists: np.ndarray, directions: np.ndarray, some: np.ndarray
) -> np.ndarray:
    """Sums the distances of all pairs of each list, `[num_users]`."""
    counts = some[lists].sum(axis=1)
    total = directions[lists].sum(axis=1)  # |sum|^2 holds each pair twice and 1 an item
    cosines = (np.square(total).sum(axis=1) - counts) / 2
    return counts * (counts - 1) / 2 - cosines


def _distribution(
    users: np.ndarray,
    items: np.ndarray,
    num_users: int,
    bags: np.ndarray,
    num_values: int,
) -> np.ndarray:
    """Distribution of the attributes of each user's items; zeros without any.

    Returns:
      `[num_users, num_values]` shares; the value 0 has none.
    """
    values = bags[items]
    some = values > 0
    counts = some.sum(axis=1)
    keys = np.repeat(users, counts) * num_values + values[some]
    weights = np.repeat(1 / np.maximum(counts, 1), counts)
    totals = np.bincount(keys, weights, num_users * num_values)
    totals = totals.reshape(num_users, num_values)
    norm = totals.sum(axis=1, keepdims=True)
    return totals / np.where(norm > 0, norm, 1)


def _divergence(p: np.ndarray, q: np.ndarray, smoothing: float) -> np.ndarray:
    smoothed = (1 - smoothing) * q + smoothing * p
    some = p > 0
    terms = np.where(
        some, p * np.log(np.where(some, p, 1) / np.where(some, smoothed, 1)), 0
    )
    defined = some.any(axis=1) & q.any(axis=1)
    return np.where(defined, terms.sum(axis=1), np.nan)
