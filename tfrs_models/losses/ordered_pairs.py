"""Sums over the pairs of a list that its labels order, with their gradients."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrs_models.ops.lists.discounts import discounts, gains
from tfrs_models.ops.lists.list_shapes import Lists
from tfrs_models.ops.softmax.blocked_softmax import once_differentiable

POSITIVE = ("graded", "binary")
PAIRS = ("mean", "sum")
WEIGHTS = (None, "label_difference", "delta_ndcg")
_PARTS = min(os.cpu_count() or 1, 8)  # of a large batch, computed side by side
_BLOCK_PAIRS = 2**17  # half a megabyte for each tensor of a block's pairs
_COMPILED_FROM = 2**22  # pairs; below it compiling, which takes a second, does not pay
# log(1 + e) / e on [0, 1] as a polynomial, as exact as float32.
_LOG1P = (
    np.polynomial.Chebyshev.interpolate(lambda e: np.log1p(e) / e, 8, domain=[0, 1])
    .convert(kind=np.polynomial.Polynomial)
    .coef.astype("float32")
)
_LENGTH_STEP = 32  # lists of changing length are compiled for every 32nd length only


def check_pair_options(*, positive: str, pairs: str, weights: str | None) -> None:
    """Raises a `ValueError` for an unknown option."""
    for name, value, choices in (
        ("positive", positive, POSITIVE),
        ("pairs", pairs, PAIRS),
        ("weights", weights, WEIGHTS),
    ):
        if value not in choices:
            raise ValueError(f"`{name}` must be one of {choices}. Got {value!r}.")


def pairwise_loss(
    lists: Lists,
    penalty: str,
    *,
    positive: str = "graded",
    pairs: str = "mean",
    weights: str | None = None,
    margin: float = 0.0,
) -> tf.Tensor:
    """Sums a penalty of `s_i - s_j` over the pairs where item `i` should be above `j`.

    The loss and its gradient are formed together, in the forward pass: every pair
    counts once for each of its items, so that both are sums over one axis, and no
    tensor of the size of all pairs stays in memory.

    Args:
      lists: labels and scores of lists.
      penalty: `"logistic"`, `softplus(-m)`, or `"hinge"`, `max(0, margin - m)`.
      positive: `"graded"`: pairs with `y_i > y_j`; `"binary"`: `y_i >= 1, y_j == 0`.
      pairs: `"mean"` or `"sum"` over a list's pairs.
      weights: factor of a pair: None for 1, `"label_difference"` for `|y_i - y_j|`, or
        `"delta_ndcg"` for the change of NDCG when the two items change positions.
      margin: margin of the hinge.

    Returns:
      `[batch]` loss; 0 for a list without a pair.
    """
    check_pair_options(positive=positive, pairs=pairs, weights=weights)
    labels, scores, valid = lists
    grades, paired = labels, valid
    if positive == "binary":
        grades = tf.cast(labels >= 1, scores.dtype)
        paired &= (labels >= 1) | tf.equal(labels, 0)
    constants = [grades, labels, *(tf.cast(m, scores.dtype) for m in (paired, valid))]
    options = {"penalty": penalty, "weights": weights}
    margin = tf.constant(margin, scores.dtype)

    @tf.custom_gradient
    def sums(scores: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        items = [tf.stop_gradient(t) for t in (scores, *constants)]
        losses, slopes, counts = _sums(items, margin, **options)
        if pairs == "mean":
            losses = tf.math.divide_no_nan(losses, counts)
            slopes = tf.math.divide_no_nan(slopes, counts[:, None])

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[:, None] * once_differentiable(slopes, scores)

        return losses, gradient

    return sums(scores)


def _sums(
    items: list[tf.Tensor], margin: tf.Tensor, **options: str | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Runs `_sums_at_once`; compiled and in parts for many pairs."""
    batch, size = items[0].shape
    if batch is not None and size is not None:
        if batch * size * size < _COMPILED_FROM:
            return _sums_at_once(items, margin, **options)
        return _sums_in_parts(items, margin, **options)
    shape = tf.shape(items[0], tf.int64)
    return tf.cond(
        shape[0] * shape[1] * shape[1] < _COMPILED_FROM,
        lambda: _sums_at_once(items, margin, **options),
        lambda: _sums_in_parts(items, margin, **options),
    )


def _sums_in_parts(
    items: list[tf.Tensor], margin: tf.Tensor, **options: str | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Runs one part on each processor, as a compiled function uses only one."""
    batch, size = tf.unstack(tf.shape(items[0]))
    longer = -size % _LENGTH_STEP if items[0].shape[1] is None else 0
    block = tf.maximum(_BLOCK_PAIRS // tf.maximum(size + longer, 1) ** 2, 1)
    # Padded positions count for nothing, as their mask is 0.
    items = [tf.pad(t, [[0, -batch % (_PARTS * block)], [0, longer]]) for t in items]
    blocks = [tf.reshape(t, [_PARTS, -1, block, size + longer]) for t in items]
    sums = [
        _sums_of_blocks([t[part] for t in blocks], margin, **options)
        for part in range(_PARTS)
    ]
    losses, slopes, counts = (tf.concat(t, axis=0) for t in zip(*sums, strict=True))
    slopes = tf.reshape(slopes, tf.shape(items[0]))[:batch, :size]
    slopes = tf.ensure_shape(slopes, [None, items[0].shape[1]])
    return tf.reshape(losses, [-1])[:batch], slopes, tf.reshape(counts, [-1])[:batch]


@tf.function(jit_compile=True, reduce_retracing=True)
def _sums_of_blocks(
    items: list[tf.Tensor], margin: tf.Tensor, **options: str | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Runs `_sums_at_once` on blocks of lists, `[num_blocks, block, list_size]`.

    The pairs of a block stay in the processor's cache.
    """
    return tf.map_fn(
        lambda block: _sums_at_once(block, margin, **options),
        items,
        fn_output_signature=(margin.dtype,) * 3,
    )


def _sums_at_once(
    items: list[tf.Tensor], margin: tf.Tensor, *, penalty: str, weights: str | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Computes losses of lists, gradients of items and numbers of pairs.

    With `c_ij = sign(y_i - y_j)`, the penalty `f` and the weights `w`, both symmetric:
    `loss = 1/2 sum_i sum_j |c_ij| w_ij f(c_ij (s_i - s_j))`, and its gradient by `s_i`
    is `sum_j c_ij w_ij f'(c_ij (s_i - s_j))`.

    Args:
      items: scores, grades, labels, a mask of the items in pairs and a mask of all
        items, `[batch, list_size]` each.
      margin: scalar margin of the hinge.
      penalty: name of the penalty.
      weights: name of the weights, or None.

    Returns:
      Losses `[batch]`, gradients `[batch, list_size]` and numbers of pairs `[batch]`.
    """
    scores, grades, labels, paired, valid = items
    order = tf.sign(_differences(grades))
    losses, slopes = _PENALTIES[penalty](order * _differences(scores), margin)
    weight = order
    for factor in _factors(labels, scores, valid, weights):
        weight *= tf.abs(_differences(factor))

    def over_others(values: tf.Tensor) -> tf.Tensor:
        # A product, because a compiled sum would compute its terms one by one.
        return paired * tf.linalg.matvec(values, paired)

    return (
        tf.reduce_sum(over_others(tf.abs(weight) * losses), axis=1) / 2,
        over_others(weight * slopes),
        tf.reduce_sum(over_others(tf.abs(order)), axis=1) / 2,
    )


def _factors(
    labels: tf.Tensor, scores: tf.Tensor, valid: tf.Tensor, weights: str | None
) -> list[tf.Tensor]:
    """Returns values of items; a pair weighs the product of their differences."""
    if weights is None:
        return []
    if weights == "label_difference":
        return [labels]
    gain = gains(labels)
    best = discounts(_ranks(valid, labels))
    best = tf.reduce_sum(gain * best, axis=1, keepdims=True)
    # Of items that score alike the worse rank first: the wrong order is what a swap
    # would repair, and a model that scores everything alike has weights to learn by.
    discount = discounts(_ranks(valid, scores, -labels))
    return [tf.math.divide_no_nan(gain, best), discount]


def _ranks(valid: tf.Tensor, *keys: tf.Tensor) -> tf.Tensor:
    """Counts the rank of every item, from 1, in the order of descending keys.

    Here a comparison of all pairs is cheaper than a sort. Of items whose keys are all
    equal the first in the list ranks first.
    """
    position = tf.cast(tf.range(tf.shape(valid)[1]), valid.dtype)
    ahead = tf.zeros_like(valid)[:, None, :]
    for key in (*keys, -tf.broadcast_to(position, tf.shape(valid))):
        ahead = tf.sign(2 * ahead - tf.sign(_differences(key)))
    return 1 + tf.linalg.matvec(tf.nn.relu(ahead), valid)


def _differences(values: tf.Tensor) -> tf.Tensor:
    """Computes `v_i - v_j`, `[batch, i, j]`."""
    return values[:, :, None] - values[:, None, :]


def _logistic(margins: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    e = tf.exp(-tf.abs(margins))
    slopes = -tf.where(margins > 0, e, tf.ones_like(e)) / (1 + e)
    return tf.nn.relu(-margins) + _log1p(e), slopes


def _log1p(e: tf.Tensor) -> tf.Tensor:
    """Computes `log(1 + e)` for `e` in [0, 1]."""
    if e.dtype == tf.float64:
        return tf.math.log1p(e)
    # Compiled, a logarithm would cost more than all the rest.
    series = tf.zeros_like(e)
    for coefficient in _LOG1P[::-1]:
        series = series * e + coefficient
    return series * e


def _hinge(margins: tf.Tensor, margin: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    losses = tf.nn.relu(margin - margins)
    return losses, -tf.cast(losses > 0, margins.dtype)


_PENALTIES = {"logistic": _logistic, "hinge": _hinge}
