"""Pairs and ranks of searches that are not packed yet."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import tensorflow as tf

from tfrs_models.layers.clickstream.features_extractor import FeaturesExtractor
from tfrs_models.ops.clickstream.packing import Items, Search, pack_pairs
from tfrs_models.ops.clickstream.pair_features import FineTuningFeatures
from tfrs_models.ops.clickstream.search_objects import search_objects
from tfrs_models.ops.clickstream.search_results import ranked_results


class Params(Protocol):
    """What an extractor reads of `data.clickstream.FineTuningParams`."""

    not_irrelevant_only: bool
    negative_downsampling: float
    min_abs_difference_threshold: float
    max_abs_difference_threshold: float


def make_features_extractor(
    query_tower: tf.keras.layers.Layer,
    item_tower: tf.keras.layers.Layer | None,
    params: Params,
    **options: object,
) -> FeaturesExtractor:
    """An extractor with the hyper-parameters of a run.

    Args:
      query_tower: See `FeaturesExtractor`.
      item_tower: See `FeaturesExtractor`.
      params: Of the run (`data.clickstream.FineTuningParams`).
      **options: Further ones of `FeaturesExtractor`.
    """
    return FeaturesExtractor(
        query_tower,
        item_tower,
        not_irrelevant_only=params.not_irrelevant_only,
        negative_downsampling_factor=params.negative_downsampling,
        min_abs_difference_threshold=params.min_abs_difference_threshold,
        max_abs_difference_threshold=params.max_abs_difference_threshold,
        **options,
    )


def extract_features(
    input: Search,  # noqa: A002  the name of the specification
    items: Items,
    extractor: FeaturesExtractor,
    *,
    selected_not_events: Sequence[str] | None = None,
) -> FineTuningFeatures:
    """The pairs of one search.

    Args:
      input: With a click; without one there are no pairs, but negatives.
      items: That it shows.
      extractor: With its towers.
      selected_not_events: The results that are the negatives (what
        `data.clickstream.downsample_not_events` has drawn); all where None.

    Returns:
      The pairs; of a search without a click its negatives with their targets, which
      `data.clickstream.use_positive_from` pairs with clicks of another search.
    """
    batch = pack_pairs([(input, None)], items, missing_rank=_stand_in(extractor))
    if selected_not_events is not None:
        chosen = set(selected_not_events)
        batch["kept"] = batch["clicked"].with_values(
            tf.constant(
                [
                    result in chosen
                    for result in input.results
                    for _ in items.rows([result])
                ],
                tf.bool,
            )
        )
    features = getattr(items, "features", None)
    return (
        extractor(batch, features)
        if input.events
        else _alone(batch, features, extractor)
    )


def extract_batch_features(
    batch: Sequence[tuple[Search, Search | None]],
    items: Items,
    extractor: FeaturesExtractor,
) -> FineTuningFeatures:
    """The pairs of searches, with all of their negatives.

    Args:
      batch: Searches with a click, each with one without, or None.
      items: That they show.
      extractor: With its towers.
    """
    return extractor.forward(batch, items)


def calculate_ranks(
    input: Search,  # noqa: A002  the name of the specification
    items: Items,
    extractor: FeaturesExtractor,
) -> dict[str, float]:
    """Ranks of all results of a search, by the towers as they are.

    Args:
      input: A search.
      items: That it shows; an id that owns several rows has the first one's rank.
      extractor: With its towers.
    """
    (ranked,) = _ranked([input], items, extractor, None)
    return ranked


def fill_ranks(
    inputs: Sequence[Search],
    items: Items,
    extractor: FeaturesExtractor,
    *,
    query_features: Callable[[list], object] | None = None,
    batch_size: int = 256,
) -> list[Search]:
    """Gives searches ranks where one of theirs is not known.

    Call it before training: the shift is measured from these ranks.

    Args:
      inputs: Searches.
      items: That they show.
      extractor: With its towers.
      query_features: From a list of queries to what the query tower takes.
      batch_size: Searches that are ranked at once.

    Returns:
      Searches in the same order; those that had all ranks are the same.
    """
    missing = [
        place
        for place, search in enumerate(inputs)
        if any(rank is None for rank in search.ranks.values())
    ]
    found = list(inputs)
    for start in range(0, len(missing), batch_size):
        places = missing[start : start + batch_size]
        searches = [inputs[place] for place in places]
        ranked = _ranked(searches, items, extractor, query_features)
        for place, ranks in zip(places, ranked, strict=True):
            found[place] = dataclasses.replace(inputs[place], ranks=ranks)
    return found


def _alone(
    batch: dict, features: object, extractor: FeaturesExtractor
) -> FineTuningFeatures:
    """Negatives without positives."""
    owner = search_objects(batch["objects"], batch["clicked"])
    picked = batch["kept"].values if "kept" in batch else ~batch["clicked"].values
    found = ranked_results(
        batch,
        owner,
        picked,
        tf.boolean_mask(extractor.ranks(batch, features).values, picked),
        aggregator=extractor.ranks_aggregator,
        confidences=extractor.confidences,
        once=extractor.pair_level == "object",
    )
    target = 1.0 if extractor.is_similarity else -1.0
    return FineTuningFeatures(
        negative_ranks=found.ranks,
        target=tf.fill(tf.shape(found.ranks), target),
        negative_confidences=found.confidences,
    )


def _ranked(
    searches: Sequence[Search],
    items: Items,
    extractor: FeaturesExtractor,
    query_features: Callable[[list], object] | None,
) -> list[dict[str, float]]:
    batch = pack_pairs(
        [(search, None) for search in searches],
        items,
        query_features=query_features,
        missing_rank=0.0,
    )
    found = extractor.ranks(batch, getattr(items, "features", None))
    ranked = []
    for search, ranks in zip(searches, found.to_list(), strict=True):
        owners = [result for result in search.results for _ in items.rows([result])]
        ranks = dict(zip(reversed(owners), reversed(ranks), strict=True))
        ranked.append({result: ranks[result] for result in search.results})
    return ranked


def _stand_in(extractor: FeaturesExtractor) -> float | None:
    """What stands for unknown ranks where nobody reads them."""
    return 0.0 if extractor.confidence_calculator == "dummy" else None
