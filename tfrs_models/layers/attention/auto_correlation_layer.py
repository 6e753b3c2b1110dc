"""Auto-correlation between projected series, with masks for their padding."""

import random
from typing import NamedTuple

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.auto_correlation import AutoCorrelation, Lags
from tfrs_models.ops.features.checks import same_shape
from tfrs_models.torch_weights import Arrays, Targets, TorchPort, linear


class MaskedSeries(NamedTuple):
    """A series with the mask of its padding.

    Attributes:
      series: `[batch, seq_len, width]` values.
      mask: `[batch, seq_len]` bool, False for padding; None without padding.
    """

    series: tf.Tensor
    mask: tf.Tensor | None


def masked_series(
    query: tf.Tensor,
    key: tf.Tensor | None,
    query_mask: tf.Tensor | None,
    key_mask: tf.Tensor | None,
) -> tuple[MaskedSeries, MaskedSeries]:
    """Checks both series and their masks.

    Args:
      query: `[batch, seq_len, width]` series of the queries.
      key: `[batch, key_len, key_width]` series of the keys; None for the query.
      query_mask: `[batch, seq_len]` bool, False for padding.
      key_mask: `[batch, key_len]` bool, False for padding; None if `key` is None.

    Raises:
      ValueError: a series or a mask has the wrong shape or dtype.
      InvalidArgumentError: a shape that is known only at run time is wrong.
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


@register
class NearlyGlorotUniform(tf.keras.initializers.Initializer):
    """Draws the kernel of `GlorotUniform` with the same seed, plus a little noise.

    Args:
      seed: seed of the kernel and of the noise.
      noise: standard deviation of the noise as a share of that of the kernel.
    """

    def __init__(self, seed: int, noise: float = 0.001) -> None:
        self.seed = seed
        self.noise = noise

    def __call__(
        self, shape: tf.TensorShape, dtype: tf.DType | None = None, **kwargs
    ) -> tf.Tensor:
        """Draws a kernel.

        Args:
          shape: shape of the kernel.
          dtype: dtype of the kernel.
          **kwargs: arguments of `GlorotUniform`.

        Returns:
          The kernel, the same for the same shape.
        """
        kernel, noise = (
            initializer(shape, dtype=dtype, **kwargs)
            for initializer in (
                tf.keras.initializers.GlorotUniform(self.seed),
                tf.keras.initializers.GlorotNormal(self.seed ^ 1),
            )
        )
        return kernel + self.noise * noise

    def get_config(self) -> dict:
        return {"seed": self.seed, "noise": self.noise}


@register
class AutoCorrelationLayer(TorchPort, tf.keras.layers.Layer):
    """Projects queries, keys and values, correlates them, and projects the result.

    Padded steps are 0 after the projection, so they neither correlate nor are added up.
    They still are steps of the circle: a series padded to another length has other
    lags. The mask that Keras carries along (`Embedding(mask_zero=True)`) is not read:
    pass `query_mask`.

    Example:
      >>> layer = tm.layers.AutoCorrelationLayer(8, num_heads=2)
      >>> query, key = tf.random.normal([2, 6, 3]), tf.random.normal([2, 5, 4])
      >>> layer(query, key).shape
      TensorShape([2, 6, 8])
      >>> layer.lags(query, key).delays.shape  # one lag for each row
      TensorShape([2, 1])

    Reference:
      Wu et al., Autoformer: decomposition transformers with auto-correlation for
      long-term series forecasting, NeurIPS 2021.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int = 1,
        key_dim: int | None = None,
        value_dim: int | None = None,
        factor: float = 1.0,
        min_lags: int = 1,
        shared_lags: bool | None = None,
        direction: int = 1,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: width of the output.
          num_heads: number of heads of queries, keys and values.
          key_dim: width of a head's queries and keys; None for `embedding_dim //
            num_heads`.
          value_dim: width of a head's values; None for `embedding_dim // num_heads`.
          factor: lags per natural logarithm of the length.
          min_lags: the fewest lags.
          shared_lags: whether the rows of a batch share their lags; None for training
            only.
          direction: 1 to add up later steps, as in the original; -1 for earlier ones.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        widths = {"key_dim": key_dim, "value_dim": value_dim}
        for name, width in {"embedding_dim": embedding_dim, **widths}.items():
            if width is not None and width < 1:
                raise ValueError(f"`{name}` must be at least 1. Got {width}.")
        by_heads = None in widths.values()
        if num_heads < 1 or (by_heads and embedding_dim < num_heads):
            raise ValueError(
                "`num_heads` must be at least 1 and at most `embedding_dim` where "
                "`key_dim` or `value_dim` is None. Got "
                f"{num_heads} heads for a width of {embedding_dim}."
            )
        per_head = embedding_dim // num_heads
        self.embedding_dim = embedding_dim
        self.num_heads = num_heads
        self.key_dim = per_head if key_dim is None else key_dim
        self.value_dim = per_head if value_dim is None else value_dim
        self._correlate = AutoCorrelation(
            factor=factor,
            min_lags=min_lags,
            shared_lags=shared_lags,
            direction=direction,
        )
        # Nearly alike to begin with, where the widths are: a series is then most like
        # itself at lag 0 and at its periods. Of two that differ, either may be the
        # opposite; of two that are the same, each lag ties with its mirror.
        seed = random.randrange(2**31)
        self._query, self._key = (
            tf.keras.layers.Dense(
                num_heads * self.key_dim, kernel_initializer=initializer
            )
            for initializer in (
                tf.keras.initializers.GlorotUniform(seed),
                NearlyGlorotUniform(seed),
            )
        )
        self._value = tf.keras.layers.Dense(num_heads * self.value_dim)
        self._merge = tf.keras.layers.Dense(embedding_dim)

    def call(
        self,
        query: tf.Tensor,
        key: tf.Tensor | None = None,
        query_mask: tf.Tensor | None = None,
        key_mask: tf.Tensor | None = None,
        training: bool = False,
        return_correlation: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Adds up, for each step of the query, the key's series at their lags.

        Args:
          query: `[batch, seq_len, width]` series of the queries.
          key: `[batch, key_len, key_width]` series of keys and values; None for the
            query.
          query_mask: `[batch, seq_len]` bool, False for padding.
          key_mask: `[batch, key_len]` bool, False for padding; None if `key` is None,
            whose mask is then that of the query.
          training: whether rows share their lags by default.
          return_correlation: whether to return the correlation of every channel too.

        Returns:
          `[batch, seq_len, embedding_dim]`; with `return_correlation` also `[batch,
          seq_len, num_heads, key_dim]` float32.

        Raises:
          ValueError: a series or a mask has the wrong shape or dtype.
          InvalidArgumentError: a shape that is known only at run time is wrong.
        """
        of_query, of_key = masked_series(query, key, query_mask, key_mask)
        queries, keys = self._heads(of_query, of_key)
        values = self._split(self._value, of_key, self.value_dim)
        found = self._correlate(
            queries,
            keys,
            values,
            training=training,
            return_correlation=return_correlation,
        )
        out, correlations = found if return_correlation else (found, None)
        shape = [*tf.unstack(tf.shape(query)[:2]), self.num_heads * self.value_dim]
        out = self._merge(tf.reshape(out, shape))
        return (out, correlations) if return_correlation else out

    def lags(
        self,
        query: tf.Tensor,
        key: tf.Tensor | None = None,
        query_mask: tf.Tensor | None = None,
        key_mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> Lags:
        """Computes the lags at which the series agree.

        Args:
          query: `[batch, seq_len, width]` series of the queries.
          key: `[batch, key_len, key_width]` series of the keys; None for the query.
          query_mask: `[batch, seq_len]` bool, False for padding.
          key_mask: `[batch, key_len]` bool, False for padding; None if `key` is None.
          training: whether rows share their lags by default.
        """
        heads = self._heads(*masked_series(query, key, query_mask, key_mask))
        return self._correlate.lags(*heads, training=training)

    def _heads(
        self, query: MaskedSeries, key: MaskedSeries
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns queries and keys, `[batch, seq_len, num_heads, key_dim]` each."""
        return (
            self._split(self._query, query, self.key_dim),
            self._split(self._key, key, self.key_dim),
        )

    def _split(
        self, project: tf.keras.layers.Dense, of: MaskedSeries, width: int
    ) -> tf.Tensor:
        """Returns `[batch, seq_len, num_heads, width]`, 0 at padding of any value."""
        series, mask = of
        if mask is not None:
            series = tf.where(mask[:, :, None], series, 0)
        projected = project(series)
        if mask is not None:
            projected = tf.where(mask[:, :, None], projected, 0)  # the bias
        steps = projected.shape[1] or tf.shape(projected)[1]
        return tf.reshape(projected, [-1, steps, self.num_heads, width])

    def torch_arrays(self, arrays: Arrays) -> Targets:
        return {
            **linear("query_projection", self._query, arrays),
            **linear("key_projection", self._key, arrays),
            **linear("value_projection", self._value, arrays),
            **linear("out_projection", self._merge, arrays),
        }

    def get_config(self) -> dict:
        correlate = self._correlate
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "factor": correlate.factor,
            "min_lags": correlate.min_lags,
            "shared_lags": correlate.shared_lags,
            "direction": correlate.direction,
        }
