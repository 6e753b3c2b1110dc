"""The retrieval task: a softmax over sampled candidates, and corpus metrics."""

import functools
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig, register
from tfrs_models.layers.negatives import (
    HardNegativeMining,
    SamplingProbabilityCorrection,
)
from tfrs_models.metrics.factorized_top_k import FactorizedTopK
from tfrs_models.ops.cross_entropy import softmax_cross_entropy
from tfrs_models.ops.masks import (
    known_positives_mask,
    positive_columns,
    same_item_mask,
)
from tfrs_models.ops.scores import dot_scores
from tfrs_models.tasks.checks import candidate_column, check_embeddings
from tfrs_models.types import Tensor

_Metrics = Sequence[tfrs.metrics.Factorized] | tfrs.metrics.Factorized | None


@register
class Retrieval(FromConfig, tf.keras.layers.Layer, tfrs.tasks.Task):
    """Tells each query's positive from the other candidates of the batch.

    A drop-in for `tfrs.tasks.Retrieval` with the same defaults and the same numbers,
    for embeddings of any float dtype; logits and loss are float32.
    """

    def __init__(
        self,
        loss: tf.keras.losses.Loss | None = None,
        metrics: _Metrics = None,
        batch_metrics: Sequence[tf.keras.metrics.Metric] | None = None,
        loss_metrics: Sequence[tf.keras.metrics.Metric] | None = None,
        temperature: float | None = None,
        num_hard_negatives: int | None = None,
        remove_accidental_hits: bool = False,
        name: str | None = None,
        *,
        correction: str | None = "logq",
        probability_floor: float | None = None,
        **kwargs,
    ) -> None:
        """Initializes the task.

        Args:
          loss: Of one-hot labels and logits `[batch, num_candidates]`; the summed
            categorical cross-entropy where None.
          metrics: One or several metrics over the whole corpus.
          batch_metrics: Keras metrics of labels and logits of the batch.
          loss_metrics: Keras metrics of the loss.
          temperature: Divides the scores; below 1 it sharpens the softmax.
          num_hard_negatives: How many of the negatives with the largest logits enter
            the loss; all where None or not positive.
          remove_accidental_hits: Whether candidates with the positive's id are left out
            of its negatives; needs `candidate_ids`.
          name: Of the task.
          correction: `"logq"` subtracts the log of the candidates' sampling
            probabilities from their logits where those are given; None ignores them.
          probability_floor: Raises smaller probabilities to this value (`1e-6` gives
            upstream's numbers); where None, a probability outside (0, 1] is an error.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(name=name, **kwargs)
        is_number = not isinstance(temperature, (tf.Tensor, tf.Variable))
        if temperature is not None and is_number and not temperature > 0:
            raise ValueError(f"`temperature` must be above 0. Got {temperature}.")
        if correction not in (None, "logq"):
            raise ValueError(
                f"`correction` must be None or 'logq'. Got {correction!r}."
            )
        self._autocast = False
        self._loss = loss
        self._factorized_metrics = _as_list(metrics)
        self._batch_metrics = list(batch_metrics or [])
        self._loss_metrics = list(loss_metrics or [])
        self.temperature = temperature
        self.num_hard_negatives = num_hard_negatives
        self.remove_accidental_hits = remove_accidental_hits
        self.correction = correction
        self.probability_floor = probability_floor
        self._correct = SamplingProbabilityCorrection(
            probability_floor=probability_floor
        )
        self._mine = (
            HardNegativeMining(num_hard_negatives)
            if num_hard_negatives and num_hard_negatives > 0
            else None
        )

    @property
    def factorized_metrics(self) -> list[tfrs.metrics.Factorized]:
        """The metrics over the whole corpus."""
        return self._factorized_metrics

    @factorized_metrics.setter
    def factorized_metrics(self, value: _Metrics) -> None:
        self._factorized_metrics = _as_list(value)

    def call(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        candidate_sampling_probability: tf.Tensor | None = None,
        candidate_ids: tf.Tensor | None = None,
        compute_metrics: bool = True,
        compute_batch_metrics: bool = True,
        score_mask: tf.Tensor | None = None,
        *,
        known_positives: Tensor | None = None,
        query_ids: tf.Tensor | None = None,
        metric_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the loss and updates the metrics.

        Args:
          query_embeddings: `[batch, embedding_dim]`, or `[batch, num_heads,
            embedding_dim]`, which scores by the best head.
          candidate_embeddings: `[num_candidates, embedding_dim]` with `num_candidates
            >= batch`: row `i` is the positive of query `i`, rows from `batch` on are
            further negatives for all queries.
          sample_weight: `[batch]` weights of the loss, and of the metrics unless
            `metric_weight` is given.
          candidate_sampling_probability: `[num_candidates]`, the chance that one draw
            of a candidate is this item.
          candidate_ids: `[num_candidates]`; corpus metrics go by id where given.
          compute_metrics: Whether to update the corpus metrics; False trains faster.
          compute_batch_metrics: Whether to update the batch metrics.
          score_mask: `[batch, num_candidates]` bool, False where a candidate is no
            negative of the query. The positive always counts.
          known_positives: `[batch, None]` ids that the user of each row already has,
            ragged or dense: never negatives, and not ranked against in the corpus
            metrics. Needs `candidate_ids`.
          query_ids: `[batch]` ids for metrics that exclude candidates by a table.
          metric_weight: `[batch]` weights of the metrics.

        Returns:
          Scalar loss.

        Raises:
          ValueError: ids are needed and missing, or shapes do not match.
          InvalidArgumentError: a sampling probability is not in (0, 1].
        """
        queries = tf.cast(query_embeddings, tf.float32)
        candidates = tf.cast(candidate_embeddings, tf.float32)
        check_embeddings(queries, candidates)
        if candidate_ids is not None:
            candidate_ids = candidate_column("candidate_ids", candidate_ids, candidates)
        if candidate_sampling_probability is not None:
            candidate_sampling_probability = candidate_column(
                "candidate_sampling_probability",
                candidate_sampling_probability,
                candidates,
            )
        if candidate_ids is None and (
            self.remove_accidental_hits or known_positives is not None
        ):
            raise ValueError(
                "`candidate_ids` must be given to remove accidental hits or known "
                "positives. Got None."
            )
        if known_positives is not None and not isinstance(
            known_positives, tf.RaggedTensor
        ):
            known_positives = tf.RaggedTensor.from_tensor(known_positives)
        logits = dot_scores(queries, candidates)
        if self.temperature is not None:
            logits /= self.temperature
        if candidate_sampling_probability is not None and self.correction == "logq":
            logits = self._correct(
                logits, candidate_sampling_probability, candidate_ids
            )
        masked = self._masked(logits, candidate_ids, score_mask, known_positives)
        if masked is not None:
            logits = tf.where(masked, logits.dtype.min, logits)
        labels = tf.eye(tf.shape(logits)[0], tf.shape(logits)[1])
        positives = tf.range(tf.shape(logits)[0])
        if self._mine is not None:
            logits, labels = self._mine(logits, labels)
            positives = positive_columns(labels)
        if self._loss is None:
            losses = softmax_cross_entropy(logits, positives)
            if sample_weight is not None:
                losses *= tf.reshape(tf.cast(sample_weight, losses.dtype), [-1])
            loss = tf.reduce_sum(losses)
        else:
            loss = self._loss(labels, logits, sample_weight=sample_weight)
        if metric_weight is None:
            metric_weight = sample_weight
        updates = [metric.update_state(loss) for metric in self._loss_metrics]
        if compute_metrics and (queries.shape.rank == 2 or candidate_ids is not None):
            updates += self._update_corpus_metrics(
                queries,
                candidates,
                candidate_ids,
                sample_weight=metric_weight,
                exclude=known_positives,
                query_ids=query_ids,
            )
        if compute_batch_metrics:
            updates += [
                metric.update_state(labels, logits, sample_weight=metric_weight)
                for metric in self._batch_metrics
            ]
        with tf.control_dependencies(
            [update for update in updates if update is not None]
        ):
            return tf.identity(loss)

    def _masked(
        self,
        logits: tf.Tensor,
        candidate_ids: tf.Tensor | None,
        score_mask: tf.Tensor | None,
        known_positives: tf.RaggedTensor | None,
    ) -> tf.Tensor | None:
        """`[batch, num_candidates]`, True where a candidate is no negative."""
        batch = tf.shape(logits)[0]
        masks = []
        if self.remove_accidental_hits:
            masks.append(same_item_mask(candidate_ids[:batch], candidate_ids))
        if score_mask is not None:
            masks.append(~score_mask)
        if known_positives is not None:
            masks.append(known_positives_mask(candidate_ids, known_positives))
        if not masks:
            return None
        masked = functools.reduce(tf.logical_or, masks)
        return tf.linalg.set_diag(masked, tf.zeros([batch], tf.bool))  # the positives

    def _update_corpus_metrics(
        self,
        queries: tf.Tensor,
        candidates: tf.Tensor,
        candidate_ids: tf.Tensor | None,
        **arguments: Tensor | None,
    ) -> list[tf.Operation]:
        batch = tf.shape(queries)[0]
        given = {name: value for name, value in arguments.items() if value is not None}
        if candidate_ids is not None:
            given["true_candidate_ids"] = candidate_ids[:batch]
        for metric in self._factorized_metrics:
            if {"exclude", "query_ids"} & given.keys() and not isinstance(
                metric, FactorizedTopK
            ):
                raise ValueError(
                    "Known positives can only be left out by "
                    "`tfrs_models.metrics.FactorizedTopK`. Got a metric of "
                    f"{type(metric)}."
                )
        return [
            metric.update_state(queries, candidates[:batch], **given)
            for metric in self._factorized_metrics
        ]

    def get_config(self) -> dict:
        serialize = tf.keras.utils.serialize_keras_object
        temperature = self.temperature
        if temperature is not None:
            temperature = float(tf.convert_to_tensor(temperature))
        return super().get_config() | {
            "loss": None if self._loss is None else serialize(self._loss),
            "batch_metrics": [serialize(metric) for metric in self._batch_metrics],
            "loss_metrics": [serialize(metric) for metric in self._loss_metrics],
            "temperature": temperature,
            "num_hard_negatives": self.num_hard_negatives,
            "remove_accidental_hits": self.remove_accidental_hits,
            "correction": self.correction,
            "probability_floor": self.probability_floor,
        }


def _as_list(metrics: _Metrics) -> list[tfrs.metrics.Factorized]:
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, Sequence) else [metrics]
