"""Scores of candidates by what each step of a sequence says of them."""

from typing import Literal

import tensorflow as tf

DistanceMode = Literal["multiply", "add"]
SoftmaxAxis = Literal["time", "candidates"]


def step_scores(
    candidates: tf.Tensor,
    memory: tf.Tensor,
    closeness: tf.Tensor | None,
    *,
    distance_mode: DistanceMode,
) -> tf.Tensor:
    """Products of candidates and steps, times or plus how close the two are.

    Args:
      candidates: `[num_candidates, embedding_dim]`.
      memory: `[batch, seq_len, embedding_dim]`.
      closeness: `[batch, seq_len, num_candidates]`; None for none.
      distance_mode: Whether it multiplies or adds.

    Returns:
      `[batch, seq_len, num_candidates]`.
    """
    scores = tf.einsum("bsd,cd->bsc", memory, candidates)
    if closeness is None:
        return scores
    return scores * closeness if distance_mode == "multiply" else scores + closeness


def attention_scores(
    candidates: tf.Tensor,
    memory: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor,
    *,
    mask: tf.Tensor,
    closeness: tf.Tensor | None = None,
    distance_mode: DistanceMode = "multiply",
    softmax: SoftmaxAxis | None = None,
    log_mass: tf.Tensor | None = None,
) -> tf.Tensor:
    """`y_c = bias + sum_t value_t softmax(candidates_c memory_t closeness_tc)`.

    Args:
      candidates: `[num_candidates, embedding_dim]`.
      memory: `[batch, seq_len, embedding_dim]`.
      value: `[seq_len]`, what each step counts.
      bias: Scalar.
      mask: `[batch, seq_len]` bool, False for padding, which counts nothing.
      closeness: See `step_scores`.
      distance_mode: See `step_scores`.
      softmax: The axis over which scores are normalised; None for neither.
      log_mass: `[batch, seq_len]`, the log-sum-exp over all candidates where these are
        a part of them; None where they are all.

    Returns:
      `[batch, num_candidates]`.
    """
    weights = tf.where(mask, value, 0.0)  # [batch, seq_len]
    if softmax is None and (closeness is None or distance_mode == "add"):
        pooled = tf.einsum("bs,bsd->bd", weights, memory)
        scores = tf.matmul(pooled, candidates, transpose_b=True)
        if closeness is not None:
            scores += tf.einsum("bs,bsc->bc", weights, closeness)
        return scores + bias
    scores = step_scores(candidates, memory, closeness, distance_mode=distance_mode)
    if softmax == "time":
        scores = tf.where(mask[:, :, None], scores, scores.dtype.min)
        scores = tf.nn.softmax(scores, axis=1)
    elif softmax == "candidates" and log_mass is None:
        scores = tf.nn.softmax(scores, axis=2)
    elif softmax == "candidates":
        scores = tf.exp(scores - log_mass[:, :, None])
    return tf.einsum("bs,bsc->bc", weights, scores) + bias
