"""Embeddings of declared features, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.feature import Feature
from tfrs_models.layers.interaction.active_values import (
    STDDEV,
    active_values,
    known_rows,
    num_rows,
)
from tfrs_models.ops.features.declared_features import parse_features
from tfrs_models.types import Features, VocabularyRows


@register
class FieldEmbedding(tf.keras.layers.Layer):
    """Embeds each field: its id, bag, standardised number or unit vector.

    The embedding of a field is the sum of the vectors of its values, each multiplied by
    the value that `FactorizationMachine` describes.
    """

    def __init__(
        self, fields: Sequence[Feature | Mapping], embedding_dim: int, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          fields: declarations of the features.
          embedding_dim: width of a field's embedding.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False  # numbers are standardised before they lose precision
        self.fields = parse_features(fields, "fields")
        if embedding_dim < 1:
            raise ValueError(
                f"`embedding_dim` must be at least 1. Got {embedding_dim}."
            )
        self.embedding_dim = embedding_dim
        with tf.name_scope(self.name):  # HDF5 files want distinct names
            self.table = self.add_weight(
                "table",
                (num_rows(self.fields), embedding_dim),
                initializer=self._initial,
                experimental_autocast=False,
            )

    def _initial(self, shape: tf.TensorShape, dtype: tf.DType, **_) -> tf.Tensor:
        normal = tf.keras.initializers.RandomNormal(stddev=STDDEV)(shape, dtype)
        return tf.where(known_rows(self.fields), normal, 0)

    def call(self, features: Features) -> tf.Tensor:
        """Embeds a batch.

        Args:
          features: values of the declared fields and of no others: ids `[batch]` and
            bags `[batch, length]` of integers, numbers `[batch]` and vectors `[batch,
            dim]`.

        Returns:
          `[batch, num_fields, embedding_dim]`.

        Raises:
          ValueError: a feature is missing, undeclared, or of the wrong dtype or
            shape.
          InvalidArgumentError: an index is negative, or a number or vector not finite.
        """
        active = active_values(features, self.fields, self.table.dtype)
        vectors = active.terms(self.table)
        return tf.cast(active.by_field(vectors), self.compute_dtype)

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns the table, whose rows are the values of all fields."""
        return [
            VocabularyRows(self.table, field.name, "refuse")
            for field in self.fields
            if field.kind in ("id", "bag")
        ]

    def get_config(self) -> dict:
        return super().get_config() | {
            "fields": [asdict(field) for field in self.fields],
            "embedding_dim": self.embedding_dim,
        }
