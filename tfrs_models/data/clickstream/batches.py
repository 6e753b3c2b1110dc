"""Pairs of searches, and batches of ragged integers of such pairs."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.data.batching import row_batches, without_autotuning
from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput
from tfrs_models.data.clickstream.items import ItemSet
from tfrs_models.ops.clickstream.packing import draw_order, pack_pairs

Pair = tuple[FineTuningInput, FineTuningInput | None]


def cycle_to_equal_length(a: Sequence, b: Sequence) -> tuple[list, list]:
    """Repeats the shorter sequence from its front until both are equally long.

    Args:
      a: sequence of at least one element.
      b: sequence of at least one element.

    Returns:
      Two lists of the larger length; two empty lists if both sequences are empty.

    Raises:
      ValueError: one of them is empty and the other is not.

    Example:
      >>> tm.data.clickstream.cycle_to_equal_length([0, 1], [0, 1, 2, 3, 4])
      ([0, 1, 0, 1, 0], [0, 1, 2, 3, 4])
    """
    if not a or not b:
        if a or b:
            raise ValueError("An empty sequence cannot be repeated to a length.")
        return [], []
    length = max(len(a), len(b))
    return (
        [a[index % len(a)] for index in range(length)],
        [b[index % len(b)] for index in range(length)],
    )


class PairedInputs(Sequence):
    """A sequence of pairs of a search with a click and a search without one, or None.

    Attributes:
      pairs: the pairs.
      relevant_ids: ids of all results of searches with a click.
      irrelevant_ids: ids of all results of searches without one.
    """

    def __init__(
        self, pairs: Sequence[Pair], relevant_ids: set[str], irrelevant_ids: set[str]
    ) -> None:
        self.pairs = list(pairs)
        self.relevant_ids = relevant_ids
        self.irrelevant_ids = irrelevant_ids

    def __getitem__(self, index: int) -> Pair:
        """Returns the pair at an index."""
        return self.pairs[index]

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.pairs)


def pair_inputs(
    inputs: Iterable[FineTuningInput],
    randomize: bool = False,
    inputs_count: int = -1,
    *,
    seed: int | None = None,
) -> PairedInputs:
    """Pairs every search with a click with a search without one, if there are any.

    Args:
      inputs: searches of both kinds.
      randomize: whether both kinds are shuffled independently before they are paired.
        Without searches of the second kind nothing is shuffled.
      inputs_count: largest number of pairs if above 0. Without searches of the second
        kind all pairs are returned.
      seed: seed of the shuffling; None gives another order each time.

    Returns:
      As many pairs as the larger kind has searches; the other kind is repeated.

    Raises:
      ValueError: no search has a click.

    Example:
      >>> shown = {"results": ["a", "b"], "ranks": {"a": 0.9, "b": 0.1}}
      >>> hit = tm.data.clickstream.FineTuningInput("shoes", events=["b"], **shown)
      >>> miss = tm.data.clickstream.FineTuningInput("hats", events=[], **shown)
      >>> pairs = tm.data.clickstream.pair_inputs([hit, miss])
      >>> [(clicked.query, other.query) for clicked, other in pairs]
      [('shoes', 'hats')]
    """
    inputs = list(inputs)
    relevant = [search for search in inputs if not search.is_irrelevant]
    irrelevant = [search for search in inputs if search.is_irrelevant]
    ids = [
        {result for search in kind for result in search.results}
        for kind in (relevant, irrelevant)
    ]
    if not inputs:
        warnings.warn("There is no search to pair.", stacklevel=2)
    if not relevant and irrelevant:
        raise ValueError(
            f"`inputs` must have a search with a click: none of {len(irrelevant)} has "
            "one, so nothing is better than anything else. Give more sessions, or "
            "another split."
        )
    if not irrelevant:
        return PairedInputs([(search, None) for search in relevant], *ids)
    sides = cycle_to_equal_length(relevant, irrelevant)
    if randomize:
        rng = np.random.default_rng(seed)
        sides = [
            [side[index] for index in rng.permutation(len(side))] for side in sides
        ]
    pairs = list(zip(*sides, strict=True))
    return PairedInputs(pairs[:inputs_count] if inputs_count > 0 else pairs, *ids)


def click_batches(
    pairs: Sequence[Pair],
    items: ItemSet,
    batch_size: int,
    *,
    query_features: Callable[[list], object] | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Makes batches for `models.FineTuningModel` of searches that fit in memory.

    Args:
      pairs: pairs of searches, as `pair_inputs` makes them.
      items: the items that the searches show.
      batch_size: number of pairs of searches in a batch; the last one may be shorter.
      query_features: function from a list of queries to the input of the query tower.
        By default queries are stacked, dicts of features by name.
      shuffle: whether the pairs are in another order in each epoch.
      seed: seed of the order and of the draws of negatives, together with
        `tf.random.set_seed`; with None that alone is the seed.

    Returns:
      A dataset of known cardinality of dicts. `query`: input of the query tower;
      `items`, `objects`, `clicked` and `ranks`: rows, objects, clicks and stored scores
      of the results; `draw_order`: a random order of the objects without a click,
      another one in each epoch. All but `query` are ragged `[batch, (num_results)]`.
      `irrelevant`: the same for searches without a click, if there are any.

    Raises:
      ValueError: no pairs, an unknown score, or a batch size below 1.
      IndexError: a result that is not among the items.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     "shoes", ["b"], ["a", "b"], {"a": 0.9, "b": 0.1})
      >>> items = tm.data.clickstream.ItemSet(["a", "b", "c"])
      >>> (batch,) = tm.data.clickstream.click_batches([(search, None)], items, 32)
      >>> batch["items"].to_list(), batch["clicked"].to_list()
      ([[0, 1]], [[False, True]])
    """
    if not len(pairs):
        raise ValueError("`pairs` must have a search with a click. Got none.")
    table = pack_pairs(list(pairs), items, query_features=query_features)
    rows = row_batches(len(pairs), batch_size, shuffle=shuffle, seed=seed)

    def join(chosen: tf.Tensor, draw: tf.Tensor) -> dict:
        batch = tf.nest.map_structure(lambda column: tf.gather(column, chosen), table)
        return _with_draw_order(batch, draw)

    return (
        tf.data.Dataset.zip((rows, _draws(seed)))
        .map(join, num_parallel_calls=tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(len(rows)))
        .prefetch(2)
    )


def stream_batches(
    inputs: Callable[[], Iterable[FineTuningInput]],
    items: ItemSet,
    batch_size: int,
    *,
    query_features: Callable[[list], object] | None = None,
    shuffle_buffer: int = 0,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Makes batches of a stream of searches: only a batch and a buffer are in memory.

    Each search with a click is paired with the last search before it that had none.

    Args:
      inputs: function that starts the stream, called once for each epoch, such as
        `lambda: read_sessions("log.jsonl")`.
      items: the items that the searches show.
      batch_size: number of pairs of searches in a batch; the last one may be shorter.
      query_features: function from a list of queries to the input of the query tower.
        By default queries are stacked, dicts of features by name.
      shuffle_buffer: number of pairs among which the next one is drawn; 0 keeps the
        order.
      seed: seed of the order and of the draws of negatives.

    Returns:
      A dataset of dicts with the keys of `click_batches`; `irrelevant` is always there,
      and its rows may be empty.

    Raises:
      ValueError: a batch size below 1, or a stream without a click.

    Example:
      >>> session = {"search_query": "shoes", "events": [{"object_id": "b"}],
      ...            "search_results": [{"object_id": i, "rank": 0.5} for i in "ab"]}
      >>> reader = tm.data.clickstream.read_sessions([session, session, session])
      >>> items = tm.data.clickstream.ItemSet(["a", "b"])
      >>> batches = tm.data.clickstream.stream_batches(lambda: reader, items, 2)
      >>> [batch["items"].to_list() for batch in batches]
      [[[0, 1], [0, 1]], [[0, 1]]]
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

    first = next(stream_pairs(inputs()), None)
    if first is None:
        raise ValueError("`inputs` must have a search with a click. Got none.")
    signature = tf.nest.map_structure(_any_length, packed([first]))

    def generate(epoch_seed: np.int64) -> Iterator[dict]:
        stream = stream_pairs(inputs())
        if shuffle_buffer:
            rng = np.random.default_rng(epoch_seed)
            stream = _shuffled(stream, shuffle_buffer, rng)
        chunk = []
        for pair in stream:
            chunk.append(pair)
            if len(chunk) == batch_size:
                yield packed(chunk)
                chunk = []
        if chunk:
            yield packed(chunk)

    def read(epoch_seed: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(
            generate, args=(epoch_seed,), output_signature=signature
        )

    epoch = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
    batches = without_autotuning(epoch.flat_map(read))
    return (
        tf.data.Dataset.zip((batches, _draws(seed)))
        .map(_with_draw_order, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(2)
    )


def stream_pairs(inputs: Iterable[FineTuningInput]) -> Iterator[Pair]:
    """Pairs each search with a click with the last search before it that had none.

    Args:
      inputs: searches of both kinds, which need not fit in memory.

    Yields:
      Pairs in the order of the searches with a click.
    """
    latest = None
    for search in inputs:
        if search.is_irrelevant:
            latest = search
        else:
            yield search, latest


def _draws(seed: int | None) -> tf.data.Dataset:
    """Makes the seeds of the draws of each batch, other ones in each epoch."""
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    return draws.batch(2, drop_remainder=True)


def _with_draw_order(batch: dict, draw: tf.Tensor) -> dict:
    order = draw_order(batch["objects"], batch["clicked"], draw)
    batch = {**batch, "draw_order": order}
    if "irrelevant" in batch:
        other = batch["irrelevant"]
        order = draw_order(other["objects"], other["clicked"], draw + 1)
        batch["irrelevant"] = {**other, "draw_order": order}
    return batch


def _any_length(value: tf.Tensor | tf.RaggedTensor) -> tf.TypeSpec:
    if isinstance(value, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, None], value.dtype, row_splits_dtype=tf.int64)
    return tf.TensorSpec([None, *value.shape[1:]], value.dtype)


def _shuffled(
    stream: Iterable[Pair], size: int, rng: np.random.Generator
) -> Iterator[Pair]:
    """Yields the stream, each element drawn from a buffer of the next ones."""
    buffer = []
    for pair in stream:
        if len(buffer) < size:
            buffer.append(pair)
            continue
        index = rng.integers(size)
        yield buffer[index]
        buffer[index] = pair
    for index in rng.permutation(len(buffer)):
        yield buffer[index]
