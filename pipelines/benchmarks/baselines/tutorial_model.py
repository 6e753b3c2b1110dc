"""The model of TensorFlow Recommenders' basic retrieval tutorial."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

Tower = tf.keras.Model


def string_tower(values: Sequence[str], embedding_dim: int = 32) -> Tower:
    """Looks strings up in a vocabulary and embeds them, as the tutorial does.

    Args:
      values: The vocabulary.
      embedding_dim: Width of the output.
    """
    return tf.keras.Sequential(
        [
            tf.keras.layers.StringLookup(vocabulary=list(values), mask_token=None),
            tf.keras.layers.Embedding(len(values) + 1, embedding_dim),
        ]
    )


def tutorial_model(
    user_model: Tower, movie_model: Tower, task: tf.keras.layers.Layer, *, base: type
) -> tfrs.Model:
    """The tutorial's `MovielensModel` on a base class of choice.

    Args:
      user_model: From user ids to `[batch, embedding_dim]`.
      movie_model: From movie titles to `[batch, embedding_dim]`.
      task: A retrieval task; positives are known by id if its metric's corpus has ids.
      base: `tfrs.Model` or `tfrs_models.Model`.
    """

    class MovielensModel(base):
        """Two towers and a retrieval task."""

        def __init__(self) -> None:
            super().__init__()
            self.user_model = user_model
            self.movie_model = movie_model
            self.task = task

        def compute_loss(self, features: dict, training: bool = False) -> tf.Tensor:
            """The loss of a batch; corpus metrics are on, in training too."""
            del training
            users = self.user_model(features["user_id"])
            movies = self.movie_model(features["movie_title"])
            ids = features.get("candidate_ids")
            return self.task(users, movies, candidate_ids=ids)

    return MovielensModel()
