"""Tables of the ranks of an evaluation, one row for each query, to cut and compare."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrs_models.metrics.rank_values import parse_rank_metric, rank_values
from tfrs_models.ops.ranks.corpus_ranks import CorpusRanks, ranks_by_row
from tfrs_models.ops.ranks.lookup import find_rows, index_ids
from tfrs_models.types import Features


@dataclasses.dataclass(frozen=True)
class RankTable:
    """The ranks of the positives of an evaluation, in NumPy.

    Args:
      above: `[num_queries]` number of candidates that score higher than the positive.
      tied: `[num_queries]` number of other candidates that score the same.
      num_candidates: `[num_queries]` number of candidates that the positive competes
        with.
      found: `[num_queries]` bool, False for a miss, where the positive is no candidate
        or the exclusions of its query hide it.
      hidden: `[num_queries]` bool, True where the exclusions hide the positive; None
        for nowhere. `table.take(~table.hidden)` leaves these queries out.

    Example:
      >>> count = lambda *numbers: np.array(numbers, "int32")
      >>> table = tm.metrics.RankTable(
      ...     count(0, 2), count(0, 1), count(9, 9), np.array([True, True]))
      >>> table.values("hit_rate_at_3")  # the second is third or fourth
      array([1. , 0.5], dtype=float32)
    """

    above: np.ndarray
    tied: np.ndarray
    num_candidates: np.ndarray
    found: np.ndarray
    hidden: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Makes `hidden` an array."""
        if self.hidden is None:
            object.__setattr__(self, "hidden", np.zeros(len(self.above), bool))

    def __len__(self) -> int:
        """Returns the number of queries."""
        return len(self.above)

    def values(self, metric: str) -> np.ndarray:
        """Computes a metric of each query, the expectation over the order of ties.

        Args:
          metric: `"hit_rate_at_10"`, `"ndcg_at_10"` (any `k`), `"mrr"`, `"auc"`,
            `"tie_rate"`, `"miss_rate"` or `"hidden_rate"`.

        Returns:
          `[num_queries]` float32; a query without another candidate has no AUC, NaN.

        Raises:
          ValueError: no metric has this name, or it needs more than ranks.
        """
        kind, k = parse_rank_metric(metric, "metric")
        ranks = CorpusRanks(
            tf.constant(self.above, tf.int32),
            tf.constant(self.tied, tf.int32),
            tf.constant(self.num_candidates, tf.int32),
            tf.constant(self.found, tf.bool),
            tf.constant(self.hidden, tf.bool),
        )
        values = rank_values(ranks, kind, k, ties="expected").numpy()
        if kind == "auc":
            values = np.where(self.num_candidates > 0, values, np.nan)
        return values.astype("float32")

    def take(self, rows: np.ndarray) -> "RankTable":
        """Returns the table of some queries, such as those of a slice.

        Args:
          rows: `[num_queries]` bool mask, or row numbers in the order of the result.

        Raises:
          ValueError: the mask has another length than the table.

        Example:
          >>> above, mask = np.array([0, 2, 5]), np.array([False, True, False])
          >>> table = tm.metrics.RankTable(above, 0 * above, 9 + above, ~mask, mask)
          >>> table.values("mrr").mean().round(3)  # the hidden positive is a miss
          0.389
          >>> table.take(~table.hidden).values("mrr").mean().round(3)
          0.583
        """
        rows = np.asarray(rows)
        if rows.dtype == bool and rows.shape != (len(self),):
            raise ValueError(
                f"`rows` must have one bool for each of the {len(self)} queries. Got "
                f"the shape {rows.shape}."
            )
        columns = dataclasses.fields(self)
        return RankTable(*(getattr(self, column.name)[rows] for column in columns))

    def chance(self) -> "RankTable":
        """Returns the table of a model that scores everything alike: a random order."""
        return dataclasses.replace(
            self, above=np.zeros_like(self.above), tied=self.num_candidates
        )


def rank_table(
    embed_queries: Callable[[Features], tf.Tensor],
    candidates: tf.data.Dataset,
    batches: tf.data.Dataset,
    *,
    candidate_id: str = "item_id",
    exclude: str | None = "known_items",
) -> RankTable:
    """Ranks every positive of a dataset over a corpus.

    Args:
      embed_queries: function or layer from a batch of features to `[batch,
        embedding_dim]` queries.
      candidates: batches of (ids, embeddings `[batch, embedding_dim]`).
      batches: batches of features.
      candidate_id: name of the feature that holds the positive's id.
      exclude: name of the ragged feature `[batch, None]` that holds ids of candidates
        which the query does not rank against; None ranks against all. A positive that
        is among them is a miss, and `hidden`.

    Returns:
      The table of all queries, in their order.

    Example:
      >>> corpus = tf.data.Dataset.from_tensors((tf.range(3), tf.eye(3)))
      >>> rows = {"query": tf.constant([[3.0, 2, 1]]), "item_id": tf.constant([1])}
      >>> from operator import itemgetter  # in place of a query tower
      >>> table = tm.metrics.rank_table(
      ...     itemgetter("query"), corpus, [rows], exclude=None)
      >>> table.above, table.values("mrr")
      (array([1], dtype=int32), array([0.5], dtype=float32))
    """
    elements = list(candidates)
    index = index_ids(tf.concat([ids for ids, _ in elements], axis=0))
    corpus = tf.concat([embeddings for _, embeddings in elements], axis=0)

    @tf.function(reduce_retracing=True)
    def rank(features: Features) -> tuple[tf.Tensor, ...]:
        queries = tf.cast(embed_queries(features), corpus.dtype)
        rows = find_rows(index, features[candidate_id])
        if exclude is None:
            nothing = tf.zeros_like(rows)[:, None][:, :0]
            excluded = tf.RaggedTensor.from_tensor(nothing)
        else:
            excluded = features[exclude]
            excluded = excluded.with_values(find_rows(index, excluded.values))
        return tuple(ranks_by_row(queries, corpus, rows, excluded))

    parts = [[column.numpy() for column in rank(features)] for features in batches]
    return RankTable(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def popularity_slices(candidate_probabilities: np.ndarray) -> np.ndarray:
    """Names the part of the popularity curve that each item is on.

    The head are the most popular items that make up a third of the training rows, the
    torso those of the next third, the tail the rest; cold items have no training row.
    Favourites of all users are easy to recommend: a mean over all hides the tail.

    Args:
      candidate_probabilities: `[num_items]` shares of the training rows.

    Returns:
      `[num_items]` strings: "head", "torso", "tail" or "cold".

    Example:
      >>> tm.metrics.popularity_slices(np.array([0.0, 0.5, 0.3, 0.2])).tolist()
      ['cold', 'head', 'torso', 'tail']
    """
    order = np.argsort(-candidate_probabilities, kind="stable")
    share = candidate_probabilities[order].astype("float64")
    before = np.cumsum(share) - share  # of an item: the rows of all more popular ones
    names = np.empty(len(order), dtype="<U5")
    names[order] = np.select(
        [before < 1 / 3, before < 2 / 3], ["head", "torso"], "tail"
    )
    names[candidate_probabilities == 0] = "cold"
    return names
