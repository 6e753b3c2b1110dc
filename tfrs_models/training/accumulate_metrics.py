"""Means and extremes of metrics over the epochs."""

from collections.abc import Sequence

import tensorflow as tf

from tfrs_models.metrics.accumulator import metrics_accumulator


class AccumulateMetrics(tf.keras.callbacks.Callback):
    """Reports `mean_`, `sliding_`, `min_` and `max_` of metrics over the epochs so far.

    They are in the history and in the logs of callbacks that come after this one,
    which may watch the sliding mean of a metric that jumps.

    Example:
      >>> callback = tm.training.AccumulateMetrics(["val_loss"], window=2)
      >>> for epoch, loss in enumerate([3.0, 1.0, 2.0]):
      ...     callback.on_epoch_end(epoch, logs := {"val_loss": loss})
      >>> logs["mean_val_loss"], logs["sliding_val_loss"], logs["min_val_loss"]
      (2.0, 1.5, 1.0)
    """

    def __init__(self, names: Sequence[str], *, window: int = 10) -> None:
        """Initializes the callback.

        Args:
          names: names of metrics, such as "val_loss_per_pair"; metrics that an epoch
            does not report are left out.
          window: number of epochs of the sliding mean.
        """
        super().__init__()
        if isinstance(names, str):
            raise ValueError(f"`names` must be a sequence of names. Got {names!r}.")
        self.names = tuple(names)
        self.window = window
        self._start()

    def on_train_begin(self, logs: dict | None = None) -> None:
        del logs
        self._start()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        del epoch
        logs = {} if logs is None else logs
        for name in self._accumulate:
            if name in logs:
                logs.update(self._add(name, float(logs[name])))

    def resume_state(self) -> dict:
        """Returns the values so far, for a training that goes on later."""
        return {"values": {name: list(all_) for name, all_ in self._values.items()}}

    def restore_state(self, state: dict) -> None:
        """Takes the values of a training that goes on.

        Args:
          state: result of `resume_state`.
        """
        self._start()
        for name in self._accumulate:
            for value in state["values"].get(name, []):
                self._add(name, value)

    def _add(self, name: str, value: float) -> dict[str, float]:
        self._values[name].append(value)
        return self._accumulate[name](name, value)

    def _start(self) -> None:
        self._values = {name: [] for name in self.names}
        self._accumulate = {
            name: metrics_accumulator(
                name, mean=True, sliding=True, min=True, max=True, window=self.window
            )
            for name in self.names
        }
