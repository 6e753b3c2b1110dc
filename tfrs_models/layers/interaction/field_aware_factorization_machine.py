"""The field-aware factorisation machine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.feature import Feature
from tfrs_models.layers.interaction.active_values import (
    active_values,
    add_bias_and_table,
    num_rows,
)
from tfrs_models.ops.features.declared_features import parse_features
from tfrs_models.types import Features


@register
class FieldAwareFactorizationMachine(tf.keras.layers.Layer):
    """FFM: every value has a vector for each field that it meets.

    `b + sum_i w_i x_i + sum_{i<j} <v_{i,f_j}, v_{j,f_i}> x_i x_j` over the active
    values of all fields; what a value counts is as in `FactorizationMachine`. Values of
    one bag meet each other too, by their vectors for their own field, as the sum over
    all pairs says.

    No pair of values is ever formed: with the sums of each field,
    `S_fg = sum_{i in f} v_{i,g} x_i`, the pairs are
    `1/2 (sum_fg <S_fg, S_gf> - sum_i |v_{i,f_i} x_i|^2)`.

    Reference:
      Juan et al., Field-aware factorization machines for CTR prediction, RecSys 2016.
    """

    def __init__(
        self, fields: Sequence[Feature | Mapping], embedding_dim: int, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          fields: Declarations of the features.
          embedding_dim: Width of the vectors; a value has one for each field.
          **kwargs: Of `tf.keras.layers.Layer`.
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
            self, num_rows(self.fields), len(self.fields) * embedding_dim
        )

    def call(self, features: Features) -> tf.Tensor:
        """The logit of each row.

        Args:
          features: The declared fields and no others: ids `[batch]` and bags `[batch,
            length]` of integers, numbers `[batch]`.

        Returns:
          `[batch]` in the dtype of the weights: float32 in mixed precision.

        Raises:
          ValueError: a feature is missing, undeclared, or of the wrong dtype or rank.
          InvalidArgumentError: an index is negative, or a number not finite.
        """
        active = active_values(features, self.fields, self.table.dtype)
        terms = tf.gather(self.table, active.rows) * active.values[..., None]
        linear, vectors = terms[..., 0], terms[..., 1:]
        of_field = active.one_hot_fields
        shape = [tf.shape(active.rows), [len(self.fields), self.embedding_dim]]
        vectors = tf.reshape(vectors, tf.concat(shape, axis=0))  # [batch, p, g, dim]
        sums = tf.einsum("bpgd,pf->bfgd", vectors, of_field)
        met = tf.einsum("bfgd,bgfd->b", sums, sums)
        own = tf.einsum("bpgd,pg->b", vectors**2, of_field)  # a value with itself
        return self.bias + tf.reduce_sum(linear, axis=1) + (met - own) / 2

    def get_config(self) -> dict:
        return super().get_config() | {
            "fields": [asdict(field) for field in self.fields],
            "embedding_dim": self.embedding_dim,
        }
