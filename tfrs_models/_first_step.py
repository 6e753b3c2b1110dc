"""Variables of a model and its optimizer, made before Keras traces the first step."""

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf
from tensorflow.python.autograph.core.ag_ctx import ControlStatusCtx, Status

from tfrs_models._fit_checks import without_tuple


def with_variables_first(
    model: tf.keras.Model, step: Callable[[Iterator], dict]
) -> Callable[[Iterator], dict]:
    """Makes a training function that makes all variables at its first call.

    `tf.function` traces a function that makes variables, as the first step makes those
    of layers and of the optimizer, twice, and copies its graph to initialise them.
    Where they exist, the time to the first step is less than half as long.

    Args:
      model: compiled model of this package.
      step: Keras's training function of the model.

    Returns:
      A function of an iterator of batches, like `step`.
    """

    def first(iterator: Iterator) -> dict:
        if not model._has_run and _will_make_variables(model):
            _trace_loss(model, iterator.get_next)
        if model._has_run:
            _make_slots(model)
        model.train_function = step
        return step(iterator)

    return first


def make_variables(model: tf.keras.Model, element_spec: object) -> None:
    """Makes all variables of a model and of its optimizers, without a batch.

    Args:
      model: compiled model of this package, whose step has no variables but those of
        the loss.
      element_spec: `element_spec` of the dataset of its batches.
    """
    if not model._has_run:
        _trace_loss(model, lambda: _placeholders(element_spec))
    if model._has_run:
        _make_slots(model)


def _placeholders(element_spec: object) -> object:
    """Makes the tensors of a batch in a graph that does not run."""
    specs = tf.nest.flatten(element_spec, expand_composites=True)
    tensors = [tf.compat.v1.placeholder(s.dtype, s.shape) for s in specs]
    return tf.nest.pack_sequence_as(element_spec, tensors, expand_composites=True)


def _will_make_variables(model: tf.keras.Model) -> bool:
    """Tells whether a step makes variables that the graph of the loss can replace."""
    optimizer = model.optimizer
    if not isinstance(optimizer, tf.keras.optimizers.Optimizer):
        return False  # a legacy one makes its slots in the step
    if not isinstance(optimizer, tf.keras.optimizers.SGD) or optimizer.momentum:
        return True
    plain = tf.keras.layers.Layer.build  # it makes none
    return any(
        not layer.built and type(layer).build is not plain
        for layer in model._flatten_layers(include_self=False)
    )


def _trace_loss(model: tf.keras.Model, batch: Callable[[], object]) -> None:
    """Makes the weights of the layers by a graph of the loss that does not run."""

    def loss(features: object) -> None:
        model.loss_and_penalty(without_tuple(features), training=True)

    with (
        contextlib.suppress(Exception),  # the step fails, too, and tells it better
        ControlStatusCtx(Status.ENABLED),  # layers of users are rewritten, as in steps
        tf.__internal__.FuncGraph("weights").as_default(),
    ):
        model.distribute_strategy.run(loss, args=(batch(),))
        model._has_run = True


def _make_slots(model: tf.keras.Model) -> None:
    """Makes the variables of the optimizers of a model whose weights exist."""
    for optimizer, variables in model._of_optimizers(model.trainable_variables):
        if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
            optimizer.build(variables)
        elif isinstance(optimizer, tf.keras.optimizers.Optimizer):  # no legacy one
            with tf.name_scope(optimizer.name):  # names are those of a step
                optimizer.build(variables)
