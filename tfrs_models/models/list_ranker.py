"""A ranker of the whole list that retrieval hands over."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrs_models._keras import FromConfig, UnsavedMean, register
from tfrs_models.layers.attention.target_attention import TargetAttention
from tfrs_models.layers.standardize import Standardize
from tfrs_models.losses.listwise_softmax import listwise_softmax_loss
from tfrs_models.metrics.ranking import ndcg
from tfrs_models.model import Model, add_total
from tfrs_models.ops.features.read_features import required
from tfrs_models.ops.numbers import is_whole
from tfrs_models.types import Features

SCORE = "score"
_MISSING = -float("inf")


@register
class ListRanker(FromConfig, Model):
    """Puts the candidates of retrieval into a better order.

    The score of a candidate is a learned multiple of its retrieval score plus dense
    layers of its own features, what its target attention finds in the history, and the
    context of the request:

        scale * retrieval_score + MLP([candidate, attention, context])

    The last layer starts at zero, so an untrained model has retrieval's own order. Rows
    without a history keep that order. The loss is the listwise softmax over the lists
    that retrieval hands over (`models.CandidateFeatures` makes the features).

    Features: `retrieval_score` `[batch, num_candidates]`, `-inf` where there is no
    candidate; `candidate_features` `[batch, num_candidates, width]`; `pair_features`
    `[batch, num_candidates, seq_len, width]` of candidate and item of the history;
    `history_features` `[batch, seq_len, width]`; `history_mask` `[batch, seq_len]`
    bool; `context_features` `[batch, width]`; and for training `labels` `[batch,
    num_candidates]`, 1 for the item that came next.

    Example:
      >>> lists = {"retrieval_score": np.float32([[0.9, 0.5, 0.1]]),
      ...     "candidate_features": np.ones([1, 3, 4], "float32"),
      ...     "pair_features": np.ones([1, 3, 2, 2], "float32"),
      ...     "history_features": np.ones([1, 2, 1], "float32"),
      ...     "history_mask": np.array([[True, False]]),
      ...     "context_features": np.ones([1, 2], "float32")}
      >>> tm.models.ListRanker().rank(lists)["score"].numpy()  # before training
      array([[0.9, 0.5, 0.1]], dtype=float32)

    Reference:
      Zhou et al., Deep interest network for click-through rate prediction, KDD 2018
      (target attention); Covington et al., Deep neural networks for YouTube
      recommendations, RecSys 2016 (a ranker over what retrieval hands over).
    """

    nan_features = frozenset({"retrieval_score"})  # -inf is no candidate

    def __init__(
        self,
        *,
        num_heads: int = 4,
        attention_units: Sequence[int] = (16,),
        hidden_units: Sequence[int] = (32,),
        initial_scale: float = 1.0,
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          num_heads: number of weightings of the history.
          attention_units: widths of the ReLU layers of the attention's logits.
          hidden_units: widths of the ReLU layers before the score.
          initial_scale: factor of the retrieval score before training; the inverse of
            the temperature of the retrieval model makes logits of its scores.
          **kwargs: arguments of `tf.keras.Model`.
        """
        super().__init__(**kwargs)
        if not all(is_whole(width, 1) for width in hidden_units):
            raise ValueError(
                "`hidden_units` must be widths of at least 1. Got "
                f"{list(hidden_units)}."
            )
        if not initial_scale > 0:
            raise ValueError(f"`initial_scale` must be above 0. Got {initial_scale}.")
        self.num_heads = num_heads
        self.attention_units = tuple(attention_units)
        self.hidden_units = tuple(hidden_units)
        self.initial_scale = float(initial_scale)
        self.attention = TargetAttention(num_heads, hidden_units=self.attention_units)
        self.standardize = {
            name: Standardize(name=f"standardize_{name}")
            for name in ("candidate", "pair", "history", "context")
        }
        self._dense = [tf.keras.layers.Dense(w, "relu") for w in self.hidden_units]
        self._last = tf.keras.layers.Dense(
            1, use_bias=False, kernel_initializer="zeros", dtype="float32"
        )
        self.scale = self.add_weight(
            "scale",
            [],
            tf.float32,
            initializer=tf.keras.initializers.Constant(self.initial_scale),
        )
        self._loss_per_example = UnsavedMean("loss_per_example")
        self._ndcg = UnsavedMean("ndcg_at_10")

    def set_statistics(self, batches: tf.data.Dataset) -> None:
        """Reads mean and deviation of all features, which training divides by.

        Args:
          batches: batches of the training lists.
        """
        sums = dict.fromkeys(self.standardize, 0.0)
        squares, counts = dict(sums), dict(sums)
        for features in batches:
            present = np.isfinite(np.asarray(features["retrieval_score"]))
            mask = np.asarray(features["history_mask"])
            rows = {
                "candidate": np.asarray(features["candidate_features"])[present],
                "pair": np.asarray(features["pair_features"])[
                    present[:, :, None] & mask[:, None, :]
                ],
                "history": np.asarray(features["history_features"])[mask],
                "context": np.asarray(features["context_features"]),
            }
            for name, values in rows.items():
                values = values.astype(np.float64)
                sums[name] += values.sum(axis=0)
                squares[name] += (values**2).sum(axis=0)
                counts[name] += len(values)
        for name, layer in self.standardize.items():
            mean = sums[name] / max(counts[name], 1)
            variance = squares[name] / max(counts[name], 1) - mean**2
            deviation = np.sqrt(np.maximum(variance, 0))
            layer.set_statistics(mean, np.where(deviation > 1e-6, deviation, 0))

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the scores of all candidates.

        Args:
          features: features of the lists, as listed for the class.
          training: True in a training step, which is computed alike.

        Returns:
          `[batch, num_candidates]` float32, `-inf` where there is no candidate.

        Raises:
          ValueError: a feature is missing.
        """
        del training
        retrieval = tf.cast(required(features, "retrieval_score"), tf.float32)
        missing = retrieval == _MISSING
        mask = required(features, "history_mask")
        candidate, pair, history, context = (
            self.standardize[name](required(features, f"{name}_features"))
            for name in ("candidate", "pair", "history", "context")
        )
        shape = tf.shape(pair)
        history = tf.broadcast_to(
            history[:, None], [*tf.unstack(shape[:3]), history.shape[-1]]
        )
        found = self.attention(tf.concat([pair, history], axis=-1), mask)
        context = tf.broadcast_to(
            context[:, None], [shape[0], shape[1], context.shape[-1]]
        )
        inputs = tf.concat([candidate, found, context], axis=-1)
        hidden = [inputs]  # the last layer reads the inputs too
        for layer in self._dense:
            hidden.append(layer(hidden[-1]))
        read = tf.concat([inputs, *hidden[1:][-1:]], axis=-1)
        change = tf.squeeze(self._last(read), axis=-1)
        has_history = tf.reduce_any(mask, axis=1, keepdims=True)
        retrieval = tf.where(missing, 0.0, retrieval)
        score = tf.where(has_history, self.scale * retrieval + change, retrieval)
        return tf.where(missing, tf.constant(_MISSING), score)

    def rank(self, features: Features) -> dict[str, tf.Tensor]:
        """Computes the answer of a server.

        Args:
          features: features of the lists, as listed for the class, without labels.

        Returns:
          `score` `[batch, num_candidates]` float32.
        """
        return {SCORE: self(features)}

    def predict_step(self, features: Features) -> dict[str, tf.Tensor]:
        """Returns the outputs of `rank` for a batch of `predict`."""
        return self.rank(features)

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the sum of the listwise softmax losses of the lists.

        Evaluation also computes NDCG@10; a list without the next item counts 0 in both.

        Args:
          features: features and labels, as listed for the class.
          training: True in a training step.

        Returns:
          Scalar loss.
        """
        labels = tf.cast(required(features, "labels"), tf.float32)
        scores = self(features, training=training)
        present = tf.math.is_finite(scores)
        scores = tf.where(present, scores, 0.0)
        loss = tf.reduce_sum(listwise_softmax_loss(labels, scores, mask=present))
        add_total(self._loss_per_example, loss, tf.shape(labels)[0])
        if not training:
            self._ndcg.update_state(ndcg(labels, scores, k=10, mask=present))
        return loss

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        """Returns the model's metrics; without NDCG in training.

        Args:
          training: True in a training step.
        """
        return [m for m in self.metrics if not training or m is not self._ndcg]

    def get_config(self) -> dict:
        return {
            "num_heads": self.num_heads,
            "attention_units": list(self.attention_units),
            "hidden_units": list(self.hidden_units),
            "initial_scale": self.initial_scale,
            "name": self.name,
        }
