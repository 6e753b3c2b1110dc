"""UniSAR with the memory layout of its original, for comparisons."""

import contextlib
import functools

import tensorflow as tf

from tfrs_models.models import UniSAR
from tfrs_models.models.unisar.encoders import QueryEncoder
from tfrs_models.models.unisar.example import TASKS
from tfrs_models.models.unisar.network import UniSARNetwork, UserState


def repeat_users(model: UniSAR) -> UniSAR:
    """Makes the model copy the inputs of a row for each of its candidates.

    The scores stay the same. Histories of both services, their masks, the user and the
    query are copied to `[batch * num_candidates, ...]`, as in the original, and each
    copy is multiplied by the matrix of the pooling.
    """
    model.network.score = functools.partial(_score, model.network)
    return model


def encode_each(model: UniSAR) -> UniSAR:
    """Makes the model's evaluation encode the items of every batch, as the original."""
    model.network.item_vectors.stored = contextlib.nullcontext
    return model


def original_layout(model: UniSAR) -> UniSAR:
    """Applies `repeat_users`, and gathers all words of a text before their mean."""
    encoder = model.network.query_encoder
    encoder.call = functools.partial(_mean_of_words, encoder)
    return repeat_users(model)


def _mean_of_words(encoder: QueryEncoder, words: tf.Tensor) -> tf.Tensor:
    is_word = (words > 0)[..., None]
    vectors = tf.where(is_word, tf.gather(encoder.table, words), 0.0)
    count = tf.math.count_nonzero(is_word, axis=-2, dtype=vectors.dtype)
    means = tf.math.divide_no_nan(tf.reduce_sum(vectors, axis=-2), count)
    return encoder._project(means)


def _score(
    network: UniSARNetwork,
    state: UserState,
    candidates: tf.Tensor,
    task: str,
    training: bool = False,
) -> tf.Tensor:
    batch, number = tf.unstack(tf.shape(candidates)[:2])
    transitions = state.transitions
    items = tf.reshape(candidates, [batch * number, candidates.shape[-1]])
    query = tf.broadcast_to(state.query, [batch, state.query.shape[-1]])

    def repeated(values: tf.Tensor) -> tf.Tensor:
        return tf.repeat(values, number, axis=0)

    interests = [
        _pool(network.pooling[service].kernel, repeated(events), items, repeated(valid))
        for service, events, valid in (
            ("recommendation", transitions.recommendation, transitions.item_mask),
            ("search", transitions.search, transitions.session_mask),
        )
    ]
    parts = [*interests, items, repeated(state.user), repeated(query)]
    expert = network.experts(tf.concat(parts, axis=1), training=training)
    expert = network.heads[task](expert[TASKS.index(task)], training=training)
    return tf.reshape(network.logits[task](expert), [batch, number])


def _pool(
    kernel: tf.Variable, events: tf.Tensor, items: tf.Tensor, valid: tf.Tensor
) -> tf.Tensor:
    scores = tf.matmul(tf.matmul(events, kernel), items[:, :, None])[:, :, 0]
    weights = tf.nn.softmax(tf.where(valid, scores, scores.dtype.min))
    return tf.matmul(weights[:, None], events)[:, 0]
