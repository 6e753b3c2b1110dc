"""The golden arrays of AutoMTN as features of the port."""

from pathlib import Path

import numpy as np

from tfrs_models import models

GOLDEN = Path(__file__).parents[2] / "golden" / "automtn_full.npz"


def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def features(arrays):
    """Ids from 1 on; the original counts from 0."""
    return {
        "user_id": arrays["user"] + 1,
        "poi_id": arrays["poi"] + 1,
        "category_id": arrays["cat"] + 1,
        "hour": arrays["tod"],
        "weekday": arrays["dow"],
        "next_poi_id": arrays["label_poi"] + 1,
        "next_category_id": arrays["label_cat"] + 1,
    }


def ported(arrays, **options):
    """The original's model; its batch-wide range of distances is now a constant."""
    visited = arrays["distance_matrix"][arrays["poi"]]
    closeness = models.automtn.POICloseness(
        distances=arrays["distance_matrix"],
        scale=float(visited.max() - visited.min()),
    )
    model = make(closeness=closeness, **options)
    weights = {n.removeprefix("w/"): v for n, v in arrays.items() if n[:2] == "w/"}
    model.load_torch_state_dict(weights)
    return model


def make(**options):
    """A model of the golden arrays' sizes."""
    sizes = {"seq_len": 25, "num_layers": 2, "num_heads": 2}
    return models.AutoMTN(5, 11, 4, 8, **(sizes | options))
