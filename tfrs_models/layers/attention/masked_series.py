"""Series and the masks of their padding."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.features.checks import same_shape


class MaskedSeries(NamedTuple):
    """A series that may be padded.

    Attributes:
      series: `[batch, steps, width]`.
      mask: `[batch, steps]` bool, False for padding; None where there is none.
    """

    series: tf.Tensor
    mask: tf.Tensor | None


def masked_series(
    query: tf.Tensor,
    key: tf.Tensor | None,
    query_mask: tf.Tensor | None,
    key_mask: tf.Tensor | None,
) -> tuple[MaskedSeries, MaskedSeries]:
    """Both series with their masks, once they fit.

    Args:
      query: `[batch, seq_len, width]`.
      key: `[batch, key_len, key_width]`; the query where None.
      query_mask: `[batch, seq_len]` bool.
      key_mask: `[batch, key_len]` bool; None where `key` is.

    Raises:
      ValueError: a series or a mask that does not fit.
      InvalidArgumentError: a mask of another shape, where only the run knows.
    """
    of_query = _checked("query", query, query_mask)
    if key is None and key_mask is not None:
        raise ValueError("`key_mask` must be None where `key` is. Got a mask.")
    if key is None:
        return of_query, of_query
    of_key = _checked("key", key, key_mask)
    shapes = of_key.series.shape, of_query.series.shape
    if not shapes[0][:1].is_compatible_with(shapes[1][:1]):
        raise ValueError(
            f"`key` must have a row for each of `query`. Got shapes {shapes[0]} and "
            f"{shapes[1]}."
        )
    return of_query, of_key


def _checked(name: str, series: tf.Tensor, mask: tf.Tensor | None) -> MaskedSeries:
    if mask is not None:
        mask = tf.convert_to_tensor(mask)
        if mask.dtype != tf.bool:
            raise ValueError(f"`{name}_mask` must be bool. Got {mask.dtype.name}.")
    series = tf.convert_to_tensor(series)
    message = f"`{name}` must be [batch, steps, width], and its mask [batch, steps]"
    if series.shape.rank != 3 or (mask is not None and mask.shape.rank != 2):
        got = "" if mask is None else f" and {mask.shape}"
        raise ValueError(f"{message}. Got shapes {series.shape}{got}.")
    if mask is not None:
        mask = same_shape(mask, series[:, :, 0], message)
    return MaskedSeries(series, mask)
