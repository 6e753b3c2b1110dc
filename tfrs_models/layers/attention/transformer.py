"""Attention with softmax weights, and the blocks of a transformer."""

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.dropout import Dropout
from tfrs_models.torch_weights import (
    Arrays,
    Targets,
    TorchArray,
    TorchPort,
    linear,
    transformer_layer,
    under,
)


@register
class MultiHeadAttention(TorchPort, tf.keras.layers.Layer):
    """Scaled dot-product attention in which a position without keys gets 0.

    Keras's own layer attends evenly to all masked keys in that case.

    Example:
      >>> layer = tm.layers.MultiHeadAttention(4, num_heads=2)
      >>> steps = tf.random.normal([1, 3, 4])
      >>> causal = tf.linalg.band_part(tf.ones([1, 3, 3]), -1, 0) > 0
      >>> layer(steps, causal).shape
      TensorShape([1, 3, 4])
      >>> print(layer.weights_of(steps, causal)[0, 0, 0].numpy())
      [1. 0. 0.]

    Reference:
      Vaswani et al., Attention is all you need, NeurIPS 2017.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int = 1,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: width of inputs and output.
          num_heads: number of attention heads; divides `embedding_dim`.
          dropout: share of the attention weights that training drops.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_heads < 1 or embedding_dim % num_heads:
            raise ValueError(
                "`num_heads` must be at least 1 and divide `embedding_dim`. Got "
                f"{num_heads} heads for a width of {embedding_dim}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        self.embedding_dim = embedding_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self._project = tf.keras.layers.Dense(3 * embedding_dim)
        self._merge = tf.keras.layers.Dense(embedding_dim)
        self._drop = Dropout(dropout)

    def build(self, input_shape: tf.TensorShape) -> None:
        for layer in (self._project, self._merge):
            with tf.name_scope(layer.name):  # HDF5 files want distinct names
                layer.build((None, self.embedding_dim))
        super().build(input_shape)

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor,
        memory: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Attends from every position to others.

        Args:
          inputs: `[batch, seq_len, embedding_dim]` vectors of the positions.
          mask: `[batch, seq_len, memory_len]` bool, or a shape that broadcasts to it:
            True where the position of the row may attend to that of the column.
          memory: `[batch, memory_len, embedding_dim]` vectors to attend to; None for
            the inputs.
          training: whether dropout is active.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """
        query, key, value = self._heads(inputs, memory)
        weights = self._attend(query, key, mask)
        weights = self._drop(tf.cast(weights, value.dtype), training=training)
        seen = tf.matmul(weights, value)  # [batch, num_heads, seq_len, width]
        seen = tf.transpose(seen, [0, 2, 1, 3])
        batch, seq_len = tf.unstack(tf.shape(seen)[:2])
        return self._merge(tf.reshape(seen, [batch, seq_len, self.embedding_dim]))

    def weights_of(
        self, inputs: tf.Tensor, mask: tf.Tensor, memory: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Computes the attention weights of every position for every other.

        Args:
          inputs: `[batch, seq_len, embedding_dim]` vectors of the positions.
          mask: `[batch, seq_len, memory_len]` bool, True where a position may attend.
          memory: `[batch, memory_len, embedding_dim]` vectors to attend to; None for
            the inputs.

        Returns:
          `[batch, num_heads, seq_len, memory_len]`; rows sum to 1, or to 0 if all of
          the row is masked.
        """
        if not self.built:
            self.build(inputs.shape)
        query, key, _ = self._heads(inputs, memory)
        return self._attend(query, key, mask)

    def _heads(self, inputs: tf.Tensor, memory: tf.Tensor | None) -> list[tf.Tensor]:
        """Returns query, key and value, `[batch, num_heads, seq_len, width]` each."""
        if memory is None:
            parts = tf.split(self._project(inputs), 3, axis=-1)
        else:
            # One kernel for all three: each input meets its own columns only.
            dim, dtype = self.embedding_dim, self.compute_dtype
            memory = tf.cast(memory, dtype)
            kernel = tf.cast(self._project.kernel, dtype)
            bias = tf.cast(self._project.bias, dtype)
            query = tf.matmul(inputs, kernel[:, :dim]) + bias[:dim]
            pair = tf.matmul(memory, kernel[:, dim:]) + bias[dim:]
            parts = [query, *tf.split(pair, 2, axis=-1)]
        width = self.embedding_dim // self.num_heads
        heads = []
        for part in parts:
            batch, seq_len = tf.unstack(tf.shape(part)[:2])
            part = tf.reshape(part, [batch, seq_len, self.num_heads, width])
            heads.append(tf.transpose(part, [0, 2, 1, 3]))
        return heads

    def _attend(self, query: tf.Tensor, key: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        width = self.embedding_dim // self.num_heads
        scores = tf.matmul(query, key, transpose_b=True) / width**0.5
        return masked_softmax(scores, mask[:, None])

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the arrays of a `torch.nn.MultiheadAttention`.

        Args:
          arrays: state dict of the original.
        """
        if not self.built:
            self.build((None, None, self.embedding_dim))
        return {
            "in_proj_weight": TorchArray(self._project.kernel, np.transpose),
            "in_proj_bias": TorchArray(self._project.bias),
            **linear("out_proj", self._merge, arrays),
        }

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }


@register
class TransformerBlock(TorchPort, tf.keras.layers.Layer):
    """A block of a transformer: self-attention and a feed-forward layer.

    `h = x + attention(norm(x))`, `y = h + dense(relu(dense(norm(h))))`; or, with the
    norm last, `h = norm(x + attention(x))`, `y = norm(h + dense(relu(dense(h))))`.

    Example:
      >>> block = tm.layers.TransformerBlock(4, num_heads=2, dropout=0.1)
      >>> steps = tf.random.normal([1, 3, 4])
      >>> causal = tf.linalg.band_part(tf.ones([1, 3, 3]), -1, 0) > 0
      >>> before = block(steps, causal)
      >>> after = block(tf.concat([steps[:, :2], 9 + steps[:, 2:]], axis=1), causal)
      >>> bool(tf.reduce_all(before[:, :2] == after[:, :2]))  # no look ahead
      True

    Reference:
      Vaswani et al., Attention is all you need, NeurIPS 2017 (norm last); Xiong et al.,
      On layer normalization in the transformer architecture, ICML 2020 (norm first).
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int = 1,
        hidden_units: int | None = None,
        dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        norm_first: bool = True,
        epsilon: float = 1e-3,
        **kwargs,
    ) -> None:
        """Initializes the block.

        Args:
          embedding_dim: width of input and output.
          num_heads: number of attention heads; divides `embedding_dim`.
          hidden_units: width of the hidden feed-forward layer; None for
            `embedding_dim`.
          dropout: share of the output of both parts, and of the attention weights,
            that training drops.
          hidden_dropout: share of the hidden feed-forward layer that training drops.
          norm_first: whether the inputs of both parts are normalised, or the sums.
          epsilon: number added to the variance in both normalisations.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.embedding_dim = embedding_dim
        self.num_heads = num_heads
        self.hidden_units = hidden_units or embedding_dim
        self.dropout = dropout
        self.hidden_dropout = hidden_dropout
        self.norm_first = norm_first
        self.epsilon = epsilon
        self._norms = [
            tf.keras.layers.LayerNormalization(epsilon=epsilon) for _ in range(2)
        ]
        self._attention = MultiHeadAttention(
            embedding_dim, num_heads=num_heads, dropout=dropout
        )
        self._inner = tf.keras.layers.Dense(self.hidden_units, "relu")
        self._outer = tf.keras.layers.Dense(embedding_dim)
        self._drop = Dropout(dropout)
        self._drop_inside = Dropout(hidden_dropout)

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Updates all positions.

        Args:
          inputs: `[batch, seq_len, embedding_dim]` vectors of the positions.
          mask: `[batch, seq_len, seq_len]` bool, True where the position of the row may
            attend to that of the column; a position that may attend to none gets 0 from
            the attention.
          training: whether dropout is active.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """

        def attended(values: tf.Tensor) -> tf.Tensor:
            seen = self._attention(values, mask, training=training)
            return self._drop(seen, training=training)

        def fed_forward(values: tf.Tensor) -> tf.Tensor:
            hidden = self._drop_inside(self._inner(values), training=training)
            return self._drop(self._outer(hidden), training=training)

        first, second = self._norms
        if self.norm_first:
            hidden = inputs + attended(first(inputs))
            return hidden + fed_forward(second(hidden))
        hidden = first(inputs + attended(inputs))
        return second(hidden + fed_forward(hidden))

    def weights_of(self, inputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Computes the attention weights of every position for every other.

        Args:
          inputs: `[batch, seq_len, embedding_dim]` vectors of the positions.
          mask: `[batch, seq_len, seq_len]` bool, True where a position may attend.

        Returns:
          `[batch, num_heads, seq_len, seq_len]`.
        """
        inputs = self._norms[0](inputs) if self.norm_first else inputs
        return self._attention.weights_of(inputs, mask)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the arrays of a `torch.nn.TransformerEncoderLayer`.

        Args:
          arrays: state dict of the original.
        """
        targets = under("self_attn", self._attention, arrays)
        feed_forward = (self._inner, self._outer)
        return targets | transformer_layer(
            feed_forward, self._norms, self.embedding_dim, arrays
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
            "hidden_dropout": self.hidden_dropout,
            "norm_first": self.norm_first,
            "epsilon": self.epsilon,
        }


@register
class CrossFusion(TorchPort, tf.keras.layers.Layer):
    """A decoder block: attention to the inputs, to a memory, and a feed-forward layer.

    Each part is added on and normalised, and every position attends to later ones too.

    Example:
      >>> layer = tm.models.unisar.CrossFusion(4)
      >>> within, across = tf.random.normal([2, 3, 4]), tf.random.normal([2, 3, 4])
      >>> mask = tf.sequence_mask([3, 1])
      >>> layer(within, across, mask).shape
      TensorShape([2, 3, 4])

    Reference:
      Vaswani et al., Attention is all you need, NeurIPS 2017; Shi et al., UniSAR:
      modeling user transition behaviors between search and recommendation, SIGIR 2024.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_heads: int = 2,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: width of inputs and output, and of the hidden feed-forward
            layer.
          num_heads: number of attention heads; divides `embedding_dim`.
          dropout: share that training drops of the attention weights, of the hidden
            feed-forward layer and of the output of each part.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.embedding_dim = embedding_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self._norms = [
            tf.keras.layers.LayerNormalization(epsilon=1e-5) for _ in range(3)
        ]
        self._own, self._other = (
            MultiHeadAttention(embedding_dim, num_heads=num_heads, dropout=dropout)
            for _ in range(2)
        )
        self._inner = tf.keras.layers.Dense(embedding_dim, "relu")
        self._outer = tf.keras.layers.Dense(embedding_dim)
        self._drop = Dropout(dropout)

    def call(
        self,
        inputs: tf.Tensor,
        memory: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Updates all positions.

        Args:
          inputs: `[batch, seq_len, embedding_dim]` vectors of events.
          memory: `[batch, seq_len, embedding_dim]` other vectors of the same events.
          mask: `[batch, seq_len]` bool, False for padding, to which no event attends.
          training: whether dropout is active.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """

        def add(norm: tf.keras.layers.Layer, old: tf.Tensor, new: tf.Tensor):
            return norm(old + self._drop(new, training=training))

        mask = mask[:, None, :]
        first, second, third = self._norms
        hidden = add(first, inputs, self._own(inputs, mask, training=training))
        seen = self._other(hidden, mask, memory, training=training)
        hidden = add(second, hidden, seen)
        inner = self._drop(self._inner(hidden), training=training)
        return add(third, hidden, self._outer(inner))

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the arrays of a `torch.nn.TransformerDecoderLayer`.

        Args:
          arrays: state dict of the original.
        """
        targets = under("self_attn", self._own, arrays)
        targets |= under("multihead_attn", self._other, arrays)
        feed_forward = (self._inner, self._outer)
        return targets | transformer_layer(
            feed_forward, self._norms, self.embedding_dim, arrays
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }


@register
class BilinearTargetAttention(TorchPort, tf.keras.layers.Layer):
    """Sums up a history for each candidate, weighted by the softmax of `h W c`.

    The history is held once for all candidates of a row, not repeated for each.

    Example:
      >>> layer = tm.models.unisar.BilinearTargetAttention()
      >>> history, candidates = tf.random.normal([2, 5, 4]), tf.random.normal([2, 3, 4])
      >>> mask = tf.sequence_mask([5, 2])  # the second user has two events
      >>> layer(history, candidates, mask).shape
      TensorShape([2, 3, 4])

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        width = input_shape[-1]
        self.kernel = self.add_weight(
            "kernel", (width, width), initializer="glorot_normal"
        )
        super().build(input_shape)

    def call(
        self, history: tf.Tensor, candidates: tf.Tensor, mask: tf.Tensor
    ) -> tf.Tensor:
        """Sums up the history for each candidate.

        Args:
          history: `[batch, seq_len, embedding_dim]` vectors of events.
          candidates: `[batch, num_candidates, embedding_dim]` vectors of candidates, or
            `[1, num_candidates, embedding_dim]` if all rows have the same candidates.
          mask: `[batch, seq_len]` bool, False for padding.

        Returns:
          `[batch, num_candidates, embedding_dim]`; 0 for a history without an event.
        """
        weights = self.weights_of(history, candidates, mask)
        return tf.matmul(weights, history)

    def weights_of(
        self, history: tf.Tensor, candidates: tf.Tensor, mask: tf.Tensor
    ) -> tf.Tensor:
        """Computes the weight of each event for each candidate.

        Args:
          history: `[batch, seq_len, embedding_dim]` vectors of events.
          candidates: `[batch, num_candidates, embedding_dim]` vectors of candidates, or
            `[1, num_candidates, embedding_dim]` if all rows have the same candidates.
          mask: `[batch, seq_len]` bool, False for padding.

        Returns:
          `[batch, num_candidates, seq_len]`; rows sum to 1, or to 0 without an event.
        """
        if not self.built:
            self.build(history.shape)
        kernel = tf.cast(self.kernel, history.dtype)
        turned = tf.matmul(history, kernel)  # short, where candidates are many
        scores = tf.matmul(tf.cast(candidates, turned.dtype), turned, transpose_b=True)
        return masked_softmax(scores, mask[:, None, :])

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the original's matrix, which has an additional axis of length 1.

        Args:
          arrays: state dict of the original.
        """
        if not self.built:
            self.build((None, None, np.shape(arrays["W"])[-1]))
        return {"W": TorchArray(self.kernel, lambda value: np.squeeze(value, 0))}


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Computes the softmax of the unmasked scores over the last axis, in float32.

    Args:
      scores: `[..., n]` scores.
      mask: bool of a shape that broadcasts to that of the scores, False for scores that
        get the weight 0.

    Returns:
      `[..., n]` of the dtype of the scores. Rows sum to 1, or to 0 if all of the row is
      masked.
    """
    logits = tf.where(mask, tf.cast(scores, tf.float32), tf.float32.min)
    weights = tf.where(mask, tf.nn.softmax(logits), 0.0)
    return tf.cast(weights, scores.dtype)
