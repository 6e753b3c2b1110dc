"""The model of TensorFlow Recommenders' basic retrieval tutorial."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

Tower = tf.keras.Model


def string_tower(values: Sequence[str], embedding_dim: int = 32) -> Tower:
    """Builds a tower that embeds strings of a vocabulary, as in the tutorial.

    Args:
      values: strings of the vocabulary.
      embedding_dim: number of dimensions of the output.
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
    """Builds the tutorial's `MovielensModel` on a given base class.

    Args:
      user_model: tower from user ids to `[batch, embedding_dim]`.
      movie_model: tower from movie titles to `[batch, embedding_dim]`.
      task: retrieval task; positives are found by id if its metric's candidates have
        ids.
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
            """Returns the loss of a batch; corpus metrics are on in training too."""
            del training
            users = self.user_model(features["user_id"])
            movies = self.movie_model(features["movie_title"])
            ids = features.get("candidate_ids")
            return self.task(users, movies, candidate_ids=ids)

    return MovielensModel()
