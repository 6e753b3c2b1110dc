"""Scores of all POIs for traces, for catalogues of any size."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.models.automtn.attention_predictor import AttentionPredictor
from tfrs_models.models.automtn.past_visits import VisitedPOIs
from tfrs_models.ops.ranks.scored_ranks import scores_in_blocks
from tfrs_models.ops.softmax.blocked_softmax import blocked_softmax_cross_entropy

_POIS = 1024  # scored at once, at most
_STEP_SCORES = 2**22  # scores of single steps in a block, which fit in the cache


class Traces(NamedTuple):
    """Encoded traces of a batch.

    Attributes:
      memory: `[batch, seq_len, embedding_dim]` vectors of the steps.
      visited: `[batch, seq_len]` indices of visited POIs, from 0.
      mask: `[batch, seq_len]` bool, False for padding.
      past: scores of the POIs that the users visited before; None to leave them out.
      request: `[batch, embedding_dim]` vectors of the requests, whose products with the
        POIs are added to the scores; None to leave them out.
    """

    memory: tf.Tensor
    visited: tf.Tensor
    mask: tf.Tensor
    past: VisitedPOIs | None = None
    request: tf.Tensor | None = None


class POIScores(NamedTuple):
    """Scores POIs by traces, without ever holding `[batch, seq_len, num_pois]`.

    Evaluation holds `[batch, seq_len, block]`, a block of POIs, the fewer the larger
    the batch. Training holds `[block, seq_len, num_pois]`, a block of rows, the fewer
    the more POIs, and one row at least: with 25 steps and a million POIs 100 MB, a few
    times over for the gradients.

    Attributes:
      predictor: layer that sums up the scores of the steps.
      table: `[num_pois, embedding_dim]` vectors of all POIs.
      closeness: function from visited POIs and some POIs (None for all) to `[batch,
        seq_len, num_candidates]`; None to leave distances out.
    """

    predictor: AttentionPredictor
    table: tf.Tensor
    closeness: Callable[..., tf.Tensor] | None

    def all(self, traces: Traces) -> tf.Tensor:
        """Computes `[batch, num_pois]` float32 scores, a block of POIs at a time.

        Args:
          traces: encoded traces of the batch.
        """
        log_sum = None
        if self.predictor.softmax == "candidates":
            log_sum = self._step_log_sum(traces)

        def score(pois: tf.Tensor) -> tf.Tensor:
            table = tf.gather(self.table, pois)
            scores = self.predictor.score(
                table,
                traces.memory,
                self.predictor.value,
                self.predictor.bias,
                closeness=self._near(traces.visited, pois),
                mask=traces.mask,
                log_sum=log_sum,
            )
            return _with_request(scores, table, traces.request)

        scores = scores_in_blocks(
            score, self.table.shape[0], block_size=_pois_at_once(traces)
        )
        if traces.past is not None:
            scores += traces.past.of_all(self.table.shape[0])
        return tf.ensure_shape(scores, [None, self.table.shape[0]])

    def cross_entropy(
        self, traces: Traces, positives: tf.Tensor, weight: tf.Tensor
    ) -> tf.Tensor:
        """Sums the cross-entropy among all POIs, a block of rows at a time.

        Args:
          traces: encoded traces of the batch.
          positives: `[batch]` int32 indices of the next POIs; rows below 0 have no
            loss.
          weight: `[batch]` weights of the rows.

        Returns:
          Scalar loss.
        """
        size, steps = self.table.shape[0], self.predictor.seq_len
        past, request = traces.past, traces.request

        def score(
            block: slice, rows: Sequence[tf.Tensor], shared: Sequence[tf.Tensor]
        ) -> tf.Tensor:
            table, value, bias = shared
            memory, *others = rows
            scores = self.predictor.score(
                table,
                memory,
                value,
                bias,
                closeness=self._near(traces.visited[block]),
                mask=traces.mask[block],
            )
            if past is not None:
                scores += VisitedPOIs(past.poi[block], others.pop(0)).of_all(size)
            return _with_request(scores, table, others.pop() if others else None)

        rows = [traces.memory, None if past is None else past.score, request]
        return blocked_softmax_cross_entropy(
            score,
            size,
            positives=tf.maximum(positives, 0),
            rows=[tf.cast(row, tf.float32) for row in rows if row is not None],
            shared=[
                tf.cast(self.table, tf.float32),
                tf.convert_to_tensor(self.predictor.value),
                tf.convert_to_tensor(self.predictor.bias),
            ],
            sample_weight=tf.where(positives >= 0, weight, 0.0),
            block_size=max(1, _STEP_SCORES // (size * steps)),
        )

    def _near(
        self, visited: tf.Tensor, pois: tf.Tensor | None = None
    ) -> tf.Tensor | None:
        return None if self.closeness is None else self.closeness(visited, pois)

    def _step_log_sum(self, traces: Traces) -> tf.Tensor:
        """Computes the `[batch, seq_len]` log-sum-exp of each step over all POIs."""
        size, block = self.table.shape[0], _pois_at_once(traces)

        def add(first: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pois = tf.range(first, tf.minimum(first + block, size))
            part = self.predictor.step_log_sum(
                tf.gather(self.table, pois),
                traces.memory,
                self._near(traces.visited, pois),
            )
            return first + block, tf.reduce_logsumexp(tf.stack([total, part]), axis=0)

        lowest = tf.fill(tf.shape(traces.mask), tf.float32.min)
        return tf.while_loop(
            lambda first, _: first < size, add, (0, lowest), parallel_iterations=1
        )[1]


def _with_request(
    scores: tf.Tensor, table: tf.Tensor, request: tf.Tensor | None
) -> tf.Tensor:
    """Adds the products of requests and POIs to the scores."""
    if request is None:
        return scores
    parts = (tf.cast(part, scores.dtype) for part in (request, table))
    return scores + tf.matmul(*parts, transpose_b=True)


def _pois_at_once(traces: Traces) -> tf.Tensor:
    """Returns the number of POIs of a block, the fewer the larger the batch."""
    steps = tf.maximum(tf.size(traces.mask), 1)
    return tf.clip_by_value(_STEP_SCORES // steps, 1, _POIS)


def summed_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, weight: tf.Tensor
) -> tf.Tensor:
    """Sums the cross-entropy of the labels over the rows.

    Args:
      logits: `[batch, num_classes]` logits.
      labels: `[batch]` int32 classes; rows below 0 have no loss.
      weight: `[batch]` weights of the rows.

    Returns:
      Scalar loss.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.maximum(labels, 0), logits
    )
    return tf.reduce_sum(tf.where(labels >= 0, weight, 0.0) * losses)


def check_closeness(closeness: object, num_pois: int) -> None:
    """Raises `ValueError` if a layer is no closeness of the POIs of a model.

    Args:
      closeness: layer of closeness; None to leave distances out.
      num_pois: number of POIs that the model scores.
    """
    if closeness is None:
        return
    is_layer = isinstance(closeness, tf.keras.layers.Layer)
    if not is_layer or not hasattr(closeness, "num_pois"):
        raise ValueError(
            "`closeness` must be a layer that has `num_pois`, such as "
            f"`models.automtn.POICloseness`. Got {type(closeness).__name__}."
        )
    if closeness.num_pois != num_pois:
        raise ValueError(
            f"`closeness` must be of the {num_pois} POIs of the model. Got "
            f"{closeness.num_pois}."
        )
