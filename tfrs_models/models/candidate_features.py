"""Features of what retrieval hands over, for `models.ListRanker`."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse
import tensorflow as tf

from tfrs_models.ops.numbers import is_whole
from tfrs_models.types import Features

MINUTE = 60.0
SIMILARITY_FLOOR = 0.01  # of logarithms; similarities are at most about 1


class CandidateFeatures(tf.Module):
    """Makes the features of candidates, of their pairs with a history, and of requests.

    All of it is a function of the history and the time of the request, and of tables
    that are made from the rows before a split, so lists of training rows, of validation
    rows and of requests get their features from the same code:

    - of a candidate: `log(1 + rank)` and `1 / rank` in the order of retrieval, the
      retrieval score below the best one of the list, `item_features`, and the trend
      features of the item;
    - of a pair of candidate and item of the history: the cosine of their embeddings,
      and each similarity with its logarithm;
    - of an item of the history: logarithms of the number of newer items and of the
      minutes up to the request and up to the newest item;
    - of a request: logarithms of the minutes since the newest item and of the number of
      items in the history.

    The embeddings enter by cosines only: these mean the same for a retrieval model that
    was trained again on more rows, whose dimensions are others.

    Example:
      >>> import scipy.sparse
      >>> similar = scipy.sparse.csr_array(np.eye(4)[[0, 2, 1, 3]])  # items 1 and 2
      >>> features = tm.models.CandidateFeatures(np.eye(4), {"knn": similar}, seq_len=2)
      >>> lists = features(np.array([[2, 3]]), np.float32([[0.9, 0.4]]),
      ...     {"history": np.array([[3, 1, 0]])})
      >>> lists["pair_features"].numpy()[0, :, :, 1]  # similarity to items 3 and 1
      array([[0., 1.],
             [1., 0.]], dtype=float32)
    """

    def __init__(
        self,
        item_embeddings: np.ndarray,
        similarities: Mapping[str, scipy.sparse.csr_array] | None = None,
        *,
        item_features: np.ndarray | None = None,
        trends: np.ndarray | None = None,
        seq_len: int = 20,
    ) -> None:
        """Initializes the module.

        Args:
          item_embeddings: `[num_items + 1, embedding_dim]` embeddings of the retrieval
            model; row 0 is no item.
          similarities: name -> `[num_items + 1, num_items + 1]` sparse weights, row the
            item of a history, column the candidate, such as those of item-kNN.
          item_features: `[num_items + 1, width]` features of the items, such as the
            logarithms of their counts.
          trends: `[num_items + 1, num_trends]` trend features at the newest time, for
            requests that bring none (`data.TrendTable.at`).
          seq_len: number of items of a history that pairs are made with, the newest.

        Raises:
          ValueError: a table has rows for another number of items.
        """
        super().__init__(name="candidate_features")
        if not is_whole(seq_len, 1):
            raise ValueError(f"`seq_len` must be at least 1. Got {seq_len}.")
        embeddings = np.asarray(item_embeddings, np.float32)
        norm = np.linalg.norm(embeddings, axis=1, keepdims=True)
        tables = {
            "embeddings": embeddings / np.where(norm > 0, norm, 1),
            "item_features": item_features,
            "trends": trends,
        }
        self.seq_len, self._num_rows = seq_len, len(embeddings)
        similarities = dict(similarities or {})
        for name, values in (tables | similarities).items():
            if values is not None and values.shape[0] != self._num_rows:
                raise ValueError(
                    f"`{name}` must have {self._num_rows} rows, one for each item and "
                    f"row 0. Got {values.shape[0]}."
                )
        self._tables = {
            name: tf.Variable(values, trainable=False, name=name, dtype=tf.float32)
            for name, values in tables.items()
            if values is not None
        }
        self._pairs = {
            name: _PairTable(name, matrix) for name, matrix in similarities.items()
        }

    def __call__(
        self,
        items: tf.Tensor,
        scores: tf.Tensor,
        features: Features,
        *,
        trends: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Makes the features of lists.

        Args:
          items: `[batch, num_candidates]` items in the order of retrieval, 0 for none.
          scores: `[batch, num_candidates]` retrieval scores, `-inf` for none.
          features: `history` `[batch, length]`, 0 for padding, which follows the items;
            `history_timestamp` `[batch, length]` and `timestamp` `[batch]` in seconds,
            0 for unknown: without them all gaps are 0.
          trends: `[batch, num_candidates, num_trends]` trend features of the candidates
            at the time of the request; None takes those of the newest time.

        Returns:
          Features of `models.ListRanker`, without labels.
        """
        items = self._known(items)
        scores = tf.cast(scores, tf.float32)
        history, times, now, count = self._newest(features)
        mask = history > 0
        return {
            "retrieval_score": scores,
            "candidate_features": self._of_candidates(items, scores, trends),
            "pair_features": self._of_pairs(items, history),
            "history_features": _of_history(mask, times, now),
            "history_mask": mask,
            "context_features": _of_request(mask, times, now, count),
        }

    def _known(self, items: tf.Tensor) -> tf.Tensor:
        """Items as int32, 0 for those that joined the catalogue after the tables."""
        items = tf.cast(items, tf.int32)
        return tf.where(items < self._num_rows, items, 0)

    @property
    def trends_shape(self) -> tuple[int, int] | None:
        """Numbers of rows and columns of the trend features; None without trends."""
        table = self._tables.get("trends")
        return None if table is None else tuple(table.shape)

    def update_trends(self, trends: np.ndarray) -> None:
        """Replaces the trend features of the newest time, without a new export.

        Args:
          trends: `[num_items + 1, num_trends]` features.

        Raises:
          ValueError: the module has no trends, or those of another shape.
        """
        if self.trends_shape is None or self.trends_shape != np.shape(trends):
            raise ValueError(
                "`trends` must have the shape of the module's own, "
                f"{self.trends_shape}. Got {np.shape(trends)}."
            )
        self._tables["trends"].assign(np.asarray(trends, np.float32))

    def _newest(
        self, features: Features
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Newest items, their times, the time of the request, and all items' number."""
        history = self._known(features["history"])
        count = tf.math.count_nonzero(history, axis=1, dtype=tf.int32)
        start = tf.maximum(count - self.seq_len, 0)
        index = start[:, None] + tf.range(self.seq_len)
        inside = index < count[:, None]
        index = tf.where(inside, index, 0)
        history = tf.pad(history, [[0, 0], [0, 1]])  # a history may have no column
        newest = tf.where(inside, tf.gather(history, index, batch_dims=1), 0)
        times = tf.zeros_like(newest, tf.int64)
        if "history_timestamp" in features:
            given = tf.cast(features["history_timestamp"], tf.int64)
            given = tf.pad(given, [[0, 0], [0, 1]])
            times = tf.where(inside, tf.gather(given, index, batch_dims=1), 0)
        last = tf.reduce_max(times, axis=1)
        now = last
        if "timestamp" in features:
            now = tf.maximum(tf.cast(features["timestamp"], tf.int64), last)
        return newest, times, now, count

    def _of_candidates(
        self,
        items: tf.Tensor,
        scores: tf.Tensor,
        trends: tf.Tensor | None,
    ) -> tf.Tensor:
        missing = scores == -float("inf")
        rank = tf.cast(tf.range(1, tf.shape(items)[1] + 1), tf.float32)
        rank = tf.broadcast_to(rank, tf.shape(items))
        best = tf.reduce_max(scores, axis=1, keepdims=True)
        below = tf.where(missing, 0.0, scores - best)
        parts = [tf.stack([below, tf.math.log(rank), 1 / rank], axis=-1)]
        if "item_features" in self._tables:
            parts.append(tf.gather(self._tables["item_features"], items))
        if trends is None and "trends" in self._tables:
            trends = tf.gather(self._tables["trends"], items)
        if trends is not None:
            parts.append(tf.cast(trends, tf.float32))
        return tf.concat(parts, axis=-1)

    def _of_pairs(self, items: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
        table = self._tables["embeddings"]
        parts = [
            tf.matmul(
                tf.gather(table, items), tf.gather(table, history), transpose_b=True
            )
        ]
        for pairs in self._pairs.values():
            weight = pairs.weights(history, items)
            parts += [weight, tf.math.log(weight + SIMILARITY_FLOOR)]
        return tf.stack(parts, axis=-1)


class _PairTable(tf.Module):
    """Weights of pairs of items, looked up by binary search."""

    def __init__(self, name: str, matrix: scipy.sparse.csr_array) -> None:
        super().__init__(name=name)
        matrix = scipy.sparse.csr_array(matrix)
        matrix.sum_duplicates()  # sorts the columns of each row too
        row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        keys = row.astype(np.int64) * matrix.shape[1] + matrix.indices
        # A last key that no pair has: every search ends inside of the table.
        last = np.iinfo(np.int64).max
        self._keys = tf.Variable(np.append(keys, last), trainable=False, name="keys")
        self._values = tf.Variable(
            np.append(matrix.data, 0).astype(np.float32), trainable=False, name="values"
        )
        self._num_columns = matrix.shape[1]

    def weights(self, history: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Looks up `[batch, num_candidates, seq_len]` weights, 0 for other pairs."""
        history = tf.cast(history, tf.int64)[:, None, :]
        wanted = history * self._num_columns + tf.cast(items, tf.int64)[:, :, None]
        keys = self._keys.read_value()
        index = tf.searchsorted(keys, tf.reshape(wanted, [-1]))
        index = tf.reshape(index, tf.shape(wanted))
        found = tf.gather(keys, index) == wanted
        return tf.where(found, tf.gather(self._values, index), 0.0)


def _minutes(seconds: tf.Tensor) -> tf.Tensor:
    """Logarithms of 1 + minutes; what is after the other time counts as 0."""
    return tf.math.log1p(tf.cast(tf.maximum(seconds, 0), tf.float32) / MINUTE)


def _of_history(mask: tf.Tensor, times: tf.Tensor, now: tf.Tensor) -> tf.Tensor:
    """Features of the items of a history, `[batch, seq_len, 3]`."""
    count = tf.reduce_sum(tf.cast(mask, tf.float32), axis=1, keepdims=True)
    newer = count - 1 - tf.range(mask.shape[1], dtype=tf.float32)
    last = tf.reduce_max(times, axis=1, keepdims=True)
    parts = [
        tf.math.log1p(tf.maximum(newer, 0)),
        _minutes(now[:, None] - times),
        _minutes(last - times),
    ]
    return tf.where(mask[:, :, None], tf.stack(parts, axis=-1), 0.0)


def _of_request(
    mask: tf.Tensor, times: tf.Tensor, now: tf.Tensor, count: tf.Tensor
) -> tf.Tensor:
    """Features of a request, `[batch, 2]`."""
    gap = _minutes(now - tf.reduce_max(times, axis=1))
    gap = tf.where(tf.reduce_any(mask, axis=1), gap, 0.0)
    return tf.stack([gap, tf.math.log1p(tf.cast(count, tf.float32))], axis=-1)
