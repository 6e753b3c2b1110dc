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
            "k": rng.integers(1, num_items + 1, size=rows, dtype=np.int32),
            "exclude_seen": rng.integers(2, size=rows) > 0,
        }

    refused = {
        "a k of zero": ({"k": np.int32([3, 0])}, "`k` must be from 1 to the number"),
        "a k above the corpus": ({"k": np.int32([2, 999])}, "`k` must be from 1 to"),
        "a k of another type": ({"k": np.float32([2, 1])}, "`k` must be int32. Got f"),
        "a k for another number of rows": ({"k": np.int32([2, 1, 1])}, ""),
        "users by number": ({"user_id": np.array([1])}, "`user_id` must be string"),
        "users in a table": ({"user_id": strings("ab")[None]}, "must have the shape"),
        "no users": ({"user_id": None}, "`user_id` of `serving_default` is missing"),
        "one more": ({"age": np.int32(3)}, "`serving_default` has no input `age`"),
    }
    return Export(module, module.recommend, draw, refused)


def recommender_among(fixture: pytest.FixtureRequest) -> Export:
    """Its signature with exclusions, filters and allowed items."""
    plain = recommender(fixture)
    items = fixture.getfixturevalue("interactions").vocabularies["item_id"]

    def draw(rng, rows):
        def lists(most, values):
            width = rng.integers(most)
            return strings(rng.choice(values, size=rows * width)).reshape(rows, width)

        return {
            **plain.draw(rng, rows),
            "exclusions": lists(4, [*items, "unheard of", ""]),
            "allowed": lists(9, [*items, "unheard of", ""]),
            "filter_kind": lists(3, ["short", "long", ""]),
        }

    return Export(plain.module, plain.module.recommend_among, draw, {})


def recommender_history(fixture: pytest.FixtureRequest) -> Export:
    """Its signature with the histories of requests."""
    module = fixture.getfixturevalue("live_recommender")
    data = fixture.getfixturevalue("dated")
    items = [*data.vocabularies["item_id"], "unheard of", ""]

    def draw(rng, rows):
        width = rng.integers(12)
        times = 1_500_000_000 + np.sort(rng.integers(10**6, size=(rows, width)))
        return {
            "user_id": strings(rng.choice([*data.vocabularies["user_id"], ""], rows)),
            "k": rng.integers(1, data.num_items + 1, size=rows, dtype=np.int32),
            "exclude_seen": rng.integers(2, size=rows) > 0,
            "exclusions": strings(rng.choice(items, rows))[:, None],
            "filter_kind": strings(rng.choice(["short", "long", ""], rows))[:, None],
            "history": strings(rng.choice(items, rows * width)).reshape(rows, width),
            "history_time": times,
            "time": rng.choice([0, 1_600_000_000], rows),
            "append": rng.integers(2, size=rows) > 0,
        }

    refused = {
        "a time in milliseconds": (
            {"time": np.full(2, 1_600_000_000_000)},
            "`time` must be seconds since 1970, 0 if unknown: not milliseconds",
        ),
        "times without items": (
            {"history_time": np.zeros([2, 99], np.int64)},
            "`history_time` must have a time for each item",
        ),
        "no history": ({"history": None}, "`history` of `serving_default` is missing"),
    }
    return Export(module, module.recommend_history, draw, refused)


def similar_items(fixture: pytest.FixtureRequest) -> Export:
    """Items like given ones."""
    module = fixture.getfixturevalue("live_recommender")
    items = [
        *fixture.getfixturevalue("dated").vocabularies["item_id"],
        "unheard of",
        "",
    ]

    def draw(rng, rows):
        width = rng.integers(1, 4)
        return {
            "item_id": strings(rng.choice(items, rows * width)).reshape(rows, width),
            "k": rng.integers(1, len(items) - 1, size=rows, dtype=np.int32),
            "exclusions": strings(rng.choice(items, rows))[:, None],
            "filter_kind": strings(rng.choice(["short", "long", ""], rows))[:, None],
        }

    return Export(module, module.similar_items, draw, {})


def index(_: pytest.FixtureRequest) -> Export:
    """IVF whose queries are embeddings, with filters."""
    rng = np.random.default_rng(5)
    size, width = 900, 4
    ids = rng.permutation(10 * size)[:size].astype(np.int64) + 2**40
    ivf = tm.layers.IVF(block_size=16, num_probes=4, capacity=1000).index(
        rng.normal(size=(size, width)).astype("float32"),
        ids,
        attributes={"shop": rng.integers(9, size=size)},
    )
    ivf.remove(ids[:9])
    module = tm.serving.Retriever(ivf)

    def draw(rng, rows):
        return {
            "query": rng.normal(size=(rows, width)).astype("float32"),
            "k": rng.integers(1, 90, size=rows, dtype=np.int32),
            "exclusions": rng.choice(ids, size=(rows, rng.integers(5))),
            "filter_shop": rng.integers(-1, 9, size=(rows, 2)),
        }

    refused = {
        "a query without a value": (
            {"query": np.full([2, width], np.nan, "float32")},
            "The feature `query` must be finite",
        ),
        "a query of another width": (
            {"query": np.ones([2, 3], "float32")},
            "`query` must have the shape [?,4]. Got [2,3].",
        ),
        "exclusions by name": ({"exclusions": strings("ab")[:, None]}, "must be int64"),
        "a k of zero": ({"k": np.int32([3, 0])}, "`k` must be from 1 to the number"),
    }
    return Export(module, module.signatures["filtered"], draw, refused)


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
        "a feature that is no number": (
            {"user_features": np.float32([[1, 2], [np.nan, 1]])},
            "The feature `user_features` must be finite",
        ),
        "features of other rows": (
            {"cross_features": np.zeros([9, 1], "float32")},
            "",
        ),
    }
    return Export(module, module.rank, draw, refused)


def cascade(fixture: pytest.FixtureRequest) -> Export:
    """What the recommender finds, in the order of a ranker, with filters."""
    among = recommender_among(fixture)
    interactions = fixture.getfixturevalue("interactions")
    tf.keras.utils.set_random_seed(4)
    model = tm.models.MultiTaskRanker(
        tm.towers.UserId(interactions.num_users + 1, 4),
        num_tasks=1,
        item_id_hash_size=interactions.num_items + 1,
        item_id_embedding_dim=3,
        user_value_weights=[1.0],
    )
    rng = np.random.default_rng(6)

    def table(rows, width):
        return rng.normal(size=(rows + 1, width)).astype("float32")

    module = tm.models.Cascade(
        among.module,
        model,
        user_features={
            "user_id": np.arange(interactions.num_users + 1),
            "user_features": table(interactions.num_users, 2),
        },
        item_features={
            "item_id": np.arange(interactions.num_items + 1),
            "item_features": table(interactions.num_items, 3),
        },
        joint_features=lambda user, item: {
            "cross_features": user["user_features"] * item["item_features"][:, :2]
        },
        num_retrieved=6,
        retrieval_weight=0.5,
    )

    def draw(rng, rows):
        request = among.draw(rng, rows) | {
            "k": rng.integers(1, 7, size=rows, dtype=np.int32)
        }
        return {name: v for name, v in request.items() if name != "allowed"}

    refused = {
        "a k above what was retrieved": ({"k": np.int32([2, 7])}, "`k` must be from 1"),
        "no exclusions": ({"exclusions": None}, "`exclusions` of `serving_default` is"),
    }
    return Export(module, module.recommend, draw, refused)


EXPORTS = {
    "recommender": recommender,
    "recommender among": recommender_among,
    "recommender history": recommender_history,
    "similar items": similar_items,
    "index": index,
    "ranker": ranker,
    "cascade": cascade,
}
