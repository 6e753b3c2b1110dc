"""A query layer that scores all items by stored features of users."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.types import Features

Term = tuple[scipy.sparse.csr_array, np.ndarray | scipy.sparse.csr_array, np.ndarray]


@register
class ScoreTower(tf.keras.layers.Layer):
    """Scores all items for rows of users: a base and sparse features times weights.

        scores[user] = base + sum_t H_t[user] W_t

    `H_t` are sparse features of the users, such as their histories; `W_t` are weights
    from features to items, dense (EASE) or sparse (item-kNN). The scores are the
    queries of a `layers.ScoreIndex`. The layer is not trained; `set_values` fills it.

    Example:
      >>> import scipy.sparse
      >>> history = scipy.sparse.csr_array(np.float32([[0, 0], [1, 0]]))
      >>> weights, columns = np.float32([[0, 0.5], [0.5, 0]]), np.arange(2)
      >>> tower = tm.towers.ScoreTower.of([0.1, 0.2], [(history, weights, columns)])
      >>> tower({"user_row": tf.constant([0, 1])}).numpy()
      array([[0.1, 0.2],
             [0.1, 0.7]], dtype=float32)
    """

    def __init__(
        self,
        num_rows: int,
        num_items: int,
        terms: Sequence[Mapping[str, int | None]] = (),
        *,
        feature: str = "user_row",
        **kwargs: object,
    ) -> None:
        """Initializes the layer, whose scores are 0.

        Args:
          num_rows: number of rows of users.
          num_items: number of items.
          terms: sizes of each term: `num_entries` of `H_t`, `num_features` (columns of
            `H_t` and rows of `W_t`), `num_columns` of `W_t`, and `num_weights`, the
            number of entries of a sparse `W_t` or None for a dense one.
          feature: name of the feature that holds the rows.
          **kwargs: arguments of `tf.keras.layers.Layer`.

        Raises:
          ValueError: a size is negative, or a term has more columns than items.
        """
        super().__init__(trainable=False, **kwargs)
        self._autocast = False
        sizes_of_terms = [dict(term) for term in terms]
        # A tuple: Keras would wrap a list of dicts.
        self._sizes = tuple(tuple(sizes.items()) for sizes in sizes_of_terms)
        self._num_rows, self._num_items = int(num_rows), int(num_items)
        self._feature = feature
        for sizes in sizes_of_terms:
            numbers = [number for number in sizes.values() if number is not None]
            if min(numbers) < 0 or sizes["num_columns"] > num_items:
                raise ValueError(
                    "`terms` must have sizes of 0 or more, and no more columns than "
                    f"the {num_items} items. Got {sizes}."
                )
        self._base = self._vector("base", self._num_items)
        self._terms = [self._weights_of(i, s) for i, s in enumerate(sizes_of_terms)]
        self.built = True

    @classmethod
    def of(
        cls, base: np.ndarray, terms: Sequence[Term], *, num_rows: int | None = None
    ) -> "ScoreTower":
        """Makes a layer that holds values.

        Args:
          base: `[num_items]` scores that all users have.
          terms: a sparse `H` `[num_rows, num_features]`, `W` `[num_features,
            num_columns]`, dense or sparse, and the `[num_columns]` columns of the items
            that it scores.
          num_rows: number of rows of users; that of the terms if None.
        """
        sizes = [
            {
                "num_entries": int(features.nnz),
                "num_features": int(features.shape[1]),
                "num_columns": int(weights.shape[1]),
                "num_weights": int(weights.nnz)
                if scipy.sparse.issparse(weights)
                else None,
            }
            for features, weights, _ in terms
        ]
        if num_rows is None:
            num_rows = terms[0][0].shape[0] if terms else 1
        layer = cls(num_rows, len(base), sizes)
        layer.set_values(base, terms)
        return layer

    def set_values(self, base: np.ndarray, terms: Sequence[Term]) -> None:
        """Sets the base and the terms, whose sizes are those of the constructor.

        Args:
          base: `[num_items]` scores that all users have.
          terms: `H`, `W` and columns of each term, as `of` takes them.

        Raises:
          ValueError: there is another number of terms, or a shape differs.
        """
        if len(terms) != len(self._terms):
            raise ValueError(
                f"`terms` must be {len(self._terms)} terms. Got {len(terms)}."
            )
        self._base.assign(np.asarray(base, np.float32))
        for held, (features, weights, columns) in zip(self._terms, terms, strict=True):
            features = scipy.sparse.csr_array(features)
            values = {
                "splits": features.indptr,
                "entries": features.indices,
                "values": features.data,
            }
            if scipy.sparse.issparse(weights):
                weights = scipy.sparse.csr_array(weights)
                values |= {
                    "weight_splits": weights.indptr,
                    "weight_columns": weights.indices,
                    "weights": weights.data,
                }
            else:
                values["weights"] = weights
            if "position" in held:
                position = np.full(self._num_items, len(columns))
                position[columns] = np.arange(len(columns))
                values["position"] = position
            for name, variable in held.items():
                variable.assign(np.asarray(values[name], variable.dtype.as_numpy_dtype))

    def call(self, features: Features) -> tf.Tensor:
        """Scores all items.

        Args:
          features: the rows of the users, `[batch]` integers, under the name of the
            feature.

        Returns:
          `[batch, num_items]` float32.
        """
        rows = tf.cast(features[self._feature], tf.int64)
        scores = tf.tile(self._base[None], [tf.shape(rows)[0], 1])
        for sizes, held in zip(self._sizes, self._terms, strict=True):
            scores += self._score(rows, dict(sizes), held)
        return scores

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_rows": self._num_rows,
            "num_items": self._num_items,
            "terms": [dict(sizes) for sizes in self._sizes],
            "feature": self._feature,
        }

    @classmethod
    def from_config(cls, config: dict) -> "ScoreTower":
        return cls(**{k: v for k, v in config.items() if k != "trainable"})

    def _score(
        self,
        rows: tf.Tensor,
        sizes: Mapping[str, int | None],
        held: Mapping[str, tf.Variable],
    ) -> tf.Tensor:
        owner, index = _expand(held["splits"], rows)
        entries = tf.gather(held["entries"], index)
        values = tf.gather(held["values"], index)
        batch, width = tf.shape(rows, tf.int64)[0], sizes["num_columns"]
        if sizes["num_weights"] is None:
            sparse = tf.SparseTensor(
                tf.stack([owner, tf.cast(entries, tf.int64)], axis=1),
                values,
                [batch, sizes["num_features"]],
            )
            scores = tf.sparse.sparse_dense_matmul(sparse, held["weights"])
        else:
            entry, index = _expand(held["weight_splits"], tf.cast(entries, tf.int64))
            column = tf.cast(tf.gather(held["weight_columns"], index), tf.int64)
            product = tf.gather(held["weights"], index) * tf.gather(values, entry)
            cell = tf.gather(owner, entry) * width + column
            scores = tf.math.unsorted_segment_sum(product, cell, batch * width)
            scores = tf.reshape(scores, [batch, width])
        if "position" in held:  # items without weights score 0
            scores = tf.pad(scores, [[0, 0], [0, 1]])
            scores = tf.gather(scores, held["position"], axis=1)
        return scores

    def _weights_of(
        self, number: int, sizes: Mapping[str, int | None]
    ) -> dict[str, tf.Variable]:
        def vector(name: str, size: int, dtype: str = "float32") -> tf.Variable:
            return self._vector(f"{name}_{number}", size, dtype)

        held = {
            "splits": vector("splits", self._num_rows + 1, "int64"),
            "entries": vector("entries", sizes["num_entries"], "int32"),
            "values": vector("values", sizes["num_entries"]),
        }
        if sizes["num_weights"] is None:
            shape = (sizes["num_features"], sizes["num_columns"])
            held["weights"] = self._weight(f"weights_{number}", shape)
        else:
            held |= {
                "weight_splits": vector(
                    "weight_splits", sizes["num_features"] + 1, "int64"
                ),
                "weight_columns": vector(
                    "weight_columns", sizes["num_weights"], "int32"
                ),
                "weights": vector("weights", sizes["num_weights"]),
            }
        if sizes["num_columns"] < self._num_items:
            held["position"] = vector("position", self._num_items, "int32")
        return held

    def _vector(self, name: str, size: int, dtype: str = "float32") -> tf.Variable:
        return self._weight(name, (size,), dtype)

    def _weight(
        self, name: str, shape: tuple[int, ...], dtype: str = "float32"
    ) -> tf.Variable:
        return self.add_weight(
            name,
            shape,
            dtype,
            initializer="zeros",
            trainable=False,
            experimental_autocast=False,
        )


def _expand(splits: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Positions in `rows` and indices of all entries of the rows of a CSR matrix."""
    ranges = tf.ragged.range(tf.gather(splits, rows), tf.gather(splits, rows + 1))
    return ranges.value_rowids(), ranges.values
