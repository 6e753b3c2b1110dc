"""Features of lists of items, and their rows for a tower."""

from collections.abc import Iterable

import tensorflow as tf

from tfrs_models.ops.features.read_features import required
from tfrs_models.types import Features


def split_lists(
    features: Features, of_items: Iterable[str]
) -> tuple[dict[str, tf.Tensor], Features]:
    """Separates the features of the items of a list from all others.

    Args:
      features: features of a batch of lists by name.
      of_items: names of the items' features, which are `[batch, list_size, ...]`.

    Returns:
      The items' features as dense tensors, and the other features as they are.

    Raises:
      ValueError: an item's feature is missing or has no lists, or lists differ in
        length.
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
    """Checks that two features have the same batch and list size.

    Args:
      name: name of a feature.
      values: values of the feature, `[batch, list_size, ...]`.
      other: name of the feature that it is compared with.
      other_values: values of the other feature, `[batch, list_size, ...]`.

    Raises:
      ValueError: the static sizes differ.
      InvalidArgumentError: the sizes differ at run time.
    """
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
    """Reshapes `[batch, list_size, ...]` to `[batch * list_size, ...]`."""
    shape = tf.shape(values)
    rows = tf.concat([shape[:1] * shape[1:2], shape[2:]], axis=0)
    return tf.ensure_shape(tf.reshape(values, rows), [None, *values.shape[2:]])


def of_every_item(values: tf.Tensor, list_size: tf.Tensor) -> tf.Tensor:
    """Repeats one row of each list for all of its items.

    Args:
      values: values of the lists, `[batch, ...]`.
      list_size: number of items of a list, scalar int32.

    Returns:
      `[batch * list_size, ...]`.
    """
    return tf.repeat(values, list_size, axis=0)
