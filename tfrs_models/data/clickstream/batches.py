"""Pairs of searches as batches of ragged integers."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.data.batching import row_batches
from tfrs_models.data.clickstream.items import ItemSet
from tfrs_models.data.clickstream.pairing import Pair
from tfrs_models.ops.clickstream.packing import pack_pairs
from tfrs_models.ops.clickstream.search_objects import draw_order


def click_batches(
    pairs: Sequence[Pair],
    items: ItemSet,
    batch_size: int,
    *,
    query_features: Callable[[list], object] | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Batches for `models.FineTuningModel` of searches that fit in memory.

    Args:
      pairs: From `pair_inputs`.
      items: Of the results.
      batch_size: pairs of searches of a batch; the last one may be shorter.
      query_features: from a list of queries to what the query tower takes; where None,
        queries are stacked.
      shuffle: whether each epoch has another order.
      seed: of the order and of the draws, together with `tf.random.set_seed`; None
        follows that alone.

    Returns:
      A dataset of known cardinality of dicts: `query`; `items`, `objects`, `clicked`
      and `ranks`, see `ops.packing`; `places`, a random order of the objects without a
      click, another one each epoch; each `[batch, (num_results)]`; and `irrelevant`
      with the same, where there are searches without a click.

    Raises:
      ValueError: no pairs, a rank that is not known, or a batch size below 1.
      IndexError: a result that is no item.
    """
    if not len(pairs):
        raise ValueError("`pairs` must have a search with a click. Got none.")
    table = pack_pairs(list(pairs), items, query_features=query_features)
    rows = row_batches(len(pairs), batch_size, shuffle=shuffle, seed=seed)

    def join(chosen: tf.Tensor, draw: tf.Tensor) -> dict:
        batch = tf.nest.map_structure(lambda column: tf.gather(column, chosen), table)
        return _with_places(batch, draw)

    return (
        tf.data.Dataset.zip((rows, _draws(seed)))
        .map(join, num_parallel_calls=tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(len(rows)))
        .prefetch(2)
    )


def stream_batches(
    pairs: Callable[[], Iterable[Pair]],
    items: ItemSet,
    batch_size: int,
    *,
    query_features: Callable[[list], object] | None = None,
    shuffle_buffer: int = 0,
    seed: int | None = None,
) -> tf.data.Dataset:
    """`click_batches` of a stream: only a batch and the buffer are in memory.

    Args:
      pairs: makes the stream, once for each epoch; `stream_pairs` over `read_sessions`.
      items: Of the results.
      batch_size: pairs of searches of a batch; the last one may be shorter.
      query_features: See `click_batches`.
      shuffle_buffer: pairs among which the next one is drawn; 0 keeps the order.
      seed: of the order and of the draws, as for `click_batches`.

    Returns:
      See `click_batches`; `irrelevant` is always there, and may be empty.

    Raises:
      ValueError: a batch size below 1, or a stream without a pair.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Got {batch_size}.")

    def packed(chunk: list[Pair]) -> dict:
        batch = pack_pairs(chunk, items, query_features=query_features)
        if "irrelevant" not in batch:
            nothing = tf.nest.map_structure(
                lambda column: (
                    column[:, :0] if isinstance(column, tf.RaggedTensor) else column
                ),
                batch,
            )
            batch["irrelevant"] = nothing
        return batch

    first = next(iter(pairs()), None)
    if first is None:
        raise ValueError("`pairs` must have a search with a click. Got none.")
    signature = tf.nest.map_structure(_any_length, packed([first]))
    epochs = np.random.default_rng(seed)

    def generate() -> Iterator[dict]:
        stream = pairs()
        if shuffle_buffer:
            stream = _shuffled(stream, shuffle_buffer, epochs)
        chunk = []
        for pair in stream:
            chunk.append(pair)
            if len(chunk) == batch_size:
                yield packed(chunk)
                chunk = []
        if chunk:
            yield packed(chunk)

    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return (
        tf.data.Dataset.zip((batches, _draws(seed)))
        .map(_with_places, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(2)
    )


def _draws(seed: int | None) -> tf.data.Dataset:
    """Seeds for the draws of each batch, others in each epoch."""
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    return draws.batch(2, drop_remainder=True)


def _with_places(batch: dict, draw: tf.Tensor) -> dict:
    places = draw_order(batch["objects"], batch["clicked"], draw)
    batch = {**batch, "places": places}
    if "irrelevant" in batch:
        other = batch["irrelevant"]
        places = draw_order(other["objects"], other["clicked"], draw + 1)
        batch["irrelevant"] = {**other, "places": places}
    return batch


def _any_length(value: tf.Tensor | tf.RaggedTensor) -> tf.TypeSpec:
    if isinstance(value, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, None], value.dtype, row_splits_dtype=tf.int64)
    return tf.TensorSpec([None, *value.shape[1:]], value.dtype)


def _shuffled(
    stream: Iterable[Pair], size: int, rng: np.random.Generator
) -> Iterator[Pair]:
    """The stream, each element drawn from a buffer of the next ones."""
    buffer = []
    for pair in stream:
        if len(buffer) < size:
            buffer.append(pair)
            continue
        place = rng.integers(size)
        yield buffer[place]
        buffer[place] = pair
    for place in rng.permutation(len(buffer)):
        yield buffer[place]
