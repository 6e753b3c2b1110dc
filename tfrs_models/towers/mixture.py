"""A tower that mixes several representations of a user."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.dropout import Dropout
from tfrs_models.ops.features.read_features import dense_through
from tfrs_models.torch_weights import Arrays, Targets, TorchPort, linear
from tfrs_models.types import Features


@register
class MixtureOfRepresentations(FromConfig, TorchPort, tf.keras.layers.Layer):
    """Mixes the outputs of towers by a gate over the user's dense features.

    The gate can give more weight to the id of an active user and to the cohort of an
    inactive one: `w = softmax(relu(dropout(dense(user_features))))`, and the output is
    the sum of `w_i` times tower `i`. The original has two towers, `UserId` and
    `Cohort`.

    Example:
      >>> both = [tm.towers.UserId(9, 3), tm.towers.Cohort(4, 3)]
      >>> tower = tm.towers.MixtureOfRepresentations(both)
      >>> users = {"user_id": np.array([1, 2]), "user_features": np.eye(2)}
      >>> tower(users).shape, tower.mixture(users).shape
      (TensorShape([2, 3]), TensorShape([2, 2]))

    Reference:
      User-side transfer of Zhang et al., Empowering long-tail item recommendation
      through cross decoupling network, arXiv 2210.14309.
    """

    def __init__(
        self,
        towers: Sequence[tf.keras.layers.Layer],
        *,
        dropout: float = 0.8,
        feature: str = "user_features",
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          towers: layers from the features to `[batch, embedding_dim]` each.
          dropout: share of the gate's logits that training sets to 0, in [0, 1). It is
            high, so that every tower learns to work without the others.
          feature: name of the users' dense features, the input of the gate.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.towers = list(towers)
        if not self.towers:
            raise ValueError("`towers` must hold at least one tower. Got none.")
        widths = [tower.embedding_dim for tower in self.towers]
        if len(set(widths)) > 1:
            raise ValueError(
                f"`towers` must have outputs of one width. Got widths {widths}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        self.embedding_dim = widths[0]
        self.dropout = dropout
        self.feature = feature
        self.gate = tf.keras.layers.Dense(len(self.towers), name="gate")
        self._drop = Dropout(dropout)

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """Embeds the users.

        Args:
          features: batch with the users' features, `[batch, width]`, and the features
            of the towers.
          training: whether the gate and the towers drop.

        Returns:
          `[batch, embedding_dim]`.

        Raises:
          ValueError: a feature is missing or of another width than before.
        """
        weights = self.mixture(features, training=training)
        outputs = [tower(features, training=training) for tower in self.towers]
        outputs = tf.stack(outputs, axis=1)  # [batch, num_towers, embedding_dim]
        return tf.einsum("bt,btd->bd", tf.cast(weights, outputs.dtype), outputs)

    def mixture(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the weights of the towers for each user.

        Args:
          features: batch with the users' features, `[batch, width]`.
          training: whether the gate drops.

        Returns:
          `[batch, num_towers]` float32; every row sums to 1.
        """
        logits = dense_through(self.gate, features, self.feature)
        logits = tf.nn.relu(self._drop(logits, training=training))
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the original's arrays of the towers and of the gate.

        Args:
          arrays: state dict of the original.

        Raises:
          ValueError: two towers read the same array, or a tower is not a port.
        """
        targets = linear("mixture_layer.0", self.gate, arrays)
        for tower in self.towers:
            if not isinstance(tower, TorchPort):
                raise ValueError(
                    f"`{type(tower).__name__}` has no original whose arrays it could "
                    "load."
                )
            found = tower.torch_arrays(arrays)
            twice = sorted(found.keys() & targets.keys())
            if twice:
                raise ValueError(
                    "The names of the original's arrays have no prefix: two towers "
                    f"would read {twice}."
                )
            targets |= found
        return targets

    def get_config(self) -> dict:
        serialize = tf.keras.utils.serialize_keras_object
        return super().get_config() | {
            "towers": [serialize(tower) for tower in self.towers],
            "dropout": self.dropout,
            "feature": self.feature,
        }
