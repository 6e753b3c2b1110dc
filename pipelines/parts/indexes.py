"""Indexes of all items, with the attributes that requests can filter by."""

from typing import TypeVar

import numpy as np
import tensorflow as tf

import tfrs_models as tm

_NOT_FILTERED_BY = ("item_id", "title")
_FEWEST_FOR_SCANN = 16
Index = TypeVar("Index", tm.layers.BruteForce, tm.layers.IVF, tm.layers.ScaNN)


def build_indexes(
    model: tm.models.TwoTower, data: tm.data.Interactions
) -> tuple[tm.layers.BruteForce, tm.layers.ScaNN | None]:
    """Builds an exact index, and a ScaNN index if it is installed and can build one."""
    k = min(100, data.num_items)
    exact = index_items(tm.layers.BruteForce(k=k, duplicates="error"), model, data)
    if data.num_items < _FEWEST_FOR_SCANN:
        print(
            f"No ScaNN index: it takes {_FEWEST_FOR_SCANN} items, and there are "
            f"{data.num_items}."
        )
        return exact, None
    num_leaves = max(1, round(data.num_items**0.5))
    try:
        approximate = tm.layers.ScaNN(
            k=k,
            num_leaves=num_leaves,
            num_leaves_to_search=max(1, num_leaves // 4),
            num_reordering_candidates=400,
            duplicates="error",
        )
    except ImportError as error:
        print(f"No ScaNN index: {error}")
        return exact, None
    return exact, index_items(approximate, model, data)


def index_items(
    index: Index,
    model: tm.models.TwoTower,
    data: tm.data.Interactions,
    *,
    split: str = "serving",
) -> Index:
    """Fills an index with the model's embeddings of all items, as they are now.

    Now is after all rows before the split: trends are those of these rows.

    Args:
      index: index without items.
      model: trained model.
      data: interactions.
      split: "validation", "test" or "serving", which is after all rows.
    """
    candidates = data.candidate_batches()
    if model.num_trends:
        before = {"validation": "train", "test": "validation"}.get(split, split)
        table = tm.data.trend_table(data, before)
        candidates = table.add_to(candidates, _now(table))
    ids, embeddings = zip(*model.embed_candidates(candidates), strict=True)
    return index.index(
        tf.concat(embeddings, axis=0),
        tf.concat(ids, axis=0),
        attributes=item_attributes(data),
    )


def live_trends(
    model: tm.models.TwoTower, data: tm.data.Interactions
) -> tm.serving.LiveTrends | None:
    """Returns the trends of an index of `index_items`; None for a model without.

    Args:
      model: trained model.
      data: interactions that the trends go on from.
    """
    if not model.num_trends:
        return None
    table = tm.data.trend_table(data, "serving")
    return tm.serving.LiveTrends.of(table, _now(table))


def _now(table: tm.data.TrendTable) -> int:
    """Returns the time after all rows from which an index is served."""
    return table.next_period(table.newest_time)


def item_attributes(data: tm.data.Interactions) -> dict[str, np.ndarray]:
    """Returns the categories by which requests can filter items.

    Returns:
      Feature -> `[num_items]` or `[num_items, num_values]` text, padded with "".
    """
    return {
        feature.name: np.array(["", *data.vocabularies[feature.name]])[
            data.items[feature.name][1:]
        ]
        for feature in data.item_features
        if feature.kind in ("id", "bag") and feature.name not in _NOT_FILTERED_BY
    }


def attribute_values(data: tm.data.Interactions) -> dict[str, list[str]]:
    """Returns the values of each attribute that requests can filter by.

    Args:
      data: interactions with the items.
    """
    return {
        name: [*np.unique(values[values != ""])]
        for name, values in item_attributes(data).items()
    }
