"""Mines negatives with an index while a model trains."""

import tensorflow as tf

from tfrs_models.layers.negatives.mined_negatives import NONE


class IndexNegatives(tf.keras.callbacks.Callback):
    """Gives each query the candidates that the model itself ranks highest as negatives.

    Every `refresh_every` epochs the candidates are embedded and indexed anew, all
    queries are asked, and what they find goes into the `layers.MinedNegatives` of the
    model, as `models.TwoTower(mined_negatives=...)` has it. An approximate index does.

    Reference:
      Xiong et al., Approximate nearest neighbor negative contrastive learning, ICLR
      2021.
    """

    def __init__(
        self,
        index: tf.keras.layers.Layer,
        *,
        queries: tf.data.Dataset,
        candidates: tf.data.Dataset,
        refresh_every: int = 1,
        warmup: int = 1,
    ) -> None:
        """Initializes the callback.

        Args:
          index: To search with, such as `layers.BruteForce` or `layers.ScaNN`.
          queries: Batches of query features, with the query's id, and with
            `known_items`, which are then not mined.
          candidates: Batches of candidate features, the whole corpus.
          refresh_every: Epochs between two searches.
          warmup: Epochs before the first search: an untrained model finds nothing that
            is hard.
        """
        super().__init__()
        if refresh_every < 1:
            raise ValueError(
                f"`refresh_every` must be at least 1. Got {refresh_every}."
            )
        if warmup < 0:
            raise ValueError(f"`warmup` must not be negative. Got {warmup}.")
        self.index = index
        self.queries = queries
        self.candidates = candidates
        self.refresh_every = refresh_every
        self.warmup = warmup

    def on_train_begin(self, logs: dict | None = None) -> None:
        del logs
        if getattr(self.model, "mined_negatives", None) is None:
            raise ValueError(
                "The model must have `mined_negatives`, a `layers.MinedNegatives` that "
                "this callback fills. Got none."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        del logs
        since = epoch - self.warmup
        if since >= 0 and since % self.refresh_every == 0:
            self.mine()

    def mine(self) -> None:
        """Searches for all queries and fills the model's table."""
        table = self.model.mined_negatives
        self.index.index_from_dataset(self.model.embed_candidates(self.candidates))
        for features in self.queries:
            queries = self.model.query_tower(features, training=False)
            known = features.get("known_items")
            if known is None:
                _, ids = self.index(queries, k=table.per_query)
            else:
                scores, ids = self.index.query_with_exclusions(
                    queries, known, k=table.per_query
                )
                found = tf.math.is_finite(scores)  # fewer candidates than places
                ids = tf.where(found, tf.cast(ids, tf.int64), NONE)
            table.assign(features[self.model.query_id], ids)
