"""TensorFlow Recommenders' name for a call with exclusions."""

import tensorflow as tf

from tfrs_models.types import Features, Tensor


class ExclusionQueries:
    """For indexes whose `call` takes `exclusions`."""

    @tf.function
    def query_with_exclusions(
        self,
        queries: tf.Tensor | Features,
        exclusions: Tensor,
        k: int | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best candidates of each query that are not excluded for it.

        Args:
          queries: As in `call`.
          exclusions: As in `call`.
          k: As in `call`.

        Returns:
          As `call`.
        """
        self(queries, k=k)  # Keras saves only what was called; the graph prunes it
        return self(queries, k=k, exclusions=exclusions)
