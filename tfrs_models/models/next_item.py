"""A two-tower model that learns at all positions of a history."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.models.two_tower import TwoTower
from tfrs_models.towers.sequence.history_tower import HistoryTower
from tfrs_models.types import Features


@register
class NextItem(TwoTower):
    """Predicts the next item from the history, with one tower for all items.

    The candidate tower is the one by which the query tower embeds its history. Training
    batches are windows of sequences (`data.window_batches`): each position is a query
    whose positive is the item that came next. Rows with one item each (validation,
    test, serving) are those of `TwoTower`.
    """

    def __init__(
        self, query_tower: HistoryTower, *, temperature: float = 0.1, **kwargs
    ) -> None:
        """Initializes the model.

        Args:
          query_tower: A tower of `towers.sequence`.
          temperature: Of the default task.
          **kwargs: Of `TwoTower`.
        """
        if not hasattr(query_tower, "item_tower"):
            raise ValueError(
                "`query_tower` must be one of `towers.sequence`, which embeds items "
                f"by an `item_tower`. Got {type(query_tower).__name__}."
            )
        super().__init__(
            query_tower, query_tower.item_tower, temperature=temperature, **kwargs
        )

    def task_inputs(self, features: Features, training: bool = False) -> dict:
        ids = features.get(self.candidate_id)
        if ids is None or ids.shape.rank != 2:
            return super().task_inputs(features, training)
        queries = self.query_tower(features, training=training, return_sequences=True)
        if self.unit_norm:
            queries = tf.math.l2_normalize(tf.cast(queries, tf.float32), axis=-1)
        places = tf.where(ids != 0)  # [num_positions, 2]
        of_position = {
            name: tf.gather_nd(features[name], places)
            for name in ("candidate_sampling_probability", "sample_weight")
            if name in features
        }
        known = features.get("known_items")
        positives = tf.gather_nd(ids, places)
        return {
            "query_embeddings": tf.gather_nd(queries, places),
            "candidate_embeddings": self.candidate_model(
                {self.candidate_id: positives}, training=training
            ),
            "candidate_ids": positives,
            "known_positives": None
            if known is None
            else tf.gather(known, places[:, 0]),
            **of_position,
        }

    def get_config(self) -> dict:
        config = super().get_config()
        del config["candidate_tower"]  # part of the query tower
        return config
