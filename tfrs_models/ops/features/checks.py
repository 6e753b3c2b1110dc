"""Checks of features, with errors that name the feature and its rows."""

from collections.abc import Iterator, Mapping

import tensorflow as tf


def float_features(features: object, path: str = "") -> Iterator[tuple[str, tf.Tensor]]:
    """Finds all floating tensors of a nested structure, with their names.

    Args:
      features: mappings, tuples and lists of dense or ragged tensors.
      path: prefix of the names.

    Yields:
      The name of a feature, with `/` between the levels, and its dense values.
    """
    if isinstance(features, (Mapping, tuple, list)):
        named = isinstance(features, Mapping)
        for name, value in features.items() if named else enumerate(features):
            yield from float_features(value, f"{path}/{name}" if path else str(name))
        return
    values = features.flat_values if isinstance(features, tf.RaggedTensor) else features
    if isinstance(values, tf.Tensor) and values.dtype.is_floating:
        yield path, values


def check_features(
    features: object, nan_features: frozenset[str]
) -> list[tf.Operation]:
    """Makes checks that all float tensors of a nested structure are finite.

    Args:
      features: mappings, tuples and lists of dense or ragged tensors.
      nan_features: names of features that may be NaN.

    Returns:
      The checks, one for each feature; its message names the feature.
    """
    return [
        tf.debugging.check_numerics(
            values,
            f"Feature `{name}` is not finite: clean or impute it before training, or, "
            "where the model imputes it, say so by "
            f"`model.nan_features = frozenset({{'{name}'}})`",
        )
        for name, values in float_features(features)
        if name not in nan_features
    ]


def require(values: tf.Tensor, ok: tf.Tensor, message: str) -> tf.Tensor:
    """Returns the values, or raises an error that names the rows of wrong ones.

    Args:
      values: values of a feature, `[batch, ...]`.
      ok: True for values that are allowed, bool of the same shape.
      message: text of the error, which names the feature.

    Returns:
      The values.

    Raises:
      InvalidArgumentError: a value is not allowed; the error names the rows.
    """
    wrong = tf.where(~ok)
    check = tf.debugging.Assert(
        tf.reduce_all(ok),
        [f"{message}. Rows:", wrong[:, 0], "values:", tf.gather_nd(values, wrong)],
        summarize=5,
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(values)


def require_ids(ids: tf.Tensor, name: str, largest: int) -> tf.Tensor:
    """Returns ids after a check that a table has a row for each of them.

    Args:
      ids: `[batch, ...]` integers.
      name: name of the feature in the message.
      largest: last row of the table.

    Raises:
      InvalidArgumentError: an id is below 0 or above `largest`; it names the rows.
    """
    message = (
        f"Feature `{name}` must hold ids from 0 to {largest}, which the model is made "
        "for: leave others out or make a larger model"
    )
    return require(ids, (ids >= 0) & (ids <= largest), message)


def finite_features(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the features, or raises an error that names one that is not finite.

    Raises:
      InvalidArgumentError: a floating feature is NaN or infinite.
    """
    return {
        name: tf.debugging.check_numerics(
            values, f"The feature `{name}` must be finite"
        )
        if values.dtype.is_floating
        else values
        for name, values in features.items()
    }


def same_shape(values: tf.Tensor, other: tf.Tensor, message: str) -> tf.Tensor:
    """Returns the values, once their first axes have the sizes of another tensor.

    Args:
      values: tensor whose first axes are compared, `[..., ...]`.
      other: tensor of the expected shape, `[...]`; nothing is broadcast.
      message: text of the error, which names the feature and the rule.

    Returns:
      The values.

    Raises:
      ValueError: the static shapes differ.
      InvalidArgumentError: the shapes differ at run time.
    """
    other = tf.convert_to_tensor(other)
    rank = other.shape.rank
    if not values.shape[:rank].is_compatible_with(other.shape):
        raise ValueError(f"{message}, {other.shape}. Got shape {values.shape}.")
    if values.shape[:rank].is_fully_defined() and other.shape.is_fully_defined():
        return values
    check = tf.debugging.assert_equal(tf.shape(values)[:rank], tf.shape(other), message)
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(values)


def check_width(width: int | None, name: str = "inputs") -> None:
    """Raises a `ValueError` for a width of 0, whose matrix products end the process.

    Args:
      width: size of the last axis; None where it is not known.
      name: name of the tensor in the message.
    """
    if width == 0:
        raise ValueError(
            f"`{name}` must have a width of at least 1. Got 0: a table without "
            "features has nothing to learn from."
        )
