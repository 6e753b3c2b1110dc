"""A ranker of a factorisation machine and a deep network on the same embeddings."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.feature import Feature
from tfrs_models.layers.interaction.factorization_machine import FactorizationMachine
from tfrs_models.models.field_ranker import FieldRanker
from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.tasks.regression import Regression
from tfrs_models.types import Features


@register
class DeepFM(FieldRanker):
    """The sum of two logits over shared embeddings: of an FM and of dense layers.

    The inputs of the machine are all pairs of values, those of the dense layers the
    vectors of all fields side by side. A batch may hold more than the declared fields:
    the label, weights, ids for a report.

    Example:
      >>> Feature = tm.data.Feature
      >>> fields = [Feature("user_id", "id", 3), Feature("age", "number")]
      >>> model = tm.models.DeepFM(fields, embedding_dim=4, label="click")
      >>> rows = {"user_id": np.array([1, 2]), "age": np.float32([0.3, -1])}
      >>> loss = model.compute_loss(rows | {"click": np.float32([1, 0])})
      >>> {name: values.shape for name, values in model.rank(rows).items()}
      {'click': TensorShape([2]), 'score': TensorShape([2])}

    Reference:
      Guo et al., DeepFM: a factorization-machine based neural network for CTR
      prediction, IJCAI 2017.
    """

    def __init__(
        self,
        fields: Sequence[Feature | Mapping],
        embedding_dim: int,
        *,
        label: str,
        hidden_units: Sequence[int] = (64, 64),
        dropout: float = 0.0,
        task: MultiTask | Regression | None = None,
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          fields: declarations of the features, of user and item alike.
          embedding_dim: width of a value's vector.
          label: name of the feature that is predicted.
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
        self.machine = FactorizationMachine(self.fields, embedding_dim)

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
        logit, embeddings = self.machine.with_embeddings(self.fields_of(features))
        deep = self.deep(self.side_by_side(embeddings), training=training)
        return logit + self.head(deep)[:, 0]
