"""Early stopping whose direction follows from the metric."""

import tensorflow as tf

from tfrs_models._fit_checks import direction


class StopOnMetric(tf.keras.callbacks.EarlyStopping):
    """Stops a training that no longer improves a metric, and restores the best epoch.

    Keras's `EarlyStopping` minimises every metric that it does not take for an
    accuracy: with an NDCG or a hit rate it would keep the weights of the worst epoch.
    Here the metric's name decides: a loss or an error is minimised, a ranking metric
    maximised.

    Example:
      >>> tm.training.StopOnMetric("val_factorized_top_k/ndcg_at_10").mode
      'max'
      >>> tm.training.StopOnMetric("val_loss", patience=2).mode
      'min'
    """

    def __init__(
        self,
        monitor: str,
        *,
        patience: int = 0,
        mode: str | None = None,
        restore_best_weights: bool = True,
        **kwargs,
    ) -> None:
        """Initializes the callback.

        Args:
          monitor: name of the metric in the logs, such as
            "val_factorized_top_k/ndcg_at_10".
          patience: epochs without improvement after which training goes on.
          mode: "max" or "min" for a metric of your own; None takes the direction of a
            metric of this package.
          restore_best_weights: whether the model ends with the weights of the best
            epoch.
          **kwargs: other arguments of `tf.keras.callbacks.EarlyStopping`.

        Raises:
          ValueError: there is no `mode` and the metric's direction is not known, or
            `mode` is neither "max" nor "min".
        """
        known = direction(monitor)
        if mode not in (None, "max", "min"):
            raise ValueError(f'`mode` must be "max", "min" or None. Got {mode!r}.')
        if mode is None and known is None:
            raise ValueError(
                f"`mode` must be given for `{monitor}`, a metric that is not one of "
                'this package: "max" where more is better, "min" where less is.'
            )
        self.mode = mode or known
        super().__init__(
            monitor,
            patience=patience,
            mode=self.mode,
            restore_best_weights=restore_best_weights,
            **kwargs,
        )
