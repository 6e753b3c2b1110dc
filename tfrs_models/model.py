"""The training and evaluation step of all models."""

from tfrs_models import _keras  # noqa: F401  isort: skip  `tf.keras` must be Keras 2

import warnings
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._first_step import with_variables_first
from tfrs_models._fit_checks import (
    checked_arguments,
    correct_directions,
    warn_of_ignored,
    without_tuple,
)
from tfrs_models._keras import (
    EpochOrders,
    EvaluationWithoutXla,
    Unsaved,
    UnsavedMean,
    UpstreamsOrder,
    describe,
    drawing_orders,
    no_rows,
    one_call,
)
from tfrs_models._keras_3 import refuse_keras_3
from tfrs_models.ops.features.checks import check_features
from tfrs_models.ops.replicas import num_replicas, share_of_rows
from tfrs_models.types import Features


class Model(EpochOrders, UpstreamsOrder, EvaluationWithoutXla, tfrs.Model):
    """A `tfrs.Model` whose reported losses are means over the epoch.

    A subclass implements `compute_loss(features, training)`, as for `tfrs.Model`. In
    addition, the step scales the loss under mixed precision, and stops before it
    changes a weight if a feature or the loss is not finite, with a message that names
    the feature.

    Batches are dicts of features, with labels and weights (`sample_weight`) among them.
    `compile(loss=, metrics=)` has no effect and warns. Callbacks that would minimise a
    metric such as an NDCG, as Keras's `EarlyStopping` does, maximise it and warn;
    `training.StopOnMetric` takes the right direction by itself.

    Attributes:
      nan_features: names of features in which NaN is allowed and has a meaning.

    Example:
      >>> class Popularity(tm.Model):
      ...     def __init__(self):
      ...         super().__init__()
      ...         self.rate = tf.Variable(0.5)
      ...     def compute_loss(self, features, training=False):
      ...         return tf.reduce_mean((features["clicked"] - self.rate) ** 2)
      >>> float(Popularity().test_step({"clicked": tf.constant([0.0, 1.0])})["loss"])
      0.25
    """

    nan_features: frozenset[str] = frozenset()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # Towers cast where they can afford to: a timestamp does not survive float16.
        self._autocast = False
        self._has_run = False  # whether a loss was computed: all weights exist
        self._seen = {}
        self._warned = set()
        self._loss_mean = UnsavedMean("loss")
        self._penalty_mean = UnsavedMean("regularization_loss")
        self._total_mean = UnsavedMean("total_loss")

    def __setattr__(self, name: str, value: object) -> None:
        if not isinstance(value, (bool, int, float, str)):  # as Keras sets in a step
            refuse_keras_3(f"`{type(self).__name__}`", **{name: value})
        super().__setattr__(name, value)
        if isinstance(value, Unsaved):  # Keras takes metrics of models for weights
            self._self_tracked_trackables.remove(value)
        if name == "nan_features":  # traced functions hold the old value
            self.train_function = self.test_function = None

    def compile(self, *args, **kwargs) -> None:
        """Prepares training as in Keras, and warns of losses and metrics it ignores.

        Args:
          *args: arguments of `tf.keras.Model.compile`.
          **kwargs: arguments of `tf.keras.Model.compile`.

        Raises:
          TypeError: an optimizer is one of Keras 3.
        """
        refuse_keras_3("`compile`", optimizer=(args, kwargs))
        warn_of_ignored(super().compile, args, kwargs)
        super().compile(*args, **kwargs)

    def fit(self, *args, **kwargs) -> tf.keras.callbacks.History:
        """Trains as in Keras, and refuses weights that it would drop.

        A callback that would minimise a metric of which more is better, as Keras's
        `mode="auto"` does with an NDCG, is set to maximise it, with a warning.

        Args:
          *args: arguments of `tf.keras.Model.fit`.
          **kwargs: arguments of `tf.keras.Model.fit`.

        Returns:
          The metrics of each epoch.

        Raises:
          ValueError: there are weights or validation tuples beside features, or the
            model cannot read the batches.
          TypeError: a callback, or a layer of the model, is one of Keras 3.
        """
        given = checked_arguments(super().fit, args, kwargs)
        refuse_keras_3("`fit`", callbacks=given.get("callbacks"))
        correct_directions(given.get("callbacks"))
        self._draw_orders = drawing_orders(given.get("x"), given.get("steps_per_epoch"))
        history = super().fit(*args, **kwargs)
        self._warn_of_figures()
        return history

    def make_train_function(self, force: bool = False) -> Callable:
        """Makes Keras's training function; its first call makes all variables.

        Args:
          force: whether to make another function if there is one.

        Returns:
          The function that trains on a batch of an iterator.
        """
        if self.train_function is None or force:
            step = super().make_train_function(force)
            in_graph = not (self.run_eagerly or self._cluster_coordinator)
            # A step of a subclass may have other variables than those of the loss.
            if in_graph and type(self).train_step is Model.train_step:
                self.train_function = with_variables_first(self, step)
        return self.train_function

    def evaluate(self, *args, **kwargs) -> object:
        """Evaluates as in Keras, and refuses weights that it would drop.

        Args:
          *args: arguments of `tf.keras.Model.evaluate`.
          **kwargs: arguments of `tf.keras.Model.evaluate`.

        Returns:
          The metrics, as a list or by name.

        Raises:
          ValueError: there are weights or validation tuples beside features, or the
            model cannot read the batches.
        """
        checked_arguments(super().evaluate, args, kwargs)
        found = super().evaluate(*args, **kwargs)
        self._warn_of_figures()
        return found

    def train_on_batch(self, *args, **kwargs) -> object:
        """Makes a step on one batch as in Keras, and refuses weights it would drop.

        Args:
          *args: arguments of `tf.keras.Model.train_on_batch`.
          **kwargs: arguments of `tf.keras.Model.train_on_batch`.

        Returns:
          The metrics so far, as a list or by name.
        """
        checked_arguments(super().train_on_batch, args, kwargs)
        return super().train_on_batch(*args, **kwargs)

    def test_on_batch(self, *args, **kwargs) -> object:
        """Evaluates one batch as in Keras, and refuses weights it would drop.

        Args:
          *args: arguments of `tf.keras.Model.test_on_batch`.
          **kwargs: arguments of `tf.keras.Model.test_on_batch`.

        Returns:
          The metrics so far, as a list or by name.
        """
        checked_arguments(super().test_on_batch, args, kwargs)
        return super().test_on_batch(*args, **kwargs)

    def reset_metrics(self) -> None:
        """Sets the metrics of an epoch back, after their warnings."""
        self._warn_of_figures()
        super().reset_metrics()

    def train_step(self, features: Features) -> dict[str, tf.Tensor]:
        """Makes one step of gradient descent.

        Args:
          features: batch of the training data.

        Returns:
          The epoch's metrics so far.

        Raises:
          InvalidArgumentError: a feature or the loss is not finite.
        """
        features = without_tuple(features)
        with tf.control_dependencies(check_features(features, self.nan_features)):
            with tf.GradientTape() as tape:
                total = self._total_loss(features, training=True)
                scaled = total
                if isinstance(
                    self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer
                ):
                    scaled = self.optimizer.get_scaled_loss(total)
            refuse_keras_3(f"`{type(self).__name__}`", layers=self)
            variables = self.trainable_variables
            gradients = tape.gradient(scaled, variables)
            if scaled is not total:
                gradients = self.optimizer.get_unscaled_gradients(gradients)
            with tf.control_dependencies([total]):
                self.apply_gradients(gradients, variables)
        return self._results(training=True)

    def test_step(self, features: Features) -> dict[str, tf.Tensor]:
        """Evaluates one batch.

        Args:
          features: batch of the data.

        Returns:
          The metrics so far.

        Raises:
          InvalidArgumentError: a feature or the loss is not finite.
        """
        features = without_tuple(features)
        with tf.control_dependencies(check_features(features, self.nan_features)):
            self._total_loss(features, training=False)
        return self._results(training=False)

    def apply_gradients(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        """Updates variables by the optimizer of `compile`.

        Args:
          gradients: gradients of the loss, one for each variable.
          variables: trained variables.
        """
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

    def _of_optimizers(
        self, variables: Sequence[tf.Variable]
    ) -> list[tuple[tf.keras.optimizers.Optimizer, Sequence[tf.Variable]]]:
        """Returns each optimizer with the variables that it updates."""
        return [(self.optimizer, variables)]

    def loss_and_penalty(
        self, features: Features, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the loss of a batch and the penalties of its layers.

        Penalties of several calls of a layer add up.

        Args:
          features: batch of the data.
          training: whether this is a training step.

        Returns:
          The loss and the penalty, scalars.
        """
        with one_call(self):
            loss = self.compute_loss(features, training=training)
        return loss, self.penalty(features)

    def penalty(self, features: Features) -> tf.Tensor:
        """Computes the penalties of regularisers and `add_loss` for this replica.

        The losses of replicas add up. A replica counts by its share of the rows.
        Penalties of weights, which are the same on all replicas, then count once; those
        of activities, which Keras divides by the rows of the replica, are the mean over
        all rows. A loss that is added must be a mean over rows, or not depend on them.

        Args:
          features: batch that the layers were called with.

        Returns:
          Scalar float32.
        """
        penalties = [tf.reduce_sum(tf.cast(p, tf.float32)) for p in self.losses]
        if not penalties:
            return tf.zeros([])
        # The penalty of activities is NaN if the replica has no row.
        return tf.math.multiply_no_nan(tf.add_n(penalties), share_of_rows(features))

    def reported_metrics(self, *, training: bool) -> list[tf.keras.metrics.Metric]:
        """Returns the metrics that a step updates and reports.

        Args:
          training: whether it is a training step.
        """
        del training
        return self.metrics

    def __call__(self, features: Features, *args, **kwargs) -> object:
        """Calls the model, and remembers the shapes and dtypes of its features."""
        self._remember(features)
        return super().__call__(features, *args, **kwargs)

    def get_build_config(self) -> dict | None:
        """Returns shapes and dtypes of the features of all batches so far, by name."""
        return {"features": dict(self._seen)} if self._seen else None

    def build_from_config(self, config: dict) -> None:
        """Makes the variables by tracing a batch without rows; the graph does not run.

        The words of a vocabulary are loaded only afterwards, and a table without words
        cannot be queried.

        Args:
          config: shapes and dtypes from `get_build_config`. Keras's own way, floats of
            the shapes that it saw, does not work for ids.
        """
        seen = config.get("features", {})
        if not seen:
            return
        has_call = type(self).call is not tf.keras.Model.call
        run = self if has_call else self.compute_loss
        tf.function(
            lambda: run(self._no_rows(seen), training=True)
        ).get_concrete_function()

    def _no_rows(self, seen: Mapping[str, list]) -> Features:
        """Makes a batch without rows of the features that were seen, in a graph."""
        return {name: no_rows(kind) for name, kind in seen.items()}

    def _remember(self, features: Features) -> None:
        """Remembers shapes and dtypes for `get_build_config`."""
        # Earlier features stay: training has some that a later call may lack.
        seen = {**self._seen, **describe(features)}
        if seen != self._seen:
            self._seen = seen

    def _total_loss(self, features: Features, *, training: bool) -> tf.Tensor:
        """Computes the loss with penalties, checks it and updates the epoch's means."""
        self._remember(features)
        loss, penalty = self.loss_and_penalty(features, training=training)
        loss = tf.cast(loss, tf.float32)
        self._has_run = True
        self.built = True  # the loss need not have gone through `__call__`
        total = tf.debugging.check_numerics(
            loss + penalty,
            "The loss is not finite although every feature of the batch is: lower the "
            "learning rate, raise the temperature, or clip the gradients",
        )
        for mean, value in (
            (self._loss_mean, loss),
            (self._penalty_mean, penalty),
            (self._total_mean, total),
        ):  # replicas' losses add up, and the mean is over them
            mean.update_state(value * num_replicas())
        return total

    def _warn_of_figures(self) -> None:
        """Warns, once each, of metrics whose figure means nothing for this data."""
        for metric in self.metrics:
            text = metric.warning() if hasattr(metric, "warning") else None
            if text and metric.name not in self._warned:
                self._warned.add(metric.name)
                warnings.warn(text, stacklevel=3)

    def _results(self, *, training: bool) -> dict[str, tf.Tensor]:
        metrics = self.reported_metrics(training=training)
        return {metric.name: metric.result() for metric in metrics}


def add_total(mean: tf.keras.metrics.Mean, total: tf.Tensor, count: tf.Tensor) -> None:
    """Adds the summed loss of some rows to an epoch's mean over rows.

    Args:
      mean: metric of the mean over rows.
      total: summed loss of the rows, scalar.
      count: number of rows, scalar; 0 for a replica without rows.
    """
    count = tf.cast(count, total.dtype)
    mean.update_state(tf.math.divide_no_nan(total, count), sample_weight=count)
