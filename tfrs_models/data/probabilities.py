"""Sampling probabilities of in-batch candidates, the input of the logQ correction."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

SAMPLING_PROBABILITY = "candidate_sampling_probability"
_BATCH = 8192


def candidate_probabilities(
    train: tf.data.Dataset | Mapping[str, np.ndarray],
    feature: str = "item_id",
    *,
    num_items: int | None = None,
) -> np.ndarray:
    """Computes the share of the training rows that each item has, by exact counts.

    In-batch negatives are drawn as often as their items occur in training, so these
    shares are the probabilities that the retrieval task corrects for.

    Args:
      train: the training rows: a dataset of dicts, batched or not, or a dict of arrays.
      feature: key of the item indices; index 0 is unknown.
      num_items: size of the catalogue; None stands for the largest index in `train`.

    Returns:
      `[num_items + 1]` float32 shares that sum to 1; item `i` is at index `i`.

    Raises:
      ValueError: there are no rows or no such feature, or an index is not an int in
        `[0, num_items]`.

    Example:
      >>> train = {"item_id": np.array([1, 1, 1, 3])}
      >>> tm.data.candidate_probabilities(train, num_items=3)
      array([0.  , 0.75, 0.  , 0.25], dtype=float32)
    """
    counts = np.zeros(0 if num_items is None else num_items + 1, np.int64)
    for ids in _batches_of(train, feature):
        if not len(ids):
            continue
        if ids.min() < 0 or (num_items is not None and ids.max() > num_items):
            raise ValueError(
                f"`{feature}` must hold indices from 0 to "
                f"{'the number of items' if num_items is None else num_items}. "
                f"Got {ids.min()} to {ids.max()}."
            )
        found = np.bincount(ids, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    if not counts.sum():
        raise ValueError("`train` must have at least one row. Got an empty dataset.")
    return (counts / counts.sum()).astype(np.float32)


def sampling_probability_lookup(
    probabilities: np.ndarray, feature: str = "item_id"
) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """Makes a function for `dataset.map` that adds `candidate_sampling_probability`.

    An item without train rows has no share, but it can be in a validation batch, where
    a probability of zero would be an error. It gets the smallest share of any item.

    Args:
      probabilities: `[num_items + 1]` shares from `candidate_probabilities`.
      feature: key of the item indices.

    Returns:
      A function from a dict of features, batched or not, to a dict with one more
      feature.

    Example:
      >>> shares = np.array([0, 0.75, 0, 0.25], "float32")
      >>> add = tm.data.sampling_probability_lookup(shares)
      >>> batch = add({"item_id": tf.constant([1, 2])})
      >>> batch["candidate_sampling_probability"].numpy()
      array([0.75, 0.25], dtype=float32)
    """
    probabilities = np.asarray(probabilities, np.float32)
    rarest = probabilities[probabilities > 0].min()
    table = tf.constant(np.where(probabilities > 0, probabilities, rarest))

    def add(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        probability = tf.gather(table, features[feature])
        return {**features, SAMPLING_PROBABILITY: probability}

    return add


def _batches_of(train, feature: str):
    """Yields `[batch]` NumPy indices."""
    is_dataset = isinstance(train, tf.data.Dataset)
    columns = train.element_spec if is_dataset else train
    if not isinstance(columns, Mapping) or feature not in columns:
        found = (
            list(columns) if isinstance(columns, Mapping) else type(columns).__name__
        )
        raise ValueError(f"`train` must have the feature `{feature}`. Got {found}.")
    dtype = columns[feature].dtype if is_dataset else np.asarray(train[feature]).dtype
    if not tf.as_dtype(dtype).is_integer:
        raise ValueError(
            f"`{feature}` must hold item indices as ints. Got {dtype}: look the ids "
            "up in their vocabulary first."
        )
    if not is_dataset:
        yield np.asarray(train[feature]).reshape(-1)
        return
    if train.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`train` must be finite. Got a dataset that repeats forever.")
    ids = train.map(lambda features: tf.reshape(features[feature], [-1]))
    if columns[feature].shape.rank == 0:
        ids = ids.unbatch().batch(_BATCH)
    yield from ids.as_numpy_iterator()
