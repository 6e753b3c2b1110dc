"""Auto-correlation between projections."""

import random

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.auto_correlation import AutoCorrelation, Lags
from tfrs_models.layers.attention.masked_series import MaskedSeries, masked_series
from tfrs_models.layers.attention.nearly_glorot import NearlyGlorotUniform
from tfrs_models.torch_weights import Arrays, Targets, TorchPort, linear


@register
class AutoCorrelationLayer(TorchPort, tf.keras.layers.Layer):
    """Projects queries, keys and values, correlates them, and projects the result.

    Padded steps are zero after the projection, so they neither correlate nor are added
    up. They still are steps of the circle: a series padded to another length has other
    lags. The mask that Keras carries along (`Embedding(mask_zero=True)`) is not read:
    pass `query_mask`.

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
          embedding_dim: Width of the output.
          num_heads: Queries, keys and values are so many times as wide as a head.
          key_dim: Width of a head's queries and keys; `embedding_dim // num_heads`
            where None.
          value_dim: Width of a head's values; `embedding_dim // num_heads` where None.
          factor: See `AutoCorrelation`.
          min_lags: See `AutoCorrelation`.
          shared_lags: See `AutoCorrelation`.
          direction: See `AutoCorrelation`.
          **kwargs: Of `tf.keras.layers.Layer`.
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
        """Gives each step of the query what the key's series has at their lags.

        Args:
          query: `[batch, seq_len, width]`.
          key: `[batch, key_len, key_width]`, the series of keys and values; the query
            where None.
          query_mask: `[batch, seq_len]` bool, False for padding.
          key_mask: `[batch, key_len]` bool; None where `key` is, whose mask is then the
            query's.
          training: See `AutoCorrelation`.
          return_correlation: See `AutoCorrelation`.

        Returns:
          `[batch, seq_len, embedding_dim]`; with the correlation `[batch, seq_len,
          num_heads, key_dim]` float32, where asked for.

        Raises:
          ValueError: a series or a mask that does not fit.
          InvalidArgumentError: the same, where only the run knows.
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
        """The lags at which the series agree.

        Args:
          query: As in `call`.
          key: As in `call`.
          query_mask: As in `call`.
          key_mask: As in `call`.
          training: As in `call`.
        """
        heads = self._heads(*masked_series(query, key, query_mask, key_mask))
        return self._correlate.lags(*heads, training=training)

    def _heads(
        self, query: MaskedSeries, key: MaskedSeries
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Queries and keys, `[batch, steps, num_heads, key_dim]`."""
        return (
            self._split(self._query, query, self.key_dim),
            self._split(self._key, key, self.key_dim),
        )

    def _split(
        self, project: tf.keras.layers.Dense, of: MaskedSeries, width: int
    ) -> tf.Tensor:
        """`[batch, steps, num_heads, width]`, 0 at padding, whatever stands there."""
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
