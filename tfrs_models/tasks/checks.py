"""Checks of the arguments of tasks."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.losses.sampled_cross_entropy import CORRECTIONS
from tfrs_models.ops.features.checks import check_width
from tfrs_models.ops.features.probabilities import ProbabilityFloor
from tfrs_models.ops.numbers import (
    is_whole,
    real_number,
    true_or_false,
    whole_number,
)


def check_embeddings(
    queries: tf.Tensor, candidates: tf.Tensor, *, is_corpus: bool
) -> None:
    """Raises a `ValueError` for embeddings that do not fit together.

    Args:
      queries: `[batch, embedding_dim]`, or `[batch, num_heads, embedding_dim]`.
      candidates: `[num_candidates, embedding_dim]` embeddings.
      is_corpus: True if the candidates need not begin with the positives.

    Raises:
      ValueError: wrong ranks, widths that differ, or fewer candidates than queries.
    """
    if queries.shape.rank not in (2, 3) or candidates.shape.rank != 2:
        raise ValueError(
            "`query_embeddings` must be [batch, embedding_dim] or [batch, num_heads, "
            "embedding_dim] and `candidate_embeddings` [num_candidates, embedding_dim]."
            f" Got {queries.shape} and {candidates.shape}."
        )
    if not queries.shape[-1:].is_compatible_with(candidates.shape[-1:]):
        raise ValueError(
            "Query and candidate embeddings must have the same width. Got "
            f"{queries.shape[-1]} and {candidates.shape[-1]}."
        )
    check_width(queries.shape[-1], "query_embeddings")
    batch, num_candidates = queries.shape[0], candidates.shape[0]
    known = None not in (batch, num_candidates)
    if not is_corpus and known and num_candidates < batch:
        raise ValueError(
            "`candidate_embeddings` must begin with one positive for each query. Got "
            f"{num_candidates} candidates for {batch} queries."
        )


def candidate_column(name: str, values: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Flattens values of the candidates to `[num_candidates]`.

    Args:
      name: name of the argument in the message.
      values: `[num_candidates]` or `[num_candidates, 1]` values.
      candidates: `[num_candidates, embedding_dim]` embeddings.

    Raises:
      ValueError: another number of values than candidates.
    """
    values = tf.reshape(values, [-1])
    if not values.shape.is_compatible_with(candidates.shape[:1]):
        raise ValueError(
            f"`{name}` must have one value for each of the {candidates.shape[0]} "
            f"candidates. Got {values.shape[0]}."
        )
    return values


def sampling_probability(
    probability: tf.Tensor | None,
    candidates: tf.Tensor,
    *,
    floor: ProbabilityFloor,
    candidate_ids: tf.Tensor | None,
) -> tf.Tensor | None:
    """Reads `[num_candidates]` float32 sampling probabilities in (0, 1].

    Args:
      probability: `[num_candidates]` probabilities, or None.
      candidates: `[num_candidates, embedding_dim]` embeddings.
      floor: rule for probabilities that are too small.
      candidate_ids: `[num_candidates]` ids for the message, or None.

    Returns:
      The probabilities; None where none are given.
    """
    if probability is None:
        return None
    probability = tf.cast(probability, tf.float32)
    column = candidate_column("candidate_sampling_probability", probability, candidates)
    return floor(column, candidate_ids)


def check_options(
    *,
    temperature: float | tf.Tensor | tf.Variable | None,
    correction: str | None,
    block_size: int | str,
    num_items: int | None,
    num_hard_negatives: int | None,
    remove_accidental_hits: bool,
    gather_candidates: bool,
    loss: Callable | None,
) -> None:
    """Raises a `ValueError` for wrong constructor arguments of `tasks.Retrieval`."""
    if temperature is not None and not isinstance(
        temperature, (tf.Tensor, tf.Variable)
    ):
        real_number("temperature", np.asarray(temperature).tolist(), above=0)
    if num_hard_negatives is not None and not is_whole(num_hard_negatives, -math.inf):
        raise ValueError(
            "`num_hard_negatives` must be None or a whole number. Got "
            f"{num_hard_negatives!r}."
        )
    true_or_false("remove_accidental_hits", remove_accidental_hits)
    true_or_false("gather_candidates", gather_candidates)
    if loss is not None and not callable(loss):
        raise ValueError(
            "`loss` must be a Keras loss, such as "
            "`tf.keras.losses.CategoricalCrossentropy(from_logits=True)`. Got "
            f"{loss!r}."
        )
    if correction not in CORRECTIONS:
        raise ValueError(
            f"`correction` must be one of {CORRECTIONS}. Got {correction!r}."
        )
    if loss is not None and correction == "corrected_logq":
        raise ValueError(
            "`correction='corrected_logq'` defines the gradient of the default loss: "
            "`loss` must be None. Got both."
        )
    if block_size != "auto" and not is_whole(block_size, 1):
        raise ValueError(
            f"`block_size` must be 'auto' or at least 1. Got {block_size!r}."
        )
    if num_items is not None:
        whole_number("num_items", num_items, least=1)


def check_given(task: tf.keras.layers.Layer, arguments: Mapping[str, object]) -> None:
    """Raises a `ValueError` if an argument of a call is missing or has no meaning.

    Args:
      task: retrieval task.
      arguments: arguments of its call by name; None where not given.
    """
    given = {name for name, value in arguments.items() if value is not None}
    for_ids = sorted(given & {"known_positives", "positive_ids"})
    if task.remove_accidental_hits:
        for_ids.append("remove_accidental_hits")
    if for_ids and "candidate_ids" not in given:
        raise ValueError(
            f"`candidate_ids` must be given for {' and '.join(for_ids)}. Got None."
        )
    if (
        task.correction == "corrected_logq"
        and "candidate_sampling_probability" not in given
    ):
        raise ValueError(
            "`candidate_sampling_probability` must be given for the correction "
            "'corrected_logq'. Got None."
        )
    for name, others, reason in _WITHOUT_MEANING:
        together = sorted(given & others) + [
            option for option in sorted(others) if getattr(task, option, None)
        ]
        is_on = name in given or (name == "loss" and task.has_loss)
        if is_on and together:
            raise ValueError(f"`{name}` cannot be used with `{together[0]}`: {reason}.")
    if "score_offsets" in given and task.correction == "corrected_logq":
        raise ValueError(
            "`score_offsets` cannot be used with the correction 'corrected_logq', as "
            "its loss has no logits of the batch. Use 'logq'."
        )
    if task.correction is not None and given >= {
        "positive_columns",
        "candidate_sampling_probability",
    }:
        raise ValueError(
            "`candidate_sampling_probability` cannot be used with `positive_columns`: "
            "the candidates are then the whole corpus and not a sample."
        )
    if task.correction == "corrected_logq" and "positive_ids" in given:
        raise ValueError(
            "`positive_ids` cannot be used with the correction 'corrected_logq', which "
            "is defined for one positive per query. Use 'logq'."
        )


# Each argument, the names that have no meaning beside it, and the reason.
_WITHOUT_MEANING = (
    (
        "positive_columns",
        {"gather_candidates", "queue", "num_items"},
        "the candidates are then the whole corpus, to which nothing can be added",
    ),
    (
        "loss",
        {"positive_ids", "negative_embeddings"},
        "a loss of labels and logits sees one positive and shared candidates",
    ),
    (
        "score_offsets",
        {"positive_ids", "negative_embeddings", "gather_candidates", "queue"},
        "there is one offset for each query and candidate of the batch",
    ),
)
