"""Hard negatives from an index, while a model trains."""

import tensorflow as tf

from tfrs_models.layers.negatives.mined_negatives import NONE


class IndexNegatives(tf.keras.callbacks.Callback):
    """Sets each query's negatives to the candidates that the model ranks highest.

    Every `refresh_every` epochs the candidates are embedded and indexed anew. The
    results of all queries go into the `layers.MinedNegatives` of the model, an argument
    of `models.TwoTower(mined_negatives=...)`. An approximate index is good enough.

    Example:
      >>> mined = tm.layers.MinedNegatives(9, 2)
      >>> towers = tm.towers.UserId(9, 2), tm.towers.UserId(9, 2, feature="item_id")
      >>> model = tm.models.TwoTower(*towers, mined_negatives=mined)
      >>> data = {"user_id": np.array([1, 2]), "item_id": np.array([3, 4])}
      >>> data = tf.data.Dataset.from_tensors(data)
      >>> index = tm.layers.BruteForce(k=2)
      >>> mine = tm.training.IndexNegatives(index, queries=data, candidates=data)
      >>> mine.set_model(model)  # as `fit(callbacks=[mine])` does

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
          index: index of the candidates, such as `layers.BruteForce` or
            `layers.ScaNN`.
          queries: batches of query features, with the query's id; items in a feature
            `known_items` are not mined.
          candidates: batches of candidate features, the whole corpus.
          refresh_every: number of epochs between two refreshes.
          warmup: number of epochs before the first refresh; an untrained model finds no
            hard negatives.
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
        self._mined_for = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        del logs
        self._mined_for = None
        if getattr(self.model, "mined_negatives", None) is None:
            raise ValueError(
                "The model must have `mined_negatives`, a `layers.MinedNegatives` that "
                "this callback fills. Got none."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        del logs
        since = epoch - self.warmup
        is_due = since >= 0 and since % self.refresh_every == 0
        if is_due and epoch != self._mined_for:
            self.mine()
            self._mined_for = epoch

    def resume_state(self) -> dict:
        """Returns the epoch that negatives were mined for, the table is the model's."""
        return {"mined_for": self._mined_for}

    def restore_state(self, state: dict) -> None:
        """Takes the state of a training that goes on in the middle of an epoch.

        Args:
          state: result of `resume_state`.
        """
        self._mined_for = state["mined_for"]

    def mine(self) -> None:
        """Queries the index for all queries and fills the model's table."""
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
                found = tf.math.is_finite(scores)  # fewer candidates than negatives
                ids = tf.where(found, tf.cast(ids, tf.int64), NONE)
            table.assign(features[self.model.query_id], ids)
