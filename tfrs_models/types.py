"""Names for the values that travel between layers."""

from collections.abc import Mapping

import tensorflow as tf

Tensor = tf.Tensor | tf.RaggedTensor
Features = Mapping[str, Tensor]
