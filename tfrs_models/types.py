"""Types of the values that layers and models take, and of rows of their tables."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import tensorflow as tf

from tfrs_models._advice import advise as _advise

Tensor = tf.Tensor | tf.RaggedTensor
Features = Mapping[str, Tensor]


class VocabularyRows(NamedTuple):
    """Says which vocabulary the rows of a variable stand for.

    A layer returns one for each such variable from its method `vocabulary_rows`, so
    that `training.load_rows` moves the rows when the vocabulary has grown.

    Attributes:
      variable: variable of the layer.
      vocabulary: name of the vocabulary; its value `i` has the row `i + 1`.
      new: what becomes of the rows of new values: "unknown" (they start as copies of
        row 0, which stood for them before), "zeros", "data" (the variable holds data:
        all rows stay those of the new model), "anew" (the variable refers to values by
        their number, and begins anew if numbers have changed) or "refuse" (it cannot
        follow a change of numbers at all).
    """

    variable: tf.Variable
    vocabulary: str
    new: Literal["unknown", "zeros", "data", "anew", "refuse"] = "unknown"


__getattr__ = _advise(__name__)
