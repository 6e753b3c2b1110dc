"""SASRec as published: one uniform negative per position, binary cross-entropy."""

import tensorflow as tf

import tfrs_models as tm
from tfrs_models.ops.masks import known_positives


class PlainSASRec(tm.models.NextItem):
    """Trains SASRec on the next item against one random item that is new to the user.

    Reference:
      Kang and McAuley, Self-attentive sequential recommendation, ICDM 2018.
    """

    def __init__(self, items: tm.towers.FeatureTower, *, seq_len: int) -> None:
        """Initializes the model.

        Args:
          items: tower over item ids alone.
          seq_len: largest number of items of a history.
        """
        query = tm.towers.SASRec(items, items.embedding_dim, seq_len=seq_len)
        super().__init__(query, unit_norm=False)
        self.num_items = items.features[0].num_values

    def compute_loss(self, features: dict, training: bool = False) -> tf.Tensor:
        """Computes the mean loss over the positions of the windows."""
        inputs = self.task_inputs(features, training)
        queries, positives = inputs["query_embeddings"], inputs["candidate_embeddings"]
        drawn = tf.random.uniform(
            tf.shape(queries)[:1], 1, self.num_items + 1, dtype=tf.int64
        )
        catalogue = tf.range(1, self.num_items + 1, dtype=tf.int64)
        known = known_positives(catalogue)(features["known_items"])
        window = tf.cast(tf.where(features["item_id"] != 0)[:, 0], tf.int32)
        column = tf.cast(drawn, tf.int32) - 1
        is_known = tf.gather_nd(known, tf.stack([window, column], axis=1))
        negatives = self.candidate_tower({"item_id": drawn}, training=training)
        losses = tf.nn.softplus(-tf.reduce_sum(queries * positives, axis=1))
        other = tf.nn.softplus(tf.reduce_sum(queries * negatives, axis=1))
        losses += tf.where(is_known, 0.0, other)
        return tf.reduce_mean(losses)
