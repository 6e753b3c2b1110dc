"""The softmax of each positive against sampled candidates."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.ops.masks import item_numbers
from tfrs_models.ops.ranks.scores import dot_scores
from tfrs_models.ops.softmax.blocks import (
    BlockLoss,
    row_weights,
    softmax_mass,
    sum_over_blocks,
)

CORRECTIONS = (None, "logq", "corrected_logq")
_MIN = tf.float32.min
_RAREST = 1e-37  # expected copies of an item that no slot could hold


class SampledSoftmax(NamedTuple):
    """What `sampled_softmax` returns.

    Attributes:
      loss: scalar float32, summed over the queries.
      num_without_negatives: scalar int32, queries that had none and lost nothing.
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
) -> SampledSoftmax:
    """Cross-entropy of every query's positive against its negatives, summed.

    Goes block by block: the scores of one block of queries are in memory at a time.

    With scores `s_ij = q_i . c_j` and `E_j`, the expected number of copies of item `j`
    among the columns, let `A_i = logsumexp_j (s_ij - log E_j)` over the valid negatives
    of a query. The loss is

    - `"logq"`: `log(1 + exp(A_i - (s_ii - log E_i)))`, the positive corrected as well;
    - `"corrected_logq"`: `-stop_gradient(1 - p_i) (s_ii - A_i)` with
      `p_i = sigmoid(s_ii - A_i)`: the positive is there by design, not by chance.

    A query without a negative loses nothing.

    Args:
      queries: `[batch, embedding_dim]`, divided by the temperature; or `[batch,
        num_heads, embedding_dim]`, which scores by the best head.
      candidates: `[num_candidates, embedding_dim]`.
      positive_columns: `[batch]` int32, the candidate that is each query's positive;
        candidate `i` for query `i` where None.
      expected_counts: `[num_candidates]` `E_j`; no correction where None.
      correction: None, `"logq"` or `"corrected_logq"`.
      candidate_ids: `[num_candidates]` ids of any dtype; candidates with the
        positive's id are no negatives.
      mask_block: From a slice of the batch to `[block, num_candidates]` bool, True
        where a candidate is no negative.
      positives_block: From a slice of the batch to `[block, num_candidates]` bool,
        True for further positives: the loss is the mean over a query's positives of
        their cross-entropy.
      num_hard_negatives: Only that many of the negatives, those with the largest
        corrected scores, enter the loss; all where None.
      negatives: `[batch, n, embedding_dim]` negatives of each query alone. They carry
        no correction, are not mined away and do not enter `p_i`.
      negatives_mask: `[batch, n]` bool, False where there is none.
      sample_weight: `[batch]`.
      block_size: Queries of a block; `"auto"` keeps a block's scores below 256 MB.
      training: False where no gradient will be asked for, which is faster.

    Raises:
      ValueError: an unknown correction, or several positives under
        `"corrected_logq"`, which is defined for one.

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
    own_mass = tf.fill([batch], _MIN)
    if negatives is not None:
        negatives = tf.cast(negatives, tf.float32)
        scores = _row_scores(queries[..., : negatives.shape[-1]], negatives)
        if negatives_mask is not None:
            scores = tf.where(negatives_mask, scores, _MIN)
        own_mass = tf.reduce_logsumexp(scores, axis=1)
    weights = row_weights(sample_weight, batch)

    def block_loss(
        place: slice,
        rows: Sequence[tf.Tensor],
        shared: Sequence[tf.Tensor],
        *,
        gradients: bool,
    ) -> BlockLoss:
        query, positive, own, weight = rows
        logits, pull_back = _scores(query, *shared)
        masked = own_items[place][:, None] == items[None, :]
        if mask_block is not None:
            masked |= mask_block(place)
        if positives_block is not None:
            further = positives_block(place)
            further |= positive_columns[place][:, None] == tf.range(num_candidates)
            masked |= further
        valid = tf.where(masked, _MIN, logits)
        all_mass, softmax = softmax_mass(valid)
        mass = all_mass
        if num_hard_negatives is not None:
            mass, softmax = _mined(valid, num_hard_negatives)
        lonely = tf.maximum(all_mass, own) < _MIN / 2
        if positives_block is not None:
            of_weight, slope, of_own = _losses_of_several(
                further, logits, mass, own, softmax
            )
            losses, of_own = weight * of_weight, weight * of_own
            of_mass, of_positive = weight, tf.zeros_like(positive)
        else:
            with tf.GradientTape() as tape:
                tape.watch([mass, positive, own, weight])
                total = tf.reduce_logsumexp(tf.stack([mass, own]), axis=0)
                losses = weight * _losses(correction, positive, total, all_mass)
            of_mass, of_positive, of_own, of_weight = tape.gradient(
                losses, [mass, positive, own, weight]
            )
            slope = softmax
        if not gradients:
            return BlockLoss(losses, lonely)
        of_query, *of_shared = pull_back(slope, of_mass)
        return BlockLoss(
            losses, lonely, [of_query, of_positive, of_own, of_weight], of_shared
        )

    loss, lonely = sum_over_blocks(
        block_loss,
        [queries, positives, own_mass, weights],
        [candidates],
        num_candidates=num_candidates,
        block_size=block_size,
        gradients=training,
    )
    return SampledSoftmax(loss, lonely)


def _losses(
    correction: str | None, positive: tf.Tensor, total: tf.Tensor, sampled: tf.Tensor
) -> tf.Tensor:
    """`[block]` losses of positives against the mass of their negatives."""
    if correction == "corrected_logq":
        surprise = tf.stop_gradient(tf.sigmoid(sampled - positive))
        return surprise * (total - positive)
    return tf.nn.softplus(total - positive)


def _losses_of_several(
    positives: tf.Tensor,
    logits: tf.Tensor,
    mass: tf.Tensor,
    own: tf.Tensor,
    softmax: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mean cross-entropy over several positives, with its gradients.

    Returns:
      Losses `[block]`, their gradients by the logits `[block, num_candidates]` and by
      `own` `[block]`.
    """
    share = tf.cast(positives, logits.dtype)
    share /= tf.reduce_sum(share, axis=1, keepdims=True)
    positive_mass, positive_softmax = softmax_mass(tf.where(positives, logits, _MIN))
    masses = tf.stack([mass, positive_mass, own])
    total = tf.reduce_logsumexp(masses, axis=0)
    mean = tf.reduce_sum(tf.where(positives, logits, 0.0) * share, axis=1)
    parts = tf.exp(masses - total)[:, :, None]
    slope = parts[0] * softmax + parts[1] * positive_softmax - share
    return total - mean, slope, parts[2, :, 0]


def _mined(logits: tf.Tensor, num_hard_negatives: int) -> tuple[tf.Tensor, tf.Tensor]:
    """`softmax_mass` of the largest logits of each row."""
    block, num_candidates = tf.unstack(tf.shape(logits))
    k = tf.minimum(num_hard_negatives, num_candidates)
    values, columns = tf.math.top_k(logits, k=k, sorted=False)
    mass, softmax = softmax_mass(values)
    rows = tf.repeat(tf.range(block), k)
    places = tf.stack([rows, tf.reshape(columns, [-1])], axis=1)
    return mass, tf.scatter_nd(places, tf.reshape(softmax, [-1]), tf.shape(logits))


def _scores(
    queries: tf.Tensor, candidates: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]]]:
    """Scores, and how their gradient, rows scaled, becomes that of both arguments."""
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
    """`[batch, n]` scores of each query's own candidates, `[batch, n, width]`."""
    if queries.shape.rank == 2:
        return tf.linalg.matvec(candidates, queries)
    return tf.reduce_max(tf.einsum("bhd,bnd->bhn", queries, candidates), axis=1)
