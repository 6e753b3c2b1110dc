"""Arguments of Keras's methods that a model of ours would ignore."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

_OF_COMPILE = ("loss", "metrics", "loss_weights", "weighted_metrics")


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
    """A batch as `fit` hands it out: `train_on_batch` puts a dict into a tuple.

    Args:
      batch: what a step of Keras is given.
    """
    alone = isinstance(batch, tuple) and len(batch) == 1
    return batch[0] if alone and isinstance(batch[0], Mapping) else batch


def checked_arguments(method: Callable, args: tuple, kwargs: dict) -> dict:
    """Arguments of a Keras method by name, once no weights are among them.

    Args:
      method: `fit`, `evaluate`, `train_on_batch` or `test_on_batch` of a model.
      args: positional arguments of the call.
      kwargs: keyword arguments of the call.

    Raises:
      ValueError: `sample_weight` or `class_weight` without labels of their own beside
        the features, which Keras drops or dies of.
    """
    given = inspect.signature(method).bind(*args, **kwargs).arguments
    spec = getattr(given.get("x"), "element_spec", None)
    if given.get("y") is None and not isinstance(spec, tuple):
        for name in ("sample_weight", "class_weight"):
            if given.get(name) is not None:
                raise ValueError(
                    f"`{name}` of `{method.__name__}` would be ignored: make the "
                    "weights a feature of the batch, `sample_weight` [batch]. Got "
                    f"{type(given[name]).__name__}."
                )
    return given


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
