"""The model of TensorFlow Recommenders' ranking tutorial."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

EPOCHS, BATCH_SIZE, LEARNING_RATE = 3, 8192, 0.1  # the tutorial's, with Adagrad


class TutorialRanking(tfrs.Model):
    """Embeddings of user and film and three dense layers that predict the rating."""

    def __init__(self, num_users: int, num_items: int) -> None:
        """Initializes the model.

        Args:
          num_users: Indices of users are in [0, num_users].
          num_items: Indices of items are in [0, num_items].
        """
        super().__init__()
        self.user = tf.keras.layers.Embedding(num_users + 1, 32)
        self.item = tf.keras.layers.Embedding(num_items + 1, 32)
        self.ratings = tf.keras.Sequential(
            [
                tf.keras.layers.Dense(256, activation="relu"),
                tf.keras.layers.Dense(64, activation="relu"),
                tf.keras.layers.Dense(1),
            ]
        )
        self.task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.MeanSquaredError(),
            metrics=[tf.keras.metrics.RootMeanSquaredError("rmse")],
        )

    def call(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """The predicted ratings, `[batch, 1]`."""
        embeddings = [self.user(features["user_id"]), self.item(features["item_id"])]
        return self.ratings(tf.concat(embeddings, axis=1))

    def compute_loss(self, features: dict, training: bool = False) -> tf.Tensor:
        """The mean squared error."""
        del training
        return self.task(labels=features["rating"][:, None], predictions=self(features))
