"""A transformer over events of several types."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.transformer import TransformerBlock
from tfrs_models.torch_weights import Arrays, Targets, TorchPort, under


@register
class TypedTransition(TorchPort, tf.keras.layers.Layer):
    """Every event looks at those of other types only, or of its own type only.

    Blocks with the norm last. With one block, an event has of its own type nothing but
    itself when it looks across. An event that finds nothing to look at passes through
    the feed-forward layers alone.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        across: bool = True,
        num_heads: int = 2,
        num_layers: int = 1,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          embedding_dim: Width of input and output, and inside of the feed-forward
            layers.
          across: Whether events look at the other types, or at their own.
          num_heads: Divides `embedding_dim`.
          num_layers: Blocks, one after the other.
          dropout: Share that training drops, wherever a block drops.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be at least 1. Got {num_layers}.")
        self.embedding_dim = embedding_dim
        self.across = across
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.dropout = dropout
        self.blocks = [
            TransformerBlock(
                embedding_dim,
                num_heads=num_heads,
                dropout=dropout,
                hidden_dropout=dropout,
                norm_first=False,
                epsilon=1e-5,
            )
            for _ in range(num_layers)
        ]

    def call(
        self,
        inputs: tf.Tensor,
        types: tf.Tensor,
        valid: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Updates all events.

        Args:
          inputs: `[batch, seq_len, embedding_dim]`.
          types: `[batch, seq_len]` integers, or `[1, seq_len]`.
          valid: `[batch, seq_len]` bool, False for padding, which nobody looks at.
          training: Whether to drop.

        Returns:
          `[batch, seq_len, embedding_dim]`.
        """
        mask = self._mask(types, valid)
        for block in self.blocks:
            inputs = block(inputs, mask, training=training)
        return inputs

    def weights_of(
        self, inputs: tf.Tensor, types: tf.Tensor, valid: tf.Tensor
    ) -> list[tf.Tensor]:
        """How much every event looks at every other, in each block.

        Args:
          inputs: As for `call`, like the others.
          types: See there.
          valid: See there.

        Returns:
          For each block `[batch, num_heads, seq_len, seq_len]`.
        """
        mask, weights = self._mask(types, valid), []
        for block in self.blocks:
            weights.append(block.weights_of(inputs, mask))
            inputs = block(inputs, mask)
        return weights

    def _mask(self, types: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        same = tf.equal(types[:, :, None], types[:, None, :])
        return tf.not_equal(same, self.across) & valid[:, None, :]

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Those of the original's encoder.

        Args:
          arrays: The original's state dict.
        """
        targets = {}
        for place, block in enumerate(self.blocks):
            targets |= under(f"transformer_encoder.layers.{place}", block, arrays)
        return targets

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "across": self.across,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
        }
