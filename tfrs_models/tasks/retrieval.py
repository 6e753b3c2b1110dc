"""The retrieval task: a softmax over sampled candidates, and corpus metrics."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import FromConfig, UnsavedSum, register
from tfrs_models.layers.negatives import CandidateQueue, HardNegativeMining
from tfrs_models.losses.sampled_cross_entropy import sampled_softmax
from tfrs_models.metrics.factorized_top_k import FactorizedTopK
from tfrs_models.ops.features.probabilities import ProbabilityFloor
from tfrs_models.ops.weights import checked_weights
from tfrs_models.tasks import score_matrix as sources
from tfrs_models.tasks.checks import (
    candidate_column,
    check_embeddings,
    check_given,
    check_options,
    sampling_probability,
)
from tfrs_models.types import Tensor

Metrics = Sequence[tfrs.metrics.Factorized] | tfrs.metrics.Factorized | None


def _alias(name: str) -> property:
    return property(
        lambda self: getattr(self, name), lambda self, value: setattr(self, name, value)
    )


class UpstreamNames:
    """The attributes that subclasses of upstream's retrieval task read and assign."""

    _temperature = _alias("temperature")
    _num_hard_negatives = _alias("num_hard_negatives")
    _remove_accidental_hits = _alias("remove_accidental_hits")

    def _take_loss(self, loss: tf.keras.losses.Loss | None) -> None:
        self._default_loss = tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction=tf.keras.losses.Reduction.SUM
        )
        self._loss = self._default_loss if loss is None else loss

    def _count_queries_without_negatives(self) -> None:
        self.queries_without_negatives = UnsavedSum("queries_without_negatives")
        # Reported by our models, after what upstream's task reports.
        self._metrics.remove(self.queries_without_negatives)

    @property
    def reported_beside(self) -> list[tf.keras.metrics.Metric]:
        """The metrics that `tfrs_models.Model` reports and upstream's does not."""
        return [self.queries_without_negatives]

    @property
    def has_loss(self) -> bool:
        """True if a loss of labels and logits replaces the default."""
        return self._loss is not self._default_loss

    @property
    def factorized_metrics(self) -> list[tfrs.metrics.Factorized]:
        """The metrics over the whole corpus."""
        return self._factorized_metrics

    @factorized_metrics.setter
    def factorized_metrics(self, value: Metrics) -> None:
        self._factorized_metrics = as_list(value)


@register
class Retrieval(UpstreamNames, FromConfig, tf.keras.layers.Layer, tfrs.tasks.Task):
    """Separates each query's positive from the other candidates by a softmax.

    A drop-in for `tfrs.tasks.Retrieval` with the same defaults and the same numbers,
    for embeddings of any float dtype; logits and loss are float32. The default loss is
    `losses.sampled_softmax`, which never holds the scores of a whole batch.

    Example:
      >>> task = tm.tasks.Retrieval(temperature=0.5, remove_accidental_hits=True)
      >>> queries = candidates = tf.eye(3)  # row i of both belong together
      >>> loss = task(queries, candidates, candidate_ids=tf.constant([7, 7, 9]))
      >>> float(loss)  # the first two items are the same one
      0.4934...
    """

    def __init__(
        self,
        loss: tf.keras.losses.Loss | None = None,
        metrics: Metrics = None,
        batch_metrics: Sequence[tf.keras.metrics.Metric] | None = None,
        loss_metrics: Sequence[tf.keras.metrics.Metric] | None = None,
        temperature: float | None = None,
        num_hard_negatives: int | None = None,
        remove_accidental_hits: bool = False,
        name: str | None = None,
        *,
        correction: str | None = "logq",
        probability_floor: float | None = None,
        block_size: int | str = "auto",
        gather_candidates: bool = False,
        num_items: int | None = None,
        queue: CandidateQueue | None = None,
        **kwargs,
    ) -> None:
        """Initializes the task.

        Args:
          loss: loss of one-hot labels and logits `[batch, num_candidates]`, which are
            then held in memory; the summed categorical cross-entropy where None.
          metrics: one or several metrics over the whole corpus.
          batch_metrics: Keras metrics of labels and logits of the batch.
          loss_metrics: Keras metrics of the loss.
          temperature: divisor of the scores.
          num_hard_negatives: number of negatives, those with the largest corrected
            scores, that enter the loss; all where None or not positive.
          remove_accidental_hits: True if candidates with the positive's id are no
            negatives; needs `candidate_ids`.
          name: name of the layer.
          correction: use of sampling probabilities where they are given: `"logq"`
            subtracts the log of the expected number of copies from all logits,
            `"corrected_logq"` from those of the negatives only, None ignores them.
          probability_floor: lower bound to which smaller probabilities are raised
            (`1e-6` gives upstream's numbers); where None, 0 counts as 1e-6 with a
            warning, and a probability outside [0, 1] is an error.
          block_size: number of queries whose scores are held at a time; `"auto"`: as
            many as take 256 MB.
          gather_candidates: True if every replica of a `tf.distribute` strategy
            compares with the candidates of all replicas.
          num_items: size of the catalogue from which the candidates beyond the
            positives are drawn uniformly (`data.mixed_negatives`); where None they are
            drawn like the positives.
          queue: candidates of earlier batches, additional negatives in training.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(name=name, **kwargs)
        check_options(
            temperature=temperature,
            correction=correction,
            block_size=block_size,
            num_items=num_items,
            num_hard_negatives=num_hard_negatives,
            remove_accidental_hits=remove_accidental_hits,
            gather_candidates=gather_candidates,
            loss=loss,
        )
        self._autocast = False
        self._floor = ProbabilityFloor(probability_floor)
        self._take_loss(loss)
        self.factorized_metrics = metrics
        self._batch_metrics = list(batch_metrics or [])
        self._loss_metrics = list(loss_metrics or [])
        self.temperature = temperature
        self.num_hard_negatives = num_hard_negatives
        self.remove_accidental_hits = remove_accidental_hits
        self.correction = correction
        self.probability_floor = probability_floor
        self.block_size = block_size
        self.gather_candidates = gather_candidates
        self.num_items = num_items
        self.queue = queue
        self._mine = HardNegativeMining(1)  # as many as the task has when it is called
        self._count_queries_without_negatives()

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
        positive_ids: Tensor | None = None,
        positive_columns: tf.Tensor | None = None,
        negative_embeddings: tf.Tensor | None = None,
        negative_mask: tf.Tensor | None = None,
        query_ids: tf.Tensor | None = None,
        metric_weight: tf.Tensor | None = None,
        score_offsets: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        """Computes the loss and updates the metrics.

        Args:
          query_embeddings: `[batch, embedding_dim]`, or `[batch, num_heads,
            embedding_dim]`, which scores by the best head.
          candidate_embeddings: `[num_candidates, embedding_dim]`: row `i < batch` is
            the positive of query `i`, rows from `batch` on are additional negatives.
          sample_weight: `[batch]` weights of the loss, and of the metrics unless
            `metric_weight` is given.
          candidate_sampling_probability: `[num_candidates]`, the chance that one draw
            from the training rows is this item.
          candidate_ids: `[num_candidates]`; corpus metrics go by id where given.
          compute_metrics: True to update the corpus metrics; False trains faster.
          compute_batch_metrics: True to update the batch metrics.
          score_mask: `[batch, num_candidates]` bool, False where a candidate is no
            negative of the query. The positive always counts.
          known_positives: `[batch, None]` ids that the user of each row already has,
            ragged or dense: never negatives, and excluded in the corpus metrics, where
            a positive among them is hidden (see `FactorizedTopK`). Needs
            `candidate_ids`.
          positive_ids: `[batch, None]` ids that are positives of the row as well, where
            the candidates hold them: the loss is the mean over all of them. Needs
            `candidate_ids`.
          positive_columns: `[batch]` int32 rows of the candidates, which are then a
            corpus that all queries share and not a sample: the full softmax.
          negative_embeddings: `[batch, n, embedding_dim]` negatives of each query
            alone, such as impressions without a click. Not corrected, never mined away.
          negative_mask: `[batch, n]` bool, False for padding of the negatives.
          query_ids: `[batch]` ids for metrics that exclude candidates by a table.
          metric_weight: `[batch]` weights of the metrics.
          score_offsets: `[batch, num_candidates]` part of the scores that is no dot
            product, such as that of trends, added before the temperature divides. The
            logits of the batch are then held in memory, and metrics over the corpus,
            which know dot products only, are refused.
          training: False where no gradient will be taken, which is faster; the queue is
            then neither read nor filled.

        Returns:
          Scalar loss.

        Raises:
          ValueError: an argument that another one needs is missing, two arguments have
            no meaning together, or shapes do not match.
          InvalidArgumentError: a sampling probability is not in [0, 1], or a weight is
            negative or not finite.
        """
        queries = tf.cast(query_embeddings, tf.float32)
        candidates = tf.cast(candidate_embeddings, tf.float32)
        check_embeddings(queries, candidates, is_corpus=positive_columns is not None)
        check_given(
            self,
            {
                "candidate_ids": candidate_ids,
                "candidate_sampling_probability": candidate_sampling_probability,
                "known_positives": known_positives,
                "positive_ids": positive_ids,
                "positive_columns": positive_columns,
                "negative_embeddings": negative_embeddings,
                "score_offsets": score_offsets,
            },
        )
        is_dense = self.has_loss or score_offsets is not None
        if score_offsets is not None:
            if compute_metrics and self._factorized_metrics:
                raise ValueError(
                    "`score_offsets` cannot be used with metrics over the corpus, "
                    "which know dot products only: leave `metrics` out of the task "
                    "and rank with `metrics.rank_with_trends`."
                )
            scale = 1.0 if self.temperature is None else 1.0 / self.temperature
            score_offsets = tf.cast(score_offsets, tf.float32) * scale
        if candidate_ids is not None:
            candidate_ids = candidate_column("candidate_ids", candidate_ids, candidates)
        probability = None
        if self.correction is not None:
            probability = sampling_probability(
                candidate_sampling_probability,
                candidates,
                floor=self._floor,
                candidate_ids=candidate_ids,
            )
        known = sources.keys_of(known_positives, candidate_ids)
        additional = sources.keys_of(positive_ids, candidate_ids)
        batch = tf.shape(queries)[0]
        own = sources.of_batch(candidates, candidate_ids, probability, batch)
        own_columns = tf.range(batch) if positive_columns is None else positive_columns
        columns = sources.gathered(own) if self.gather_candidates else own
        queue = None if training is False else self.queue
        if queue is not None:
            columns = sources.with_queue(columns, queue)
        scores = sources.Scores(
            queries if self.temperature is None else queries / self.temperature,
            columns,
            columns.first + own_columns,
            masks=sources.masks(columns, score_mask, known),
            expected_counts=sources.expected_counts(columns, self.num_items),
            remove_accidental_hits=self.remove_accidental_hits,
        )
        num_hard = max(self.num_hard_negatives or 0, 0) or None
        if not is_dense:
            loss, without_negatives = sampled_softmax(
                scores.queries,
                columns.embeddings,
                positive_columns=scores.positive_columns,
                expected_counts=scores.expected_counts,
                correction=self.correction,
                candidate_ids=columns.ids if self.remove_accidental_hits else None,
                mask_block=scores.masks,
                positives_block=sources.masks(columns, None, additional),
                num_hard_negatives=num_hard,
                negatives=negative_embeddings,
                negatives_mask=negative_mask,
                sample_weight=sample_weight,
                block_size=self.block_size,
                training=training is not False,
            )
            self.queries_without_negatives.update_state(without_negatives)
        batch_metrics = self._batch_metrics if compute_batch_metrics else []
        if is_dense or batch_metrics:
            logits, labels = sources.dense_logits(scores, score_offsets)
            if num_hard is not None:
                self._mine.num_hard_negatives = num_hard
                logits, labels = self._mine(logits, labels)
        if is_dense:
            loss = sources.loss_of_logits(
                self._loss, labels, logits, sample_weight, scores
            )
        if queue is not None:
            sources.enqueue(own, queue, after=loss)
        metric_weight = checked_weights(metric_weight, "metric_weight")
        if metric_weight is None:
            metric_weight = sample_weight
        updates = [metric.update_state(loss) for metric in self._loss_metrics]
        if compute_metrics and (queries.shape.rank == 2 or candidate_ids is not None):
            updates += update_corpus_metrics(
                self._factorized_metrics,
                queries,
                tf.gather(candidates, own_columns),
                None if own.ids is None else tf.gather(candidate_ids, own_columns),
                sample_weight=metric_weight,
                exclude=known_positives,
                query_ids=query_ids,
            )
        updates += [
            metric.update_state(labels, logits, sample_weight=metric_weight)
            for metric in batch_metrics
        ]
        with tf.control_dependencies([u for u in updates if u is not None]):
            return tf.identity(loss)

    def get_config(self) -> dict:
        serialize = tf.keras.utils.serialize_keras_object
        learnt = isinstance(self.temperature, (tf.Tensor, tf.Variable))
        return super().get_config() | {
            "loss": serialize(self._loss) if self.has_loss else None,
            "batch_metrics": [serialize(metric) for metric in self._batch_metrics],
            "loss_metrics": [serialize(metric) for metric in self._loss_metrics],
            "temperature": float(self.temperature) if learnt else self.temperature,
            "num_hard_negatives": self.num_hard_negatives,
            "remove_accidental_hits": self.remove_accidental_hits,
            "correction": self.correction,
            "probability_floor": self.probability_floor,
            "block_size": self.block_size,
            "gather_candidates": self.gather_candidates,
            "num_items": self.num_items,
            "queue": None if self.queue is None else serialize(self.queue),
        }


def as_list(
    metrics: Sequence[tfrs.metrics.Factorized] | tfrs.metrics.Factorized | None,
) -> list[tfrs.metrics.Factorized]:
    """Returns one metric, several or none as a list."""
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, Sequence) else [metrics]


def update_corpus_metrics(
    metrics: Sequence[tfrs.metrics.Factorized],
    queries: tf.Tensor,
    positives: tf.Tensor,
    positive_ids: tf.Tensor | None,
    **arguments: Tensor | None,
) -> list[tf.Operation]:
    """Updates metrics over the whole corpus, upstream's or ours, with a batch.

    Args:
      metrics: metrics to update.
      queries: `[batch, embedding_dim]`, or `[batch, num_heads, embedding_dim]`.
      positives: `[batch, embedding_dim]` embeddings.
      positive_ids: `[batch]` ids, or None.
      **arguments: arguments of `update_state`; None where not given.

    Returns:
      The updates of the metrics.

    Raises:
      ValueError: candidates are to be excluded and a metric cannot do that.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if positive_ids is not None:
        given["true_candidate_ids"] = positive_ids
    if "exclude" in given and not isinstance(given["exclude"], tf.RaggedTensor):
        given["exclude"] = tf.RaggedTensor.from_tensor(given["exclude"])
    for metric in metrics:
        if {"exclude", "query_ids"} & given.keys() and not isinstance(
            metric, FactorizedTopK
        ):
            raise ValueError(
                "Known positives can only be left out by "
                "`tfrs_models.metrics.FactorizedTopK`. Got a metric of "
                f"{type(metric)}."
            )
    return [metric.update_state(queries, positives, **given) for metric in metrics]
