"""The score matrix of a retrieval batch: columns, masks, corrections and losses."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfrs_models.layers.negatives.candidate_queue import CandidateQueue
from tfrs_models.ops.masks import known_positives, same_item_mask
from tfrs_models.ops.ranks.lookup import comparable, id_keys
from tfrs_models.ops.ranks.scores import dot_scores
from tfrs_models.ops.replicas import gather_rows
from tfrs_models.ops.weights import weights_of_rows
from tfrs_models.types import Tensor


class Columns(NamedTuple):
    """The columns of a batch's score matrix.

    Attributes:
      embeddings: `[num_candidates, embedding_dim]` candidates.
      ids: `[num_candidates]` int64 keys of the ids, which can be gathered; or None.
      probability: `[num_candidates]`, the chance that one draw from the training rows
        is this item; or None.
      first: int32, the column of the first candidate of this replica.
      num_in_batch: int32, candidates that are positives of some row.
      num_extra: int32, candidates beyond the positives.
      num_queued: int32, candidates of earlier batches, from a queue.
    """

    embeddings: tf.Tensor
    ids: tf.Tensor | None
    probability: tf.Tensor | None
    first: tf.Tensor
    num_in_batch: tf.Tensor
    num_extra: tf.Tensor
    num_queued: tf.Tensor


def of_batch(
    embeddings: tf.Tensor,
    ids: tf.Tensor | None,
    probability: tf.Tensor | None,
    batch: tf.Tensor,
) -> Columns:
    """Makes the columns of one replica: `batch` positives, then extra candidates.

    Args:
      embeddings: `[num_candidates, embedding_dim]` candidates.
      ids: `[num_candidates]` ids, or None.
      probability: `[num_candidates]` sampling probabilities, or None.
      batch: scalar int32, number of positives.
    """
    ids = None if ids is None else id_keys(ids)
    num_extra = tf.shape(embeddings)[0] - batch
    zero = tf.zeros([], tf.int32)
    return Columns(embeddings, ids, probability, zero, batch, num_extra, zero)


def gathered(columns: Columns) -> Columns:
    """Gathers the columns of all replicas, in the order of the replicas."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return columns
    parts = [columns.embeddings, columns.ids, columns.probability]
    sizes = gather_rows(
        tf.stack([columns.num_in_batch, columns.num_extra], axis=0)[None, :]
    )
    num_in_batch, num_extra = tf.unstack(tf.reduce_sum(sizes, axis=0))
    return Columns(
        *(None if part is None else gather_rows(part) for part in parts),
        tf.reduce_sum(sizes[: context.replica_id_in_sync_group]),
        num_in_batch,
        num_extra,
        columns.num_queued,
    )


def with_queue(columns: Columns, queue: CandidateQueue) -> Columns:
    """Appends the candidates of a queue to the columns."""
    queue.check_width(columns.embeddings)
    embeddings, ids, probability = queue(None)
    if columns.ids is not None:
        ids = tf.concat([columns.ids, ids], axis=0)
    if columns.probability is not None:
        probability = tf.concat([columns.probability, probability], axis=0)
    return columns._replace(
        embeddings=tf.concat([columns.embeddings, embeddings], axis=0),
        ids=None if columns.ids is None else ids,
        probability=None if columns.probability is None else probability,
        num_queued=tf.shape(embeddings)[0],
    )


def enqueue(columns: Columns, queue: CandidateQueue, *, after: tf.Tensor) -> None:
    """Puts the positives of a replica into a queue, after `after` is computed."""
    batch = columns.num_in_batch
    with tf.control_dependencies([after]):
        embeddings = tf.identity(columns.embeddings[:batch])
        queue.enqueue(
            embeddings,
            None if columns.ids is None else columns.ids[:batch],
            None if columns.probability is None else columns.probability[:batch],
        )


def expected_counts(columns: Columns, num_items: int | None) -> tf.Tensor | None:
    """Computes the expected number of copies of each column's item in a row.

    All sources that could have drawn an item count, whichever drew it (the balance
    heuristic).

    Args:
      columns: columns with probabilities.
      num_items: size of the catalogue that the extra candidates are drawn from
        uniformly; where None they are drawn as the training rows are.

    Returns:
      `[num_candidates]` float32; None for columns without probabilities.
    """
    if columns.probability is None:
        return None
    draws = columns.num_in_batch - 1 + columns.num_queued
    if num_items is None:
        draws = tf.maximum(draws + columns.num_extra, 1)  # 0 without any negative
        return tf.cast(draws, tf.float32) * columns.probability
    uniform = tf.cast(columns.num_extra, tf.float32) / num_items
    return tf.cast(tf.maximum(draws, 0), tf.float32) * columns.probability + uniform


class Scores(NamedTuple):
    """The queries, columns, masks and corrections of a batch.

    Attributes:
      queries: `[batch, embedding_dim]` or `[batch, num_heads, embedding_dim]`, divided
        by the temperature.
      columns: columns of the score matrix.
      positive_columns: `[batch]` int32 columns of the positives.
      masks: function from a slice of the batch to `[block, num_candidates]` bool, True
        where a candidate is no negative; or None.
      expected_counts: `[num_candidates]` expected copies of each item, or None.
      remove_accidental_hits: True if candidates with the positive's id do not count.
    """

    queries: tf.Tensor
    columns: Columns
    positive_columns: tf.Tensor
    masks: Callable[[slice], tf.Tensor] | None
    expected_counts: tf.Tensor | None
    remove_accidental_hits: bool


def keys_of(ids: Tensor | None, candidate_ids: tf.Tensor) -> tf.RaggedTensor | None:
    """Turns ids of each query into ragged keys that can be found among the columns.

    Args:
      ids: `[batch, None]` ragged or dense ids, or None.
      candidate_ids: ids of the same kind.

    Returns:
      `[batch, None]` int64 keys, or None.

    Raises:
      ValueError: one is text, an integer or a floating number and the other is not.
    """
    if ids is None:
        return None
    if not isinstance(ids, tf.RaggedTensor):
        ids = tf.RaggedTensor.from_tensor(ids)
    return ids.with_values(id_keys(comparable(ids.values, candidate_ids.dtype)))


def masks(
    columns: Columns, score_mask: tf.Tensor | None, keys: tf.RaggedTensor | None
) -> Callable[[slice], tf.Tensor] | None:
    """Makes a function from a slice of the batch to a mask of its candidates.

    Args:
      columns: columns of the score matrix.
      score_mask: `[batch, num_own]` bool for the candidates of this replica, False
        where the mask is to be True; or None.
      keys: `[batch, None]` keys, of which candidates are True in their row; or None.

    Returns:
      The function, from a slice to `[block, num_candidates]` bool; None if nothing is
      masked.
    """
    if score_mask is None and keys is None:
        return None
    is_known = None if keys is None else known_positives(columns.ids)

    def block(rows: slice) -> tf.Tensor:
        mask = tf.zeros([1, 1], tf.bool)
        if score_mask is not None:
            own = ~score_mask[rows]
            after = tf.shape(columns.embeddings)[0] - columns.first - tf.shape(own)[1]
            mask |= tf.pad(own, [[0, 0], [columns.first, after]])
        if keys is not None:
            mask |= is_known(keys[rows])
        return mask

    return block


def dense_logits(
    scores: Scores, offsets: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes corrected and masked logits, with their labels.

    Args:
      scores: queries and columns of the batch.
      offsets: `[batch, num_candidates]` part of the logits that is no product of
        embeddings; None for nothing.

    Returns:
      Logits and one-hot labels, `[batch, num_candidates]` each; masked candidates have
      the lowest finite logit.
    """
    columns, positives = scores.columns, scores.positive_columns
    logits = dot_scores(scores.queries, columns.embeddings)
    if offsets is not None:
        logits += offsets
    labels = tf.one_hot(positives, tf.shape(columns.embeddings)[0])
    if scores.expected_counts is not None:
        # Over the number of candidates, which is a constant: with one source these are
        # the probabilities, and the logits those of TensorFlow Recommenders.
        draws = tf.maximum(tf.size(scores.expected_counts) - 1, 1)
        logits -= tf.math.log(scores.expected_counts / tf.cast(draws, logits.dtype))
    masked = tf.zeros([1, 1], tf.bool)
    if scores.remove_accidental_hits:
        masked |= same_item_mask(tf.gather(columns.ids, positives), columns.ids)
    if scores.masks is not None:
        masked |= scores.masks(slice(None))
    masked &= ~tf.cast(labels, tf.bool)
    return tf.where(masked, logits.dtype.min, logits), labels


_SMOOTHED = tf.keras.losses.CategoricalCrossentropy


def loss_of_logits(
    loss: Callable,
    labels: tf.Tensor,
    logits: tf.Tensor,
    sample_weight: tf.Tensor | None,
    scores: Scores,
) -> tf.Tensor:
    """Computes a loss of labels and logits in which masked candidates do not count.

    Labels are smoothed over the candidates of a row that are not masked.

    Args:
      loss: Keras loss, or a function of the same arguments.
      labels: `[batch, num_candidates]`, 1 for the positive.
      logits: `[batch, num_candidates]`, the lowest finite number where masked.
      sample_weight: `[batch]` weights of the rows, or None.
      scores: queries and columns that the logits come from.

    Raises:
      ValueError: masked candidates would count in the loss.
      InvalidArgumentError: a weight is negative or not finite.
    """
    is_masked = scores.remove_accidental_hits or scores.masks is not None
    smoothing = _smoothing(loss) if is_masked else 0.0
    if smoothing and isinstance(loss, _SMOOTHED):
        counts = tf.cast((logits > logits.dtype.min) | (labels > 0), labels.dtype)
        share = counts / tf.reduce_sum(counts, axis=1, keepdims=True)
        labels = (1 - smoothing) * labels + smoothing * share
        loss = type(loss).from_config(loss.get_config() | {"label_smoothing": 0.0})
    elif is_masked and (smoothing or not _ignores_masked(loss)):
        raise ValueError(
            "`loss` must leave out masked candidates, whose logits are the lowest "
            f"finite number. `{_name(loss)}` lets them count: use "
            "`tf.keras.losses.CategoricalCrossentropy(from_logits=True)`, whose "
            "`label_smoothing` is over the others, or mask no candidate "
            "(`remove_accidental_hits`, `known_positives`, `score_mask`)."
        )
    weight = weights_of_rows(sample_weight, tf.shape(logits)[0])
    return loss(labels, logits, sample_weight=weight)


def _ignores_masked(loss: Callable) -> bool:
    """Returns whether a masked logit does not change a loss, tried on a row."""
    function = loss.call if isinstance(loss, tf.keras.losses.Loss) else loss
    with tf.init_scope():
        labels = tf.constant([[1.0, 0.0, 0.0]])
        logits = tf.constant([[0.5, -0.3, tf.float32.min]])
        value = tf.reduce_max(tf.abs(function(labels, logits)))
        return bool(value.numpy() < tf.float32.max * 1e-9)


def _smoothing(loss: Callable) -> float:
    if not isinstance(loss, tf.keras.losses.Loss):
        return 0.0
    return float(loss.get_config().get("label_smoothing") or 0)


def _name(loss: Callable) -> str:
    return getattr(loss, "__name__", type(loss).__name__)
