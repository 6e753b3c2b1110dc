"""Callbacks of Keras that watch a metric."""

import re
import warnings
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_LARGER_IS_BETTER = re.compile(
    r"(hit_rate|hits|ndcg|mrr|(mean_)?reciprocal_rank|(mean_)?average_precision|map"
    r"|recall|precision|coverage|auc|.*accuracy|mean_gap)(_at_\d+)?"
)


def larger_is_better(name: str) -> bool:
    """Whether a metric is one of those that a better model has larger.

    Args:
      name: name in the logs, such as `val_factorized_top_k/ndcg_at_10`.
    """
    name = name.removeprefix("val_").rsplit("/")[-1]
    return _LARGER_IS_BETTER.fullmatch(name) is not None


def maximise_what_should_be_large(
    callbacks: Sequence[tf.keras.callbacks.Callback] | object | None,
) -> None:
    """Corrects callbacks that would take the worst epoch for the best.

    Keras's `mode="auto"` minimises all but accuracies: early stopping on an NDCG then
    keeps the weights of the worst epoch. A callback that minimises such a metric is set
    to maximise it, and a warning says so.

    Args:
      callbacks: callbacks of `fit`; others than those of Keras stay as they are.
    """
    if not isinstance(callbacks, (list, tuple)):
        callbacks = getattr(callbacks, "callbacks", [callbacks])
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if not isinstance(monitor, str) or not larger_is_better(monitor):
            continue
        if isinstance(callback, tf.keras.callbacks.ReduceLROnPlateau):
            is_wrong = callback.mode == "min" or (
                callback.mode == "auto" and "acc" not in monitor
            )
            callback.mode = "max"  # read as training begins
        elif is_wrong := getattr(callback, "monitor_op", None) is np.less:
            callback.monitor_op = np.greater
            if hasattr(callback, "min_delta"):
                callback.min_delta = abs(callback.min_delta)
            if getattr(callback, "best", None) == np.inf:
                callback.best = -np.inf
        if is_wrong:
            warnings.warn(
                f"`{type(callback).__name__}` would minimise `{monitor}`, of which "
                'more is better: it maximises it now. Give it `mode="max"`.',
                stacklevel=4,
            )
