"""Early warnings of training runs that cannot succeed."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.model import Model
from tfrs_models.ops.features.checks import float_features
from tfrs_models.ops.ranks.scores import dot_scores

_LEAST_GAIN = 0.01  # over a constant scorer's loss
_FEW_ITEMS = 8  # a batch of fewer may well have one favourite
_ENOUGH_ROWS = 3000


class LearningWarning(UserWarning):
    """Warns that a training run shows no sign of learning."""


class LearningAlarms(tf.keras.callbacks.Callback):
    """Warns, once each, of four faults that make a training run useless.

    - An id feature has more unknown ids (index 0) than `max_unknown`; this is checked
      before the first step.
    - After an epoch, the loss of a few batches is less than 1% below that of the same
      batches with all scores at zero. Corrections and masks stay, so this is the loss
      of a model that gives all candidates the same score.
    - After an epoch, all queries prefer the same candidate of their batch.
    - The loss is not finite. `tfrs_models.Model` stops by itself and names the
      feature; for other models the callback names it, and stops the training.

    The second and third need a retrieval model: one with `task_inputs(features,
    training)` and a `task` like `tasks.Retrieval`. The callback changes no metric, no
    weight and no random state of the model.

    Example:
      >>> import warnings
      >>> data = tf.data.Dataset.from_tensors({"user_id": np.array([0, 0, 3])})
      >>> alarms = tm.training.LearningAlarms(data, max_unknown=0.5)
      >>> with warnings.catch_warnings(record=True) as found:
      ...     warnings.simplefilter("always")
      ...     alarms.on_train_begin()  # called by `fit(callbacks=[alarms])`
      >>> print(found[0].message)
      66.7% of the ids of `user_id` are unknown (index 0) in 1 training batches, ...
    """

    _supports_tf_logs = True  # reads the loss itself for models that do not check it

    def __init__(
        self,
        dataset: tf.data.Dataset,
        *,
        num_batches: int = 3,
        id_features: Sequence[str] = ("user_id", "item_id"),
        max_unknown: float = 0.1,
    ) -> None:
        """Initializes the callback.

        Args:
          dataset: shuffled batches of the training data. It must not be the dataset
            that is trained on: one that is shuffled at each reading would give the
            training another order.
          num_batches: number of batches to check; fewer if they have thousands of
            rows, so that an epoch does not wait for its alarms.
          id_features: names of integer features whose 0 is the unknown id; features
            that a batch does not have are left out.
          max_unknown: largest share of unknown ids in the batches without an alarm.
        """
        super().__init__()
        if not isinstance(dataset, tf.data.Dataset):
            raise ValueError(
                f"`dataset` must be a tf.data.Dataset. Got {type(dataset).__name__}."
            )
        if num_batches < 1:
            raise ValueError(f"`num_batches` must be at least 1. Got {num_batches}.")
        if isinstance(id_features, str):
            raise ValueError(
                f"`id_features` must be a sequence of names. Got {id_features!r}."
            )
        if not 0 <= max_unknown <= 1:
            raise ValueError(f"`max_unknown` must be in [0, 1]. Got {max_unknown}.")
        self.dataset = dataset
        self.num_batches = num_batches
        self.id_features = tuple(id_features)
        self.max_unknown = max_unknown
        self._batches = []
        self._raised = set()

    def on_train_begin(self, logs: dict | None = None) -> None:
        del logs
        if not self._batches:
            self._batches = _first_batches(self.dataset, self.num_batches)
        self._look_for_unknown_ids()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if isinstance(self.model, Model):
            return  # its step has raised an error before it changed a weight
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(np.asarray(loss)).all():
            self.model.stop_training = True
            self._raise_alarm(
                "not finite",
                f"The loss is not finite in batch {batch} of the epoch, and training "
                f"has stopped. {self._why_not_finite()}",
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        del logs
        if not hasattr(self.model, "task_inputs") or not hasattr(self.model, "task"):
            return
        if {"constant", "one favourite"} <= self._raised:
            return
        loss, constant, shared = 0.0, 0.0, []
        task_metrics = getattr(self.model.task, "reported_beside", [])
        with _silent([*self.model.metrics, *task_metrics]):
            for features in self._batches:
                inputs = self.model.task_inputs(features, training=False)
                zeros = tf.zeros_like(inputs["query_embeddings"])
                loss += self._loss(inputs)
                constant += self._loss(inputs | {"query_embeddings": zeros})
                shared.append(_share_a_favourite(inputs))
        if loss > (1 - _LEAST_GAIN) * constant:
            self._raise_alarm(
                "constant",
                f"After epoch {epoch + 1} the loss of {len(self._batches)} training "
                f"batches is {loss:.6g}, and {constant:.6g} with all scores at zero: "
                "the model does not tell candidates apart yet. Raise the learning "
                "rate, lower the temperature (0.1 to 0.2 for unit-length embeddings), "
                "and look whether ids and positives belong together.",
            )
        shared = [value for value in shared if value is not None]
        if shared and all(shared):
            self._raise_alarm(
                "one favourite",
                f"After epoch {epoch + 1} all queries of a batch prefer the same "
                "candidate: the query tower hardly depends on the user, or popular "
                "items win by the length of their vectors. Look at the query's "
                "features, use unit-length embeddings, and give the task sampling "
                "probabilities (logQ).",
            )

    def resume_state(self) -> dict:
        """Returns which alarms were raised, for a training that goes on later."""
        return {"raised": sorted(self._raised)}

    def restore_state(self, state: dict) -> None:
        """Takes the alarms of a training that goes on, which are not raised again.

        Args:
          state: result of `resume_state`.
        """
        self._raised |= set(state["raised"])

    def _loss(self, inputs: dict) -> float:
        loss = self.model.task(
            **inputs,
            compute_metrics=False,
            compute_batch_metrics=False,
            training=False,
        )
        return float(loss)

    def _look_for_unknown_ids(self) -> None:
        for name in self.id_features:
            columns = [
                _values(features[name])
                for features in self._batches
                if isinstance(features, dict) and name in features
            ]
            ids = np.concatenate([np.zeros(0, np.int64), *columns])
            share = np.mean(ids == 0) if ids.size else 0.0
            if share > self.max_unknown:
                self._raise_alarm(
                    f"unknown {name}",
                    f"{share:.1%} of the ids of `{name}` are unknown (index 0) in "
                    f"{len(self._batches)} training batches, more than the "
                    f"{self.max_unknown:.1%} of `max_unknown`: look whether the "
                    "vocabulary was made from this data, and with the same dtype and "
                    "spelling of the ids.",
                )

    def _why_not_finite(self) -> str:
        """Names the first feature of the data that is not finite."""
        dataset = self.dataset
        if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
            dataset = dataset.take((self.params or {}).get("steps") or 1000)
        for features in dataset:
            for name, values in float_features(features):
                wrong = tf.reduce_sum(tf.cast(~tf.math.is_finite(values), tf.int64))
                if wrong:
                    return (
                        f"Feature `{name}` is not finite ({int(wrong)} values in one "
                        "batch): clean or impute it before training."
                    )
        return (
            "Every feature of the data is finite: lower the learning rate, raise the "
            "temperature, or clip the gradients."
        )

    def _raise_alarm(self, alarm: str, message: str) -> None:
        if alarm not in self._raised:
            self._raised.add(alarm)
            warnings.warn(message, LearningWarning, stacklevel=2)


def _first_batches(dataset: tf.data.Dataset, num_batches: int) -> list:
    batches, rows = [], 0
    for features in dataset.take(num_batches):
        batches.append(features)
        rows += tf.nest.flatten(features)[0].shape[0] or 0
        if rows >= _ENOUGH_ROWS:
            break
    return batches


def _share_a_favourite(inputs: dict) -> bool | None:
    """Returns whether all queries score one candidate highest; None for few items."""
    queries = tf.cast(inputs["query_embeddings"], tf.float32)
    candidates = tf.cast(inputs["candidate_embeddings"], tf.float32)
    ids = inputs.get("candidate_ids")
    ids = np.arange(len(candidates)) if ids is None else np.asarray(ids).reshape(-1)
    if len(np.unique(ids[: len(queries)])) < _FEW_ITEMS:
        return None
    best = tf.argmax(dot_scores(queries, candidates), axis=1)
    return len(np.unique(ids[best.numpy()])) == 1


def _values(feature: tf.Tensor | tf.RaggedTensor) -> np.ndarray:
    """Returns the integers of a feature, `[n]`; none for another dtype."""
    values = feature.flat_values if isinstance(feature, tf.RaggedTensor) else feature
    if not values.dtype.is_integer:
        return np.zeros(0, np.int64)
    return values.numpy().reshape(-1).astype(np.int64)


@contextlib.contextmanager
def _silent(metrics: list[tf.keras.metrics.Metric]) -> Iterator[None]:
    """Makes metrics ignore their updates inside of the context.

    A task always updates the metrics of its loss, and in a strategy's scope outside of
    its replicas they cannot be updated at all.
    """
    updates = [metric.update_state for metric in metrics]
    for metric in metrics:
        metric.update_state = _ignore
    try:
        yield
    finally:
        for metric, update in zip(metrics, updates, strict=True):
            metric.update_state = update


def _ignore(*_, **__) -> None:
    pass
