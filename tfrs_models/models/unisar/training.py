"""Training and evaluation of UniSAR."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.model import Model, add_total
from tfrs_models.models.unisar.example import (
    RECOMMENDATION,
    SEARCH,
    TASKS,
    no_rows,
)
from tfrs_models.models.unisar.network import UniSARNetwork
from tfrs_models.models.unisar.objective import TERMS, UniSARObjective
from tfrs_models.ops.features.read_features import check_named
from tfrs_models.ops.ranks.rank_metrics import ndcg
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns
from tfrs_models.ops.replicas import gather_rows, num_replicas
from tfrs_models.types import Features

METRICS = tuple(f"{m}_at_{k}" for m in ("hit_rate", "ndcg") for k in (1, 5, 10, 20, 50))
MONITOR = "ndcg_at_5"
_NOT_DECAYED = {"bias:0", "beta:0"}  # in the original too
_NOT_DECAYED_BY_US = _NOT_DECAYED | {"gamma:0", "temperature:0"}
Gradient = tf.Tensor | tf.IndexedSlices


class UniSARTraining(Model):
    """Trains and evaluates both services of `models.UniSAR`.

    Evaluation reports hit rates and NDCG of each service, ties by their expectation,
    and `ndcg_at_5`, the mean over both, by which to choose a model. Each term of the
    loss is reported as the mean over its service's rows, and `loss_per_example` weights
    these as the loss does; `loss` is a mean over steps, in some of which a service may
    have no rows.

    Attributes:
      network: the layers that are trained.
    """

    network: UniSARNetwork
    _options: Mapping[str, object]

    def _prepare_training(self) -> None:
        """Makes losses, metrics and all variables, whose sizes are known."""
        self.objective = UniSARObjective(self._options, name="objective")
        self.ranked = {task: RankMetrics(METRICS, name=task) for task in TASKS}
        self._means = {
            name: tf.keras.metrics.Mean(name)
            for task in TASKS
            for name in (f"{task}_{term}_loss" for term in TERMS)
        }
        self._monitor = MacroMean(len(TASKS), name=MONITOR)
        self._per_example = _LossPerExample(self._loss_per_example)
        self({task: no_rows() for task in TASKS})

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the loss of both services; evaluation may lack one of them.

        Args:
          features: features by name, as in `models.UniSAR`. Without `"random"`, as in
            evaluation, the contrast of queries and items is left out; a service may
            have no rows.
          training: whether dropout is active.

        Returns:
          Scalar loss, without the decay.

        Raises:
          ValueError: an example is missing.
          InvalidArgumentError: a positive is padding, or a feature is out of range.
        """
        check_named(features)
        for name in (*TASKS, "random") if training else ():
            if name not in features:
                raise ValueError(
                    f"Feature `{name}` is missing. Got {sorted(features)}."
                )
        negatives, total = None, tf.zeros([])
        if "random" in features:
            vectors = self.network.encode_random(features["random"])
            negatives = tuple(gather_rows(rows) for rows in vectors)
        for task in self._tasks(features):
            state, items, logits = self.network.run(
                features[task], task, training, positive_first=True
            )
            terms, all_rows = self.objective(
                state, logits, items > 0, negatives, training=training
            )
            weight = self._options["search_weight"] if task == SEARCH else 1.0
            total += weight * self.objective.weighted(terms)
            rows = tf.cast(tf.shape(logits)[0], tf.float32)
            for term, share in terms.items():  # of the mean over all replicas' rows
                mean = self._means[f"{task}_{term}_loss"]
                add_total(mean, share * all_rows, rows)
            if not training:
                scores = tf.where(items > 0, logits, logits.dtype.min)
                ranks = ranks_of_columns(scores, tf.zeros_like(items[:, 0]))
                self.ranked[task].update_state(ranks)
                gains = ndcg(ranks.above, ranks.tied, k=5)
                self._monitor.update_state(gains, TASKS.index(task))
        return total

    def apply_gradients(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        """Updates the variables by gradients to which the decay is added.

        Args:
          gradients: gradients of the loss, one for each variable.
          variables: variables of the model.
        """
        unused_rows = self._options["decay_unused_rows"]
        kept_out = _NOT_DECAYED if unused_rows else _NOT_DECAYED_BY_US
        is_decayed = [
            gradient is not None and variable.name.split("/")[-1] not in kept_out
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        options = {
            "l2": self._options["l2"],
            "unused_rows": unused_rows,
            "replicas": num_replicas(),
        }
        gradients = [
            add_l2(gradient, variable, **options) if decayed else gradient
            for gradient, variable, decayed in zip(
                gradients, variables, is_decayed, strict=True
            )
        ]
        super().apply_gradients(gradients, variables)

    def evaluate(self, *args, **kwargs) -> object:
        """Evaluates as `tf.keras.Model.evaluate`; the first step encodes all items.

        That takes `num_items` vectors of memory. On several replicas, each batch
        encodes its own items.

        Args:
          *args: arguments of `tf.keras.Model.evaluate`.
          **kwargs: arguments of `tf.keras.Model.evaluate`.
        """
        if self.distribute_strategy.num_replicas_in_sync > 1:
            return super().evaluate(*args, **kwargs)
        with self.network.item_vectors.stored():
            return super().evaluate(*args, **kwargs)

    def make_test_function(self, force: bool = False) -> Callable:
        """Makes Keras's function of an evaluation step, in which items are looked up.

        Args:
          force: whether to make another function if there is one.
        """
        if self.test_function is None or force:
            step = super().make_test_function(force)

            def on_stored_items(iterator: Iterator) -> dict[str, tf.Tensor]:
                with self.network.item_vectors.looked_up():
                    return step(iterator)

            self.test_function = on_stored_items
        return self.test_function

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        left_out = {f"{task}/{metric}" for task in TASKS for metric in METRICS}
        left_out.add(MONITOR)
        if not training:
            left_out = {f"{task}_pair_loss" for task in TASKS}  # needs `"random"`
        return [metric for metric in self.metrics if metric.name not in left_out]

    def _loss_per_example(self) -> tf.Tensor:
        terms = {
            task: {term: self._means[f"{task}_{term}_loss"].result() for term in TERMS}
            for task in TASKS
        }
        losses = {task: self.objective.weighted(terms[task]) for task in TASKS}
        return losses[RECOMMENDATION] + self._options["search_weight"] * losses[SEARCH]

    def _tasks(self, features: Features) -> list[str]:
        """Returns the services that have an example."""
        if tasks := [task for task in TASKS if task in features]:
            return tasks
        raise ValueError(
            f"Features must hold an example for one of {list(TASKS)} or for both. Got "
            f"{sorted(features)}."
        )


class _LossPerExample(tf.keras.metrics.Metric):
    """Computes a number from other metrics.

    As a metric it is one number for all replicas; Keras adds up plain numbers.
    """

    def __init__(self, compute: Callable[[], tf.Tensor]) -> None:
        """Initializes the metric.

        Args:
          compute: function that computes a scalar from the other metrics.
        """
        super().__init__("loss_per_example")
        self._compute = compute

    def update_state(self) -> None:
        """Does nothing: the other metrics hold the state."""

    def result(self) -> tf.Tensor:
        return self._compute()


@register
class MacroMean(tf.keras.metrics.Metric):
    """Computes the mean over groups of the means of their rows.

    One number for a model of several services, one of which has ten times the rows of
    the other.
    """

    def __init__(self, num_groups: int, name: str = "macro_mean", **kwargs) -> None:
        """Initializes the metric.

        Args:
          num_groups: number of groups; those without a row are left out.
          name: name of the metric in logs.
          **kwargs: arguments of `tf.keras.metrics.Metric`.
        """
        super().__init__(name=name, **kwargs)
        if num_groups < 1:
            raise ValueError(f"`num_groups` must be at least 1. Got {num_groups}.")
        self.num_groups = num_groups
        self._totals, self._counts = (
            self.add_weight(kind, (num_groups,), initializer="zeros")
            for kind in ("totals", "counts")
        )

    def update_state(self, values: tf.Tensor, group: int) -> tf.Operation:
        """Adds rows of a group.

        Args:
          values: `[batch]` values of the rows.
          group: number of the group, from 0 on.
        """
        values = tf.cast(values, self._totals.dtype)
        is_group = tf.one_hot(group, self.num_groups, dtype=values.dtype)
        count = tf.cast(tf.size(values), values.dtype)
        return tf.group(
            self._totals.assign_add(is_group * tf.reduce_sum(values)),
            self._counts.assign_add(is_group * count),
        )

    def result(self) -> tf.Tensor:
        """Returns the mean so far; 0 without a row."""
        means = tf.math.divide_no_nan(self._totals, self._counts)
        num_groups = tf.math.count_nonzero(self._counts, dtype=means.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(means), num_groups)

    def reset_state(self) -> None:
        """Forgets all rows."""
        for variable in self.variables:  # Keras resets scalars only
            variable.assign(tf.zeros_like(variable))

    def get_config(self) -> dict:
        return super().get_config() | {"num_groups": self.num_groups}


def add_l2(
    gradient: Gradient,
    variable: tf.Variable,
    *,
    l2: float,
    unused_rows: bool,
    replicas: int,
) -> Gradient:
    """Adds the gradient of `l2 / 2 * |w|^2` to a gradient.

    Optimizers sum the gradients of replicas, so each adds a share of the decay: for a
    row of a table one of as many as have the row, else one of all.

    Args:
      gradient: gradient, dense or of some rows of a table.
      variable: variable `w`.
      l2: rate of the decay, at least 0.
      unused_rows: whether rows of a table without a gradient decay too: the result is
        dense then. Otherwise it stays sparse and has each row once.
      replicas: number of replicas.
    """
    if isinstance(gradient, tf.IndexedSlices):
        if not unused_rows:
            rows, positions = tf.unique(gradient.indices)
            total = tf.math.unsorted_segment_sum(
                gradient.values, positions, num_segments=tf.size(rows)
            )
            decay = l2 * tf.cast(tf.gather(variable, rows), total.dtype)
            if replicas > 1:
                shares = tf.cast(_replicas_with(rows), total.dtype)
                decay /= tf.reshape(shares, [-1] + [1] * (total.shape.rank - 1))
            return tf.IndexedSlices(total + decay, rows, gradient.dense_shape)
        gradient = tf.convert_to_tensor(gradient)
    return gradient + l2 / replicas * tf.cast(variable, gradient.dtype)


def _replicas_with(rows: tf.Tensor) -> tf.Tensor:
    """Counts the replicas that have each of the rows; no replica has a row twice."""
    everywhere = gather_rows(rows)
    counts = tf.unique_with_counts(tf.concat([rows, everywhere], axis=0)).count
    return counts[: tf.size(rows)] - 1  # the first are this replica's rows
