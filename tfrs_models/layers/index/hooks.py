"""Methods of TensorFlow Recommenders' indexes that a subclass may override."""

import inspect

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models.layers.index.requests import blank_missing
from tfrs_models.ops.ranks.lookup import comparable
from tfrs_models.types import Features, Tensor

_TopK = tfrs.layers.factorized_top_k.TopK


def has_own_scores(index: _TopK) -> bool:
    """Returns whether `_compute_score` is another than upstream's dot product."""
    method = index._compute_score
    return getattr(method, "__func__", method) is not _TopK._compute_score


def refuse_own_scores(index: _TopK, finds_by: str) -> None:
    """Raises a `ValueError` if `_compute_score` is overridden but never called.

    Args:
      index: index whose constructor runs.
      finds_by: what the index finds candidates by, for the message.
    """
    if has_own_scores(index):
        raise ValueError(
            f"`{type(index).__name__}._compute_score` would never be called: the index "
            f"finds candidates by {finds_by}. Derive the class from `BruteForce` or "
            "`Streaming`, which score by it."
        )


def takes_exclusions(index: _TopK) -> bool:
    """Returns whether `call` takes `exclusions`, as upstream's classes do not."""
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
    """Answers with exclusions through a `call` that does not take them.

    More candidates than `k` are searched for, and the excluded ones removed.

    Args:
      index: index that is called with `queries` and `k`.
      queries: features or embeddings, in the form that the index takes.
      exclusions: `[batch, None]` ids, dense or ragged; repeats are harmless.
      k: number of candidates to return.
      num_candidates: largest `k` that the index can be called with; None for any.
      num_copies: largest number of candidates with the same id.

    Returns:
      Scores and identifiers `[batch, k]`, fewer columns if the index holds fewer
      candidates. A position without a candidate has the score `-inf` and the id -1, or
      "" for strings.
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
    exclusions, mask = _dense(exclusions, identifiers.dtype)
    ids = comparable(identifiers, exclusions.dtype)
    same = tf.equal(ids[:, :, None], exclusions[:, None, :])
    excluded = tf.reduce_any(same & mask[:, None, :], axis=2)
    scores = tf.where(excluded, -float("inf"), scores)
    scores, columns = tf.math.top_k(scores, k=tf.minimum(k, tf.shape(scores)[1]))
    return blank_missing(scores, tf.gather(identifiers, columns, batch_dims=1))


def _dense(exclusions: Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns exclusions as a `[batch, width]` matrix and the mask of real entries."""
    if isinstance(exclusions, tf.RaggedTensor):
        width = exclusions.bounding_shape(axis=1)
        mask = tf.sequence_mask(exclusions.row_lengths(), width)
        exclusions = exclusions.with_values(comparable(exclusions.values, dtype))
        return exclusions.to_tensor(), mask
    exclusions = comparable(exclusions, dtype)
    return exclusions, tf.ones_like(exclusions, tf.bool)
