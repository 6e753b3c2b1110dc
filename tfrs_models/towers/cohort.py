"""A tower of user cohorts that are learned."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.dropout import Dropout
from tfrs_models.layers.mlp import MLP
from tfrs_models.ops.features.read_features import dense_through
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort, linear
from tfrs_models.towers.deep_hash import STACK
from tfrs_models.types import Features


@register
class Cohort(TorchPort, tf.keras.layers.Layer):
    """Assigns a user to cohorts by their features and mixes the cohorts' vectors.

    It reads no id, so it works for users without training rows. Four dense layers
    follow the mix. With `top_k` a user belongs to the `top_k` cohorts with the largest
    logits, equally; the gradient is that of the softmax over all cohorts
    (straight-through), so that users can move between cohorts.

    Example:
      >>> tower = tm.towers.Cohort(5, embedding_dim=3, top_k=2)
      >>> users = {"user_features": np.eye(4, dtype="float32")}
      >>> tower(users).shape
      TensorShape([4, 3])
      >>> np.unique(tower.affinity(users)).tolist()  # two cohorts of equal weight
      [0.0, 0.5]

    Reference:
      Port of a public study, Multiple ways to model user preference in recommender
      systems. Bengio et al., Estimating or propagating gradients through stochastic
      neurons, arXiv 1308.3432 (straight-through).
    """

    def __init__(
        self,
        num_cohorts: int,
        embedding_dim: int,
        *,
        dropout: float = 0.0,
        top_k: int | None = None,
        feature: str = "user_features",
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          num_cohorts: number of cohorts.
          embedding_dim: width of the cohorts' vectors and of the output.
          dropout: share of the cohorts' logits that training sets to 0, in [0, 1).
          top_k: number of cohorts of a user; None for all, weighted by a softmax.
          feature: name of the users' dense features.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_cohorts < 1 or embedding_dim < 1:
            raise ValueError(
                "`num_cohorts` and `embedding_dim` must be at least 1. "
                f"Got {num_cohorts} and {embedding_dim}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Got {dropout}.")
        if top_k is not None and not 1 <= top_k <= num_cohorts:
            raise ValueError(
                f"`top_k` must be None or in [1, `num_cohorts`]. Got {top_k} of "
                f"{num_cohorts}."
            )
        self.num_cohorts = num_cohorts
        self.embedding_dim = embedding_dim
        self.dropout = dropout
        self.top_k = top_k
        self.feature = feature
        self.addressing = tf.keras.layers.Dense(num_cohorts, name="addressing")
        self._drop = Dropout(dropout)
        self.cohorts = self.add_weight(
            "cohorts",
            (num_cohorts, embedding_dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=1.0),
        )
        self.stack = MLP([embedding_dim] * len(STACK))
        self.stack.build((None, embedding_dim))

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """Embeds the users.

        Args:
          features: batch with the users' features, `[batch, width]`.
          training: whether logits are dropped.

        Returns:
          `[batch, embedding_dim]`.

        Raises:
          ValueError: the features are missing or of another width than before.
        """
        affinity = self.affinity(features, training=training)
        cohorts = tf.cast(self.cohorts, self.compute_dtype)
        return self.stack(tf.cast(affinity, self.compute_dtype) @ cohorts)

    def affinity(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the weights of the cohorts for each user.

        Args:
          features: batch with the users' features, `[batch, width]`.
          training: whether logits are dropped.

        Returns:
          `[batch, num_cohorts]` float32; every row sums to 1.
        """
        logits = dense_through(self.addressing, features, self.feature)
        logits = tf.cast(self._drop(logits, training=training), tf.float32)
        soft = tf.nn.softmax(logits)
        if self.top_k is None:
            return soft
        _, chosen = tf.math.top_k(logits, self.top_k)  # ties: the lowest index
        members = tf.reduce_sum(tf.one_hot(chosen, self.num_cohorts), axis=1)
        # Exactly the hard value forward, the softmax's gradient backward.
        return members / self.top_k + (soft - tf.stop_gradient(soft))

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the original's cohorts, addressing layer and dense layers.

        Args:
          arrays: state dict of the original.
        """
        return {
            "cohort_embedding_matrix": TorchArray(self.cohorts),
            **linear("cohort_addressing_layer.0", self.addressing, arrays),
            **self.stack.torch_arrays(STACK, arrays),
        }

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_cohorts": self.num_cohorts,
            "embedding_dim": self.embedding_dim,
            "dropout": self.dropout,
            "top_k": self.top_k,
            "feature": self.feature,
        }
