"""Checks of the candidates, ids, queries and `k` that an index is given."""

import operator
import warnings

import numpy as np
import tensorflow as tf

from tfrs_models.ops.features.checks import check_width
from tfrs_models.ops.ranks.lookup import comparable

_CHUNK = 65_536  # rows that are checked at a time
DUPLICATES = ("warn", "error")
LONGEST = 1e19  # embeddings; products with queries as long fit into float32
_TOO_LARGE = "`k` must be at most 2^31 - 1"
EMPTY = (
    "The index is empty: call `index` or `index_from_dataset` first. (The `index` of a "
    "subclass must call `super().index`.)"
)


def check_candidates(
    candidates: tf.Tensor,
    identifiers: tf.Tensor | None,
    *,
    longest: float | None = LONGEST,
) -> None:
    """Raises a `ValueError` for candidates that an index cannot hold.

    Args:
      candidates: `[num_candidates, embedding_dim]` embeddings.
      identifiers: `[num_candidates]` ids, or None.
      longest: largest length of an embedding; None where only directions count.
    """
    check_floating(candidates)
    if len(candidates.shape) != 2:
        raise ValueError(
            "`candidates` must be `[num_candidates, embedding_dim]`. "
            f"Got shape {tuple(candidates.shape)}."
        )
    if candidates.shape[1] == 0:
        raise ValueError("`candidates` must be at least 1 wide. Got width 0.")
    if candidates.shape[0] == 0:
        raise ValueError("`candidates` must hold at least one candidate. Got none.")
    check_width(candidates.shape[1], "candidates")
    for start in range(0, candidates.shape[0], _CHUNK):
        rows = np.asarray(candidates[start : start + _CHUNK])
        finite = np.isfinite(rows)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite.all(axis=1))[0])
            raise ValueError(
                "`candidates` must be finite: a NaN or infinite embedding has no rank. "
                f"Row {row} is not; look at that item's features."
            )
        if longest is None:
            continue
        if rows.dtype.itemsize < 4:  # NumPy does not add up bfloat16
            rows = rows.astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        if (lengths > longest).any():
            row = start + int(np.argmax(lengths > longest))
            raise ValueError(
                f"`candidates` must be at most {longest:.0e} long, or products with "
                f"them are beyond float32. Row {row} is {lengths[row - start]:.3g} "
                "long: a tower whose training diverges gives such embeddings."
            )
    if identifiers is None:
        return
    check_rank(identifiers)
    if candidates.shape[0] != identifiers.shape[0]:
        raise ValueError(
            "`identifiers` must have one id for each candidate. Got "
            f"{identifiers.shape[0]} ids for {candidates.shape[0]} candidates."
        )


def check_rank(identifiers: tf.Tensor) -> None:
    """Raises a `ValueError` if ids are not a list."""
    if identifiers.shape.rank != 1:
        raise ValueError(
            "`identifiers` must be a list of ids, `[n]`. Got shape "
            f"{tuple(identifiers.shape)}."
        )


def check_eager(method: str) -> None:
    """Raises a `ValueError` in a graph, where values are not known."""
    if not tf.executing_eagerly():
        raise ValueError(
            f"`{method}` must be called eagerly, not inside a `tf.function` or the map "
            "of a dataset: an index is checked and changed by its values."
        )


def check_floating(candidates: tf.Tensor | np.ndarray) -> None:
    """Raises a `ValueError` if candidates are not floating-point numbers."""
    dtype = tf.as_dtype(candidates.dtype)
    if not dtype.is_floating:
        raise ValueError(
            f"`candidates` must be floating-point embeddings. Got {dtype.name}: cast "
            "them, and multiply quantised ones by their scale, for example "
            "`tf.cast(candidates, tf.float32) * scale`."
        )


def check_duplicates(duplicates: str) -> str:
    """Returns `duplicates`, or raises a `ValueError` for an unknown rule."""
    if duplicates not in DUPLICATES:
        raise ValueError(
            f"`duplicates` must be one of {DUPLICATES}. Got {duplicates!r}."
        )
    return duplicates


def most_copies(
    identifiers: tf.Tensor | np.ndarray, duplicates: str, *, name: str = "identifiers"
) -> int:
    """Counts the most frequent id, and reports repeated ids.

    Args:
      identifiers: `[num_candidates]` ids.
      duplicates: "warn" to warn of repeated ids, "error" to raise a `ValueError`.
      name: name of the ids in the message.

    Returns:
      Number of times that the most frequent id occurs.
    """
    ids, count = np.unique(np.asarray(identifiers), return_counts=True)
    repeated = ids[count > 1].tolist()
    if not repeated:
        return 1
    first = repeated[0].decode() if isinstance(repeated[0], bytes) else repeated[0]
    found = f"{len(repeated)} of {len(ids)} ids repeat, {first!r} is one."
    reason = "an item that is there twice takes two places of every answer."
    if duplicates == "error":
        raise ValueError(
            f"`{name}` must be unique: {reason} Remove the duplicates from the "
            f"candidates (`.unique()` of a dataset of ids). {found}"
        )
    warnings.warn(
        f"`{name}` should be unique: {reason} {found} Call `.unique()` on the dataset "
        'of ids before it is embedded; `duplicates="error"` makes this an error.',
        stacklevel=4,
    )
    return int(count.max())


def copies_of_dataset(
    candidates: tf.data.Dataset, duplicates: str, *, name: str = "candidates"
) -> int:
    """Counts the most frequent id of a dataset, which is read once.

    Args:
      candidates: batches of (identifiers, embeddings), or of embeddings, whose
        positions are unique.
      duplicates: "warn" to warn of repeated ids, "error" to raise a `ValueError`.
      name: name of the dataset in the message.

    Returns:
      Number of times that the most frequent id occurs; 1 if it cannot be known before
      the dataset is used.
    """
    if not isinstance(candidates.element_spec, tuple) or not tf.executing_eagerly():
        return 1
    if candidates.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"`{name}` must end: the dataset repeats for ever. Take `.repeat()` off."
        )
    try:
        identifiers = [ids.numpy() for ids, _ in candidates]
    except tf.errors.OpError:  # a tower that is not ready; it raises when it runs
        return 1
    if not identifiers:
        return 1
    return most_copies(np.concatenate(identifiers), duplicates, name=f"ids of {name}")


def check_k(k: int | tf.Tensor, num_candidates: int | None) -> int | tf.Tensor:
    """Returns `k`, or raises a `ValueError` if there are not that many candidates.

    A `k` that is known only when a graph runs may be larger; it must be at least 1.

    Args:
      k: number of candidates to return.
      num_candidates: number of candidates; None if it is not known.
    """
    if tf.is_tensor(k):
        static = tf.get_static_value(k)
        if static is None:
            checks = [tf.debugging.assert_positive(k, "`k` must be at least 1")]
            if k.dtype.size > 4:
                most = tf.constant(tf.int32.max, k.dtype)
                checks.append(tf.debugging.assert_less_equal(k, most, _TOO_LARGE))
            with tf.control_dependencies([c for c in checks if c is not None]):
                return tf.cast(k, tf.int32)
        k = static
    try:
        k = operator.index(k)
    except TypeError as error:
        raise ValueError(f"`k` must be a whole number. Got {k!r}.") from error
    if k < 1:
        raise ValueError(f"`k` must be at least 1. Got {k}.")
    if num_candidates == 0:
        raise ValueError("The index is empty: all candidates were removed. Add some.")
    if num_candidates is not None and k > num_candidates:
        raise ValueError(
            f"`k` must be at most the number of candidates, {num_candidates}. Got {k}."
        )
    return k


def check_sizes(**sizes: int | None) -> None:
    """Raises a `ValueError` for a size that is neither None nor a positive integer."""
    for name, value in sizes.items():
        if value is not None and not hasattr(value, "__index__"):
            raise ValueError(f"`{name}` must be a whole number. Got {value!r}.")
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1. Got {value}.")


def check_queries(
    queries: tf.Tensor, width: int | None, *, name: str = "queries"
) -> tf.Tensor:
    """Returns `queries`, or raises a `ValueError` for another rank or width.

    Args:
      queries: `[batch, embedding_dim]` or `[embedding_dim]` embeddings.
      width: width of the candidates; None for any.
      name: name of the argument in the message.
    """
    rank = queries.shape.rank if tf.is_tensor(queries) else len(queries.shape)
    if rank not in (None, 1, 2):
        raise ValueError(
            f"`{name}` must be `[batch, embedding_dim]`, or one query. Got shape "
            f"{tuple(queries.shape)}: reshape them."
        )
    if None not in (width, queries.shape[-1]) and queries.shape[-1] != width:
        raise ValueError(
            f"`{name}` must have the candidates' width, {width}. "
            f"Got shape {tuple(queries.shape)}."
        )
    return queries


def finite_queries(queries: tf.Tensor, *, any_length: bool = False) -> tf.Tensor:
    """Returns `queries` if their products with candidates are finite.

    Args:
      queries: `[batch, embedding_dim]` embeddings.
      any_length: whether only the directions of the queries matter.

    Raises:
      InvalidArgumentError: a query is not finite, or the squares of the batch add up to
        more than float32 can hold.
    """
    checked = queries if any_length else tf.nn.l2_loss(tf.cast(queries, tf.float32))
    check = tf.debugging.check_numerics(
        checked,
        "`queries` must be finite and not longer than 1e19: others have no best "
        "candidates. Look at the features of the batch",
    )
    if tf.executing_eagerly():
        return queries
    with tf.control_dependencies([check]):
        return tf.identity(queries)


def read_ids(identifiers: tf.Tensor, *, fillers: bool = False) -> tf.Tensor:
    """Returns ids as an index stores them: int64, float64 or strings.

    Args:
      identifiers: ids of any integer, floating or string dtype.
      fillers: whether several candidates may have the id -1 or "", as upstream's
        tutorial has them to make its catalogue large.

    Raises:
      ValueError: an id is -1, "" or NaN, which mark positions without a candidate in
        answers, or beyond int64.
    """
    identifiers = tf.convert_to_tensor(identifiers)
    ids = comparable(identifiers, identifiers.dtype)
    none = tf.constant("" if ids.dtype == tf.string else -1)
    wrong = ids == tf.cast(none, ids.dtype)
    if fillers and tf.math.count_nonzero(wrong) > 1:  # repeated ids are warned of
        wrong = tf.zeros_like(wrong)
    if ids.dtype.is_floating:
        wrong |= tf.math.is_nan(ids)
    if identifiers.dtype == tf.uint64:
        wrong |= ids < 0
    wrong = wrong.numpy()
    if wrong.any():
        raise ValueError(
            "`identifiers` must not be -1, an empty string, NaN or above 2^63: answers "
            "mark positions without a candidate by -1 or by an empty string. "
            f"{wrong.sum()} are, {first_of(identifiers, wrong)!r} is one. Give these "
            "candidates other ids, or leave them out."
        )
    return ids


def first_of(identifiers: tf.Tensor, chosen: np.ndarray) -> object:
    """Returns the first of the chosen ids, for a message.

    Args:
      identifiers: `[n]` ids.
      chosen: `[n]` bool, True for at least one id.
    """
    first = identifiers.numpy()[np.flatnonzero(chosen)[0]]
    return first.decode() if isinstance(first, bytes) else first.item()


def keep_precision(index: tf.keras.layers.Layer) -> None:
    """Prevents Keras from cutting queries and candidates to half precision.

    A mixed policy is for the training of towers: a score has few digits in half
    precision, and a floating-point id becomes another one.

    Args:
      index: index whose constructor runs.
    """
    compute = tf.as_dtype(index.compute_dtype or tf.float32)
    index._set_dtype_policy(scoring_dtype(compute).name)


def scoring_dtype(dtype: tf.DType) -> tf.DType:
    """Returns the type of products with embeddings of a type.

    Half precision is scored in float32, for it would overflow at 65,504.
    """
    return tf.float32 if dtype.size < 4 else dtype
