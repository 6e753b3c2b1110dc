"""Auto-correlation within and between two series."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.attention.auto_correlation import Lags
from tfrs_models.layers.attention.auto_correlation_block import AutoCorrelationBlock
from tfrs_models.layers.attention.auto_correlation_layer import AutoCorrelationLayer
from tfrs_models.torch_weights import Arrays, Targets, TorchPort

_ROLES = (
    "poi_attention",
    "cat_attention",
    "cross_poi_attention",
    "cross_cat_attention",
)


@register
class CrossModalStack(TorchPort, tf.keras.layers.Layer):
    """Layers of auto-correlation between the POIs of a trace and their categories.

    In each layer the POIs correlate with themselves, the categories with themselves,
    the POIs with the categories, and the categories with the updated POIs.

    Example:
      >>> stack = tm.models.automtn.CrossModalStack(4, num_layers=2)
      >>> pois, categories = tf.random.normal([2, 6, 4]), tf.random.normal([2, 6, 4])
      >>> pois, categories = stack(pois, categories, tf.ones([2, 6], tf.bool))
      >>> pois.shape, categories.shape
      (TensorShape([2, 6, 4]), TensorShape([2, 6, 4]))

    Reference:
      Qin et al., Next point-of-interest recommendation with auto-correlation enhanced
      multi-modal transformer network, SIGIR 2022.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_layers: int = 1,
        num_heads: int = 1,
        factor: float = 1.0,
        shared_lags: bool | None = None,
        use_residual: bool = False,
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the layers.

        Args:
          embedding_dim: width of both series.
          num_layers: number of layers; 0 leaves the series unchanged.
          num_heads: number of heads of queries, keys and values.
          factor: lags per natural logarithm of the length.
          shared_lags: whether the rows of a batch share their lags; None for training
            only.
          use_residual: whether each correlation is an `AutoCorrelationBlock`, as in the
            paper; otherwise its output replaces the query, as in the original code.
          dropout: share of values that training drops in the blocks.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_layers < 0:
            raise ValueError(f"`num_layers` must not be negative. Got {num_layers}.")
        self.embedding_dim = embedding_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.factor = float(factor)
        self.shared_lags = shared_lags
        self.use_residual = use_residual
        self.dropout = dropout
        options = {"num_heads": num_heads, "factor": factor, "shared_lags": shared_lags}
        if use_residual:
            options["dropout"] = dropout
        cls = AutoCorrelationBlock if use_residual else AutoCorrelationLayer
        # One list for all: Keras's files know no lists of lists.
        self._correlations = [
            cls(embedding_dim, **options) for _ in range(num_layers * len(_ROLES))
        ]

    def call(
        self,
        pois: tf.Tensor,
        categories: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Updates both series.

        Args:
          pois: `[batch, seq_len, embedding_dim]` vectors of the POIs.
          categories: `[batch, seq_len, embedding_dim]` vectors of their categories.
          mask: `[batch, seq_len]` bool, False for padding.
          training: whether dropout is active and, by default, rows share their lags.

        Returns:
          POIs and categories, `[batch, seq_len, embedding_dim]` each.
        """
        options = {"query_mask": mask, "key_mask": mask, "training": training}
        for number in range(self.num_layers):
            of_pois, of_categories, to_pois, to_categories = self._layer(number)
            pois = of_pois(pois, pois, **options)
            categories = of_categories(categories, categories, **options)
            pois = to_pois(pois, categories, **options)
            categories = to_categories(categories, pois, **options)
        return pois, categories

    def lags(self, pois: tf.Tensor, mask: tf.Tensor) -> Lags:
        """Computes the lags of the first layer at which the POIs of traces repeat.

        Args:
          pois: `[batch, seq_len, embedding_dim]` vectors of the POIs.
          mask: `[batch, seq_len]` bool, False for padding.

        Raises:
          ValueError: the stack has no layer.
        """
        if not self.num_layers:
            raise ValueError("`num_layers` must be 1 or more to have lags. Got 0.")
        return self._layer(0)[0].lags(pois, query_mask=mask)

    def _layer(self, number: int) -> list[tf.keras.layers.Layer]:
        """Returns the correlations of a layer, one for each role."""
        return self._correlations[number * len(_ROLES) :][: len(_ROLES)]

    def torch_arrays(self, arrays: Arrays) -> Targets:
        if self.use_residual:
            raise ValueError(
                "`use_residual` must be False for the weights of the original, which "
                "has no residual connections. Got True."
            )
        targets = {}
        for number in range(self.num_layers):
            for role, layer in zip(_ROLES, self._layer(number), strict=True):
                prefix = f"{role}.{number}."
                arrays_of_role = {
                    name.removeprefix(prefix): value
                    for name, value in arrays.items()
                    if name.startswith(prefix)
                }
                found = layer.torch_arrays(arrays_of_role)
                targets |= {prefix + name: target for name, target in found.items()}
        return targets

    def get_config(self) -> dict:
        return super().get_config() | {
            "embedding_dim": self.embedding_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "factor": self.factor,
            "shared_lags": self.shared_lags,
            "use_residual": self.use_residual,
            "dropout": self.dropout,
        }
