"""Scores of search results (`rank` in names, larger is better), and of objects."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

AGGREGATORS = ("mean", "max", "min")
_SEGMENTS = {
    "mean": tf.math.unsorted_segment_mean,
    "max": tf.math.unsorted_segment_max,
    "min": tf.math.unsorted_segment_min,
}
_LEAST_WEIGHT = 1e-10
_LEAST_NORM = 1e-6


def cosine_rank(query: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Scores each item by its cosine with the query.

    `q . x / (max(|q|, 1e-6) max(|x|, 1e-6))`, so that a zero vector scores 0.

    Args:
      query: query embedding, `[embedding_dim]` or `[1, embedding_dim]`, or one for each
        item, `[num_items, embedding_dim]`.
      items: item embeddings, `[num_items, embedding_dim]`.

    Returns:
      `[num_items]` float32 scores.

    Example:
      >>> items = [[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]
      >>> tm.data.clickstream.cosine_rank([1.0, 0.0], items).numpy()
      array([ 1.,  0., -1.], dtype=float32)
    """
    query, items = _vectors(query), _vectors(items)
    product = tf.reduce_sum(query * items, axis=-1)
    return product / (_norm(query) * _norm(items))


def euclidean_rank(query: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Computes the distance `|q - x|` of each item to the query: smaller is better.

    Args:
      query: query embedding, `[embedding_dim]` or `[1, embedding_dim]`, or one for each
        item, `[num_items, embedding_dim]`.
      items: item embeddings, `[num_items, embedding_dim]`.

    Returns:
      `[num_items]` float32 distances.
    """
    square = tf.reduce_sum((_vectors(query) - _vectors(items)) ** 2, axis=-1)
    return _safe_sqrt(square)


def check_aggregator(mode: str, name: str = "mode") -> None:
    """Raises `ValueError` if `mode` is not the name of an aggregator."""
    if mode not in AGGREGATORS:
        raise ValueError(f"`{name}` must be one of {AGGREGATORS}. Got {mode!r}.")


def aggregate_ranks(
    ranks: Sequence[float],
    mode: str = "mean",
    if_empty_value: float = 0.0,
    if_zeroes_value: float = 0.0,
) -> float:
    """Aggregates the scores of an object's parts into the score of the object.

    Args:
      ranks: scores of the parts, `[num_parts]`.
      mode: "mean", "max" or "min".
      if_empty_value: score of an object without parts.
      if_zeroes_value: mean of scores whose sum is 0.

    Returns:
      The score of the object.

    Raises:
      ValueError: an unknown mode.

    Example:
      >>> tm.data.clickstream.aggregate_ranks([0.25, 0.75], "mean")
      0.5
      >>> tm.data.clickstream.aggregate_ranks([], if_empty_value=-1.0)
      -1.0
    """
    check_aggregator(mode)
    values = [float(rank) for rank in ranks]
    if not values:
        return if_empty_value
    if mode != "mean":
        return max(values) if mode == "max" else min(values)
    total = sum(values)
    return total / len(values) if total else if_zeroes_value


def aggregate_clicks(group_clicks: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Marks an object as clicked if one of its parts was clicked.

    Args:
      group_clicks: object id -> clicks of its parts, 0 or 1 each.

    Returns:
      Object id -> 0 or 1.

    Example:
      >>> tm.data.clickstream.aggregate_clicks({"film": [0, 1], "book": [0]})
      {'film': 1, 'book': 0}
    """
    return {
        group: int(max(clicks, default=0)) for group, clicks in group_clicks.items()
    }


def segment_ranks(
    ranks: tf.Tensor, objects: tf.Tensor, num_objects: tf.Tensor, mode: str
) -> tf.Tensor:
    """Computes `aggregate_ranks` of many objects at once, with gradients.

    Args:
      ranks: `[num_parts]` scores.
      objects: `[num_parts]` number of the object that each part belongs to.
      num_objects: scalar, number of objects.
      mode: "mean", "max" or "min".

    Returns:
      `[num_objects]` scores; undefined for an object without parts.
    """
    return _SEGMENTS[mode](ranks, objects, num_objects)


def differentiable_extreme(
    x: tf.Tensor, beta: float = 1e5, mode: str = "max"
) -> tf.Tensor:
    """Computes a soft maximum or minimum, `sum(softmax(+-beta x) x)`.

    Args:
      x: `[n]` values.
      beta: hardness. With the default the result is the extreme itself and only the
        winner gets a gradient; with 10 to 100 its neighbours get one, too.
      mode: "max" or "min".

    Returns:
      Scalar.

    Raises:
      ValueError: an unknown mode.

    Example:
      >>> values = tf.constant([0.0, 1.0])
      >>> float(tm.data.clickstream.differentiable_extreme(values))
      1.0
      >>> print(f"{tm.data.clickstream.differentiable_extreme(values, 1.0):.2f}")
      0.73
    """
    if mode not in ("max", "min"):
        raise ValueError(f"`mode` must be 'max' or 'min'. Got {mode!r}.")
    x = tf.convert_to_tensor(x, dtype_hint=tf.float32)
    sign = 1.0 if mode == "max" else -1.0
    return tf.reduce_sum(tf.nn.softmax(sign * beta * x) * x)


def soft_indicator(
    x: tf.Tensor, threshold: float = 0.01, steepness: float = 100.0
) -> tf.Tensor:
    """Computes `sigmoid(steepness (threshold - |x|))`: close to 1 where `x` is small.

    Args:
      x: `[n]` values.
      threshold: value of `|x|` at which the indicator is one half.
      steepness: slope factor of the sigmoid.

    Returns:
      `[n]` numbers in (0, 1).

    Example:
      >>> weights = tm.data.clickstream.soft_indicator([0.0, 0.01, 1.0])
      >>> weights.numpy().round(2)
      array([0.73, 0.5 , 0.  ], dtype=float32)
    """
    x = tf.convert_to_tensor(x, dtype_hint=tf.float32)
    return tf.sigmoid(steepness * (threshold - tf.abs(x)))


def differentiable_mean_small_values(
    x: tf.Tensor, threshold: float = 0.01, steepness: float = 100.0
) -> tf.Tensor:
    """Averages `|x|` over the small values, weighted by `soft_indicator`.

    Args:
      x: `[n]` values.
      threshold: value of `|x|` at which the weight is one half.
      steepness: slope factor of the weights.

    Returns:
      Scalar; 0 if there are no values.

    Example:
      >>> values = [0.5, -0.5, 9.0]
      >>> mean = tm.data.clickstream.differentiable_mean_small_values(values, 1.0)
      >>> print(f"{mean:.3f}")
      0.500
    """
    x = tf.convert_to_tensor(x, dtype_hint=tf.float32)
    weight = soft_indicator(x, threshold, steepness)
    return tf.reduce_sum(tf.abs(x) * weight) / (tf.reduce_sum(weight) + _LEAST_WEIGHT)


def _vectors(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(values), tf.float32)


def _norm(values: tf.Tensor) -> tf.Tensor:
    square = tf.reduce_sum(values**2, axis=-1)
    return tf.maximum(_safe_sqrt(square), _LEAST_NORM)


def _safe_sqrt(square: tf.Tensor) -> tf.Tensor:
    """Computes the square root, with a gradient of 0 at 0 instead of NaN."""
    some = square > 0
    return tf.where(some, tf.sqrt(tf.where(some, square, 1.0)), 0.0)
