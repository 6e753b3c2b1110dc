"""Features of lists of items, and the rows that a tower takes."""

from collections.abc import Iterable

import tensorflow as tf

from tfrs_models.ops.features.read_features import required
from tfrs_models.types import Features


def split_lists(
    features: Features, of_items: Iterable[str]
) -> tuple[dict[str, tf.Tensor], Features]:
    """Parts the features of the items of a list from all others.

    Args:
      features: Of a batch of lists.
      of_items: Names of the features `[batch, list_size, ...]`.

    Returns:
      The items' features as dense tensors, and the others as they are.

    Raises:
      ValueError: one is missing or has no lists, or lists differ in length.
    """
    items = {}
    for name in of_items:
        items[name] = required(features, name)
        if (items[name].shape.rank or 0) < 2:
            raise ValueError(
                f"Feature `{name}` of the items must be [batch, list_size, ...]. Got "
                f"shape {items[name].shape}."
            )
    first = next(iter(items))
    for name in items:
        check_lists(name, items[name], first, items[first])
    others = {name: value for name, value in features.items() if name not in items}
    return items, others


def check_lists(
    name: str, values: tf.Tensor, other: str, other_values: tf.Tensor
) -> None:
    """Raises a `ValueError` where two features differ in batch or list size."""
    if not values.shape[:2].is_compatible_with(other_values.shape[:2]):
        raise ValueError(
            f"Feature `{name}` must have the batch and list size of `{other}`, "
            f"{other_values.shape[:2]}. Got shape {values.shape}."
        )
    if not (
        values.shape[:2].is_fully_defined()
        and other_values.shape[:2].is_fully_defined()
    ):
        tf.debugging.assert_equal(
            tf.shape(values)[:2],
            tf.shape(other_values)[:2],
            f"Feature `{name}` must have the batch and list size of `{other}`.",
        )


def flat_lists(values: tf.Tensor) -> tf.Tensor:
    """From `[batch, list_size, ...]` to `[batch * list_size, ...]`."""
    shape = tf.shape(values)
    rows = tf.concat([shape[:1] * shape[1:2], shape[2:]], axis=0)
    return tf.ensure_shape(tf.reshape(values, rows), [None, *values.shape[2:]])


def of_every_item(values: tf.Tensor, list_size: tf.Tensor) -> tf.Tensor:
    """From one row of each list to one of each item, `[batch * list_size, ...]`."""
    return tf.repeat(values, list_size, axis=0)
