"""Checks that every index makes of what it is built from and asked for."""

import operator
import warnings

import numpy as np
import tensorflow as tf

_CHUNK = 65_536  # rows that are looked at in one go
DUPLICATES = ("warn", "error")
EMPTY = (
    "The index is empty: call `index` or `index_from_dataset` first. (The `index` of a "
    "subclass must call `super().index`.)"
)


def check_candidates(candidates: tf.Tensor, identifiers: tf.Tensor | None) -> None:
    """Raises a `ValueError` for candidates that an index cannot hold.

    Args:
      candidates: `[num_candidates, embedding_dim]` embeddings.
      identifiers: `[num_candidates]` ids, or None.
    """
    if len(candidates.shape) != 2:
        raise ValueError(
            "`candidates` must be `[num_candidates, embedding_dim]`. "
            f"Got shape {tuple(candidates.shape)}."
        )
    if candidates.shape[0] == 0:
        raise ValueError("`candidates` must hold at least one candidate. Got none.")
    for start in range(0, candidates.shape[0], _CHUNK):
        finite = np.isfinite(np.asarray(candidates[start : start + _CHUNK]))
        if not finite.all():
            row = start + int(np.flatnonzero(~finite.all(axis=1))[0])
            raise ValueError(
                "`candidates` must be finite: a NaN or infinite embedding has no rank. "
                f"Row {row} is not; look at that item's features."
            )
    if identifiers is None:
        return
    if candidates.shape[0] != identifiers.shape[0]:
        raise ValueError(
            "`identifiers` must have one id for each candidate. Got "
            f"{identifiers.shape[0]} ids for {candidates.shape[0]} candidates."
        )


def check_duplicates(duplicates: str) -> str:
    """Returns `duplicates`, or raises a `ValueError` for a rule that there is not."""
    if duplicates not in DUPLICATES:
        raise ValueError(
            f"`duplicates` must be one of {DUPLICATES}. Got {duplicates!r}."
        )
    return duplicates


def most_copies(
    identifiers: tf.Tensor | np.ndarray, duplicates: str, *, name: str = "identifiers"
) -> int:
    """How often the most frequent id occurs, once repeated ids have been reported.

    Args:
      identifiers: `[num_candidates]` ids.
      duplicates: "warn", or "error" for repeated ids to be a `ValueError`.
      name: What the ids are called in the message.
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


def check_k(k: int | tf.Tensor, num_candidates: int | None) -> int | tf.Tensor:
    """Returns `k`, or raises a `ValueError` when there are not that many candidates.

    A tensor passes: its value is known only when the graph runs.
    """
    if isinstance(k, tf.Tensor):
        return tf.cast(k, tf.int32)
    k = operator.index(k)
    if k < 1:
        raise ValueError(f"`k` must be at least 1. Got {k}.")
    if num_candidates is not None and k > num_candidates:
        raise ValueError(
            f"`k` must be at most the number of candidates, {num_candidates}. Got {k}."
        )
    return k


def check_sizes(**sizes: int | None) -> None:
    """Raises a `ValueError` for a size that is given and below 1."""
    for name, value in sizes.items():
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1. Got {value}.")


def check_queries(
    queries: tf.Tensor, width: int | None, *, name: str = "queries"
) -> tf.Tensor:
    """Returns `queries`, or raises a `ValueError` when they are of another width."""
    if None not in (width, queries.shape[-1]) and queries.shape[-1] != width:
        raise ValueError(
            f"`{name}` must have the candidates' width, {width}. "
            f"Got shape {tuple(queries.shape)}."
        )
    return queries


def finite_queries(queries: tf.Tensor) -> tf.Tensor:
    """Returns `queries`, or raises an `InvalidArgumentError` when one is not finite."""
    return tf.debugging.check_numerics(
        queries,
        "`queries` must be finite: a NaN or infinite embedding has no best candidates. "
        "Look at the features of the batch",
    )


def first_of(identifiers: tf.Tensor, chosen: np.ndarray) -> object:
    """The first of the chosen ids, for a message."""
    first = identifiers.numpy()[np.flatnonzero(chosen)[0]]
    return first.decode() if isinstance(first, bytes) else first.item()
