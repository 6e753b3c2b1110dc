"""Finds the rows of a corpus by id, with tensors only."""

from typing import NamedTuple

import tensorflow as tf

_MAX_BUCKETS = 2**63 - 1


class IdIndex(NamedTuple):
    """Sorted ids of a corpus, for binary search.

    Attributes:
      keys: int64 keys in ascending order, `[num_candidates]`; integer ids as they are,
        strings by their 63-bit fingerprint.
      rows: corpus row of every key, `[num_candidates]` int32.
      ids: ids of the corpus in its own order, `[num_candidates]`.
    """

    keys: tf.Tensor
    rows: tf.Tensor
    ids: tf.Tensor


def index_ids(ids: tf.Tensor, *, unique: bool = True) -> IdIndex:
    """Sorts the ids of a corpus once, so that `find_rows` is a binary search.

    Args:
      ids: ids of any integer, floating or string dtype, `[num_candidates]`.
      unique: whether an id that occurs twice is an error.

    Returns:
      The sorted ids.

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
    """Finds the corpus row of every id.

    Args:
      index: sorted ids of the corpus.
      ids: ids to find, `[n]`.

    Returns:
      `[n]` int32 rows; -1 for an id that the corpus does not hold.
    """
    ids = comparable(ids, index.ids.dtype)
    last = tf.size(index.keys) - 1
    position = tf.searchsorted(index.keys, id_keys(ids))
    rows = tf.gather(index.rows, tf.clip_by_value(position, 0, last))
    own = comparable(tf.gather(index.ids, rows), ids.dtype)
    return tf.where(tf.equal(own, ids), rows, -1)


def find_copies(index: IdIndex, ids: tf.Tensor) -> tf.RaggedTensor:
    """Finds all corpus rows of every id, in a corpus that may repeat an id.

    Args:
      index: sorted ids of the corpus, from `index_ids(unique=False)`.
      ids: ids to find, `[n]`.

    Returns:
      `[n, None]` int32 rows in the order of the corpus; none for an id that the corpus
      does not hold.
    """
    known = find_rows(index, ids) >= 0
    keys = id_keys(comparable(ids, index.ids.dtype))
    first = tf.searchsorted(index.keys, keys)
    count = tf.searchsorted(index.keys, keys, side="right") - first
    positions = tf.ragged.range(first, first + tf.where(known, count, 0))
    return positions.with_values(tf.gather(index.rows, positions.values))


def comparable(ids: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Casts ids to the widest dtype of their kind, to compare them with others.

    A narrower dtype would turn an id beyond 2^31 into a small one.

    Args:
      ids: ids of any dtype.
      dtype: dtype of the ids that they are compared with.

    Returns:
      Strings, int64 or float64 in the shape of the ids.

    Raises:
      ValueError: the two dtypes are of different kinds: text, integer, floating.
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
    """Turns ids into int64 keys, equal only for equal ids.

    Args:
      ids: ids of any integer, floating or string dtype.

    Returns:
      int64 of the same shape: integers as they are, strings by a 63-bit fingerprint.
    """
    if ids.dtype == tf.string:
        return tf.strings.to_hash_bucket_fast(ids, _MAX_BUCKETS)
    if ids.dtype.is_floating:
        return tf.bitcast(tf.cast(ids, tf.float64) + 0.0, tf.int64)  # -0.0 is 0.0
    return tf.cast(ids, tf.int64)
