"""What an index holds at one moment."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from tfrs_models.layers.index.slot_table import SlotTable
from tfrs_models.ops.ranks.lookup import IdIndex, find_copies, find_rows


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """Tensors of an index, which no update changes: one answer comes from one of them.

    Attributes:
      table: Whose ids and attributes they are; only its types and sizes are read.
      tensors: Name -> values of a variable of the index.
    """

    table: SlotTable
    tensors: Mapping[str, tf.Tensor]

    def __getitem__(self, name: str) -> tf.Tensor:
        return self.tensors[name]

    @property
    def num_candidates(self) -> tf.Tensor:
        """How many candidates there are, scalar int32."""
        return self["num_candidates"]

    @property
    def id_dtype(self) -> tf.DType:
        """Type of the ids."""
        return self.table.id_dtype

    @property
    def attributes(self) -> dict[str, list]:
        """Attribute -> its type and the most values that a candidate has."""
        return self.table.attributes

    @property
    def num_copies(self) -> int:
        """How many candidates may have the same id."""
        return self.table.num_copies

    def find(self, identifiers: tf.Tensor) -> tf.Tensor:
        """The int32 slot of each id, in the shape of the ids; -1 for others."""
        flat = find_rows(self._index(), tf.reshape(identifiers, [-1]))
        flat = tf.where(self.num_candidates > 0, flat, -1)
        return tf.reshape(flat, tf.shape(identifiers))

    def find_all(self, identifiers: tf.Tensor) -> tf.Tensor:
        """All slots of each id, `[..., num_copies]` int32; -1 where there is none."""
        if self.num_copies == 1:
            return self.find(identifiers)[..., None]
        slots = find_copies(self._index(), tf.reshape(identifiers, [-1]))
        slots = slots.to_tensor(-1, shape=[None, self.num_copies])
        slots = tf.where(self.num_candidates > 0, slots, -1)
        shape = tf.concat([tf.shape(identifiers), [self.num_copies]], axis=0)
        return tf.reshape(slots, shape)

    def names(self, slots: tf.Tensor) -> tf.Tensor:
        """The id in each slot."""
        return tf.gather(self["ids"], slots)

    def values(self, name: str) -> tf.Tensor:
        """`[num_slots, width]` int64 keys of an attribute, `NO_VALUE` where none."""
        return self[f"attribute_{name}"]

    def _index(self) -> IdIndex:
        # Never empty, so that there is something to search; a free slot has no score.
        used = tf.maximum(self.num_candidates, 1)
        return IdIndex(self["keys"][:used], self["slots"][:used], self["ids"])
