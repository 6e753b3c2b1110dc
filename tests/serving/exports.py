"""The exports that the native program must answer like Python: one row each."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

Request = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Export:
    """A module, requests for it, and others that it cannot answer."""

    module: tf.Module
    method: Callable
    draw: Callable[[np.random.Generator, int], Request]
    """A request of so many rows."""
    refused: Mapping[str, tuple[Mapping[str, object], str]]
    """What is wrong -> changes of a good request (None: left out), and the error."""


def strings(values):
    return np.array([str(value) for value in values], object)


def recommender(fixture: pytest.FixtureRequest) -> Export:
    module = fixture.getfixturevalue("recommender")
    users = fixture.getfixturevalue("interactions").vocabularies["user_id"]
    num_items = fixture.getfixturevalue("interactions").num_items

    def draw(rng, rows):
        return {
            "user_id": strings(rng.choice([*users, "nobody", ""], size=rows)),
            "k": np.int32(rng.integers(1, num_items + 1)),
            "exclude_seen": np.bool_(rng.integers(2)),
        }

    refused = {
        "a k of zero": ({"k": np.int32(0)}, "`k` must be from 1 to the number of"),
        "a k above the corpus": ({"k": np.int32(999)}, "`k` must be from 1 to"),
        "a k of another type": ({"k": np.float32(2)}, "`k` must be int32. Got float"),
        "users by number": ({"user_id": np.array([1])}, "`user_id` must be string"),
        "users in a table": ({"user_id": strings("ab")[None]}, "must have the shape"),
        "no users": ({"user_id": None}, "`user_id` of `serving_default` is missing"),
        "one more": ({"age": np.int32(3)}, "`serving_default` has no input `age`"),
    }
    return Export(module, module.recommend, draw, refused)


def ranker(_: pytest.FixtureRequest) -> Export:
    tf.keras.utils.set_random_seed(1)
    model = tm.models.MultiTaskRanker(
        tm.towers.MixtureOfRepresentations(
            [tm.towers.UserId(4, 4, id_dropout=0.2), tm.towers.Cohort(3, 4)]
        ),
        num_tasks=2,
        item_id_hash_size=6,
        item_id_embedding_dim=3,
        user_value_weights=[1.0, 3.0],
        task=tm.tasks.MultiTask(["click", "buy"]),
    )
    widths = {"user_features": 2, "item_features": 4, "cross_features": 1}
    vocabularies = {"user_id": ["ann", "bob", "cem"], "item_id": [*"vwxyz"]}

    def numbers(rng, rows):
        return {
            name: rng.normal(size=(rows, width)).astype("float32")
            for name, width in widths.items()
        }

    def draw(rng, rows):
        ids = {
            name: strings(rng.choice([*vocabulary, "nobody"], size=rows))
            for name, vocabulary in vocabularies.items()
        }
        return {**ids, **numbers(rng, rows)}

    rng = np.random.default_rng(2)
    rows = {name: rng.integers(4, size=3) for name in vocabularies}
    module = tm.serving.Ranker(
        model, {**rows, **numbers(rng, 3)}, vocabularies=vocabularies
    )
    refused = {
        "a missing feature": ({"item_features": None}, "`item_features` of"),
        "a feature of another width": (
            {"item_features": np.zeros([2, 5], "float32")},
            "`item_features` must have the shape [?,4]. Got [2,5].",
        ),
        "ids by number": ({"item_id": np.array([1, 2])}, "`item_id` must be string"),
        "features of other rows": (
            {"cross_features": np.zeros([9, 1], "float32")},
            "",
        ),
    }
    return Export(module, module.rank, draw, refused)


EXPORTS = {"recommender": recommender, "ranker": ranker}
