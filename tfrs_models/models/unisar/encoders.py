"""Encoders of queries, items and users, and a store of the vectors of all items."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from tfrs_models._keras import FromConfig, register
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort, linear

_BLOCK = 8192  # items that are encoded at once


@register
class QueryEncoder(TorchPort, tf.keras.layers.Layer):
    """Encodes a bag of words as `tanh(W mean + b)` of the mean vector of its words.

    The mean of no word is 0. Only words that occur get a gradient, each once, and the
    vectors of a text's words are never held side by side.
    """

    def __init__(
        self, num_words: int, embedding_dim: int, *, output_dim: int, **kwargs
    ) -> None:
        """Initializes the layer.

        Args:
          num_words: number of words; ids are 1 to `num_words`.
          embedding_dim: width of the vector of a word.
          output_dim: width of the vector of a text.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.num_words = num_words
        self.embedding_dim = embedding_dim
        self.output_dim = output_dim
        with tf.name_scope(self.name):  # HDF5 files want distinct names
            self.table = self.add_weight(
                "words", (num_words + 1, embedding_dim), initializer="glorot_normal"
            )
        self._project = tf.keras.layers.Dense(
            output_dim, "tanh", kernel_initializer="glorot_normal"
        )

    def call(self, words: tf.Tensor) -> tf.Tensor:
        """Encodes texts.

        Args:
          words: `[..., num_words]` integers, 0 for padding at any position.

        Returns:
          `[..., output_dim]`.
        """
        shape = tf.shape(words)
        texts = tf.reshape(words, [-1, shape[-1]])
        where = tf.where(texts > 0)  # [num_real, 2], text by text
        means = tf.sparse.segment_mean(
            tf.convert_to_tensor(self.table),
            tf.gather_nd(texts, where),
            where[:, 0],
            num_segments=tf.shape(texts)[0],
            sparse_gradient=True,
        )
        means = tf.reshape(means, tf.concat([shape[:-1], [self.embedding_dim]], 0))
        return self._project(
            tf.ensure_shape(means, [*words.shape[:-1], self.embedding_dim])
        )

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Maps the table and the dense layer of the original.

        Args:
          arrays: state dict of the original.
        """
        return {
            "query_encoder.word_embedding.weight": TorchArray(self.table),
            **linear("query_trans", self._project, arrays),
        }

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_words": self.num_words,
            "embedding_dim": self.embedding_dim,
            "output_dim": self.output_dim,
        }


@register
class EntityEncoder(FromConfig, TorchPort, tf.keras.layers.Layer):
    """Encodes users or items as `tanh(W [id | text | category | ...] + b)`.

    The categories and words of all entities are in tables of integers that are not
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
          num_rows: number of entities; ids are 0 to `num_rows - 1`.
          embedding_dim: width of the vectors of ids and categories.
          output_dim: width of the vector of an entity.
          categories: number of values of each category by name, 0 among them.
          text: layer from words `[num_entities, text_length]` to vectors, with an
            attribute `num_words` (`QueryEncoder`).
          text_name: name of the attribute that holds the words.
          text_length: words of an entity, at most; 0 without `text`.
          padding: whether id 0 is no entity, and 0 no category: both have the vector 0,
            without gradient.
          **kwargs: arguments of `tf.keras.layers.Layer`.
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
        """Sets the attributes of all entities, and forgets earlier ones.

        Args:
          columns: integers of each attribute by name, a row for each id from 0 on:
            `[num_rows]` for a category and `[num_rows, text_length]` for the text. Ids
            beyond the last row get 0.

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
        """Encodes entities.

        Args:
          ids: integers of any shape, each below `num_rows`.

        Returns:
          `[..., output_dim]`.
        """
        used, rows = tf.unique(tf.reshape(ids, [-1]))
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
        encoded = tf.gather(encoded, tf.reshape(rows, tf.shape(ids)))
        return tf.ensure_shape(encoded, [*ids.shape, self.output_dim])

    def _rows(self, name: str, values: tf.Tensor) -> tf.Tensor:
        rows = tf.gather(self._tables[name], values)
        return tf.where(values[:, None] != 0, rows, 0) if self.padding else rows

    def torch_arrays(self, arrays: Arrays, *, entity: str) -> Targets:
        """Maps the original's tables and dense layer, without those of the text.

        Args:
          arrays: state dict of the original.
          entity: the original's name of an entity, `"item"` or `"user"`.
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


class ItemVectors:
    """Encodes items, and stores the vectors of all items during an evaluation.

    No weight changes in an evaluation, so every item is encoded once. The variables are
    deliberately invisible to Keras: they are no part of a model.
    """

    def __init__(self, encoder: EntityEncoder) -> None:
        """Initializes an empty store.

        Args:
          encoder: encoder of the items.
        """
        self._encoder = encoder
        self._encode = tf.function(
            encoder, input_signature=[tf.TensorSpec([None], tf.int64)]
        )
        self._vectors = None
        self._is_wanted = False
        self._is_filled = False
        self._looks_up = False  # only a graph that is traced meanwhile looks up

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the vectors of items, from the store while `looked_up` is open.

        Args:
          ids: integers of any shape.

        Returns:
          `[..., output_dim]`.
        """
        if not self._looks_up:
            return self._encoder(ids)
        return tf.cond(
            self._is_full,
            lambda: tf.gather(self._vectors.read_value(), ids),
            lambda: self._encoder(ids),
        )

    @property
    def were_stored(self) -> bool:
        """Whether any evaluation has stored the vectors."""
        return self._vectors is not None

    @contextlib.contextmanager
    def stored(self) -> Iterator[None]:
        """Opens an evaluation, whose first step encodes all items."""
        self._is_wanted = True
        try:
            yield
        finally:
            self._is_wanted = False
            if self._is_filled:
                self._is_filled = False
                self._is_full.assign(False)

    @contextlib.contextmanager
    def looked_up(self) -> Iterator[None]:
        """Opens one step of an evaluation: an export must not look up."""
        if self._is_wanted and not self._is_filled:
            self._fill()
        self._looks_up = self._vectors is not None
        try:
            yield
        finally:
            self._looks_up = False

    def _fill(self) -> None:
        ids = tf.range(self._encoder.num_rows, dtype=tf.int64)
        blocks = [
            self._encode(ids[first : first + _BLOCK])
            for first in range(0, self._encoder.num_rows, _BLOCK)
        ]
        vectors = tf.concat(blocks, axis=0)
        if self._vectors is None:
            self._is_full = tf.Variable(True, trainable=False)
            self._vectors = tf.Variable(vectors, trainable=False)
        else:
            self._is_full.assign(True)
            self._vectors.assign(vectors)
        self._is_filled = True
