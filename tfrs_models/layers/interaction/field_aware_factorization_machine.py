"""The field-aware factorisation machine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.feature import Feature
from tfrs_models.layers.interaction.active_values import (
    active_values,
    add_bias_and_table,
)
from tfrs_models.ops.features.declared_features import parse_features
from tfrs_models.types import Features, VocabularyRows


@register
class FieldAwareFactorizationMachine(tf.keras.layers.Layer):
    """FFM: a factorisation machine whose values have one vector for each field.

    `b + sum_i w_i x_i + sum_{i<j} <v_{i,f_j}, v_{j,f_i}> x_i x_j` over the active
    values `x_i` of all fields, which are those of `FactorizationMachine`. The sum
    includes pairs of values of one bag, with their vectors for the field of the bag.

    No pair of values is ever formed. With `S_fg = sum_{i in f} v_{i,g} x_i`, the sums
    of each field, the pairs are `1/2 (sum_fg <S_fg, S_gf> - sum_i |v_{i,f_i} x_i|^2)`.

    Example:
      >>> fields = [tm.data.Feature("user", "id", 9), tm.data.Feature("tags", "bag", 5)]
      >>> layer = tm.layers.FieldAwareFactorizationMachine(fields, embedding_dim=4)
      >>> layer({"user": np.array([1, 2]), "tags": np.array([[5, 0], [1, 2]])}).shape
      TensorShape([2])

    Reference:
      Juan et al., Field-aware factorization machines for CTR prediction, RecSys 2016.
    """

    def __init__(
        self, fields: Sequence[Feature | Mapping], embedding_dim: int, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          fields: declarations of the features.
          embedding_dim: width of a vector; a value has one vector for each field.
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
        self.bias, self.table = add_bias_and_table(
            self, self.fields, len(self.fields) * embedding_dim
        )

    def call(self, features: Features) -> tf.Tensor:
        """Computes the logit of each row.

        Args:
          features: values of the declared fields and of no others: ids `[batch]` and
            bags `[batch, length]` of integers, numbers `[batch]` and vectors `[batch,
            dim]`.

        Returns:
          `[batch]` logits in the dtype of the weights: float32 in mixed precision.

        Raises:
          ValueError: a feature is missing, undeclared, or of the wrong dtype or
            shape.
          InvalidArgumentError: an index is negative, or a number or vector not finite.
        """
        active = active_values(features, self.fields, self.table.dtype)
        terms = active.terms(self.table)
        linear, vectors = terms[..., 0], terms[..., 1:]
        of_field = active.one_hot_fields
        shape = [tf.shape(terms)[:2], [len(self.fields), self.embedding_dim]]
        vectors = tf.reshape(vectors, tf.concat(shape, axis=0))  # [batch, p, g, dim]
        sums = tf.einsum("bpgd,pf->bfgd", vectors, of_field)
        pairs = tf.einsum("bfgd,bgfd->b", sums, sums)
        with_itself = tf.einsum("bpgd,pg->b", vectors**2, of_field)
        return self.bias + tf.reduce_sum(linear, axis=1) + (pairs - with_itself) / 2

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
