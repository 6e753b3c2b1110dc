"""Arguments of Keras's methods that a model of ours would ignore."""

import inspect
import warnings
from collections.abc import Callable, Mapping

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
