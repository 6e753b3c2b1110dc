"""The softmax of each positive against sampled candidates."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.masks import item_numbers
from tfrs_models.ops.ranks.scores import dot_scores
from tfrs_models.ops.softmax.blocked_softmax import (
    BlockLoss,
    log_sum_exp,
    row_weights,
    sum_over_blocks,
)

CORRECTIONS = (None, "logq", "corrected_logq")
_MIN = tf.float32.min
_RAREST = 1e-37  # expected copies of an item that no slot could hold


class SampledSoftmaxResult(NamedTuple):
    """A summed loss, and the number of queries that had nothing to compare.

    Attributes:
      loss: scalar float32, summed over the queries.
      num_without_negatives: scalar int32, queries without a negative, whose loss is 0.
    """

    loss: tf.Tensor
    num_without_negatives: tf.Tensor


def sampled_softmax(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    *,
    positive_columns: tf.Tensor | None = None,
    expected_counts: tf.Tensor | None = None,
    correction: str | None = "logq",
    candidate_ids: tf.Tensor | None = None,
    mask_block: Callable[[slice], tf.Tensor] | None = None,
    positives_block: Callable[[slice], tf.Tensor] | None = None,
    num_hard_negatives: int | None = None,
    negatives: tf.Tensor | None = None,
    negatives_mask: tf.Tensor | None = None,
    sample_weight: tf.Tensor | None = None,
    block_size: int | str = "auto",
    training: bool = True,
) -> SampledSoftmaxResult:
    """Sums the cross-entropy of every query's positive against its negatives.

    The scores of one block of queries are in memory at a time.

    With scores `s_ij = q_i . c_j` and `E_j`, the expected number of copies of item `j`
    among the columns, let `A_i = logsumexp_j (s_ij - log E_j)` over the valid negatives
    of a query. The loss is

    - `"logq"`: `log(1 + exp(A_i - (s_ii - log E_i)))`, the positive corrected as well;
    - `"corrected_logq"`: `-stop_gradient(1 - p_i) (s_ii - A_i)` with
      `p_i = sigmoid(s_ii - A_i)`: the positive is there by design, not by chance.

    The loss of a query without a negative is 0.

    Args:
      queries: `[batch, embedding_dim]`, divided by the temperature; or `[batch,
        num_heads, embedding_dim]`, which scores by the best head.
      candidates: `[num_candidates, embedding_dim]` embeddings.
      positive_columns: `[batch]` int32, the candidate that is each query's positive;
        candidate `i` for query `i` where None.
      expected_counts: `[num_candidates]` `E_j`; no correction where None.
      correction: None, `"logq"` or `"corrected_logq"`.
      candidate_ids: `[num_candidates]` ids of any dtype; candidates with the
        positive's id are no negatives.
      mask_block: function from a slice of the batch to `[block, num_candidates]` bool,
        True where a candidate is no negative.
      positives_block: function from a slice of the batch to `[block, num_candidates]`
        bool, True for additional positives: the loss is the mean over a query's
        positives of their cross-entropy.
      num_hard_negatives: number of negatives, those with the largest corrected scores,
        that enter the loss; all where None.
      negatives: `[batch, n, embedding_dim]` negatives of each query alone. They carry
        no correction, are not mined away and do not enter `p_i`.
      negatives_mask: `[batch, n]` bool, False for padding of `negatives`.
      sample_weight: `[batch]` weights of the queries.
      block_size: queries of a block; `"auto"` keeps a block's scores below 256 MB.
      training: False where no gradient will be taken, which is faster.

    Returns:
      A named tuple of `loss`, a scalar summed over the queries, and
      `num_without_negatives`, the number of queries without a negative.

    Raises:
      ValueError: an unknown correction, or several positives under
        `"corrected_logq"`, which is defined for one.

    Example:
      >>> queries = candidates = 2 * tf.eye(3)
      >>> share = tf.constant([0.5, 0.3, 0.2])  # of the training rows
      >>> result = tm.losses.sampled_softmax(
      ...     queries, candidates, expected_counts=2 * share)
      >>> float(result.loss), int(result.num_without_negatives)
      (0.13063..., 0)

    Reference:
      Yi et al., Sampling-bias-corrected neural modeling, RecSys 2019; Khrylchenko et
      al., Correcting the LogQ correction, RecSys 2025.
    """
    if correction not in CORRECTIONS:
        raise ValueError(
            f"`correction` must be one of {CORRECTIONS}. Got {correction!r}."
        )
    if positives_block is not None and correction == "corrected_logq":
        raise ValueError(
            "`positives_block` must be None with 'corrected_logq', which is defined "
            "for one positive per query. Use 'logq'."
        )
    queries = tf.convert_to_tensor(queries)
    candidates = tf.convert_to_tensor(candidates)
    batch, num_candidates = tf.shape(queries)[0], tf.shape(candidates)[0]
    if positive_columns is None:
        positive_columns = tf.range(batch)
    # Equal numbers are the same item; without ids every column is an item of its own.
    items = tf.range(num_candidates)
    if candidate_ids is not None:
        items = item_numbers(candidate_ids)
    own_items = tf.gather(items, positive_columns)
    positives = _row_scores(queries, tf.gather(candidates, positive_columns)[:, None])
    positives = tf.squeeze(positives, axis=1)
    if expected_counts is not None and correction is not None:
        counts = tf.cast(expected_counts, tf.float32)
        bias = -tf.math.log(tf.maximum(counts, _RAREST))
        # As one more dimension of the product, the correction costs no pass of its own.
        queries = tf.concat([queries, tf.ones_like(queries[..., :1])], axis=-1)
        candidates = tf.concat([candidates, bias[:, None]], axis=-1)
        if correction == "logq":
            positives += tf.gather(bias, positive_columns)
    own_log_sum = tf.fill([batch], _MIN)
    if negatives is not None:
        negatives = tf.cast(negatives, tf.float32)
        scores = _row_scores(queries[..., : negatives.shape[-1]], negatives)
        if negatives_mask is not None:
            scores = tf.where(negatives_mask, scores, _MIN)
        own_log_sum = tf.reduce_logsumexp(scores, axis=1)
    weights = row_weights(sample_weight, batch)

    def block_loss(
        span: slice,
        rows: Sequence[tf.Tensor],
        shared: Sequence[tf.Tensor],
        *,
        gradients: bool,
    ) -> BlockLoss:
        query, positive, own, weight = rows
        logits, pull_back = _scores(query, *shared)
        masked = own_items[span][:, None] == items[None, :]
        if mask_block is not None:
            masked |= mask_block(span)
        if positives_block is not None:
            additional = positives_block(span)
            additional |= positive_columns[span][:, None] == tf.range(num_candidates)
            masked |= additional
        valid = tf.where(masked, _MIN, logits)
        log_sum_of_all, softmax = log_sum_exp(valid)
        log_sum = log_sum_of_all
        if num_hard_negatives is not None:
            log_sum, softmax = _mined(valid, num_hard_negatives)
        is_alone = tf.maximum(log_sum_of_all, own) < _MIN / 2  # without a negative
        if positives_block is not None:
            of_weight, slope, of_own = _losses_of_several(
                additional, logits, log_sum, own, softmax
            )
            losses, of_own = weight * of_weight, weight * of_own
            of_log_sum, of_positive = weight, tf.zeros_like(positive)
        else:
            with tf.GradientTape() as tape:
                tape.watch([log_sum, positive, own, weight])
                total = tf.reduce_logsumexp(tf.stack([log_sum, own]), axis=0)
                losses = weight * _losses(correction, positive, total, log_sum_of_all)
            of_log_sum, of_positive, of_own, of_weight = tape.gradient(
                losses, [log_sum, positive, own, weight]
            )
            slope = softmax
        if not gradients:
            return BlockLoss(losses, is_alone)
        of_query, *of_shared = pull_back(slope, of_log_sum)
        of_rows = [of_query, of_positive, of_own, of_weight]
        return BlockLoss(losses, is_alone, of_rows, of_shared)

    loss, without_negatives = sum_over_blocks(
        block_loss,
        [queries, positives, own_log_sum, weights],
        [candidates],
        num_candidates=num_candidates,
        block_size=block_size,
        gradients=training,
    )
    return SampledSoftmaxResult(loss, without_negatives)


def _losses(
    correction: str | None, positive: tf.Tensor, total: tf.Tensor, sampled: tf.Tensor
) -> tf.Tensor:
    """Computes `[block]` losses of positives against the log-sum-exp of negatives."""
    if correction == "corrected_logq":
        surprise = tf.stop_gradient(tf.sigmoid(sampled - positive))
        return surprise * (total - positive)
    return tf.nn.softplus(total - positive)


def _losses_of_several(
    positives: tf.Tensor,
    logits: tf.Tensor,
    log_sum: tf.Tensor,
    own: tf.Tensor,
    softmax: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Computes the mean cross-entropy over several positives, with its gradients.

    Returns:
      Losses `[block]`, their gradients by the logits `[block, num_candidates]` and by
      `own` `[block]`.
    """
    share = tf.cast(positives, logits.dtype)
    share /= tf.reduce_sum(share, axis=1, keepdims=True)
    positive_log_sum, positive_softmax = log_sum_exp(tf.where(positives, logits, _MIN))
    log_sums = tf.stack([log_sum, positive_log_sum, own])
    total = tf.reduce_logsumexp(log_sums, axis=0)
    mean = tf.reduce_sum(tf.where(positives, logits, 0.0) * share, axis=1)
    parts = tf.exp(log_sums - total)[:, :, None]
    slope = parts[0] * softmax + parts[1] * positive_softmax - share
    return total - mean, slope, parts[2, :, 0]


def _mined(logits: tf.Tensor, num_hard_negatives: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `log_sum_exp` of the largest logits of each row."""
    block, num_candidates = tf.unstack(tf.shape(logits))
    k = tf.minimum(num_hard_negatives, num_candidates)
    values, columns = tf.math.top_k(logits, k=k, sorted=False)
    log_sum, softmax = log_sum_exp(values)
    rows = tf.repeat(tf.range(block), k)
    cells = tf.stack([rows, tf.reshape(columns, [-1])], axis=1)
    return log_sum, tf.scatter_nd(cells, tf.reshape(softmax, [-1]), tf.shape(logits))


def _scores(
    queries: tf.Tensor, candidates: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]]]:
    """Returns scores, and a function from their gradient to those of the arguments."""
    if queries.shape.rank == 2:

        def products(slope: tf.Tensor, scale: tf.Tensor) -> Sequence[tf.Tensor]:
            scale = scale[:, None]
            of_queries = tf.matmul(slope, candidates) * scale
            return of_queries, tf.matmul(slope, queries * scale, transpose_a=True)

        return dot_scores(queries, candidates), products
    with tf.GradientTape() as tape:
        tape.watch([queries, candidates])
        scores = dot_scores(queries, candidates)

    def gradient(slope: tf.Tensor, scale: tf.Tensor) -> Sequence[tf.Tensor]:
        slope *= scale[:, None]
        return tape.gradient(scores, [queries, candidates], output_gradients=slope)

    return scores, gradient


def _row_scores(queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Computes `[batch, n]` scores of candidates that each query has alone."""
    if queries.shape.rank == 2:
        return tf.linalg.matvec(candidates, queries)
    return tf.reduce_max(tf.einsum("bhd,bnd->bhn", queries, candidates), axis=1)
