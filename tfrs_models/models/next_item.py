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

    Example:
      >>> items = tm.towers.FeatureTower([tm.data.Feature("item_id", "id", 5)], 4)
      >>> model = tm.models.NextItem(tm.towers.GRU4Rec(items, 4))
      >>> history, item_id = tf.constant([[1, 2, 3]]), tf.constant([[2, 3, 5]])
      >>> inputs = model.task_inputs({"history": history, "item_id": item_id})
      >>> inputs["query_embeddings"].shape, inputs["candidate_ids"].numpy()
      (TensorShape([3, 4]), array([2, 3, 5], dtype=int32))
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
          query_tower: tower of `towers.sequence`.
          temperature: divisor of the scores in the default task.
          corpus_size: largest item id; if given, the negatives of a position are all
            items from 1 to it (the full softmax), else the other positives of the
            batch.
          **kwargs: arguments of `TwoTower`.
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
        positions = tf.where(ids != 0)  # [num_positions, 2]
        positives = tf.gather_nd(ids, positions)
        known = features.get("known_items")
        queries = tf.gather_nd(queries, positions)
        inputs = {
            "query_embeddings": queries,
            "known_positives": None
            if known is None
            else tf.gather(known, positions[:, 0]),
        }
        if "sample_weight" in features:
            weight = tf.convert_to_tensor(features["sample_weight"])
            if weight.shape.rank == 1:  # one for each window
                weight = tf.tile(weight[:, None], [1, tf.shape(ids)[1]])
            inputs["sample_weight"] = tf.gather_nd(weight, positions)
        if self.corpus_size is not None:
            corpus = tf.range(1, self.corpus_size + 1, dtype=positives.dtype)
            inputs["positive_columns"] = tf.cast(
                self._in_corpus(positives) - 1, tf.int32
            )
        else:
            corpus = positives
            if "candidate_sampling_probability" in features:
                inputs["candidate_sampling_probability"] = tf.gather_nd(
                    features["candidate_sampling_probability"], positions
                )
        if self.num_trends:
            _, times = self._ids_and_times(features)
            inputs["query_embeddings"], inputs["score_offsets"] = self.trend_scores(
                queries, corpus, tf.gather_nd(times, positions)
            )
        return inputs | {
            "candidate_ids": corpus,
            "candidate_embeddings": self._embed_items(
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
