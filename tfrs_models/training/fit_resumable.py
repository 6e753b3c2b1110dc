"""Trainings that go on after an interruption as if there had been none."""

import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_models._keras import is_one_iteration
from tfrs_models._versions import local_path
from tfrs_models.training.state_keeper import EndOfBatches, StateKeeper
from tfrs_models.training.training_states import plain, read_state


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
        the order of the epoch that they go on with, and its metrics so far; other
        models of Keras report those of the batches that are left.
      batches: training data, made as for the first start.
      folder: folder of the states of this training and no other.
      identity: nested mapping of what must be equal to go on: flags, hashes of the
        data. It must be writable as JSON.
      notes: nested mapping that is stored with the states and not compared.
      resume: False to begin anew (states of an earlier training stay until the first
        of this one is written); True to go on; "auto" to go on if there is a state.
      fall_back: whether to go on with the state before if the newest one is damaged.
      epochs: number of epochs in all, with those before an interruption.
      validation_data: data of `fit`'s validation, in an order that stays.
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
    keeper = StateKeeper(
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
        with keeper.signals:
            history = model.fit(
                batches,
                validation_data=validation_data,
                epochs=epochs,
                callbacks=[EndOfBatches(keeper), *callbacks, keeper],
                **{"verbose": 0, **fit_options},
            )
    finally:
        model._training_state = before
        keeper.undo()
    keeper.keep_last()
    return history


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
