"""A ranker of cross layers beside a deep network."""

from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models._keras import register
from tfrs_models.feature import Feature
from tfrs_models.layers.interaction.field_embedding import FieldEmbedding
from tfrs_models.models.field_ranker import FieldRanker
from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.tasks.regression import Regression
from tfrs_models.types import Features


@register
class DCN(FieldRanker):
    """One logit of cross layers and dense layers, which read the same embeddings.

    With the vectors of all fields side by side, `x_0`, cross layer `l` is
    `x_{l+1} = x_0 * (W x_l + b) + x_l`: products of up to `l + 2` values. A batch may
    hold more than the declared fields.

    Example:
      >>> Feature = tm.data.Feature
      >>> fields = [Feature("user_id", "id", 3), Feature("age", "number")]
      >>> model = tm.models.DCN(fields, embedding_dim=4, label="click")
      >>> rows = {"user_id": np.array([1, 2]), "age": np.float32([0.3, -1])}
      >>> loss = model.compute_loss(rows | {"click": np.float32([1, 0])})
      >>> {name: values.shape for name, values in model.rank(rows).items()}
      {'click': TensorShape([2]), 'score': TensorShape([2])}

    Reference:
      Wang et al., DCN V2: improved deep & cross network and practical lessons for
      web-scale learning to rank systems, WWW 2021 (the parallel structure).
    """

    def __init__(
        self,
        fields: Sequence[Feature | Mapping],
        embedding_dim: int,
        *,
        label: str,
        num_cross_layers: int = 2,
        projection_dim: int | None = None,
        hidden_units: Sequence[int] = (64, 64),
        dropout: float = 0.0,
        task: MultiTask | Regression | None = None,
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          fields: declarations of the features, of user and item alike.
          embedding_dim: width of a field's vector.
          label: name of the feature that is predicted.
          num_cross_layers: number of `tfrs.layers.dcn.Cross` layers.
          projection_dim: rank of their matrices; full where None.
          hidden_units: widths of the deep part's ReLU layers.
          dropout: share of values that the deep part drops in training, in [0, 1).
          task: `tasks.Regression` for a label that is a number; where None,
            `tasks.MultiTask([label])`: the label is 0 or 1.
          **kwargs: arguments of `tf.keras.Model`.
        """
        super().__init__(
            fields,
            embedding_dim,
            label=label,
            hidden_units=hidden_units,
            dropout=dropout,
            task=task,
            **kwargs,
        )
        if min(num_cross_layers, 1 if projection_dim is None else projection_dim) < 1:
            raise ValueError(
                "`num_cross_layers` and `projection_dim` must be at least 1. Got "
                f"{num_cross_layers} and {projection_dim}."
            )
        self.num_cross_layers = num_cross_layers
        self.projection_dim = projection_dim
        self.embedding = FieldEmbedding(self.fields, embedding_dim)
        self.cross_layers = [
            tfrs.layers.dcn.Cross(projection_dim) for _ in range(num_cross_layers)
        ]

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the logit of each row; of a regression, its distance from the mean.

        Args:
          features: declared fields; the model does not read others.
          training: True where the deep part drops values.

        Returns:
          `[batch]` float32.

        Raises:
          ValueError: a field is missing or has the wrong dtype or rank.
          InvalidArgumentError: an index is negative, or a number not finite.
        """
        inputs = self.side_by_side(self.embedding(self.fields_of(features)))
        crossed = inputs
        for cross in self.cross_layers:
            crossed = cross(inputs, crossed)
        deep = self.deep(inputs, training=training)
        both = [crossed, tf.cast(deep, crossed.dtype)]
        return self.head(tf.concat(both, axis=1))[:, 0]

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_cross_layers": self.num_cross_layers,
            "projection_dim": self.projection_dim,
        }
