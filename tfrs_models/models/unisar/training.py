"""How UniSAR is trained and evaluated."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf

from tfrs_models.metrics.macro_mean import MacroMean
from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.model import Model, add_total
from tfrs_models.models.unisar.example import with_positive
from tfrs_models.models.unisar.network import (
    RECOMMENDATION,
    SEARCH,
    TASKS,
    UniSARNetwork,
    UserState,
    no_rows,
)
from tfrs_models.models.unisar.objective import TERMS, UniSARObjective
from tfrs_models.models.unisar.weight_decay import add_l2
from tfrs_models.ops.features.read_features import check_named
from tfrs_models.ops.ranks.rank_metrics import ndcg
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns
from tfrs_models.ops.replicas import sum_over_replicas
from tfrs_models.types import Features

METRICS = tuple(f"{m}_at_{k}" for m in ("hit_rate", "ndcg") for k in (1, 5, 10, 20, 50))
MONITOR = "ndcg_at_5"
_SPARED = {"bias:0", "beta:0"}  # of the decay, in the original too
_SPARED_BY_US = _SPARED | {"gamma:0", "temperature:0"}


class _LossPerExample(tf.keras.metrics.Metric):
    """A number that follows from other metrics.

    As a metric it is one number for all replicas; Keras adds up what each returns.
    """

    def __init__(self, compute: Callable[[], tf.Tensor]) -> None:
        """Initializes the metric.

        Args:
          compute: From the other metrics to a scalar.
        """
        super().__init__("loss_per_example")
        self._compute = compute

    def update_state(self) -> None:
        """Does nothing: the other metrics hold the state."""

    def result(self) -> tf.Tensor:
        return self._compute()


class UniSARTraining(Model):
    """Both services' losses, metrics and decay.

    Evaluation reports hit rates and NDCG of each service, ties by their expectation,
    and `ndcg_at_5`, the mean over both, by which to choose a model. Each term of the
    loss is reported as the mean over its service's rows, and `loss_per_example` weighs
    these as the loss does; `loss` is a mean over steps, in some of which a service may
    have no rows.

    Attributes:
      network: What is trained.
    """

    network: UniSARNetwork
    _options: Mapping[str, object]

    def _prepare_training(self) -> None:
        """Makes losses, metrics and all variables: their sizes are known."""
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
        """The loss of both services; of one alone in evaluation where one is missing.

        Args:
          features: See the class. Without `"random"`, as in evaluation, the contrast of
            queries and items is left out; a service may have no rows.
          training: Whether to drop.

        Returns:
          Scalar loss, without the decay.

        Raises:
          ValueError: an example is missing.
          InvalidArgumentError: a positive is padding, or see `models.UniSAR.call`.
        """
        check_named(features)
        for name in (*TASKS, "random") if training else ():
            if name not in features:
                raise ValueError(
                    f"Feature `{name}` is missing. Got {sorted(features)}."
                )
        negatives, total = None, tf.zeros([])
        if "random" in features:
            negatives = self.network.drawn(features["random"])
        for task in self._tasks(features):
            state, items, logits = self._score(features[task], task, training)
            items = with_positive(items)
            terms = self.objective(
                state, logits, items > 0, negatives, training=training
            )
            rows = tf.cast(tf.shape(logits)[0], tf.float32)
            for term, share in terms.items():  # of the mean over all replicas' rows
                cost = share * sum_over_replicas(rows)
                add_total(self._means[f"{task}_{term}_loss"], cost, rows)
            weight = self._options["search_weight"] if task == SEARCH else 1.0
            total += weight * self.objective.weighed(terms)
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
        """Moves the variables; the decay is part of their gradients."""
        l2, unused_rows = self._options["l2"], self._options["decay_unused_rows"]
        spared = _SPARED if unused_rows else _SPARED_BY_US
        gradients = [
            gradient
            if gradient is None or variable.name.split("/")[-1] in spared
            else add_l2(gradient, variable, l2=l2, unused_rows=unused_rows)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        super().apply_gradients(gradients, variables)

    def evaluate(self, *args, **kwargs) -> object:
        """As `tf.keras.Model.evaluate`; its first step encodes all items, once.

        That takes `num_items` vectors of memory. On several replicas, each batch
        encodes its own.

        Args:
          *args: Of `tf.keras.Model.evaluate`.
          **kwargs: Of `tf.keras.Model.evaluate`.
        """
        if self.distribute_strategy.num_replicas_in_sync > 1:
            return super().evaluate(*args, **kwargs)
        with self.network.kept_items.kept():
            return super().evaluate(*args, **kwargs)

    def make_test_function(self, force: bool = False) -> Callable:
        """As Keras's; what it traces looks items up.

        Args:
          force: Whether to make another one.
        """
        if self.test_function is None or force:
            step = super().make_test_function(force)

            def on_kept_items(iterator: Iterator) -> dict[str, tf.Tensor]:
                with self.network.kept_items.looked_up():
                    return step(iterator)

            self.test_function = on_kept_items
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
        losses = {task: self.objective.weighed(terms[task]) for task in TASKS}
        return losses[RECOMMENDATION] + self._options["search_weight"] * losses[SEARCH]

    def _tasks(self, features: Features) -> list[str]:
        """Services that have an example."""
        if tasks := [task for task in TASKS if task in features]:
            return tasks
        raise ValueError(
            f"Features must hold an example for one of {list(TASKS)} or for both. Got "
            f"{sorted(features)}."
        )

    def _score(
        self, features: Features, task: str, training: bool
    ) -> tuple[UserState, tf.Tensor, tf.Tensor]:
        """The rows' state, their candidates, and the logits of those."""
        state = self.network.encode(features, task, training)
        items, candidates = self.network.candidates(features)
        return state, items, self.network.score(state, candidates, task, training)
