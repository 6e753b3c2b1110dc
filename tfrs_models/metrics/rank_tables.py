"""The ranks of a whole evaluation, one row for each query, to be cut and compared."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrs_models.ops.ranks import rank_metrics
from tfrs_models.ops.ranks.corpus_ranks import ranks_by_row
from tfrs_models.ops.ranks.lookup import find_rows, index_ids
from tfrs_models.types import Features


@dataclasses.dataclass(frozen=True)
class RankTable:
    """Where each positive stands, in NumPy.

    Args:
      above: `[num_queries]` candidates that score higher than the positive.
      tied: `[num_queries]` other candidates that score the same.
      num_candidates: `[num_queries]` candidates that the positive competes with.
      found: `[num_queries]` False where the positive is no candidate: a miss.
    """

    above: np.ndarray
    tied: np.ndarray
    num_candidates: np.ndarray
    found: np.ndarray

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.above)

    def values(self, metric: str) -> np.ndarray:
        """A metric of each query.

        Args:
          metric: `"hit_rate_at_10"`, `"ndcg_at_10"` (any `k`) or `"mrr"`; the
            expectation over a random order of the ties.

        Returns:
          `[num_queries]` float32.
        """
        match = re.fullmatch(r"(hit_rate|ndcg)_at_([1-9]\d*)|mrr", metric)
        if not match:
            raise ValueError(
                "`metric` must be 'hit_rate_at_10', 'ndcg_at_10' (any k) or 'mrr'. "
                f"Got {metric!r}."
            )
        above = tf.constant(self.above, tf.int32)
        tied = tf.constant(self.tied, tf.int32)
        if metric == "mrr":
            values = rank_metrics.reciprocal_rank(above, tied)
        else:
            function = getattr(rank_metrics, match[1])
            values = function(above, tied, k=int(match[2]))
        return np.where(self.found, values.numpy(), 0).astype("float32")

    def chance(self) -> "RankTable":
        """The table of a model that scores everything alike: a random order."""
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
      embed_queries: From a batch of features to `[batch, embedding_dim]`.
      candidates: Batches of (ids, embeddings `[batch, embedding_dim]`).
      batches: Batches of features.
      candidate_id: The feature that holds the positive's id.
      exclude: The feature, ragged `[batch, None]`, that holds ids of candidates which
        the query does not rank against; None ranks against all.
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
    Everybody's favourites are easy to recommend: a mean over all hides the tail.

    Args:
      candidate_probabilities: `[num_items]` share of the training rows.

    Returns:
      `[num_items]` strings: "head", "torso", "tail" or "cold".
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
