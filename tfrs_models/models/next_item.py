"""A two-tower model that learns at all positions of a history."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.models.two_tower import TwoTower
from tfrs_models.ops.features.read_features import check_named
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
        self,
        query_tower: HistoryTower,
        *,
        temperature: float = 0.1,
        corpus_size: int | None = None,
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          query_tower: A tower of `towers.sequence`.
          temperature: Of the default task.
          corpus_size: Where given, a position is told from all items 1 to this (the
            full softmax), else from the other positives of the batch.
          **kwargs: Of `TwoTower`.
        """
        if not hasattr(query_tower, "item_tower"):
            raise ValueError(
                "`query_tower` must be one of `towers.sequence`, which embeds items "
                f"by an `item_tower`. Got {type(query_tower).__name__}."
            )
        if corpus_size is not None and corpus_size < 1:
            raise ValueError(f"`corpus_size` must be at least 1. Got {corpus_size}.")
        super().__init__(
            query_tower, query_tower.item_tower, temperature=temperature, **kwargs
        )
        self.corpus_size = corpus_size

    def task_inputs(self, features: Features, training: bool = False) -> dict:
        check_named(features)
        ids = features.get(self.candidate_id)
        if ids is None or ids.shape.rank != 2:
            return super().task_inputs(features, training)
        queries = self.query_tower(features, training=training, return_sequences=True)
        if self.unit_norm:
            queries = tf.math.l2_normalize(tf.cast(queries, tf.float32), axis=-1)
        places = tf.where(ids != 0)  # [num_positions, 2]
        positives = tf.gather_nd(ids, places)
        known = features.get("known_items")
        inputs = {
            "query_embeddings": tf.gather_nd(queries, places),
            "known_positives": None
            if known is None
            else tf.gather(known, places[:, 0]),
        }
        if "sample_weight" in features:
            weight = tf.convert_to_tensor(features["sample_weight"])
            if weight.shape.rank == 1:  # of windows
                weight = tf.tile(weight[:, None], [1, tf.shape(ids)[1]])
            inputs["sample_weight"] = tf.gather_nd(weight, places)
        if self.corpus_size is not None:
            corpus = tf.range(1, self.corpus_size + 1, dtype=positives.dtype)
            inputs["positive_columns"] = tf.cast(
                self._in_corpus(positives) - 1, tf.int32
            )
        else:
            corpus = positives
            if "candidate_sampling_probability" in features:
                inputs["candidate_sampling_probability"] = tf.gather_nd(
                    features["candidate_sampling_probability"], places
                )
        return inputs | {
            "candidate_ids": corpus,
            "candidate_embeddings": self.candidate_model(
                {self.candidate_id: corpus}, training=training
            ),
        }

    def _in_corpus(self, positives: tf.Tensor) -> tf.Tensor:
        check = tf.debugging.assert_less_equal(
            positives,
            tf.cast(self.corpus_size, positives.dtype),
            f"`corpus_size` must be the largest `{self.candidate_id}` or above.",
        )
        with tf.control_dependencies([check] if check is not None else []):
            return tf.identity(positives)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["candidate_tower"]  # part of the query tower
        return config | {"corpus_size": self.corpus_size}
