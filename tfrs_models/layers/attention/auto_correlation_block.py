"""A block of a transformer with auto-correlation instead of attention."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.auto_correlation import Lags
from tfrs_models.layers.attention.auto_correlation_layer import (
    AutoCorrelationLayer,
    masked_series,
)
from tfrs_models.layers.attention.series_decomposition import SeriesDecomposition
from tfrs_models.layers.dropout import Dropout


@register
class AutoCorrelationBlock(tf.keras.layers.Layer):
    """A block of auto-correlation and a feed-forward layer.

    `h = norm(x + correlate(x))`, `y = norm(h + dense(relu(dense(h))))`. Inputs of
    another width pass a dense layer first. With a `decomposition` the trend is
    subtracted after each sum, as in Autoformer. Padding has no influence and is 0 in
    the output. The mask that Keras carries along (`Embedding(mask_zero=True)`) is not
    read: pass `query_mask`.

    Example:
      >>> block = tm.layers.AutoCorrelationBlock(8, num_heads=2)
      >>> series = tf.random.normal([2, 6, 3])  # six steps of three values
      >>> output = block(series, query_mask=tf.sequence_mask([6, 4]))
      >>> output.shape
      TensorShape([2, 6, 8])
      >>> bool(tf.reduce_any(output[1, 4:] != 0))  # padding
      False

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
        hidden_units: int | None = None,
        factor: float = 1.0,
        min_lags: int = 1,
        shared_lags: bool | None = None,
        direction: int = 1,
        decomposition: int | None = None,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the block.

        Args:
          embedding_dim: width of the output.
          num_heads: number of heads of queries, keys and values.
          key_dim: width of a head's queries and keys; None for `embedding_dim //
            num_heads`.
          value_dim: width of a head's values; None for `embedding_dim // num_heads`.
          hidden_units: width of the hidden feed-forward layer; None for
            `embedding_dim`.
          factor: lags per natural logarithm of the length.
          min_lags: the fewest lags.
          shared_lags: whether the rows of a batch share their lags; None for training
            only.
          direction: 1 to add up later steps, as in the original; -1 for earlier ones.
          decomposition: window of the moving average that is subtracted; None for no
            decomposition.
          dropout: share of the output of both parts that training drops.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        if hidden_units is not None and hidden_units < 1:
            raise ValueError(f"`hidden_units` must be at least 1. Got {hidden_units}.")
        self.embedding_dim = embedding_dim
        self.hidden_units = embedding_dim if hidden_units is None else hidden_units
        self.decomposition = decomposition
        self.dropout = dropout
        self._correlate = AutoCorrelationLayer(
            embedding_dim,
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            factor=factor,
            min_lags=min_lags,
            shared_lags=shared_lags,
            direction=direction,
        )
        self._widen = None
        self._norms = [
            tf.keras.layers.LayerNormalization(epsilon=1e-5) for _ in range(2)
        ]
        self._inner = tf.keras.layers.Dense(self.hidden_units, "relu")
        self._outer = tf.keras.layers.Dense(embedding_dim)
        self._drop = Dropout(dropout)
        if decomposition is not None:
            self._decompose = SeriesDecomposition(decomposition)

    def build(self, input_shape: tf.TensorShape) -> None:
        if tf.TensorShape(input_shape)[-1] != self.embedding_dim:
            self._widen = tf.keras.layers.Dense(self.embedding_dim)
        super().build(input_shape)

    def call(
        self,
        inputs: tf.Tensor,
        key: tf.Tensor | None = None,
        query_mask: tf.Tensor | None = None,
        key_mask: tf.Tensor | None = None,
        training: bool = False,
        return_correlation: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Updates all steps.

        Args:
          inputs: `[batch, seq_len, width]` series.
          key: `[batch, key_len, key_width]` another series to correlate with; None for
            the inputs.
          query_mask: `[batch, seq_len]` bool, False for padding of the inputs.
          key_mask: `[batch, key_len]` bool, False for padding of the other series.
          training: whether dropout is active and, by default, rows share their lags.
          return_correlation: whether to return the correlation of every channel too.

        Returns:
          `[batch, seq_len, embedding_dim]`; with `return_correlation` also `[batch,
          seq_len, num_heads, key_dim]` float32.
        """
        (inputs, query_mask), _ = masked_series(inputs, key, query_mask, key_mask)
        inputs = self._embed(inputs, query_mask)
        found = self._correlate(
            inputs,
            key,
            query_mask,
            key_mask,
            training=training,
            return_correlation=return_correlation,
        )
        found, correlations = found if return_correlation else (found, None)
        hidden = self._add(inputs, found, 0, query_mask, training)
        added = self._outer(self._inner(hidden))
        output = self._add(hidden, added, 1, query_mask, training)
        if query_mask is not None:
            output = tf.where(query_mask[:, :, None], output, 0)
        return (output, correlations) if return_correlation else output

    def lags(
        self,
        inputs: tf.Tensor,
        key: tf.Tensor | None = None,
        query_mask: tf.Tensor | None = None,
        key_mask: tf.Tensor | None = None,
    ) -> Lags:
        """Computes the lags at which the block adds up values.

        Args:
          inputs: `[batch, seq_len, width]` series.
          key: `[batch, key_len, key_width]` another series; None for the inputs.
          query_mask: `[batch, seq_len]` bool, False for padding of the inputs.
          key_mask: `[batch, key_len]` bool, False for padding of the other series.
        """
        (inputs, query_mask), _ = masked_series(inputs, key, query_mask, key_mask)
        if not self.built:
            self.build(inputs.shape)
        inputs = self._embed(inputs, query_mask)
        return self._correlate.lags(inputs, key, query_mask, key_mask)

    def _embed(self, inputs: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        if mask is not None:
            inputs = tf.where(mask[:, :, None], inputs, 0)
        return inputs if self._widen is None else self._widen(inputs)

    def _add(
        self,
        inputs: tf.Tensor,
        added: tf.Tensor,
        number: int,
        mask: tf.Tensor | None,
        training: bool,
    ) -> tf.Tensor:
        total = inputs + self._drop(added, training=training)
        if self.decomposition is not None:
            total, _ = self._decompose(total, mask)
        return self._norms[number](total)

    def get_config(self) -> dict:
        correlate = self._correlate.get_config()
        names = ("num_heads", "key_dim", "value_dim", "factor", "min_lags")
        return super().get_config() | {
            **{name: correlate[name] for name in (*names, "shared_lags", "direction")},
            "embedding_dim": self.embedding_dim,
            "hidden_units": self.hidden_units,
            "decomposition": self.decomposition,
            "dropout": self.dropout,
        }
