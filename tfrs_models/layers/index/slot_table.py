"""Slots of an index: the candidates in them, their ids and attributes, and bytes."""

import dataclasses
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.layers.index.live import Update
from tfrs_models.ops.ranks.lookup import comparable, id_keys, index_ids
from tfrs_models.types import Tensor

NO_VALUE = np.iinfo(np.int64).min  # the key of an attribute that a candidate lacks
_ID_BYTES = 8 + 8 + 4  # an int64 id, its key and its slot


class MemoryEstimate(NamedTuple):
    """Bytes that an index needs.

    Attributes:
      index: bytes of the finished index; strings as ids and attributes take more.
      build: largest number of bytes at any time while it is built from a dataset.
    """

    index: int
    build: int


def estimate_memory(
    *, num_slots: int, embedding_dim: int, rest: int, work: int
) -> MemoryEstimate:
    """Estimates the memory of slots of float32 embeddings.

    Args:
      num_slots: number of slots, free ones included.
      embedding_dim: width of an embedding.
      rest: bytes of the other weights of the index.
      work: bytes that building needs beside two copies of the embeddings.
    """
    embeddings = 4 * num_slots * embedding_dim
    index = embeddings + _ID_BYTES * num_slots + rest
    return MemoryEstimate(index, index + embeddings + work)


class Layout(NamedTuple):
    """Slots that an index chose for its candidates.

    Attributes:
      slots: `[num_candidates]` slot of each candidate.
      num_slots: number of slots, free ones included.
      weights: initial values of the other weights of the index, by name.
    """

    slots: np.ndarray
    num_slots: int
    weights: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Sizes and types of a built index, which its weights are made with.

    Attributes:
      num_slots: number of slots, free ones included.
      embedding_dim: width of an embedding.
      dtype: type of the embeddings.
      id_dtype: type of the identifiers.
      attributes: type and largest number of values of a candidate, by attribute.
      weights: shape and type of the other weights, by name.
      num_copies: largest number of candidates with the same id.
    """

    num_slots: int
    embedding_dim: int
    dtype: str
    id_dtype: str
    attributes: dict[str, list]
    weights: dict[str, list]
    num_copies: int = 1

    def make_weights(self) -> dict[str, tf.Variable]:
        """Makes the embeddings ("candidates") and the other weights, all zero."""
        dim = [self.num_slots, self.embedding_dim]
        kinds = {"candidates": [dim, self.dtype]} | self.weights
        # Not `add_weight`: they are the layer's once adopted, and not after an error.
        return {
            name: tf.Variable(tf.zeros(shape, dtype), trainable=False, name=name)
            for name, (shape, dtype) in kinds.items()
        }

    def make_table(self) -> "SlotTable":
        """Makes an empty table of the candidates."""
        return SlotTable(
            num_slots=self.num_slots,
            id_dtype=self.id_dtype,
            attributes=self.attributes,
            num_copies=self.num_copies,
        )


@register
class SlotTable(tf.keras.layers.Layer):
    """Ids and attributes of the candidates of an index, found by id or by slot.

    A slot is a row of the index's embeddings; some are free.
    """

    def __init__(
        self,
        *,
        num_slots: int,
        id_dtype: str,
        attributes: Mapping[str, list],
        num_copies: int = 1,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          num_slots: number of slots of the index, free ones included.
          id_dtype: type of the identifiers.
          attributes: type and largest number of values of a candidate, by attribute.
          num_copies: largest number of candidates with the same id.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(trainable=False, **kwargs)
        self._num_slots = num_slots
        self.id_dtype = tf.as_dtype(id_dtype)
        self.attributes = dict(attributes)
        self.num_copies = num_copies
        column = [num_slots]
        blank = tf.constant_initializer(
            b"" if self.id_dtype == tf.string else 0,
        )
        self._ids = self._weight("identifiers", column, self.id_dtype, blank)
        # Sorted by key; entries beyond `num_candidates` are not used.
        self._keys = self._weight("keys", column, tf.int64, "zeros")
        self._slots = self._weight("slots", column, tf.int32, "zeros")
        self.num_candidates = self._weight("num_candidates", [], tf.int32, "zeros")
        self.begun = self._weight("updates_begun", [], tf.int64, "zeros")
        self.done = self._weight("updates_done", [], tf.int64, "zeros")
        self._values = {
            name: self._weight(
                f"attribute_{name}",
                [num_slots, width],
                tf.int64,
                tf.constant_initializer(NO_VALUE),
            )
            for name, (_, width) in self.attributes.items()
        }
        self.built = True

    def fill(
        self,
        slots: np.ndarray,
        identifiers: tf.Tensor,
        keys: Mapping[str, tf.Tensor],
        update: Update,
    ) -> None:
        """Puts candidates into the table, and drops all earlier ones.

        Args:
          slots: `[num_candidates]` slot of each candidate.
          identifiers: `[num_candidates]` ids, none more than `num_copies` times.
          keys: keys of the attributes, from `keys_of`.
          update: update that takes the new values.
        """
        index = index_ids(identifiers, unique=self.num_copies == 1)
        rows = slots[index.rows.numpy()].astype(np.int32)
        self._use(index.keys.numpy(), rows, update)
        self._blank(np.arange(self._num_slots), update)
        self._write(slots, identifiers, keys, update)

    def insert(
        self,
        slots: np.ndarray,
        identifiers: tf.Tensor,
        keys: Mapping[str, tf.Tensor],
        update: Update,
    ) -> None:
        """Puts additional candidates into free slots.

        Args:
          slots: `[n]` free slot of each candidate.
          identifiers: `[n]` ids that are not in the table.
          keys: keys of the attributes, from `keys_of`.
          update: update that takes the new values.
        """
        old, rows = self._used(update)
        new = id_keys(comparable(identifiers, self.id_dtype)).numpy()
        order = np.argsort(new, kind="stable")
        positions = np.searchsorted(old, new[order])
        rows = np.insert(rows, positions, slots[order])
        self._use(np.insert(old, positions, new[order]), rows, update)
        self._write(slots, identifiers, keys, update)

    def keys_of(
        self, attributes: Mapping[str, Tensor], num_rows: int
    ) -> dict[str, tf.Tensor]:
        """Turns attributes of candidates into the keys that the table stores.

        Args:
          attributes: values of the candidates, by attribute.
          num_rows: number of candidates.

        Returns:
          `[num_rows, width]` int64 keys, by attribute.

        Raises:
          ValueError: values of another type, too many of them, or another number of
            rows.
        """
        result = {}
        for name, values in attributes.items():
            dtype, width = self.attributes[name]
            keys = attribute_keys(name, values, tf.as_dtype(dtype))
            check_rows(name, keys, num_rows)
            if keys.shape[1] > width:
                raise ValueError(
                    f"The attribute `{name}` must have at most {width} values for a "
                    f"candidate, as where the index was built. Got {keys.shape[1]}."
                )
            missing = [[0, 0], [0, width - keys.shape[1]]]
            result[name] = tf.pad(keys, missing, constant_values=NO_VALUE)
        return result

    def delete(self, slots: np.ndarray, update: Update) -> None:
        """Frees slots."""
        keys, rows = self._used(update)
        left = ~np.isin(rows, slots)
        self._use(keys[left], rows[left], update)
        self._blank(slots, update)

    def move(self, old: np.ndarray, new: np.ndarray, update: Update) -> None:
        """Moves candidates from slots to free ones."""
        keys, rows = self._used(update)
        renumbered = np.arange(self._num_slots, dtype=np.int32)
        renumbered[old] = new
        self._use(keys, renumbered[rows], update)
        for column in ("ids", *(f"attribute_{name}" for name in self.attributes)):
            update.scatter(column, new, tf.gather(update[column], old))

    def variables_by_name(self, *, lists: bool = True) -> dict[str, tf.Variable]:
        """Returns the variables of the candidates, by their names in a `Snapshot`.

        Args:
          lists: whether to add those that lists of ids and filters are looked up in.
        """
        plain = {"num_candidates": self.num_candidates, "ids": self._ids}
        if not lists:
            return plain
        values = {f"attribute_{name}": values for name, values in self._values.items()}
        return plain | {"keys": self._keys, "slots": self._slots} | values

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_slots": self._num_slots,
            "id_dtype": self.id_dtype.name,
            "attributes": self.attributes,
            "num_copies": self.num_copies,
        }

    def _weight(self, name: str, shape: list[int], dtype: tf.DType, init: object):
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype,
            initializer=init,
            trainable=False,
            autocast=False,  # a floating id is no number to be rounded
        )

    def _used(self, update: Update) -> tuple[np.ndarray, np.ndarray]:
        used = int(update["num_candidates"])
        return update["keys"][:used].numpy(), update["slots"][:used].numpy()

    def _use(self, keys: np.ndarray, slots: np.ndarray, update: Update) -> None:
        unused = self._num_slots - len(keys)
        update["keys"] = np.pad(keys, [0, unused])
        update["slots"] = np.pad(slots, [0, unused])
        update["num_candidates"] = len(keys)

    def _blank(self, slots: np.ndarray, update: Update) -> None:
        """Removes ids and attributes, so that they are not saved either."""
        blank = tf.fill([len(slots)], "" if self.id_dtype == tf.string else 0)
        update.scatter("ids", slots, tf.cast(blank, self.id_dtype))
        for name, (_, width) in self.attributes.items():
            none = np.full([len(slots), width], NO_VALUE)
            update.scatter(f"attribute_{name}", slots, none)

    def _write(
        self,
        slots: np.ndarray,
        identifiers: tf.Tensor,
        keys: Mapping[str, tf.Tensor],
        update: Update,
    ) -> None:
        update.scatter("ids", slots, tf.cast(identifiers, self.id_dtype))
        for name, values in keys.items():
            update.scatter(f"attribute_{name}", slots, values)


def attribute_kinds(
    attributes: Mapping[str, Tensor], num_candidates: int
) -> dict[str, list]:
    """Returns the type and the largest number of values of each attribute.

    Args:
      attributes: values of the candidates, by attribute.
      num_candidates: number of candidates.

    Raises:
      ValueError: floating values, or another number of rows.
    """
    kinds = {}
    for name, values in attributes.items():
        if not isinstance(values, tf.RaggedTensor):
            values = tf.convert_to_tensor(values)
        keys = attribute_keys(name, values, values.dtype)
        check_rows(name, keys, num_candidates)
        is_text = isinstance(name, str)
        if not is_text or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
            raise ValueError(
                "Names of attributes must be letters, digits, `_`, `.` and `-`: they "
                f"become names of inputs. Got {name!r}."
            )
        kinds[name] = [values.dtype.name, max(1, keys.shape[1])]
    return kinds


def check_rows(name: str, keys: tf.Tensor, num_candidates: int) -> None:
    """Raises a `ValueError` if an attribute has not one row for each candidate."""
    if keys.shape[0] != num_candidates:
        raise ValueError(
            f"The attribute `{name}` must have a row for each candidate. Got "
            f"{keys.shape[0]} rows for {num_candidates} candidates."
        )


def attribute_keys(name: str, values: Tensor, dtype: tf.DType) -> tf.Tensor:
    """Turns values of an attribute into int64 keys.

    Args:
      name: name of the attribute, for messages.
      values: `[n]` or `[n, None]` strings, integers or booleans, dense or ragged. In
        dense ones "" and -1 are padding.
      dtype: type of the attribute.

    Returns:
      `[n, width]` keys, padded with `NO_VALUE`.

    Raises:
      ValueError: values of another rank or type.
    """
    if not isinstance(values, tf.RaggedTensor):
        values = tf.convert_to_tensor(values)
    if values.shape.rank not in (None, 1, 2):
        raise ValueError(
            f"Values of the attribute `{name}` must be `[n]` or `[n, None]`. Got shape "
            f"{values.shape}."
        )
    kind = tf.string if dtype == tf.string else tf.int64
    flat = values.values if isinstance(values, tf.RaggedTensor) else values
    if flat.dtype.is_floating or (flat.dtype == tf.string) != (kind == tf.string):
        raise ValueError(
            f"Values of the attribute `{name}` must be of its type, {dtype.name}. Got "
            f"{flat.dtype.name}; put numbers into named ranges."
        )
    padding = tf.constant("" if kind == tf.string else -1, kind)
    flat = tf.cast(flat, kind)
    keys = tf.where(flat == padding, tf.constant(NO_VALUE, tf.int64), id_keys(flat))
    if isinstance(values, tf.RaggedTensor):
        return values.with_values(keys).to_tensor(NO_VALUE)
    return keys[:, None] if keys.shape.rank == 1 else keys
