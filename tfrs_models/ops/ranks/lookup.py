"""Finds the rows of a corpus by id, with tensors only."""

from typing import NamedTuple

import tensorflow as tf

_MAX_BUCKETS = 2**63 - 1


class IdIndex(NamedTuple):
    """Ids of a corpus in an order that can be searched.

    Attributes:
      keys: `[num_candidates]` int64, ascending; integer ids as they are, strings by
        their 63-bit fingerprint.
      rows: `[num_candidates]` int32, the corpus row of every key.
      ids: `[num_candidates]`, the ids of the corpus in its own order.
    """

    keys: tf.Tensor
    rows: tf.Tensor
    ids: tf.Tensor


def index_ids(ids: tf.Tensor, *, unique: bool = True) -> IdIndex:
    """Sorts the ids of a corpus once, so that `find_rows` is a binary search.

    Args:
      ids: `[num_candidates]` ids of any integer, floating or string dtype.
      unique: whether an id that occurs twice is an error.

    Raises:
      InvalidArgumentError: an id occurs twice (at run time in a graph).
    """
    ids = tf.reshape(ids, [-1])
    keys = id_keys(ids)
    rows = tf.argsort(keys, stable=True)
    keys = tf.gather(keys, rows)
    if not unique:
        return IdIndex(keys, rows, ids)
    repeated = tf.boolean_mask(tf.gather(ids, rows[1:]), tf.equal(keys[1:], keys[:-1]))
    check = tf.debugging.Assert(
        tf.equal(tf.size(repeated), 0),
        [
            "Candidate ids must be unique: the same item would be ranked against "
            "itself. Remove the duplicates from the candidates. Ids that occur more "
            "than once:",
            repeated,
        ],
        summarize=5,
    )
    with tf.control_dependencies([check] if check is not None else []):
        return IdIndex(tf.identity(keys), rows, ids)


def find_rows(index: IdIndex, ids: tf.Tensor) -> tf.Tensor:
    """The corpus row of every id.

    Args:
      index: of the corpus.
      ids: `[n]` ids.

    Returns:
      `[n]` int32 rows; -1 for an id that the corpus does not hold.
    """
    ids = comparable(ids, index.ids.dtype)
    last = tf.size(index.keys) - 1
    place = tf.searchsorted(index.keys, id_keys(ids))
    rows = tf.gather(index.rows, tf.clip_by_value(place, 0, last))
    own = comparable(tf.gather(index.ids, rows), ids.dtype)
    return tf.where(tf.equal(own, ids), rows, -1)


def find_copies(index: IdIndex, ids: tf.Tensor) -> tf.RaggedTensor:
    """All corpus rows of every id, where the corpus may hold an id more than once.

    Args:
      index: of the corpus, from `index_ids(unique=False)`.
      ids: `[n]` ids.

    Returns:
      `[n, None]` int32 rows in the order of the corpus; none for an id that the corpus
      does not hold.
    """
    known = find_rows(index, ids) >= 0
    keys = id_keys(comparable(ids, index.ids.dtype))
    first = tf.searchsorted(index.keys, keys)
    count = tf.searchsorted(index.keys, keys, side="right") - first
    places = tf.ragged.range(first, first + tf.where(known, count, 0))
    return places.with_values(tf.gather(index.rows, places.values))


def comparable(ids: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Ids in the widest dtype of their kind, to be compared with ids of `dtype`.

    Widened and never narrowed: an id beyond 2^31 is no small id in disguise.

    Raises:
      ValueError: one is text, an integer or a floating number and the other is not.
    """
    ids = tf.convert_to_tensor(ids)
    if _widest(ids.dtype) != _widest(dtype):
        raise ValueError(
            f"Ids must be of the same kind as those of the candidates, {dtype.name}. "
            f"Got {ids.dtype.name}."
        )
    return tf.cast(ids, _widest(dtype))


def _widest(dtype: tf.DType) -> tf.DType:
    if dtype == tf.string:
        return tf.string
    if not (dtype.is_integer or dtype.is_floating or dtype.is_bool):
        raise ValueError(f"Ids must be whole numbers, numbers or text. Got {dtype}.")
    return tf.float64 if dtype.is_floating else tf.int64


def id_keys(ids: tf.Tensor) -> tf.Tensor:
    """One int64 for each id: equal ids, and only they, have equal keys.

    Args:
      ids: of any integer, floating or string dtype.

    Returns:
      int64 of the same shape: integers as they are, strings by a 63-bit fingerprint.
    """
    if ids.dtype == tf.string:
        return tf.strings.to_hash_bucket_fast(ids, _MAX_BUCKETS)
    if ids.dtype.is_floating:
        return tf.bitcast(tf.cast(ids, tf.float64) + 0.0, tf.int64)  # -0.0 is 0.0
    return tf.cast(ids, tf.int64)
