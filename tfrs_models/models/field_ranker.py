"""The base class of rankers over declared fields."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import tensorflow as tf

from tfrs_models._keras import FromConfig, UnsavedMean
from tfrs_models.feature import Feature
from tfrs_models.layers.experts.gated import Expert
from tfrs_models.model import Model, add_total
from tfrs_models.ops.features.declared_features import parse_features, pick_declared
from tfrs_models.ops.features.read_features import check_named
from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.tasks.regression import Regression
from tfrs_models.types import Features

SCORE = "score"


class FieldRanker(FromConfig, Model):
    """A model that predicts one label from declared fields. Implement `call`."""

    def __init__(
        self,
        fields: Sequence[Feature | Mapping],
        embedding_dim: int,
        *,
        label: str,
        hidden_units: Sequence[int],
        dropout: float,
        task: MultiTask | Regression | None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.fields = parse_features(fields, "fields")
        names = {field.name for field in self.fields}
        if label in {*names, SCORE}:
            raise ValueError(
                f"`label` must be neither one of `fields` {sorted(names)} nor "
                f"`{SCORE}`. Got `{label}`."
            )
        self.embedding_dim = embedding_dim
        self.label = label
        self.hidden_units = tuple(hidden_units)
        self.dropout = dropout
        self.task = task or MultiTask([label])
        if len(self.task.task_names) != 1:
            raise ValueError(
                f"`task` must have one task. Got {list(self.task.task_names)}."
            )
        # NaN is a label that was not observed; fields are checked where they are read,
        # with the row in the message.
        self.nan_features = frozenset({label, *names})
        self.deep = Expert(self.hidden_units, dropout=dropout)
        self.head = tf.keras.layers.Dense(1, dtype="float32")
        self._loss_per_example = UnsavedMean("loss_per_example")

    def fields_of(self, features: Features) -> Features:
        """Returns the declared fields; a `ValueError` names one that is missing."""
        return pick_declared(features, self.fields)

    def side_by_side(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Reshapes `[batch, num_fields, embedding_dim]` to `[batch, width]`."""
        return tf.reshape(embeddings, [-1, len(self.fields) * self.embedding_dim])

    def rank(self, features: Features) -> dict[str, tf.Tensor]:
        """Computes the answer of a server.

        Args:
          features: declared fields; the model does not read others.

        Returns:
          The prediction by the name of the label, a probability or a number, and the
          `score` to rank by, whose sigmoid the probability is; `[batch]` float32 each.
        """
        scores = self(features)
        return {self.label: self.task.predictions(scores), SCORE: scores}

    def predict_step(self, features: Features) -> dict[str, tf.Tensor]:
        """Returns the outputs of `rank` for a batch of `predict`."""
        return self.rank(features)

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the task's loss.

        Args:
          features: declared fields, the label `[batch]`, optionally `sample_weight`
            `[batch]`, and others, which the model does not read.
          training: True in a training step, where layers may drop values.

        Returns:
          Scalar loss.

        Raises:
          ValueError: a declared field or the label is missing or does not fit.
        """
        check_named(features)
        if self.label not in features:
            raise ValueError(
                f"Feature `{self.label}`, the label, is missing. Got "
                f"{sorted(features)}."
            )
        labels = tf.convert_to_tensor(features[self.label])
        if labels.shape.rank != 1:
            raise ValueError(
                f"Feature `{self.label}`, the label, must be [batch]. Got shape "
                f"{labels.shape}."
            )
        scores = self(features, training=training)
        loss = self.task(
            labels[:, None],
            scores[:, None],
            sample_weight=features.get("sample_weight"),
        )
        add_total(self._loss_per_example, loss, tf.shape(scores)[0])
        return loss

    def get_config(self) -> dict:
        return {
            "fields": [asdict(field) for field in self.fields],
            "embedding_dim": self.embedding_dim,
            "label": self.label,
            "hidden_units": list(self.hidden_units),
            "dropout": self.dropout,
            "task": tf.keras.utils.serialize_keras_object(self.task),
            "name": self.name,
        }
