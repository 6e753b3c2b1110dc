"""What a query may not be answered with."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.layers.index.slot_table import NO_VALUE, attribute_keys
from tfrs_models.layers.index.snapshot import Snapshot
from tfrs_models.types import Tensor


class Restrictions(NamedTuple):
    """Exclusions and attribute filters of a batch of queries, as slots and keys.

    Attributes:
      excluded: `[batch, width]` int32 slots, -1 for none; or None.
      wanted: Attribute -> `[batch, width]` int64 keys, `NO_VALUE` for none. A row
        without a key asks for nothing.
    """

    excluded: tf.Tensor | None
    wanted: dict[str, tf.Tensor]

    def take(self, rows: tf.Tensor) -> "Restrictions":
        """Those of some of the queries."""
        excluded = None if self.excluded is None else tf.gather(self.excluded, rows)
        wanted = {name: tf.gather(keys, rows) for name, keys in self.wanted.items()}
        return Restrictions(excluded, wanted)


def read_restrictions(
    snapshot: Snapshot,
    exclusions: Tensor | None,
    filters: Mapping[str, Tensor] | None,
    queries: tf.Tensor,
) -> Restrictions:
    """Finds the slots of excluded ids and the keys of the values that are asked for.

    Args:
      snapshot: what the index holds.
      exclusions: As the index was given them.
      filters: As the index was given them.
      queries: `[batch, embedding_dim]`, whose lists they are.

    Raises:
      ValueError: a filter by an attribute that the index does not have, or of another
        type.
      InvalidArgumentError: lists of another number of rows than there are queries.
    """
    excluded = None
    if exclusions is not None:
        excluded = find_slots(snapshot, "exclusions", exclusions, queries)
    wanted = {}
    if not isinstance(filters, (Mapping, type(None))):
        raise ValueError(
            "`filters` must be a dict from attributes to lists of values. Got "
            f"{type(filters).__name__}."
        )
    for name, values in (filters or {}).items():
        if name not in snapshot.attributes:
            raise ValueError(
                f"`filters` must be by attributes of the index, "
                f"{sorted(snapshot.attributes)}. Got `{name}`: give `index` the "
                "`attributes` of the candidates."
            )
        dtype = tf.as_dtype(snapshot.attributes[name][0])
        lists = _of_queries(f"filters['{name}']", values, dtype, queries)
        wanted[name] = attribute_keys(name, lists, dtype)
    return Restrictions(excluded, wanted)


def find_slots(
    snapshot: Snapshot, argument: str, identifiers: Tensor, queries: tf.Tensor
) -> tf.Tensor:
    """Slots of dense or ragged ids `[batch, None]`, -1 for ids that are not there."""
    lists = _of_queries(argument, identifiers, snapshot.id_dtype, queries)
    if isinstance(lists, tf.RaggedTensor):
        slots = lists.with_values(snapshot.find_all(lists.values))
        slots = slots.to_tensor(-1)
    else:
        slots = snapshot.find_all(lists)
    return tf.reshape(
        slots, [tf.shape(slots)[0], tf.shape(slots)[1] * snapshot.num_copies]
    )


def _of_queries(
    argument: str, lists: Tensor, dtype: tf.DType, queries: tf.Tensor
) -> Tensor:
    """Lists `[batch, None]`, once there is one for each query."""
    if not isinstance(lists, tf.RaggedTensor):
        lists = tf.convert_to_tensor(lists)
        if 0 in lists.shape:  # an empty Python list has no type of its own
            lists = tf.zeros(tf.shape(lists), dtype)
    elif 0 in lists.flat_values.shape:
        lists = lists.with_flat_values(tf.zeros(tf.shape(lists.flat_values), dtype))
    if lists.shape.rank == 1 and queries.shape[0] == 1:
        lists = lists[None]
    if lists.shape.rank != 2:
        raise ValueError(
            f"`{argument}` must have a list for each query, `[batch, None]`. Got shape "
            f"{lists.shape}."
        )
    is_ragged = isinstance(lists, tf.RaggedTensor)
    rows = lists.nrows(tf.int32) if is_ragged else tf.shape(lists)[0]
    check = tf.debugging.assert_equal(
        rows,
        tf.shape(queries)[0],
        f"`{argument}` must have a list for each query: another number of rows",
    )
    with tf.control_dependencies([] if check is None else [check]):
        if is_ragged:
            return lists.with_values(tf.identity(lists.values))
        return tf.identity(lists)


def passes(
    snapshot: Snapshot, wanted: Mapping[str, tf.Tensor], slots: tf.Tensor
) -> tf.Tensor:
    """Which candidates have what is asked for: one of the values of each attribute.

    Args:
      snapshot: what the index holds.
      wanted: As in `Restrictions`.
      slots: `[batch, n]`.

    Returns:
      `[batch, n]` bool.
    """
    result = tf.ones_like(slots, tf.bool)
    for name, keys in wanted.items():
        values = tf.gather(snapshot.values(name), slots)  # [batch, n, width]
        result &= _has_one(values, keys[:, None]) | _asks_nothing(keys)
    return result


def all_pass(snapshot: Snapshot, wanted: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """`passes` for all slots, `[batch, num_slots]`, a query at a time."""

    def one(keys: dict[str, tf.Tensor]) -> tf.Tensor:
        result = tf.constant(True)
        for name, own in keys.items():
            result &= _has_one(snapshot.values(name), own) | _asks_nothing(own[None])[0]
        return result

    return tf.map_fn(one, dict(wanted), fn_output_signature=tf.bool)


def is_among(slots: tf.Tensor, members: tf.Tensor) -> tf.Tensor:
    """Which of the slots `[batch, n]` are among the row's members `[batch, width]`."""
    members = tf.sort(tf.pad(members, [[0, 0], [0, 1]], constant_values=-1), axis=1)
    last = tf.shape(members)[1] - 1
    places = tf.minimum(tf.searchsorted(members, slots), last)
    return tf.gather(members, places, batch_dims=1) == slots


def _has_one(values: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    same = values[..., :, None] == keys[..., None, :]  # [..., width, num_keys]
    return tf.reduce_any(same & (keys != NO_VALUE)[..., None, :], axis=[-2, -1])


def _asks_nothing(keys: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(keys == NO_VALUE, axis=1, keepdims=True)
