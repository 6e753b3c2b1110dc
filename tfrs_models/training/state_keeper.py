"""A callback that writes the states of a training, and restores one as it begins."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from tfrs_models._first_step import make_variables
from tfrs_models.model import Model
from tfrs_models.training.callback_states import (
    callback_states,
    restore_callbacks,
    would_stop,
)
from tfrs_models.training.deferred_signals import DeferredSignals
from tfrs_models.training.training_states import (
    Packed,
    State,
    keep_only,
    pack,
    write_state,
)

_KEPT = 2  # states during a training
# A state at the end of an epoch's batches, before validation, is written if the work
# since the last one took this many times as long as writing it.
_WORTH = 20


class EndOfBatches(tf.keras.callbacks.Callback):
    """Tells that an epoch's batches are over before other callbacks evaluate it."""

    _supports_tf_logs = True

    def __init__(self, keeper: "StateKeeper") -> None:
        """Initializes the callback."""
        super().__init__()
        self.keeper = keeper

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        del epoch, logs
        self.keeper.end_batches()


class StateKeeper(tf.keras.callbacks.Callback):
    """Writes states of a training, and is where Keras asks for the epoch to begin with.

    Keras reads `model._training_state` after all `on_train_begin`, for its own
    `BackupAndRestore`.
    """

    _supports_tf_logs = True  # no batch waits for its metrics

    def __init__(
        self,
        folder: Path,
        constant: dict,
        state: State | None,
        callbacks: Sequence[tf.keras.callbacks.Callback],
        *,
        batches: tf.data.Dataset,
        one_iteration: bool,
        seconds: float,
    ) -> None:
        """Initializes the callback.

        Args:
          folder: folder of the states.
          constant: values of all states of the training.
          state: state to go on with.
          callbacks: callbacks whose states are kept, all that come before this one.
          batches: training data.
          one_iteration: whether all epochs are parts of one iteration of the data.
          seconds: time between two states within an epoch.
        """
        super().__init__()
        self.folder, self.constant, self.callbacks = folder, constant, callbacks
        self.batches, self.one_iteration = batches, one_iteration
        self.seconds = seconds
        self.epochs_done = 0  # read by `EpochOrders`
        self._state = state
        self._states = [] if state is None else [state]
        self._restored = None  # content of the state until its epoch has begun
        self._epoch = self._step = 0
        self._steps = self._logs = self._before_validation = None
        self._is_new = False  # whether something has been trained since the last state
        self._is_in_epoch = self._is_no_op = False
        self._undo = []
        self._written, self._cost = time.monotonic(), 0.0
        self.signals = DeferredSignals(lambda: self._is_new)

    # What Keras calls.

    def on_train_begin(self, logs: dict | None = None) -> None:
        del logs
        self.model._training_state = self
        self._written = time.monotonic()

    def maybe_load_initial_counters_from_ckpt(
        self, steps_per_epoch: int | None, initial_epoch: int, mode: str
    ) -> tuple[int, int]:
        """Restores everything and returns the epoch and step to begin with."""
        del mode
        self._steps = steps_per_epoch
        model = self.model
        if isinstance(model, Model) and type(model).train_step is Model.train_step:
            make_variables(model, self.batches.element_spec)
        self._checkpoint = tf.train.Checkpoint(model=model)
        self._rates = _rates(model)
        self.epochs_done = initial_epoch
        if self._state is None:
            return initial_epoch, 0
        return self._restore()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        del logs
        self._epoch, self._step, self._logs = epoch, 0, None
        self._is_in_epoch, self._before_validation = True, None
        if self._restored is not None:
            restored, self._restored = self._restored, None
            self._step = restored["step"]
            if self._step:
                _set_values(self.model.metrics, restored["metrics"])
                # A scheduler has set the rate of the epoch a second time.
                _set_rates(self.model, restored["rates"])

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._step, self._logs = batch + 1, logs
        if not self._is_no_op:
            self._is_new = True
        self._is_no_op = False
        is_last = self._step == self._steps or self.model.stop_training
        is_due = time.monotonic() - self._written >= self.seconds
        if self.signals.is_pending or (is_due and not is_last):
            self._save(self._snapshot(trained=is_last))

    def on_test_begin(self, logs: dict | None = None) -> None:
        del logs
        self.end_batches()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        del batch, logs
        if self.signals.is_pending and self._before_validation is not None:
            self._save(self._before_validation)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        del logs
        self._is_in_epoch, self._is_new = False, True
        self._epoch, self._step, self._logs = epoch + 1, 0, None
        self._save(self._snapshot(trained=False))
        self._before_validation = None

    # Writing.

    def end_batches(self) -> None:
        """Remembers the end of an epoch's batches, which validation does not change."""
        if not self._is_in_epoch or self._before_validation is not None:
            return
        self._before_validation = self._snapshot(trained=True)
        passed = time.monotonic() - self._written
        if self._is_new and passed >= _WORTH * self._cost:
            self._save(self._before_validation)

    def _snapshot(self, *, trained: bool) -> Packed:
        model = self.model
        return pack(
            {
                **self.constant,
                "epoch": self._epoch,
                "step": self._step,
                "trained": trained,  # all batches of the epoch
                "stopped": bool(model.stop_training),
                "counter": int(model._train_counter.numpy()),
                "first_rates": self._rates,
                "rates": _rates(model),
                "metrics": _values(model.metrics) if self._step else [],
                "logs": _plain(self._logs or {}),
                "callbacks": callback_states(self.callbacks),
                "random": _random_states(),
            }
        )

    def _save(self, packed: Packed) -> None:
        if self._is_new:
            start = time.monotonic()
            state = write_state(self.folder, self._checkpoint, packed)
            self._states = [*self._states, state][-_KEPT:]
            self._is_new = False
            keep_only(self.folder, self._states)
            self._written = time.monotonic()
            self._cost = self._written - start
        if self.signals.is_pending:
            self.signals.deliver()

    def keep_last(self) -> None:
        """Removes all states but the last one, at the end of a training."""
        if self._states:
            keep_only(self.folder, self._states[-1:])

    # Going on.

    def _restore(self) -> tuple[int, int]:
        state, model = self._state, self.model
        restored = state.unpacked()
        try:
            status = self._checkpoint.read(state.tensors)
            status.assert_existing_objects_matched()
            if not model.metrics:  # a model of Keras makes them in its first step
                restored["metrics"] = []
            elif restored["step"]:
                _check_fit(model.metrics, restored["metrics"])
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            raise ValueError(
                f"`model` must be that of the training in {self.folder}. "
                f"{state.tensors} does not fit it: {str(error).splitlines()[0]} Make "
                "it as that training did, or begin anew with another folder."
            ) from error
        if self._rates != restored["first_rates"]:  # another one is wished for
            _set_rates(model, self._rates)
            restored["rates"] = _rates(model)
        model._train_counter.assign(restored["counter"])
        restore_callbacks(self.callbacks, restored["callbacks"])
        _set_random_states(restored["random"])
        self._restored = restored
        epoch, step = restored["epoch"], restored["step"]
        self.epochs_done = epoch
        if restored["stopped"] and not step and would_stop(self.callbacks) is not False:
            return max(epoch, self.constant["epochs"]), 0
        if epoch >= self.constant["epochs"]:
            return epoch, 0
        # Keras cannot begin an epoch without a step. If none is left, or it is unknown
        # whether one is, the first step does nothing.
        nothing = restored["trained"] or bool(step and self._steps is None)
        self._go_on_with(restored, nothing=nothing)
        return epoch, step - nothing

    def _go_on_with(self, restored: dict, *, nothing: bool) -> None:
        """Makes the first call of the training function skip what has been trained."""
        model, run = self.model, self.model.train_function
        skip = restored["step"]
        if self.one_iteration:
            skip += restored["epoch"] * self._steps
        elif restored["trained"] and self._steps is not None:
            skip = 0  # the epoch reads no batch of this iteration
        if not skip and not nothing:
            return

        def first(iterator: Iterator) -> dict:
            model.train_function = run
            for _ in range(skip):
                next(iterator)
            if not nothing:
                return run(iterator)
            self._is_no_op = True
            model.stop_training = restored["stopped"]
            return restored["logs"]

        model.train_function = first
        self._undo.append((first, run))

    def undo(self) -> None:
        """Takes the hook of a first call that did not happen out of the model."""
        for first, run in self._undo:
            if self.model.train_function is first:
                self.model.train_function = run


def _plain(logs: Mapping) -> dict[str, float | np.ndarray]:
    """Returns the metrics of a batch as Keras puts them into the logs of an epoch."""
    values = {name: np.asarray(value) for name, value in logs.items()}
    return {name: v if v.ndim else v.item() for name, v in values.items()}


def _components(metrics: Sequence[tf.keras.metrics.Metric]) -> list[list[tf.Variable]]:
    """Returns the variables of metrics, each with its copies on the replicas."""
    return [
        list(getattr(variable, "values", (variable,)))
        for metric in metrics
        for variable in metric.variables
    ]


def _values(metrics: Sequence[tf.keras.metrics.Metric]) -> list[list[np.ndarray]]:
    return [[copy.numpy() for copy in copies] for copies in _components(metrics)]


def _check_fit(metrics: Sequence[tf.keras.metrics.Metric], values: list) -> None:
    now, then = (
        [[copy.shape for copy in copies] for copies in of]
        for of in (_components(metrics), values)
    )
    if now != then:
        raise ValueError("its metrics are others.")


def _set_values(metrics: Sequence[tf.keras.metrics.Metric], values: list) -> None:
    for copies, arrays in zip(_components(metrics), values, strict=True):
        for copy, array in zip(copies, arrays, strict=True):
            copy.assign(array)


def _optimizers(model: tf.keras.Model) -> list:
    if not isinstance(model, Model):
        return [model.optimizer]
    return [found for found, _ in model._of_optimizers(model.trainable_variables)]


def _rates(model: tf.keras.Model) -> list[float | None]:
    """Returns the learning rate of each optimizer; None for a schedule."""
    schedule = tf.keras.optimizers.schedules.LearningRateSchedule
    rates = []
    for optimizer in _optimizers(model):
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        rate = getattr(inner, "_learning_rate", None)  # the property hides a schedule
        if rate is None:  # a legacy optimizer
            rate = inner.learning_rate
        is_free = not isinstance(rate, schedule)
        rates.append(float(tf.keras.backend.get_value(rate)) if is_free else None)
    return rates


def _set_rates(model: tf.keras.Model, rates: Sequence[float | None]) -> None:
    for optimizer, rate in zip(_optimizers(model), rates, strict=True):
        if rate is not None:
            optimizer.learning_rate = rate


def _random_states() -> dict:
    """Returns the states of the global generators of Python, NumPy and TensorFlow."""
    eager = context.context()._rng  # seeds of operations outside of graphs
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "tensorflow": None if eager is None else eager.getstate(),
    }


def _set_random_states(states: dict) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    eager = context.context()._rng
    if eager is not None and states["tensorflow"] is not None:
        eager.setstate(states["tensorflow"])
