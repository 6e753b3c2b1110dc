"""What upstream's metric retrieves with, for subclasses that ask it themselves."""

import tensorflow as tf

from tfrs_models.layers.index.streaming import Streaming
from tfrs_models.metrics.corpus import Corpus
from tfrs_models.types import Tensor


class Retriever(tf.keras.layers.Layer):
    """Answers as a `Streaming` layer over the candidates of a corpus.

    The layer is made when it is asked: Keras, which would save the candidates with the
    model, sees a weight only, the counter that upstream's layer has. Without it files
    of weights would not go from upstream's models to ours and back.

    Attributes:
      is_of_metric: Tells models that the weight is none of theirs.
    """

    is_of_metric = True

    def __init__(self, corpus: Corpus, *, k: int) -> None:
        """Initializes the layer.

        Args:
          corpus: Holds a dataset of candidates.
          k: How many candidates to return where `call` does not say.
        """
        super().__init__(trainable=False)
        self._autocast = False
        self._corpus, self._k = corpus, k
        self.add_weight("counter", [], tf.int32, initializer="zeros", trainable=False)
        self.built = True

    def call(
        self, queries: tf.Tensor, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query; see `layers.Streaming`."""
        return self._streaming()(queries, k=k)

    def query_with_exclusions(
        self, queries: tf.Tensor, exclusions: Tensor, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates that are not excluded; see `layers.Streaming`."""
        return self._streaming().query_with_exclusions(queries, exclusions, k=k)

    def is_exact(self) -> bool:
        return True

    def load_own_variables(self, store: dict) -> None:
        """Takes the counter of a file, if it has one: the metric may be new."""
        if store.keys():
            super().load_own_variables(store)

    def _streaming(self) -> Streaming:
        return self._corpus.streaming(self._k)
