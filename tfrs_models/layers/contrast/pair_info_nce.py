"""What belongs together scores above what was drawn."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.contrast.bilinear_contrast import BilinearContrast
from tfrs_models.ops.softmax.contrasts import pair_info_nce


@register
class PairInfoNCE(BilinearContrast):
    """`losses.pair_info_nce` in both directions, with a similarity that it learns.

    Queries look for their items among drawn items, and items for their queries among
    drawn queries.

    Reference:
      Shi et al., UniSAR: modeling user transition behaviors between search and
      recommendation, SIGIR 2024.
    """

    _temperature_of_original = "temp"

    def call(
        self,
        queries: tf.Tensor,
        items: tf.Tensor,
        negative_queries: tf.Tensor,
        negative_items: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Sums over the pairs the mean of both directions.

        Args:
          queries: `[num_pairs, embedding_dim]`.
          items: `[num_pairs, embedding_dim]`, row by row of the queries.
          negative_queries: `[num_negative_queries, embedding_dim]`.
          negative_items: `[num_negative_items, embedding_dim]`.
          training: Whether a gradient will be asked for.

        Returns:
          Scalar float32, 0 without a pair.
        """
        options = {
            "weight": self.kernel,
            "temperature": self.temperature,
            "training": training,
        }
        of_queries = pair_info_nce(queries, items, negative_items, **options)
        of_items = pair_info_nce(items, queries, negative_queries, **options)
        return (of_queries + of_items) / 2
