"""Methods of upstream's indexes that a subclass may override."""

import inspect

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models.layers.index.exclusions import keep_allowed
from tfrs_models.types import Features, Tensor

_TopK = tfrs.layers.factorized_top_k.TopK


def has_own_scores(index: _TopK) -> bool:
    """Whether `_compute_score` is not the dot product that upstream's classes have."""
    method = index._compute_score
    return getattr(method, "__func__", method) is not _TopK._compute_score


def refuse_own_scores(index: _TopK, finds_by: str) -> None:
    """Raises a `ValueError` where `_compute_score` is overridden and has no use.

    Args:
      index: That is being made.
      finds_by: How it finds candidates.
    """
    if has_own_scores(index):
        raise ValueError(
            f"`{type(index).__name__}._compute_score` would never be called: the index "
            f"finds candidates by {finds_by}. Derive the class from `BruteForce` or "
            "`Streaming`, which score by it."
        )


def takes_exclusions(index: _TopK) -> bool:
    """Whether `call` takes `exclusions`, which that of upstream's classes does not."""
    parameters = inspect.signature(index.call).parameters.values()
    return any(p.name == "exclusions" or p.kind is p.VAR_KEYWORD for p in parameters)


def search_then_exclude(
    index: _TopK,
    queries: tf.Tensor | Features,
    exclusions: Tensor,
    *,
    k: int,
    num_candidates: int | None,
    num_copies: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The answer of an index whose `call` knows no exclusions, without excluded ids.

    Args:
      index: Which is called with `queries` and `k`.
      queries: features or embeddings, in the form that the index takes.
      exclusions: `[batch, None]` ids, dense or ragged.
      k: How many to return.
      num_candidates: The most that the index can be asked for; None for any number.
      num_copies: How many candidates may have the same id.

    Returns:
      Scores and identifiers, as of `keep_allowed`.
    """
    if not isinstance(exclusions, tf.RaggedTensor):
        exclusions = tf.convert_to_tensor(exclusions)
    widest = (
        exclusions.bounding_shape(axis=1, out_type=tf.int32)
        if isinstance(exclusions, tf.RaggedTensor)
        else exclusions.shape[1] or tf.shape(exclusions)[1]
    )
    number = k + widest * num_copies
    if num_candidates is not None:
        smaller = tf.minimum if tf.is_tensor(number) else min
        number = smaller(number, num_candidates)
    scores, identifiers = index(queries, k=number)
    return keep_allowed(scores, identifiers, exclusions, k=k)
