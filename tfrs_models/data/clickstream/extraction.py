"""Pairs and scores of searches that are not packed into batches."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import tensorflow as tf

from tfrs_models.data.clickstream.batches import Pair
from tfrs_models.data.clickstream.fine_tuning_input import FineTuningInput
from tfrs_models.data.clickstream.items import ItemSet
from tfrs_models.ops.clickstream.packing import pack_pairs
from tfrs_models.ops.clickstream.pairs import FineTuningFeatures


class Scores(Protocol):
    """The part of `layers.FeaturesExtractor` that scores results."""

    def ranks(self, search: dict, items: object = None) -> tf.RaggedTensor:
        """Scores all results of a batch, `[batch, (num_results)]`."""


class Extractor(Scores, Protocol):
    """The part of `layers.FeaturesExtractor` that extracts pairs."""

    missing_rank: float | None

    def __call__(self, batch: dict, items: object = None) -> FineTuningFeatures:
        """Extracts the pairs of a batch."""

    def forward(self, batch: Sequence[Pair], items: ItemSet) -> FineTuningFeatures:
        """Extracts the pairs of searches that are not packed yet."""

    def negatives(self, search: dict, items: object = None) -> FineTuningFeatures:
        """Extracts the results without a click, as pairs without positives."""


def extract_features(
    input: FineTuningInput,  # noqa: A002  the name of the specification
    items: ItemSet,
    extractor: Extractor,
    *,
    selected_not_events: Sequence[str] | None = None,
) -> FineTuningFeatures:
    """Extracts the pairs of one search.

    Args:
      input: the search.
      items: the items that it shows.
      extractor: layer with the towers, `layers.FeaturesExtractor`.
      selected_not_events: ids of the results that are negatives (as drawn by
        `data.clickstream.downsample_not_events`). By default all results of objects
        without a click are.

    Returns:
      The pairs. A search without a click gives its negatives and their targets only,
      which `data.clickstream.use_positive_from` pairs with clicks of another search.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     [1.0, 0.0], ["a"], ["a", "b"], {"a": 0.0, "b": 0.0})
      >>> vectors = np.array([[0.6, 0.8], [0.0, 1.0]], "float32")
      >>> items = tm.data.clickstream.ItemSet(["a", "b"], vectors)
      >>> extractor = tm.layers.FeaturesExtractor(tf.keras.layers.Activation("linear"))
      >>> pairs = tm.data.clickstream.extract_features(search, items, extractor)
      >>> pairs.positive_ranks.numpy(), pairs.negative_ranks.numpy()
      (array([0.6], dtype=float32), array([0.], dtype=float32))
    """
    batch = pack_pairs([(input, None)], items, missing_rank=extractor.missing_rank)
    if selected_not_events is not None:
        chosen = set(selected_not_events)
        mask = [
            result in chosen for result in input.results for _ in items.rows([result])
        ]
        batch["negative_mask"] = batch["clicked"].with_values(tf.constant(mask, bool))
    extract = extractor if input.events else extractor.negatives
    return extract(batch, items.features)


def extract_batch_features(
    batch: Sequence[Pair], items: ItemSet, extractor: Extractor
) -> FineTuningFeatures:
    """Extracts the pairs of several searches, with all of their negatives.

    Args:
      batch: pairs of a search with a click and a search without one, or None.
      items: the items that the searches show.
      extractor: layer with the towers, `layers.FeaturesExtractor`.

    Returns:
      Pairs in the order of the searches.

    Example:
      >>> shown = (["a"], ["a", "b"], {"a": 0.0, "b": 0.0})
      >>> searches = [tm.data.clickstream.FineTuningInput(query, *shown)
      ...             for query in ([1.0, 0.0], [0.0, 1.0])]
      >>> vectors = np.array([[0.6, 0.8], [0.0, 1.0]], "float32")
      >>> items = tm.data.clickstream.ItemSet(["a", "b"], vectors)
      >>> extractor = tm.layers.FeaturesExtractor(tf.keras.layers.Activation("linear"))
      >>> tm.data.clickstream.extract_batch_features(
      ...     [(s, None) for s in searches], items, extractor).positive_ranks.numpy()
      array([0.6, 0.8], dtype=float32)
    """
    return extractor.forward(batch, items)


def calculate_ranks(
    input: FineTuningInput,  # noqa: A002  the name of the specification
    items: ItemSet,
    extractor: Scores,
    *,
    query_features: Callable[[list], object] | None = None,
) -> dict[str, float]:
    """Scores all results of a search by the current towers.

    Args:
      input: the search.
      items: the items that it shows. An id that owns several rows has the score of its
        first row.
      extractor: layer with the towers, `layers.FeaturesExtractor`.
      query_features: function from a list of queries to the input of the query tower.
        By default queries are stacked, dicts of features by name.

    Returns:
      Result id -> score.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     [1.0, 0.0], [], ["a", "b"], {"a": None, "b": None})
      >>> vectors = np.array([[2.0, 0.0], [0.0, 1.0]], "float32")
      >>> items = tm.data.clickstream.ItemSet(["a", "b"], vectors)
      >>> extractor = tm.layers.FeaturesExtractor(tf.keras.layers.Activation("linear"))
      >>> tm.data.clickstream.calculate_ranks(search, items, extractor)
      {'a': 1.0, 'b': 0.0}
    """
    (ranked,) = _ranked([input], items, extractor, query_features)
    return ranked


def fill_ranks(
    inputs: Sequence[FineTuningInput],
    items: ItemSet,
    extractor: Scores,
    *,
    query_features: Callable[[list], object] | None = None,
    batch_size: int = 256,
) -> list[FineTuningInput]:
    """Scores the searches that have a result with an unknown score.

    Call it before training: `metrics.DistanceShift` measures from these scores.

    Args:
      inputs: searches.
      items: the items that they show.
      extractor: layer with the towers, `layers.FeaturesExtractor`.
      query_features: function from a list of queries to the input of the query tower.
        By default queries are stacked, dicts of features by name.
      batch_size: number of searches that are scored at once.

    Returns:
      Searches in the same order; a search whose scores were all known is the same
      object.

    Example:
      >>> search = tm.data.clickstream.FineTuningInput(
      ...     [1.0, 0.0], [], ["a", "b"], {"a": None, "b": None})
      >>> vectors = np.array([[2.0, 0.0], [0.0, 1.0]], "float32")
      >>> items = tm.data.clickstream.ItemSet(["a", "b"], vectors)
      >>> extractor = tm.layers.FeaturesExtractor(tf.keras.layers.Activation("linear"))
      >>> (filled,) = tm.data.clickstream.fill_ranks([search], items, extractor)
      >>> filled.ranks
      {'a': 1.0, 'b': 0.0}
    """
    missing = [index for index, search in enumerate(inputs) if not search.is_ranked]
    filled = list(inputs)
    for start in range(0, len(missing), batch_size):
        chosen = missing[start : start + batch_size]
        searches = [inputs[index] for index in chosen]
        ranked = _ranked(searches, items, extractor, query_features)
        for index, ranks in zip(chosen, ranked, strict=True):
            filled[index] = dataclasses.replace(inputs[index], ranks=ranks)
    return filled


def _ranked(
    searches: Sequence[FineTuningInput],
    items: ItemSet,
    extractor: Scores,
    query_features: Callable[[list], object] | None,
) -> list[dict[str, float]]:
    batch = pack_pairs(
        [(search, None) for search in searches],
        items,
        query_features=query_features,
        missing_rank=0.0,  # stored scores are not read here
    )
    found = extractor.ranks(batch, items.features)
    ranked = []
    for search, ranks in zip(searches, found.to_list(), strict=True):
        owners = [result for result in search.results for _ in items.rows([result])]
        ranks = dict(zip(reversed(owners), reversed(ranks), strict=True))
        ranked.append({result: ranks[result] for result in search.results})
    return ranked
