"""Scores of all places by traces, for catalogues of any size."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.models.automtn.attention_predictor import AttentionPredictor
from tfrs_models.ops.ranks.scored_ranks import scores_in_blocks
from tfrs_models.ops.softmax.blocked_softmax import blocked_softmax_cross_entropy

_PLACES = 1024  # scored at once, at most
_STEP_SCORES = 2**22  # scores of single steps in a block: what fits the cache is faster


class Traces(NamedTuple):
    """What is scored.

    Attributes:
      memory: `[batch, seq_len, embedding_dim]`, what each step says.
      visited: `[batch, seq_len]` places from 0.
      mask: `[batch, seq_len]` bool, False for padding.
    """

    memory: tf.Tensor
    visited: tf.Tensor
    mask: tf.Tensor


class PlaceScores(NamedTuple):
    """How traces score places; `[batch, seq_len, num_places]` is never held.

    Evaluation holds `[batch, seq_len, block]`, a block of places, the fewer the larger
    the batch. Training holds `[block, seq_len, num_places]`, a block of rows, the fewer
    the more places, and one row at least: of 25 steps and a million places 100 MB, a
    few times over for the gradients.

    Attributes:
      predictor: Sums up the steps.
      table: `[num_places, embedding_dim]`.
      closeness: From visited places and some places, or None for all, to `[batch,
        seq_len, num_candidates]`; None where distances do not count.
    """

    predictor: AttentionPredictor
    table: tf.Tensor
    closeness: Callable[..., tf.Tensor] | None

    def all(self, traces: Traces) -> tf.Tensor:
        """`[batch, num_places]` float32 scores, a block of places at a time."""
        mass = None
        if self.predictor.softmax == "candidates":
            mass = self._step_mass(traces)

        def score(places: tf.Tensor) -> tf.Tensor:
            return self.predictor.score(
                tf.gather(self.table, places),
                traces.memory,
                self.predictor.value,
                self.predictor.bias,
                closeness=self._near(traces.visited, places),
                mask=traces.mask,
                log_mass=mass,
            )

        scores = scores_in_blocks(
            score, self.table.shape[0], block_size=_places_at_once(traces)
        )
        return tf.ensure_shape(scores, [None, self.table.shape[0]])

    def cross_entropy(
        self, traces: Traces, positives: tf.Tensor, weight: tf.Tensor
    ) -> tf.Tensor:
        """Summed cross-entropy among all places, a block of rows at a time.

        Args:
          traces: `[batch]` of them.
          positives: `[batch]` int32 places from 0; below 0 counts nothing.
          weight: `[batch]`.

        Returns:
          Scalar.
        """

        def score(
            place: slice, rows: Sequence[tf.Tensor], shared: Sequence[tf.Tensor]
        ) -> tf.Tensor:
            table, value, bias = shared
            return self.predictor.score(
                table,
                *rows,
                value,
                bias,
                closeness=self._near(traces.visited[place]),
                mask=traces.mask[place],
            )

        size, steps = self.table.shape[0], self.predictor.seq_len
        return blocked_softmax_cross_entropy(
            score,
            size,
            positives=tf.maximum(positives, 0),
            rows=[tf.cast(traces.memory, tf.float32)],
            shared=[
                tf.cast(self.table, tf.float32),
                tf.convert_to_tensor(self.predictor.value),
                tf.convert_to_tensor(self.predictor.bias),
            ],
            sample_weight=tf.where(positives >= 0, weight, 0.0),
            block_size=max(1, _STEP_SCORES // (size * steps)),
        )

    def _near(
        self, visited: tf.Tensor, places: tf.Tensor | None = None
    ) -> tf.Tensor | None:
        return None if self.closeness is None else self.closeness(visited, places)

    def _step_mass(self, traces: Traces) -> tf.Tensor:
        """`[batch, seq_len]`, the log-sum-exp of each step's scores of all places."""
        size, block = self.table.shape[0], _places_at_once(traces)

        def add(first: tf.Tensor, mass: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            places = tf.range(first, tf.minimum(first + block, size))
            part = self.predictor.step_mass(
                tf.gather(self.table, places),
                traces.memory,
                self._near(traces.visited, places),
            )
            return first + block, tf.reduce_logsumexp(tf.stack([mass, part]), axis=0)

        lowest = tf.fill(tf.shape(traces.mask), tf.float32.min)
        return tf.while_loop(
            lambda first, _: first < size, add, (0, lowest), parallel_iterations=1
        )[1]


def _places_at_once(traces: Traces) -> tf.Tensor:
    """Places of a block, so that a larger batch does not hold more."""
    steps = tf.maximum(tf.size(traces.mask), 1)
    return tf.clip_by_value(_STEP_SCORES // steps, 1, _PLACES)


def summed_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, weight: tf.Tensor
) -> tf.Tensor:
    """The sum over rows of what their logits make of their labels.

    Args:
      logits: `[batch, num_classes]`.
      labels: `[batch]` int32; below 0 counts nothing.
      weight: `[batch]`.

    Returns:
      Scalar.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.maximum(labels, 0), logits
    )
    return tf.reduce_sum(tf.where(labels >= 0, weight, 0.0) * losses)


def check_closeness(closeness: object, num_places: int) -> None:
    """Raises a `ValueError` for what is no closeness of so many places.

    Args:
      closeness: Of a model; None for none.
      num_places: That the model scores.
    """
    if closeness is None:
        return
    is_layer = isinstance(closeness, tf.keras.layers.Layer)
    if not is_layer or not hasattr(closeness, "num_places"):
        raise ValueError(
            "`closeness` must be a layer that has `num_places`, such as "
            f"`models.automtn.POICloseness`. Got {type(closeness).__name__}."
        )
    if closeness.num_places != num_places:
        raise ValueError(
            f"`closeness` must be of the {num_places} places of the model. Got "
            f"{closeness.num_places}."
        )
