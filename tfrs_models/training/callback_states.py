"""What callbacks must remember of a training that was interrupted."""

from collections.abc import Sequence

import tensorflow as tf

# Attributes of Keras's own callbacks; a subclass remembers what its base does.
_KNOWN = (
    (
        tf.keras.callbacks.EarlyStopping,
        ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    ),
    (tf.keras.callbacks.ReduceLROnPlateau, ("wait", "best", "cooldown_counter")),
    (
        tf.keras.callbacks.ModelCheckpoint,
        (
            *("best", "epochs_since_last_save"),
            *("_batches_seen_since_last_saving", "_last_batch_seen"),
        ),
    ),
    (tf.keras.callbacks.History, ("epoch", "history")),
)


def callback_states(callbacks: Sequence[tf.keras.callbacks.Callback]) -> list[list]:
    """Returns name of the class and state of each callback that has one.

    Args:
      callbacks: callbacks of `fit`.
    """
    found = []
    for callback in callbacks:
        if hasattr(callback, "resume_state"):
            found.append([type(callback).__name__, callback.resume_state()])
        elif names := _names(callback):
            state = {name: getattr(callback, name) for name in names}
            found.append([type(callback).__name__, state])
    return found


def restore_callbacks(
    callbacks: Sequence[tf.keras.callbacks.Callback], states: Sequence[Sequence]
) -> None:
    """Gives callbacks their states back.

    Of several callbacks of a class, the first one gets the first state. Callbacks that
    are new begin anew, and states of callbacks that are gone are left out.

    Args:
      callbacks: callbacks of `fit`, after `on_train_begin`.
      states: result of `callback_states`.
    """
    states = list(states)
    for callback in callbacks:
        name = type(callback).__name__
        index = next((i for i, entry in enumerate(states) if entry[0] == name), None)
        if index is None:
            continue
        state = states.pop(index)[1]
        if hasattr(callback, "restore_state"):
            callback.restore_state(state)
        else:
            for attribute in _names(callback):
                setattr(callback, attribute, state[attribute])


def would_stop(callbacks: Sequence[tf.keras.callbacks.Callback]) -> bool | None:
    """Tells whether early stopping still ends a training that it has ended.

    Args:
      callbacks: callbacks of `fit`, with their states.

    Returns:
      None if early stopping did not end it; False if it would wait longer now.
    """
    stoppers = [
        callback
        for callback in callbacks
        if isinstance(callback, tf.keras.callbacks.EarlyStopping)
        and callback.stopped_epoch
    ]
    if not stoppers:
        return None
    return any(callback.wait >= callback.patience for callback in stoppers)


def _names(callback: tf.keras.callbacks.Callback) -> tuple[str, ...]:
    return next((names for kind, names in _KNOWN if isinstance(callback, kind)), ())
