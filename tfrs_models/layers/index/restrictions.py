"""Exclusions, allow-lists and attribute filters of a batch of queries."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.layers.index.live import Snapshot
from tfrs_models.layers.index.slot_table import NO_VALUE, attribute_keys
from tfrs_models.types import Tensor


class Restrictions(NamedTuple):
    """Restrictions of a batch of queries, as slots and keys.

    Attributes:
      exclusions: `[batch, width]` int32 slots that a query must not be answered with,
        -1 for none; None without exclusions.
      allowed: `[batch, width]` int32 slots, the only ones that a query may be answered
        with, -1 for none; None if all are allowed.
      filters: `[batch, width]` int64 keys by attribute, of which a candidate must have
        one, `NO_VALUE` for none. A row without a key is not filtered; None without
        filters.
    """

    exclusions: tf.Tensor | None = None
    allowed: tf.Tensor | None = None
    filters: dict[str, tf.Tensor] | None = None

    def take(self, rows: tf.Tensor) -> "Restrictions":
        """Selects the restrictions of some of the queries.

        Args:
          rows: `[n]` indices of queries.
        """

        def take(lists: tf.Tensor | None) -> tf.Tensor | None:
            return None if lists is None else tf.gather(lists, rows)

        filters = {name: take(keys) for name, keys in (self.filters or {}).items()}
        return Restrictions(take(self.exclusions), take(self.allowed), filters or None)


def read_restrictions(
    snapshot: Snapshot,
    queries: tf.Tensor,
    *,
    exclusions: Tensor | None,
    allowed: Tensor | None,
    filters: Mapping[str, Tensor] | None,
) -> Restrictions:
    """Finds the slots of listed ids and the keys of the values to filter by.

    Args:
      snapshot: state of the index.
      queries: `[batch, ...]`, one row for each list.
      exclusions: `[batch, None]` ids, dense or ragged, or None.
      allowed: `[batch, None]` ids, dense or ragged, or None.
      filters: `[batch, None]` values by attribute, or None.

    Raises:
      ValueError: a filter by an attribute that the index does not have, or of another
        type.
      InvalidArgumentError: the number of lists is not that of the queries.
    """
    slots = {
        argument: None
        if identifiers is None
        else _find_slots(snapshot, argument, identifiers, queries)
        for argument, identifiers in (("exclusions", exclusions), ("allowed", allowed))
    }
    if not isinstance(filters, (Mapping, type(None))):
        raise ValueError(
            "`filters` must be a dict from attributes to lists of values. Got "
            f"{type(filters).__name__}."
        )
    keys = {}
    for name, values in (filters or {}).items():
        if name not in snapshot.attributes:
            raise ValueError(
                f"`filters` must be by attributes of the index, "
                f"{sorted(snapshot.attributes)}. Got `{name}`: give `index` the "
                "`attributes` of the candidates."
            )
        dtype = tf.as_dtype(snapshot.attributes[name][0])
        lists = _of_queries(f"filters['{name}']", values, dtype, queries)
        keys[name] = attribute_keys(name, lists, dtype)
    return Restrictions(**slots, filters=keys or None)


def passing(
    snapshot: Snapshot, restrictions: Restrictions, slots: tf.Tensor
) -> tf.Tensor:
    """Returns which candidates a query may be answered with.

    Args:
      snapshot: state of the index.
      restrictions: restrictions of the queries.
      slots: `[batch, n]` slots of candidates.

    Returns:
      `[batch, n]` bool.
    """
    result = pass_filters(snapshot, restrictions, slots)
    if restrictions.exclusions is not None:
        result &= ~is_among(slots, restrictions.exclusions)
    if restrictions.allowed is not None:
        result &= is_among(slots, restrictions.allowed)
    return result


def pass_filters(
    snapshot: Snapshot, restrictions: Restrictions, slots: tf.Tensor
) -> tf.Tensor:
    """Returns which candidates have a wanted value of each attribute.

    Args:
      snapshot: state of the index.
      restrictions: restrictions of the queries.
      slots: `[batch, n]` slots of candidates.

    Returns:
      `[batch, n]` bool.
    """
    result = tf.ones_like(slots, tf.bool)
    for name, keys in (restrictions.filters or {}).items():
        values = tf.gather(snapshot.values(name), slots)  # [batch, n, width]
        result &= _has_one(values, keys[:, None]) | _is_open(keys)
    return result


def all_pass_filters(
    snapshot: Snapshot, filters: Mapping[str, tf.Tensor], num_slots: tf.Tensor
) -> tf.Tensor:
    """Returns `pass_filters` of the first slots, `[batch, num_slots]`.

    One query at a time: all of them together would need too much memory.
    """
    values = {name: snapshot.values(name)[:num_slots] for name in filters}

    def one(keys: dict[str, tf.Tensor]) -> tf.Tensor:
        result = tf.constant(True)
        for name, row in keys.items():
            result &= _has_one(values[name], row) | _is_open(row[None])[0]
        return result

    return tf.map_fn(one, dict(filters), fn_output_signature=tf.bool)


def is_among(slots: tf.Tensor, members: tf.Tensor) -> tf.Tensor:
    """Returns which slots `[batch, n]` are members `[batch, width]` of their row."""
    members = tf.sort(tf.pad(members, [[0, 0], [0, 1]], constant_values=-1), axis=1)
    last = tf.shape(members)[1] - 1
    columns = tf.minimum(tf.searchsorted(members, slots), last)
    return tf.gather(members, columns, batch_dims=1) == slots


def _find_slots(
    snapshot: Snapshot, argument: str, identifiers: Tensor, queries: tf.Tensor
) -> tf.Tensor:
    """Finds the slots of dense or ragged ids `[batch, None]`, -1 for unknown ids."""
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
    """Returns lists `[batch, None]` after checking that each query has one."""
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


def _has_one(values: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    same = values[..., :, None] == keys[..., None, :]  # [..., width, num_keys]
    return tf.reduce_any(same & (keys != NO_VALUE)[..., None, :], axis=[-2, -1])


def _is_open(keys: tf.Tensor) -> tf.Tensor:
    """Returns `[batch, 1]`, which rows ask for no value."""
    return tf.reduce_all(keys == NO_VALUE, axis=1, keepdims=True)
