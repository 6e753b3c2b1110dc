"""Scores and ranks of models with trends, over the items as they were at each time."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import tensorflow as tf

from tfrs_models.metrics.rank_tables import RankTable
from tfrs_models.metrics.score_ranks import rank_scores


class Trends(Protocol):
    """Trend features of all items at a time, as `data.TrendTable` has them."""

    num_trends: int

    def at(self, timestamp: int) -> np.ndarray:
        """Computes `[num_items + 1, num_trends]` features.

        Args:
          timestamp: whole seconds since 1970.
        """

    def period(self, timestamp: np.ndarray) -> np.ndarray:
        """Returns the start of the period of each time.

        Args:
          timestamp: whole seconds since 1970.
        """


def trend_scores(
    queries: np.ndarray, embeddings: np.ndarray, trends: Trends, times: np.ndarray
) -> np.ndarray:
    """Scores all items for queries, with the trends at the time of each query.

    The trends of a period, such as an hour, are computed once for all its queries.

    Args:
      queries: `[num_queries, embedding_dim + num_trends]` of `towers.TrendWeights`.
      embeddings: `[num_items, embedding_dim]` of the items from 1 on, without trends.
      trends: table of the trend features.
      times: `[num_queries]` whole seconds since 1970.

    Returns:
      `[num_queries, num_items]` float32; item `i` is column `i - 1`.

    Raises:
      ValueError: queries and items have other numbers of dimensions.

    Example:
      >>> table = tm.data.TrendTable([1], [0], num_items=2, half_lives_days=[1.0])
      >>> queries = np.array([[1, 0, 1, 0, 0]], "float32")  # weight of popularity: 1
      >>> scores = tm.metrics.trend_scores(queries, np.eye(2), table, [86_400])
      >>> scores.round(2)  # 1 + log((0.1 + 0.5) / 0.1), 0
      array([[2.79, 0.  ]], dtype=float32)
    """
    queries = np.asarray(queries, np.float32)
    embeddings = np.asarray(embeddings, np.float32)
    width = embeddings.shape[1]
    if queries.shape[1] != width + trends.num_trends:
        raise ValueError(
            f"`queries` must have {width} dimensions of the embeddings and "
            f"{trends.num_trends} of the trends. Got {queries.shape[1]}."
        )
    scores = queries[:, :width] @ embeddings.T
    periods = trends.period(times)
    for period in np.unique(periods):
        rows = np.flatnonzero(periods == period)
        scores[rows] += queries[rows, width:] @ trends.at(int(period))[1:].T
    return scores


def rank_with_trends(
    queries: np.ndarray,
    embeddings: np.ndarray,
    trends: Trends,
    rows: Mapping[str, np.ndarray],
    *,
    exclusions: tf.RaggedTensor | None = None,
) -> RankTable:
    """Ranks the positive of every row over the items as they were at the row's time.

    Args:
      queries: `[num_rows, embedding_dim + num_trends]` of `towers.TrendWeights`.
      embeddings: `[num_items, embedding_dim]` of the items from 1 on, without trends.
      trends: table of the trend features.
      rows: columns `user_id`, `item_id` (the positives) and `timestamp` (whole seconds
        since 1970), each `[num_rows]`, such as a split of `data.Interactions`.
      exclusions: `[num_users + 1, None]` items that do not compete in the rows of a
        user; None excludes nothing. A positive among them is a miss, and `hidden`.

    Returns:
      The table of all rows, in their order.

    Raises:
      ValueError: queries and items have other numbers of dimensions.

    Example:
      >>> table = tm.data.TrendTable([1, 2, 2], [0, 0, 90_000], num_items=2,
      ...     half_lives_days=[1.0], resolution_seconds=1)
      >>> rows = {"user_id": np.array([1, 1]), "item_id": np.array([2, 2])}
      >>> rows["timestamp"] = np.array([90_000, 90_001])  # before and after a row
      >>> queries = np.tile(np.float32([0, 0, 1, 0, 0]), [2, 1])  # trends alone
      >>> tm.metrics.rank_with_trends(queries, np.eye(2), table, rows).tied
      array([1, 0], dtype=int32)
    """
    times = np.asarray(rows["timestamp"], np.int64)

    def score(numbers: np.ndarray, _: np.ndarray | None) -> np.ndarray:
        return trend_scores(queries[numbers], embeddings, trends, times[numbers])

    return rank_scores(score, rows, exclusions=exclusions, by_row=True)
