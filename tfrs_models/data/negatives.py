"""Uniformly drawn items of the catalogue as additional negatives of a batch."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.data.probabilities import (
    SAMPLING_PROBABILITY,
    sampling_probability_lookup,
)

EXTRA_CANDIDATES = "extra_candidates"
_ROW = "row"


def mixed_negatives(
    dataset: tf.data.Dataset,
    items: Mapping[str, np.ndarray],
    per_batch: int,
    *,
    candidate_probabilities: np.ndarray | None = None,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Adds uniformly drawn items of the catalogue to each batch, as more negatives.

    In-batch negatives are popular items. A rare or cold item is never a negative there,
    so nothing bounds its score. Each batch has a new draw, and each epoch has other
    draws. With a seed the sequence of epochs is always the same; without a seed it
    follows `tf.random.set_seed`.

    `models.TwoTower` appends the drawn items to the candidates of the batch. The
    expected number of candidates that are item `j` is then `(batch - 1) Q_j + per_batch
    / num_items`. Under `tf.distribute` the replicas share the drawn items as they share
    the rows.

    Args:
      dataset: batches of features, such as those of `Interactions.batches`.
      items: feature -> `[num_items + 1, ...]` values, the id among them, such as
        `Interactions.items`; row 0, the unknown item, is never drawn.
      per_batch: number of items to draw for a batch, with replacement.
      candidate_probabilities: `[num_items + 1]` shares of the items in the training
        rows, such as `Interactions.candidate_probabilities`: the probability `Q_j` that
        one in-batch candidate is item `j` (a cold item gets that of the rarest train
        item).
      seed: seed of the draws.

    Returns:
      The dataset with one more feature, `extra_candidates`: a dict of the item features
      `[per_batch, ...]` of the drawn items and, if the shares are given, their
      `candidate_sampling_probability` `[per_batch]`.

    Raises:
      ValueError: an argument does not fit the others.

    Example:
      >>> batches = tf.data.Dataset.from_tensors({"item_id": [1, 2]})
      >>> items = {"item_id": np.arange(6, dtype="int32")}
      >>> mixed = tm.data.mixed_negatives(batches, items, per_batch=3, seed=0)
      >>> extra = next(iter(mixed))["extra_candidates"]
      >>> extra["item_id"].shape, bool(tf.reduce_all(extra["item_id"] > 0))
      (TensorShape([3]), True)

    Reference:
      Yang et al., Mixed negative sampling for learning two-tower neural networks in
      recommendations, WWW 2020.
    """
    columns = {name: tf.convert_to_tensor(column) for name, column in items.items()}
    num_rows = _check(dataset, columns, per_batch, candidate_probabilities)
    add_probability = (
        None
        if candidate_probabilities is None
        else sampling_probability_lookup(candidate_probabilities, _ROW)
    )

    def add(features: dict[str, tf.Tensor], draw: tf.Tensor) -> dict:
        rows = tf.random.stateless_uniform(
            [per_batch], [draw, 0], minval=1, maxval=num_rows, dtype=tf.int64
        )
        extra = {name: tf.gather(column, rows) for name, column in columns.items()}
        if add_probability is not None:
            shares = add_probability({_ROW: rows})
            extra[SAMPLING_PROBABILITY] = shares[SAMPLING_PROBABILITY]
        return {**features, EXTRA_CANDIDATES: extra}

    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    batches = tf.data.Dataset.zip(dataset, draws)
    return batches.map(add, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _check(
    dataset: tf.data.Dataset,
    columns: dict[str, tf.Tensor],
    per_batch: int,
    candidate_probabilities: np.ndarray | None,
) -> int:
    """Returns the number of rows of `items`, the unknown item included."""
    if per_batch < 1:
        raise ValueError(f"`per_batch` must be at least 1. Got {per_batch}.")
    lengths = {
        name: column.shape[0] if column.shape.rank else 0
        for name, column in columns.items()
    }
    if len(set(lengths.values())) != 1 or min(lengths.values()) < 2:
        raise ValueError(
            "`items` must hold columns of one length: row 0, the unknown item, and at "
            f"least one more. Got {lengths or 'no column'}."
        )
    num_rows = next(iter(lengths.values()))
    if candidate_probabilities is not None and np.shape(candidate_probabilities) != (
        num_rows,
    ):
        raise ValueError(
            f"`candidate_probabilities` must have one value for each of the {num_rows} "
            f"rows of `items`. Got shape {np.shape(candidate_probabilities)}."
        )
    features = dataset.element_spec
    if not isinstance(features, Mapping):
        raise ValueError(
            f"`dataset` must yield dicts of features. Got {type(features).__name__}."
        )
    if EXTRA_CANDIDATES in features:
        raise ValueError(
            f"`dataset` must not have the feature `{EXTRA_CANDIDATES}` yet. "
            f"Got {sorted(features)}."
        )
    for name in sorted(columns.keys() & features.keys()):
        given, known = columns[name].dtype, features[name].dtype
        if given != known:
            raise ValueError(
                f"Column `{name}` of `items` must have the dtype of the feature, "
                f"{known.name}. Got {given.name}."
            )
    return num_rows
