"""A tower over declared features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.feature import Feature
from tfrs_models.layers.draws import Draws
from tfrs_models.layers.mlp import MLP
from tfrs_models.ops.features.declared_features import (
    declared_feature,
    known_values,
    num_vectors,
    parse_features,
    standardised,
    vector_inputs,
)
from tfrs_models.types import Features, VocabularyRows


@register
class FeatureTower(Draws, tf.keras.layers.Layer):
    """Adds up the embeddings of a user's or an item's features.

    An id has a vector for each known value and one for unknown values: index 0 and
    every index beyond the known ones. A bag (genres, words) is the sum of its values'
    vectors over the square root of their number. A number is standardised with the
    statistics of its `Feature` and multiplies a vector of its own. A vector is scaled
    to unit length and multiplies a matrix of its own; a missing one, which is zeros, is
    a learned vector, 0 at first.

    Example:
      >>> item = tm.data.Feature("item_id", "id", num_values=3)
      >>> year = tm.data.Feature("year", "number", mean=1990.0, scale=10.0)
      >>> tower = tm.towers.FeatureTower([item, year], embedding_dim=2)
      >>> tower({"item_id": np.array([3, 0]), "year": np.array([1995.0, 1990.0])}).shape
      TensorShape([2, 2])
    """

    def __init__(
        self,
        features: Sequence[Feature | Mapping],
        embedding_dim: int,
        *,
        hidden_units: Sequence[int] = (),
        id_dropout: float = 0.0,
        **kwargs,
    ) -> None:
        """Initializes the tower.

        Args:
          features: declarations of the features; the id of the user or item comes
            first.
          embedding_dim: width of the output.
          hidden_units: widths of ReLU layers between the sum and a last linear layer;
            empty for the sum itself.
          id_dropout: share of ids of the first feature that training replaces by the
            unknown id, in [0, 1). The vector of unknown ids then is trained, and the
            other features learn to work without the id.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False  # numbers are standardised before they lose precision
        self.features = parse_features(features, "features")
        if embedding_dim < 1:
            raise ValueError(
                f"`embedding_dim` must be at least 1. Got {embedding_dim}."
            )
        if not 0 <= id_dropout < 1:
            raise ValueError(f"`id_dropout` must be in [0, 1). Got {id_dropout}.")
        if id_dropout and self.features[0].kind != "id":
            raise ValueError(
                "`id_dropout` drops the first feature, which must be an id. Got "
                f"`{self.features[0].name}`, a {self.features[0].kind}."
            )
        self.embedding_dim = embedding_dim
        self.hidden_units = tuple(hidden_units)
        self.id_dropout = id_dropout
        self._tables = [
            self.add_weight(
                feature.name,
                (num_vectors(feature), embedding_dim),
                initializer=_initializer(feature),
            )
            for feature in self.features
        ]
        self._trunk = None
        if self.hidden_units:
            self._trunk = MLP([*self.hidden_units, embedding_dim])
            self._trunk.build((None, embedding_dim))

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """Embeds a batch.

        Args:
          features: batch with every declared feature: ids `[batch]` and bags `[batch,
            length]` of integers, numbers `[batch]` and vectors `[batch, dim]`.
          training: whether ids are dropped.

        Returns:
          `[batch, embedding_dim]`.

        Raises:
          ValueError: a feature is missing or has the wrong dtype or rank.
        """
        embeddings = []
        for feature, table in zip(self.features, self._tables, strict=True):
            value = declared_feature(features, feature)
            if feature is self.features[0] and self.id_dropout and training:
                draw = tf.random.stateless_uniform(tf.shape(value), self.next_seed())
                dropped = draw < self.id_dropout
                value = tf.where(dropped, tf.zeros_like(value), value)
            embeddings.append(_embed(value, feature, table))
        total = tf.add_n(embeddings)
        return total if self._trunk is None else self._trunk(total)

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns the tables of ids and bags, with their vocabularies."""
        new = {"id": "unknown", "bag": "zeros"}  # no bag reads row 0, its padding
        return [
            VocabularyRows(table, feature.name, new[feature.kind])
            for feature, table in zip(self.features, self._tables, strict=True)
            if feature.kind in new
        ]

    def get_config(self) -> dict:
        return super().get_config() | {
            "features": [asdict(feature) for feature in self.features],
            "embedding_dim": self.embedding_dim,
            "hidden_units": list(self.hidden_units),
            "id_dropout": self.id_dropout,
        }


def _initializer(feature: Feature) -> Callable:
    normal = tf.keras.initializers.RandomNormal(stddev=0.05)
    if feature.kind != "vector":
        return normal

    def without_missing(shape: tf.TensorShape, dtype: tf.DType, **_) -> tf.Tensor:
        return tf.pad(normal((shape[0] - 1, shape[1]), dtype), [[1, 0], [0, 0]])

    return without_missing


def _embed(value: tf.Tensor, feature: Feature, table: tf.Tensor) -> tf.Tensor:
    if feature.kind == "number":
        return tf.cast(standardised(value, feature), table.dtype)[:, None] * table
    if feature.kind == "vector":
        return tf.cast(vector_inputs(value), table.dtype) @ table
    value, known = known_values(value, feature)
    if feature.kind == "id":
        return tf.gather(table, value)
    present = tf.cast(known, table.dtype)
    total = tf.einsum("bl,bld->bd", present, tf.gather(table, value))
    count = tf.reduce_sum(present, axis=1, keepdims=True)
    return tf.math.divide_no_nan(total, tf.sqrt(count))
