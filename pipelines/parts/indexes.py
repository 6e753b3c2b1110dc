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
    index: Index, model: tm.models.TwoTower, data: tm.data.Interactions
) -> Index:
    """Fills an index with the model's embeddings of all items."""
    ids, embeddings = zip(
        *model.embed_candidates(data.candidate_batches()), strict=True
    )
    return index.index(
        tf.concat(embeddings, axis=0),
        tf.concat(ids, axis=0),
        attributes=item_attributes(data),
    )


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
