"""How UniSAR is trained and evaluated."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_models.metrics.macro_mean import MacroMean
from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.model import Model
from tfrs_models.models.unisar_network import (
    SEARCH,
    TASKS,
    UniSARNetwork,
    UserState,
    no_rows,
)
from tfrs_models.models.unisar_objective import TERMS, UniSARObjective
from tfrs_models.ops.rank_metrics import ndcg
from tfrs_models.ops.scored_ranks import ranks_of_columns
from tfrs_models.ops.weight_decay import add_l2
from tfrs_models.types import Features

METRICS = tuple(f"{m}_at_{k}" for m in ("hit_rate", "ndcg") for k in (1, 5, 10, 20, 50))
MONITOR = "ndcg_at_5"
_SPARED = ("bias", "beta")  # of the decay, in the original too
_SPARED_BY_US = (*_SPARED, "gamma", "temperature")


class UniSARTraining(Model):
    """Both services' losses, metrics and decay.

    Evaluation reports hit rates and NDCG of each service, ties by their expectation,
    and `ndcg_at_5`, the mean over both, by which to choose a model.

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
        self({task: no_rows() for task in TASKS})

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """The loss of both services; of one alone in evaluation where one is missing.

        Args:
          features: See the class. Without `"random"`, as in evaluation, the contrast of
            queries and items is left out; a service may have no rows.
          training: Whether to drop.

        Returns:
          Scalar loss, without the decay.
        """
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
            terms = self.objective(
                state, logits, items > 0, negatives, training=training
            )
            rows = tf.cast(tf.shape(logits)[0], tf.float32)
            for term, loss in terms.items():
                mean = self._means[f"{task}_{term}_loss"]
                mean.update_state(loss, sample_weight=rows)
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
        """Moves the variables; the decay is part of their gradients.

        On several replicas each adds its share of it, which for the rows of a table is
        a share for each replica that has the row.
        """
        l2, unused_rows = self._options["l2"], self._options["decay_unused_rows"]
        context = tf.distribute.get_replica_context()
        l2 /= 1 if context is None else context.num_replicas_in_sync
        spared = _SPARED if unused_rows else _SPARED_BY_US
        gradients = [
            gradient
            if gradient is None or variable.name.split("/")[-1].startswith(spared)
            else add_l2(gradient, variable, l2=l2, unused_rows=unused_rows)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        super().apply_gradients(gradients, variables)

    def evaluate(self, *args, **kwargs) -> object:
        """As `tf.keras.Model.evaluate`; all items are encoded once, before it.

        That takes `num_items` vectors of memory. On several replicas, each batch
        encodes its own.

        Args:
          *args: Of `tf.keras.Model.evaluate`.
          **kwargs: Of `tf.keras.Model.evaluate`.
        """
        if self.distribute_strategy.num_replicas_in_sync > 1:
            return super().evaluate(*args, **kwargs)
        kept = self.network.kept_items
        kept.fill()
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            kept.forget()

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        ranked = {f"{task}/{metric}" for task in TASKS for metric in METRICS}
        ranked.add(MONITOR)
        return [m for m in self.metrics if not training or m.name not in ranked]

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
