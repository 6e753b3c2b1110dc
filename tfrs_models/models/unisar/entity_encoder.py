"""Users or items as vectors, by id and by what is known of them."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort, linear


@register
class EntityEncoder(FromConfig, TorchPort, tf.keras.layers.Layer):
    """`tanh(W [id | text | category | ...] + b)`.

    Which categories and words an entity has is in tables of integers that are not
    trained: part of the weights, and so of every file, but never of a graph. Set them
    by `set_attributes`; they begin as 0. An entity that occurs several times in a batch
    is encoded once.
    """

    def __init__(
        self,
        num_rows: int,
        embedding_dim: int,
        *,
        output_dim: int,
        categories: Mapping[str, int] | None = None,
        text: tf.keras.layers.Layer | None = None,
        text_name: str = "caption",
        text_length: int = 0,
        padding: bool = False,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          num_rows: Entities: ids are 0 to `num_rows - 1`.
          embedding_dim: Width of an id and of a category.
          output_dim: Width of an entity.
          categories: Name -> how many values it has, 0 among them.
          text: From words `[num_entities, text_length]` to vectors, with its
            `num_words` (`QueryEncoder`).
          text_name: Of the attribute that has the words.
          text_length: Words of an entity, at most; with `text` only.
          padding: Whether id 0 is no entity, and 0 no category: vectors of 0, without
            gradient.
          **kwargs: Of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if (text is None) != (text_length == 0):
            raise ValueError(
                "`text_length` must be at least 1 with `text`, and 0 without. Got "
                f"{text_length} and {text}."
            )
        self.num_rows = num_rows
        self.embedding_dim = embedding_dim
        self.output_dim = output_dim
        self.categories = dict(categories or {})
        self.text = text
        self.text_name = text_name
        self.text_length = text_length
        self.padding = padding
        with tf.name_scope(self.name):  # HDF5 files want distinct names
            self._tables = {
                name: self.add_weight(
                    f"{name}_table", (size, embedding_dim), initializer="glorot_normal"
                )
                for name, size in {"id": num_rows, **self.categories}.items()
            }
            shapes = {name: [] for name in self.categories}
            if text is not None:
                shapes[text_name] = [text_length]
            self._attributes = {
                name: self.add_weight(
                    name,
                    (num_rows, *shape),
                    dtype=tf.int32,
                    initializer="zeros",
                    trainable=False,
                )
                for name, shape in shapes.items()
            }
        self._project = tf.keras.layers.Dense(
            output_dim, "tanh", kernel_initializer="glorot_normal"
        )

    def set_attributes(self, columns: Mapping[str, np.ndarray]) -> None:
        """Says what is known of the entities.

        Args:
          columns: Attribute -> integers, a row for each id from 0 on: `[num_rows]` of a
            category and `[num_rows, text_length]` of the text. Ids beyond the last row
            keep 0.

        Raises:
          ValueError: an attribute is missing or unknown, has too many rows or values
            that are out of range; no attribute is changed then.
        """
        if columns.keys() != self._attributes.keys():
            raise ValueError(
                f"`columns` must be those of {self.name}, {sorted(self._attributes)}. "
                f"Got {sorted(columns)}."
            )
        largest = {name: size - 1 for name, size in self.categories.items()}
        if self.text is not None:
            largest[self.text_name] = self.text.num_words
        tables = {}
        for name, values in columns.items():
            values, variable = np.asarray(values), self._attributes[name]
            if values.shape[1:] != tuple(variable.shape[1:]) or (
                len(values) > self.num_rows
            ):
                raise ValueError(
                    f"The attribute `{name}` must have the shape {variable.shape}, or "
                    f"fewer rows. Got {values.shape}."
                )
            low, high = values.min(initial=0), values.max(initial=0)
            if low < 0 or high > largest[name]:
                raise ValueError(
                    f"The attribute `{name}` must be from 0 to {largest[name]}, as the "
                    f"layer was made. Got {low} to {high}."
                )
            tables[name] = np.zeros(variable.shape, "int32")
            tables[name][: len(values)] = values
        for name, table in tables.items():
            self._attributes[name].assign(table)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Embeds entities.

        Args:
          ids: Integers of any shape, each below `num_rows`.

        Returns:
          `[..., output_dim]`.
        """
        used, places = tf.unique(tf.reshape(ids, [-1]))
        parts = [self._rows("id", used)]
        if self.text is not None:  # the original's order: texts before categories
            words = tf.gather(self._attributes[self.text_name], used)
            parts.append(self.text(words))
        for name in self.categories:
            values = tf.gather(self._attributes[name], used)
            parts.append(self._rows(name, values))
        encoded = self._project(tf.concat(parts, axis=-1))
        if self.padding:
            encoded = tf.where(used[:, None] != 0, encoded, 0)
        encoded = tf.gather(encoded, tf.reshape(places, tf.shape(ids)))
        return tf.ensure_shape(encoded, [*ids.shape, self.output_dim])

    def _rows(self, name: str, values: tf.Tensor) -> tf.Tensor:
        rows = tf.gather(self._tables[name], values)
        return tf.where(values[:, None] != 0, rows, 0) if self.padding else rows

    def torch_arrays(self, arrays: Arrays, *, entity: str) -> Targets:
        """The original's tables and layer; those of the text are not among them.

        Args:
          arrays: The original's state dict.
          entity: What it calls an entity, `"item"` or `"user"`.
        """
        targets = {
            f"{f'{entity}_id' if name == 'id' else name}_emb.weight": TorchArray(table)
            for name, table in self._tables.items()
        }
        return targets | linear(f"{entity}_trans", self._project, arrays)

    def get_config(self) -> dict:
        text = self.text
        return super().get_config() | {
            "num_rows": self.num_rows,
            "embedding_dim": self.embedding_dim,
            "output_dim": self.output_dim,
            "categories": self.categories,
            "text": text and tf.keras.utils.serialize_keras_object(text),
            "text_name": self.text_name,
            "text_length": self.text_length,
            "padding": self.padding,
        }
