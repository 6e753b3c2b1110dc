"""Metrics and weights of a model in the order of upstream's."""

import tensorflow as tf

from tfrs_models._keras import Unsaved

_LOSSES = ("_loss_mean", "_penalty_mean", "_total_mean")


class UpstreamsOrder:
    """A model whose metrics and weights are listed as upstream lists them."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if isinstance(value, Unsaved):  # Keras takes metrics of models for weights
            self._self_tracked_trackables.remove(value)
        if name == "nan_features":  # what was traced has the old ones
            self.train_function = self.test_function = None

    @property
    def weights(self) -> list[tf.Variable]:
        """The variables of the model; none of what only its metrics retrieve with."""
        of_metrics = {
            id(weight)
            for layer in self._flatten_layers()
            if getattr(layer, "is_of_metric", False)
            for weight in layer.weights
        }
        return [weight for weight in super().weights if id(weight) not in of_metrics]

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """All metrics, in the order in which `evaluate` lists them.

        Those of layers come first, as in upstream's models, then the losses, and then
        what only our models have.
        """
        losses = [getattr(self, name, None) for name in _LOSSES]
        losses = [metric for metric in losses if metric is not None]  # not made yet
        others = super().metrics
        for layer in self._flatten_layers():
            others += getattr(layer, "reported_beside", [])
        of_layers = [metric for metric in others if not isinstance(metric, Unsaved)]
        seen = {id(metric) for metric in [*of_layers, *losses]}
        ours = [metric for metric in others if id(metric) not in seen]
        return [*of_layers, *losses, *ours]
