"""The candidates that a batch is scored against, wherever they come from."""

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
      embeddings: `[num_candidates, embedding_dim]`.
      ids: `[num_candidates]` int64 keys of the ids, which can be gathered; or None.
      probability: `[num_candidates]`, the chance that one draw from the training rows
        is this item; or None.
      first: int32, the column of the first candidate that this replica brought.
      num_in_batch: int32, candidates that are positives of some row.
      num_extra: int32, candidates beyond the positives.
      num_queued: int32, candidates that a queue kept from earlier batches.
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
    """The candidates of one replica: `batch` positives, and what follows them."""
    ids = None if ids is None else id_keys(ids)
    num_extra = tf.shape(embeddings)[0] - batch
    zero = tf.zeros([], tf.int32)
    return Columns(embeddings, ids, probability, zero, batch, num_extra, zero)


def gathered(columns: Columns) -> Columns:
    """The candidates of all replicas, in the order of the replicas."""
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
    """The candidates, followed by those of a queue."""
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
    """Puts the positives of a replica into a queue, once `after` is computed."""
    batch = columns.num_in_batch
    with tf.control_dependencies([after]):
        embeddings = tf.identity(columns.embeddings[:batch])
        queue.enqueue(
            embeddings,
            None if columns.ids is None else columns.ids[:batch],
            None if columns.probability is None else columns.probability[:batch],
        )


def expected_counts(columns: Columns, num_items: int | None) -> tf.Tensor | None:
    """How many copies of each column's item are expected among a row's negatives.

    Whatever source a column came from, all sources that could have brought its item
    count (the balance heuristic).

    Args:
      columns: With probabilities; None without.
      num_items: Size of the catalogue that the extra candidates are drawn from
        uniformly; where None they are drawn as the training rows are.

    Returns:
      `[num_candidates]` float32, or None.
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
    """What is needed to score a batch, and what of it counts.

    Attributes:
      queries: `[batch, embedding_dim]` over the temperature, or with heads.
      columns: The candidates.
      positive_columns: `[batch]` int32.
      masks: From a slice of the batch to `[block, num_candidates]` bool, True where a
        candidate is no negative; or None.
      expected_counts: `[num_candidates]`, or None.
      remove_accidental_hits: Whether candidates with the positive's id do not count.
    """

    queries: tf.Tensor
    columns: Columns
    positive_columns: tf.Tensor
    masks: Callable[[slice], tf.Tensor] | None
    expected_counts: tf.Tensor | None
    remove_accidental_hits: bool


def keys_of(ids: Tensor | None, candidate_ids: tf.Tensor) -> tf.RaggedTensor | None:
    """Ragged or dense ids per query as ragged keys, to be found among the columns.

    Args:
      ids: `[batch, None]`, or None.
      candidate_ids: Ids that are of the same kind.

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
    """A function from a slice of the batch to a mask; None where there is nothing.

    Args:
      columns: The candidates.
      score_mask: `[batch, num_own]`, of the candidates of this replica: what is False
        in it is True in the mask.
      keys: `[batch, None]`: candidates with a row's keys are True.
    """
    if score_mask is None and keys is None:
        return None
    is_known = None if keys is None else known_positives(columns.ids)

    def block(place: slice) -> tf.Tensor:
        mask = tf.zeros([1, 1], tf.bool)
        if score_mask is not None:
            own = ~score_mask[place]
            after = tf.shape(columns.embeddings)[0] - columns.first - tf.shape(own)[1]
            mask |= tf.pad(own, [[0, 0], [columns.first, after]])
        if keys is not None:
            mask |= is_known(keys[place])
        return mask

    return block


def dense_logits(scores: Scores) -> tuple[tf.Tensor, tf.Tensor]:
    """Corrected and masked logits, with the labels.

    Args:
      scores: What to score.

    Returns:
      Logits and one-hot labels, `[batch, num_candidates]` each; what is no negative has
      the lowest finite logit.
    """
    columns, positives = scores.columns, scores.positive_columns
    logits = dot_scores(scores.queries, columns.embeddings)
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
    """A loss in which masked candidates have no part.

    Labels are smoothed over the candidates of a row that are not masked.

    Args:
      loss: Keras loss, or a function of the same arguments.
      labels: `[batch, num_candidates]`, 1 for the positive.
      logits: `[batch, num_candidates]`, the lowest finite number where masked.
      sample_weight: `[batch]` weights of the rows, or None.
      scores: what the logits come from, which says whether any may be masked.

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
    """Whether a masked logit is worth nothing to a loss, tried on a row."""
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
