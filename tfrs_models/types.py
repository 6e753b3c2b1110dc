"""Type aliases of the values that layers and models take."""

from collections.abc import Mapping

import tensorflow as tf

Tensor = tf.Tensor | tf.RaggedTensor
Features = Mapping[str, Tensor]
