"""A gradient that was formed in the forward pass, and has none itself."""

from collections.abc import Callable

import tensorflow as tf


@tf.custom_gradient
def once_differentiable(slope: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """The slope; an error where it is differentiated.

    Args:
      slope: A gradient that was computed apart from the graph.
      *_: What it depends on, by which nobody may differentiate again.
    """

    def refuse(*_: tf.Tensor) -> None:
        raise LookupError("This loss can be differentiated once, not twice.")

    return tf.identity(slope), refuse
