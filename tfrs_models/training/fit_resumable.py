"""Trainings that go on after an interruption as if there had been none."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from tfrs_models._first_step import make_variables
from tfrs_models._keras import is_one_iteration
from tfrs_models._versions import local_path
from tfrs_models.model import Model
from tfrs_models.training.callback_states import (
    callback_states,
    restore_callbacks,
    would_stop,
)
from tfrs_models.training.training_states import (
    Packed,
    State,
    keep_only,
    pack,
    plain,
    read_state,
    write_state,
)

_KEPT = 2  # states during a training
# A state at the end of an epoch's batches, before validation, is written if the work
# since the last one took this many times as long as writing it.
_WORTH = 20
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def fit_resumable(
    model: tf.keras.Model,
    batches: tf.data.Dataset,
    *,
    folder: str | os.PathLike,
    identity: Mapping,
    notes: Mapping | None = None,
    resume: bool | str = False,
    fall_back: bool = False,
    epochs: int,
    validation_data: object = None,
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
    checkpoint_minutes: float = 10.0,
    **fit_options,
) -> tf.keras.callbacks.History:
    """Trains like `fit`, and goes on after an interruption where the training was.

    The resumed training is the one that was not interrupted: an epoch that was begun
    goes on with its next batch, in the order that it had. Weights, optimizers with
    their slots and loss scale, schedules, metrics of the epoch so far, early stopping,
    history and random generators are those of the interruption.

    A state is written at the end of each epoch, after its last batch (if the epoch took
    some time), every `checkpoint_minutes`, and at SIGTERM and SIGINT (Ctrl-C): when the
    batch has ended and the state is on the disk, the signal has the effect that it has
    outside of this function. A second signal has it at once. The newest two states
    stay, after the training the last one. Each is a numbered folder of a
    `tf.train.Checkpoint`, other values and the hashes of all files, which appears in
    one step; a `tf.train.CheckpointManager` publishes only its own files.

    A finished training that is resumed has its final weights and its history again,
    without a batch. With more `epochs` it goes on.

    Callbacks take part with two methods: `resume_state()` returns numbers, text, arrays
    and lists, tuples and mappings of them; `restore_state(state)` is called with them
    after `on_train_begin`. Keras's `EarlyStopping`, `ReduceLROnPlateau` and
    `ModelCheckpoint` take part without. Other callbacks begin anew.

    Args:
      model: compiled model, made as for the first start. `tfrs_models.Model`s also get
        the order of the epoch that they go on with.
      batches: training data, made as for the first start.
      folder: folder of the states of this training and no other.
      identity: nested mapping of what must be equal to go on: flags, hashes of the
        data. It must be writable as JSON.
      notes: nested mapping that is stored with the states and not compared.
      resume: False to begin anew (states of an earlier training stay until the first
        of this one is written); True to go on; "auto" to go on if there is a state.
      fall_back: whether to go on with the state before if the newest one is damaged.
      epochs: number of epochs in all, with those before an interruption.
      validation_data: data of `fit`'s validation.
      callbacks: callbacks of Keras.
      checkpoint_minutes: minutes between two states within an epoch.
      **fit_options: other arguments of `tf.keras.Model.fit`. `verbose` is 0 unless it
        is given.

    Returns:
      The metrics of all epochs, also of those before an interruption.

    Raises:
      ValueError: there is no state to go on with, it is of a training of another
        identity, its files are damaged, or an argument is out of range.

    Example:
      >>> data = {"user_id": np.array([1, 2, 3]), "item_id": np.array([4, 5, 6])}
      >>> batches = tf.data.Dataset.from_tensor_slices(data).batch(2)
      >>> towers = tm.towers.UserId(9, 2), tm.towers.UserId(9, 2, feature="item_id")
      >>> model = tm.models.TwoTower(*towers)
      >>> model.compile("adam")
      >>> more = {"folder": "states", "identity": {"width": 2}, "resume": "auto"}
      >>> history = tm.training.fit_resumable(model, batches, epochs=3, **more)
      >>> len(history.history["loss"]), tm.training.read_state("states").about["epoch"]
      (3, 3)
    """
    _check(model, batches, resume, checkpoint_minutes)
    folder = local_path("folder", folder)
    state = read_state(folder, fall_back=fall_back) if resume else None
    if state is None and resume is True:
        raise ValueError(
            f"`folder` must have a state to resume. Got {folder}, which has none. "
            'Begin with `resume=False` or "auto".'
        )
    if state is not None and (found := state.differences(identity)):
        raise ValueError(
            f"`identity` must be that of the training in {folder}: {'; '.join(found)}. "
            "Give it what it had, or begin anew with another folder."
        )
    callbacks = list(callbacks)
    if not any(isinstance(c, tf.keras.callbacks.History) for c in callbacks):
        callbacks.append(tf.keras.callbacks.History())
    keeper = _Keeper(
        folder,
        {"identity": plain(identity), "notes": plain(notes or {}), "epochs": epochs},
        state,
        callbacks,
        batches=batches,
        one_iteration=is_one_iteration(batches, fit_options.get("steps_per_epoch")),
        seconds=60 * checkpoint_minutes,
    )
    before = model._training_state
    try:
        with keeper.signals():
            history = model.fit(
                batches,
                validation_data=validation_data,
                epochs=epochs,
                callbacks=[_EndOfBatches(keeper), *callbacks, keeper],
                **{"verbose": 0, **fit_options},
            )
    finally:
        model._training_state = before
        keeper.undo()
    keeper.keep_last()
    return history


class _EndOfBatches(tf.keras.callbacks.Callback):
    """Tells that an epoch's batches are over before other callbacks evaluate it."""

    _supports_tf_logs = True

    def __init__(self, keeper: "_Keeper") -> None:
        """Initializes the callback."""
        super().__init__()
        self.keeper = keeper

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        del epoch, logs
        self.keeper.end_batches()


class _Keeper(tf.keras.callbacks.Callback):
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
        self._pending = None
        self._undo = []
        self._written, self._cost = time.monotonic(), 0.0
        self._deliver = {}

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
        if self._pending is not None or (is_due and not is_last):
            self._save(self._snapshot(trained=is_last))

    def on_test_begin(self, logs: dict | None = None) -> None:
        del logs
        self.end_batches()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        del batch, logs
        if self._pending is not None and self._before_validation is not None:
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
                "logs": {
                    name: np.asarray(value)
                    for name, value in (self._logs or {}).items()
                }
                if trained
                else {},
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
        if self._pending is not None:
            self._deliver_signal()

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
            if restored["step"]:
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
        self._go_on_with(epoch, step, restored)
        # Keras cannot begin an epoch without a step: a step that does nothing.
        return epoch, step - restored["trained"]

    def _go_on_with(self, epoch: int, step: int, restored: dict) -> None:
        """Makes the first call of the training function skip what has been trained."""
        model, run = self.model, self.model.train_function
        trained = restored["trained"]
        skip = step
        if self.one_iteration:
            skip += epoch * (self._steps or 0)
        elif trained and self._steps is not None:
            skip = 0  # the epoch reads no batch of this iteration
        if not skip and not trained:
            return

        def first(iterator: Iterator) -> dict:
            model.train_function = run
            for _ in range(skip):
                next(iterator)
            if not trained:
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

    # Signals.

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Defers signals until a state is written; only in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):  # None: not one of Python
                self._deliver[number] = handler
                signal.signal(number, self._handle)
        try:
            yield
        finally:
            self._restore_handlers()
            if self._pending is not None:  # the training ended by itself
                self._deliver_signal()

    def _handle(self, number: int, frame: object) -> None:
        del frame
        is_second = self._pending is not None
        self._pending = number
        if is_second or not self._is_new:
            self._deliver_signal()

    def _deliver_signal(self) -> None:
        number, self._pending = self._pending, None
        self._restore_handlers()
        signal.raise_signal(number)

    def _restore_handlers(self) -> None:
        while self._deliver:
            number, handler = self._deliver.popitem()
            signal.signal(number, handler)


def _check(
    model: tf.keras.Model, batches: object, resume: object, minutes: float
) -> None:
    if not isinstance(batches, tf.data.Dataset):
        raise ValueError(
            "`batches` must be a tf.data.Dataset, whose order a resumed training can "
            f"repeat. Got {type(batches).__name__}."
        )
    if resume not in (True, False, "auto"):
        raise ValueError(f'`resume` must be True, False or "auto". Got {resume!r}.')
    if not minutes > 0:
        raise ValueError(f"`checkpoint_minutes` must be positive. Got {minutes}.")
    if model.distribute_strategy.extended._in_multi_worker_mode():
        raise ValueError(
            "`model` must be trained by one process. For several workers use "
            "tf.keras.callbacks.BackupAndRestore. Got a strategy of several workers."
        )


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
        rates.append(None if isinstance(rate, schedule) else float(rate))
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
