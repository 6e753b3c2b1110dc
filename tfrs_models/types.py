"""Type aliases of the values that layers and models take."""

from collections.abc import Mapping

import tensorflow as tf

from tfrs_models._advice import advise as _advise

Tensor = tf.Tensor | tf.RaggedTensor
Features = Mapping[str, Tensor]

__getattr__ = _advise(__name__)
