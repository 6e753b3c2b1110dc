"""Fewer of the results that were not clicked, whole objects at a time."""

import math

import numpy as np
import tensorflow as tf

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


def draw_order(
    objects: tf.RaggedTensor, clicked: tf.RaggedTensor, seed: tf.Tensor
) -> tf.RaggedTensor:
    """A random order of the objects without a click of each search.

    Whoever keeps the first `k` of them has drawn `k` without replacement.

    Args:
      objects: `[batch, (num_results)]` integers from 0, the object of each result.
      clicked: `[batch, (num_results)]` bool.
      seed: `[2]` integers.

    Returns:
      `[batch, (num_results)]` int32, the place of the object of each result; objects
      with a click stand behind all others.
    """
    row = objects.value_rowids()
    counts = tf.reduce_max(tf.cast(objects, tf.int64), axis=1) + 1
    counts = tf.where(objects.row_lengths() > 0, counts, tf.zeros_like(counts))
    starts = tf.cumsum(counts, exclusive=True)
    number = tf.gather(starts, row) + tf.cast(objects.values, tf.int64)
    total = tf.reduce_sum(counts)
    has_click = tf.math.unsorted_segment_max(
        tf.cast(clicked.values, tf.int32), number, total
    )
    row_of = tf.ragged.row_splits_to_segment_ids(
        tf.concat([starts, [total]], axis=0), out_type=tf.int64
    )
    draw = tf.random.stateless_uniform([total], seed, dtype=tf.float64)
    key = 2.0 * tf.cast(row_of, tf.float64) + tf.cast(has_click > 0, tf.float64) + draw
    place = tf.argsort(tf.argsort(key)) - tf.cast(tf.gather(starts, row_of), tf.int32)
    return objects.with_values(tf.gather(place, number))
