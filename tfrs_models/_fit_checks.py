"""Checks of what a caller gives to `compile`, `fit` and `evaluate` of a model."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

_OF_COMPILE = ("loss", "metrics", "loss_weights", "weighted_metrics")
# `val_`, and what `training.AccumulateMetrics` puts before a name.
_PREFIX = r"(?:(?:mean|sliding|min|max)_)?(?:val_)?(?:.*/)?"
_LARGER_IS_BETTER = re.compile(
    _PREFIX + r"(?:hit_rate|hits|ndcg|mrr|(?:mean_)?reciprocal_rank"
    r"|(?:mean_)?average_precision|map|recall|precision|coverage|auc|.*accuracy"
    r"|mean_gap)(?:_at_\d+)?"
)
_SMALLER_IS_BETTER = re.compile(
    _PREFIX + r"(?:loss|.*_loss|loss_.*|.*error|rmse|mae|mse|miss_rate|tie_rate"
    r"|hidden_rate|dead_cohorts)"
)


def direction(name: str) -> Literal["max", "min"] | None:
    """Finds out from its name whether a better model has more or less of a metric.

    Args:
      name: name in the logs, such as `val_factorized_top_k/ndcg_at_10`.

    Returns:
      `"max"` where more is better, `"min"` where less is; None where the name is not
      one of those of this package.
    """
    if _LARGER_IS_BETTER.fullmatch(name):
        return "max"
    return "min" if _SMALLER_IS_BETTER.fullmatch(name) else None


def correct_directions(
    callbacks: Sequence[tf.keras.callbacks.Callback] | object | None,
) -> None:
    """Corrects callbacks that would take the worst epoch for the best, and warns.

    Keras's `mode="auto"` decides by a few letters of a name: it minimises all but
    accuracies, so that early stopping on an NDCG keeps the weights of the worst epoch.

    Args:
      callbacks: callbacks of `fit`. Those that watch no metric, or one whose direction
        is not known, stay as they are.
    """
    if not isinstance(callbacks, (list, tuple)):
        callbacks = getattr(callbacks, "callbacks", [callbacks])
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        right = direction(monitor) if isinstance(monitor, str) else None
        if right is None or _mode(callback) in (right, None):
            continue
        _set_mode(callback, right)
        verb, more = ("min", "more") if right == "max" else ("max", "less")
        warnings.warn(
            f"`{type(callback).__name__}` would {verb}imise `{monitor}`, of which "
            f"{more} is better: it {right}imises it now. Give it "
            f'`mode="{right}"`, or use `training.StopOnMetric`.',
            stacklevel=4,
        )


def _mode(callback: tf.keras.callbacks.Callback) -> str | None:
    """The direction in which Keras takes a callback's metric; None without one."""
    if isinstance(callback, tf.keras.callbacks.ReduceLROnPlateau):  # decides later
        is_accuracy = callback.mode == "auto" and "acc" in callback.monitor
        return "max" if callback.mode == "max" or is_accuracy else "min"
    operation = getattr(callback, "monitor_op", None)
    return {np.less: "min", np.greater: "max"}.get(operation)


def _set_mode(callback: tf.keras.callbacks.Callback, mode: str) -> None:
    if isinstance(callback, tf.keras.callbacks.ReduceLROnPlateau):
        callback.mode = mode  # Keras reads it as training begins
        return
    sign = 1 if mode == "max" else -1
    callback.monitor_op = np.greater if mode == "max" else np.less
    if hasattr(callback, "min_delta"):
        callback.min_delta = sign * abs(callback.min_delta)
    if np.isinf(getattr(callback, "best", 0.0)):
        callback.best = -sign * np.inf


def warn_of_ignored(compile_method: Callable, args: tuple, kwargs: dict) -> None:
    """Warns of losses and metrics that `compile` takes and no step reads.

    Args:
      compile_method: `tf.keras.Model.compile` of a model.
      args: positional arguments of the call.
      kwargs: keyword arguments of the call.
    """
    given = inspect.signature(compile_method).bind(*args, **kwargs).arguments
    if ignored := [name for name in _OF_COMPILE if given.get(name) is not None]:
        names = ", ".join(f"`{name}`" for name in ignored)
        warnings.warn(
            f"{names} of `compile` have no effect: `compute_loss` is the loss, and "
            "tasks hold the metrics (`tasks.Retrieval(loss=..., metrics=...)`); "
            "weights of rows are the feature `sample_weight`.",
            stacklevel=3,
        )


def without_tuple(batch: object) -> object:
    """Takes the dict out of the tuple that `train_on_batch` puts it into.

    Args:
      batch: batch as Keras hands it to a step.

    Returns:
      The dict; every other batch as it is.
    """
    alone = isinstance(batch, tuple) and len(batch) == 1
    return batch[0] if alone and isinstance(batch[0], Mapping) else batch


def checked_arguments(method: Callable, args: tuple, kwargs: dict) -> dict:
    """Binds the arguments of a Keras method, and refuses those that would be ignored.

    Args:
      method: `fit`, `evaluate`, `train_on_batch` or `test_on_batch` of a model.
      args: positional arguments of the call.
      kwargs: keyword arguments of the call.

    Returns:
      The arguments by name.

    Raises:
      ValueError: `sample_weight`, `class_weight` or a tuple as `validation_data`
        although the training data has no labels beside its features: Keras would drop
        the weights, or end with an error that does not name them.
    """
    given = inspect.signature(method).bind(*args, **kwargs).arguments
    spec = getattr(given.get("x"), "element_spec", None)
    if given.get("y") is not None or isinstance(spec, tuple):
        return given  # pairs of features and labels are the model's own affair
    for name in ("sample_weight", "class_weight"):
        if given.get(name) is not None:
            raise ValueError(
                f"`{name}` of `{method.__name__}` would be ignored: make the "
                "weights a feature of the batch, `sample_weight` [batch]. Got "
                f"{type(given[name]).__name__}."
            )
    validation = given.get("validation_data")
    is_tuple = isinstance(validation, (tuple, list))
    if is_tuple and any(part is not None for part in validation[1:]):
        kinds = ", ".join(type(part).__name__ for part in validation)
        raise ValueError(
            f"`validation_data` of `{method.__name__}` must be a dataset or a dict of "
            "features, as `x` is, with labels and `sample_weight` among the features. "
            f"Got ({kinds})."
        )
    return given
