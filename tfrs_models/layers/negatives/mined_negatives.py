"""A table of negatives that an index found for each query."""

import tensorflow as tf

from tfrs_models._keras import register

NONE = -1


@register
class MinedNegatives(tf.keras.layers.Layer):
    """Stores candidate ids for each query, none at first.

    `training.IndexNegatives` fills the table with the candidates that the model itself
    scores highest. It is saved with the model and not trained.

    Example:
      >>> table = tm.layers.MinedNegatives(num_queries=4, per_query=2)
      >>> table.assign(tf.constant([2]), tf.constant([[70, 71]]))
      >>> table(tf.constant([2, 3])).numpy()
      array([[70, 71],
             [-1, -1]])

    Reference:
      Xiong et al., Approximate nearest neighbor negative contrastive learning, ICLR
      2021.
    """

    def __init__(self, num_queries: int, per_query: int, **kwargs) -> None:
        """Initializes the layer.

        Args:
          num_queries: number of rows of the table; query ids are smaller.
          per_query: number of candidates of a query.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_queries < 1 or per_query < 1:
            raise ValueError(
                "`num_queries` and `per_query` must be at least 1. "
                f"Got {num_queries} and {per_query}."
            )
        self._autocast = False
        self.num_queries = num_queries
        self.per_query = per_query
        self._table = self.add_weight(
            "table",
            (num_queries, per_query),
            dtype=tf.int64,
            initializer=lambda shape, dtype, **_: tf.fill(shape, tf.cast(NONE, dtype)),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def call(self, query_ids: tf.Tensor) -> tf.Tensor:
        """Looks up the candidates of queries.

        Args:
          query_ids: `[batch]` integer ids.

        Returns:
          `[batch, per_query]` int64 candidate ids, padded with -1; all -1 for a query
          id outside of the table.
        """
        query_ids = tf.cast(query_ids, tf.int64)
        known = (query_ids >= 0) & (query_ids < self.num_queries)
        found = tf.gather(self._table, tf.where(known, query_ids, 0))
        return tf.where(known[:, None], found, NONE)

    def assign(self, query_ids: tf.Tensor, candidate_ids: tf.Tensor) -> None:
        """Sets the candidates of queries.

        Args:
          query_ids: `[n]` integer ids in `[0, num_queries)`.
          candidate_ids: `[n, per_query]` integer ids, padded with -1.

        Raises:
          ValueError: another number of candidates for a query.
          InvalidArgumentError: a query id outside of the table.
        """
        query_ids = tf.cast(query_ids, tf.int64)
        candidate_ids = tf.cast(candidate_ids, tf.int64)
        if candidate_ids.shape[-1] != self.per_query:
            raise ValueError(
                f"`candidate_ids` must have {self.per_query} columns. "
                f"Got {candidate_ids.shape[-1]}."
            )
        check = tf.debugging.Assert(
            tf.reduce_all((query_ids >= 0) & (query_ids < self.num_queries)),
            [f"`query_ids` must be in [0, {self.num_queries}). Got:", query_ids],
        )
        with tf.control_dependencies([check] if check is not None else []):
            self._table.scatter_update(tf.IndexedSlices(candidate_ids, query_ids))

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_queries": self.num_queries,
            "per_query": self.per_query,
        }
