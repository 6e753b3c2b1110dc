"""Ids and titles of the items of a recommender, which may grow."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.ops.ranks.lookup import IdIndex, find_rows, index_ids
from tfrs_models.serving.vocabularies import checked_vocabulary


class Catalogue(tf.Module):
    """Ids and titles of items by row; row 0 is no item.

    A row is never given to another item, so that a graph may read the catalogue while
    it grows: an item that is added just now may be unknown to it.
    """

    def __init__(self, item_ids: Sequence[str], titles: Sequence[str]) -> None:
        """Initializes the catalogue.

        Args:
          item_ids: `[num_items]` ids of the items 1, 2, ...
          titles: `[num_items]` titles.
        """
        super().__init__(name="catalogue")
        ids = ["", *checked_vocabulary(item_ids, name="item_id")]
        self.num_at_first = len(item_ids)
        self._ids = _growing(tf.constant(ids), "item_ids")
        self._titles = _growing(tf.constant(["", *map(str, titles)]), "titles")
        index = index_ids(tf.constant(ids))
        self._keys = _growing(index.keys, "keys")
        self._places = _growing(index.rows, "places")

    @property
    def num_items(self) -> int:
        """Number of items, removed ones included."""
        with tf.init_scope():
            return int(tf.size(self._ids)) - 1

    def size(self) -> tf.Tensor:
        """Counts the items when a graph runs, scalar int32."""
        return tf.size(self._titles.read_value()) - 1

    def rows(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Looks up the int64 rows of ids, in the shape of the ids; 0 for others."""
        ids = self._ids.read_value()
        keys, places = self._keys.read_value(), self._places.read_value()
        # Parts that are read while items are added may be of different lengths.
        is_whole = (tf.size(keys) == tf.size(ids)) & (tf.size(places) == tf.size(ids))
        keys, places = tf.cond(
            is_whole, lambda: (keys, places), lambda: index_ids(ids, unique=False)[:2]
        )
        found = find_rows(IdIndex(keys, places, ids), tf.reshape(item_ids, [-1]))
        found = tf.cast(tf.maximum(found, 0), tf.int64)
        return tf.reshape(found, tf.shape(item_ids))

    def known(self, items: tf.Tensor) -> tf.Tensor:
        """Replaces rows that no item of the catalogue has by 0."""
        is_known = (items > 0) & (items <= tf.cast(self.size(), items.dtype))
        return tf.where(is_known, items, tf.zeros_like(items))

    def name(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `item_id` and `title` of rows; empty strings for row 0."""
        ids, titles = self.contents()
        size = tf.minimum(tf.size(ids), tf.size(titles))  # read while they grow
        is_there = items < tf.cast(size, items.dtype)
        items = tf.where(is_there, items, tf.zeros_like(items))
        return {"item_id": tf.gather(ids, items), "title": tf.gather(titles, items)}

    def contents(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns all ids and titles, in the order of the rows."""
        return self._ids.read_value(), self._titles.read_value()

    def put(
        self, item_ids: Sequence[str], titles: Sequence[str] | None
    ) -> tuple[np.ndarray, list[tf.Tensor]]:
        """Adds items, and gives new titles to those that are there.

        Args:
          item_ids: `[n]` ids, each once.
          titles: `[n]` titles; None to leave those that are there, "" for new items.

        Returns:
          `[n]` int64 rows, and the state before, which `restore` takes.

        Raises:
          ValueError: an id is empty, repeats or has a line break, or there is not one
            title for each.
        """
        names = checked_vocabulary(item_ids, name="ids")
        if titles is not None and len(titles) != len(names):
            raise ValueError(
                f"`titles` must be one for each of `ids`, {len(names)}. Got "
                f"{len(titles)}."
            )
        before = [variable.read_value() for variable in self._state]
        rows = self.rows(tf.constant(names)).numpy()
        is_new = rows == 0
        size = self.num_items + 1
        rows[is_new] = size + np.arange(np.count_nonzero(is_new))
        added = np.array(names, object)[is_new]
        new_titles = tf.concat([before[0], tf.fill([len(added)], "")], axis=0)
        if titles is not None:
            given = tf.constant([*map(str, titles)])
            new_titles = tf.tensor_scatter_nd_update(new_titles, rows[:, None], given)
        # In this order: an id that is found has a title.
        self._titles.assign(new_titles)
        if len(added):
            ids = tf.concat([before[1], tf.constant(added, tf.string)], axis=0)
            index = index_ids(ids)
            self._ids.assign(ids)
            self._keys.assign(index.keys)
            self._places.assign(index.rows)
        return rows, before

    def restore(self, state: Sequence[tf.Tensor]) -> None:
        """Goes back to the state before `put`."""
        for variable, value in zip(self._state[::-1], state[::-1], strict=True):
            variable.assign(value)

    @property
    def _state(self) -> list[tf.Variable]:
        return [self._titles, self._ids, self._keys, self._places]


def _growing(value: tf.Tensor, name: str) -> tf.Variable:
    shape = tf.TensorShape([*value.shape[:-1], None])
    return tf.Variable(value, trainable=False, name=name, shape=shape)
