"""The task of several binary labels of one row."""

import math
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import register
from tfrs_models.metrics.calibration import ExpectedCalibrationError
from tfrs_models.ops.weights import weights_of_rows

UNOBSERVED = -1
_THRESHOLDS = 10_000  # of the AUC
_LARGEST_LOGIT = 1e4


@register
class MultiTask(tf.keras.layers.Layer, tfrs.tasks.Task):
    """Sums the binary cross-entropies of all observed labels.

    A label that was not observed (-1 or NaN) costs nothing and counts in no metric.
    Tasks weigh alike, as given, or as learned: with `"uncertainty"` each task has a
    variance `exp(s_t)`, and an observed label costs `exp(-s_t) * loss + s_t / 2`.
    Each task reports its AUC, log loss and calibration error; the AUC of labels that
    are all alike is NaN, and a model warns of them.

    Example:
      >>> task = tm.tasks.MultiTask(["click", "purchase"], task_weights=[1.0, 2.0])
      >>> labels = [[1.0, 0.0], [0.0, -1.0]]  # -1: not observed
      >>> loss = task(labels, np.zeros([2, 2]))
      >>> round(float(loss), 3)  # (1 + 2 + 1) log(2)
      2.773

    Reference:
      Kendall et al., Multi-task learning using uncertainty to weigh losses, CVPR 2018.
    """

    def __init__(
        self,
        tasks: int | Sequence[str],
        *,
        task_weights: Sequence[float] | Mapping[str, float] | str | None = None,
        **kwargs,
    ) -> None:
        """Initializes the task.

        Args:
          tasks: names in the order of the labels, or their number: `task_0`, `task_1`,
            ...
          task_weights: weights of the losses, in the order of `tasks` or by name; 1
            each where None, learned where `"uncertainty"`.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False  # the loss is float32
        if isinstance(tasks, int):
            tasks = [f"task_{index}" for index in range(tasks)]
        self.task_names = tuple(tasks)
        if not self.task_names or len(set(self.task_names)) < len(self.task_names):
            raise ValueError(
                "`tasks` must be at least one name, each once. Got "
                f"{list(self.task_names)}."
            )
        self.task_weights = task_weights
        self._fixed = self._log_variance = None
        if isinstance(task_weights, str) and task_weights == "uncertainty":
            self._log_variance = self.add_weight(
                "log_variance",
                (self.num_tasks,),
                initializer="zeros",
                experimental_autocast=False,
            )
        elif task_weights is not None:
            self._fixed = self.per_task("task_weights", task_weights)
            if min(self._fixed) < 0:
                raise ValueError(
                    f"`task_weights` must not be negative. Got {task_weights}."
                )
        self._metrics_by_task = [_figures(name) for name in self.task_names]

    @property
    def num_tasks(self) -> int:
        """The number of labels of a row."""
        return len(self.task_names)

    def per_task(
        self, argument: str, values: Sequence[float] | Mapping[str, float]
    ) -> tuple[float, ...]:
        """Returns one number for each task, in their order.

        Args:
          argument: name of the argument in the message.
          values: numbers in the order of the tasks, or by name.

        Raises:
          ValueError: a task is unknown or missing, or the number of values is wrong.
        """
        if isinstance(values, Mapping):
            if set(values) != set(self.task_names):
                raise ValueError(
                    f"`{argument}` must name each of the tasks {list(self.task_names)} "
                    f"and no other. Got {sorted(values)}."
                )
            values = [values[name] for name in self.task_names]
        if isinstance(values, str) or len(values) != self.num_tasks:
            raise ValueError(
                f"`{argument}` must have one value for each of the {self.num_tasks} "
                f"tasks. Got {values!r}."
            )
        values = tuple(map(float, values))
        if not all(map(math.isfinite, values)):
            raise ValueError(f"`{argument}` must be finite. Got {values}.")
        return values

    def predictions(self, logits: tf.Tensor) -> tf.Tensor:
        """Computes probabilities from logits: float32 of their shape."""
        return tf.sigmoid(tf.cast(logits, tf.float32))

    def call(
        self,
        labels: tf.Tensor,
        logits: tf.Tensor,
        *,
        sample_weight: tf.Tensor | None = None,
        compute_metrics: bool = True,
    ) -> tf.Tensor:
        """Computes the loss of a batch and updates the metrics.

        Args:
          labels: `[batch, num_tasks]` in {0, 1}, -1 or NaN where not observed.
          logits: `[batch, num_tasks]` predictions.
          sample_weight: `[batch]` weights of the rows in loss and metrics.
          compute_metrics: True to update the metrics.

        Returns:
          Scalar float32: the sum over rows and tasks; a task without an observed label
          adds 0.

        Raises:
          ValueError: shapes that do not fit.
          InvalidArgumentError: a label is neither 0 nor 1 nor unobserved.
        """
        logits = tf.cast(logits, tf.float32)
        labels, observed = self._checked(labels, logits)
        weight = tf.cast(observed, tf.float32)
        if sample_weight is not None:
            weights = weights_of_rows(sample_weight, tf.shape(labels)[0])
            weight *= weights[:, None]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        if compute_metrics:
            self._update_metrics(labels, logits, losses, weight)
        totals = tf.reduce_sum(weight * losses, axis=0)  # [num_tasks]
        if self._fixed is not None:
            totals *= tf.constant(self._fixed)
        if self._log_variance is not None:
            s = tf.convert_to_tensor(self._log_variance)
            totals = tf.exp(-s) * totals + s / 2 * tf.reduce_sum(weight, axis=0)
        return tf.reduce_sum(totals)

    def weights_by_task(self) -> dict[str, float]:
        """Returns the weight of each task: as given, or `exp(-s_t)` as learned."""
        weights = self._fixed or [1.0] * self.num_tasks
        if self._log_variance is not None:
            weights = tf.exp(-self._log_variance).numpy().tolist()
        return dict(zip(self.task_names, weights, strict=True))

    def _checked(
        self, labels: tf.Tensor, logits: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns labels in {0, 1}, 0 where not observed, and the mask of observed."""
        labels = tf.cast(labels, tf.float32)
        for name, values in (("labels", labels), ("logits", logits)):
            if values.shape.rank != 2 or values.shape[1] != self.num_tasks:
                raise ValueError(
                    f"`{name}` must be [batch, {self.num_tasks}], one column for each "
                    f"of the tasks {list(self.task_names)}. Got shape {values.shape}."
                )
        observed = ~tf.math.is_nan(labels) & (labels != UNOBSERVED)
        labels = tf.where(observed, labels, 0.0)
        checks = [
            tf.debugging.Assert(
                tf.reduce_all((column == 0) | (column == 1)),
                [
                    f"`labels` of task `{name}` must be 0 or 1, or -1 or NaN where "
                    "not observed. Got:",
                    tf.boolean_mask(column, (column != 0) & (column != 1)),
                ],
                summarize=5,
            )
            for name, column in zip(
                self.task_names, tf.unstack(labels, axis=1), strict=True
            )
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.identity(labels), observed

    def _update_metrics(
        self, labels: tf.Tensor, logits: tf.Tensor, losses: tf.Tensor, weight: tf.Tensor
    ) -> None:
        probabilities = self.predictions(logits)
        # The AUC depends on order only: spread out, rare events differ in it.
        spread = tf.asinh(logits) / (2 * math.asinh(_LARGEST_LOGIT)) + 0.5
        spread = tf.clip_by_value(spread, 0, 1)
        for task, (auc, log_loss, calibration) in enumerate(self._metrics_by_task):
            own = weight[:, task]
            auc.update_state(labels[:, task], spread[:, task], own)
            log_loss.update_state(losses[:, task], own)
            calibration.update_state(labels[:, task], probabilities[:, task], own)

    def get_config(self) -> dict:
        return super().get_config() | {
            "tasks": list(self.task_names),
            "task_weights": self.task_weights,
        }


@register
class _AUC(tf.keras.metrics.AUC):
    """The AUC of Keras, but NaN, as it is undefined, if one class is missing."""

    def result(self) -> tf.Tensor:
        has_both = tf.reduce_all(tf.stack(self._classes()) > 0)
        return tf.where(has_both, super().result(), math.nan)

    def warning(self) -> str | None:
        """Returns a warning about the labels to readers of the figure, or None."""
        negative, positive = (float(weight) for weight in self._classes())
        if (negative > 0) == (positive > 0):
            return None
        return (
            f"`{self.name}` is NaN: all labels are {0 if negative else 1} (of a weight "
            f"of {negative or positive:g}). A label of -1 is one that was not "
            "observed, costs nothing and counts nowhere: where it is meant as a "
            "negative, make it 0."
        )

    def _classes(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the weights of the negatives and of the positives so far."""
        return (
            self.false_positives[0] + self.true_negatives[0],
            self.true_positives[0] + self.false_negatives[0],
        )


def _figures(task: str) -> tuple[tf.keras.metrics.Metric, ...]:
    """Makes the metrics of a task; in float32 under every policy."""
    return (
        _AUC(_THRESHOLDS, name=f"{task}/auc", dtype="float32"),
        tf.keras.metrics.Mean(f"{task}/log_loss", dtype="float32"),
        ExpectedCalibrationError(name=f"{task}/calibration_error", dtype="float32"),
    )
