"""Searches, towers and models that the tests of clickstreams share."""

import numpy as np
import tensorflow as tf

from tests.golden_cases import assert_close
from tfrs_models.data.clickstream import (
    FineTuningInput,
    ItemSet,
    click_batches,
    pair_inputs,
)
from tfrs_models.feature import Feature
from tfrs_models.layers import FeaturesExtractor
from tfrs_models.models import FineTuningModel
from tfrs_models.towers import FeatureTower

ITEMS = [f"i{n}" for n in range(12)]
VECTORS = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
OBJECTS = {name: f"o{n // 2}" for n, name in enumerate(ITEMS)}
ITEM_SET = ItemSet(ITEMS, rows=np.arange(1, 13))


def short_search(events=("b",), results=("a", "b", "c"), **changes):
    ranks = {result: 0.5 - 0.1 * place for place, result in enumerate(results)}
    return FineTuningInput("q", events, results, **({"ranks": ranks} | changes))


def search_of(spec):
    ranks = spec.get("ranks") or dict.fromkeys(spec["results"], 0.5)
    return FineTuningInput(**(spec | {"ranks": ranks}))


def random_searches(count, seed=0, num_items=30):
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        results = [f"i{i}" for i in rng.permutation(num_items)[: rng.integers(2, 9)]]
        events = [r for r in results if rng.random() < 0.3]
        found.append(search_of({"query": number, "events": events, "results": results}))
    return found


COLUMNS = (
    "positive_ranks",
    "negative_ranks",
    "target",
    "positive_confidences",
    "negative_confidences",
)

OPTIONS = (
    "ranker",
    "is_similarity",
    "not_irrelevant_only",
    "min_abs_difference_threshold",
    "max_abs_difference_threshold",
    "ranks_aggregator",
    "pair_level",
    "irrelevant_pairing",
)

FIELDS = ("query", "events", "results", "ranks", "part_to_object")


def kernel_tower(kernel):
    kernel = np.array(kernel, "float32")
    layer = tf.keras.layers.Dense(kernel.shape[1], use_bias=False)
    layer.build((None, kernel.shape[0]))
    layer.set_weights([kernel])
    return layer


def golden_extractor(inputs, **options):
    options |= {name: inputs[name] for name in OPTIONS if name in inputs}
    if "confidence" in inputs:
        options["confidence_calculator"] = inputs["confidence"]
    return FeaturesExtractor(
        kernel_tower(inputs["query_kernel"]),
        kernel_tower(inputs["item_kernel"]),
        **options,
    )


def golden_search(spec):
    query = np.array(spec["query"], "float32")
    return FineTuningInput(
        query, **{name: spec.get(name) for name in FIELDS if name != "query"}
    )


def item_set(inputs):
    return ItemSet(
        list(inputs["items"]), np.array(list(inputs["items"].values()), "float32")
    )


def pairs_of(inputs):
    return [
        tuple(side and golden_search(side) for side in (relevant, irrelevant))
        for relevant, irrelevant in inputs["batch"]
    ]


def assert_features(found, expected):
    for name in COLUMNS:
        if name in expected:
            assert_close(getattr(found, name), expected[name])


def random_search(rng, *, relevant=True, parts=True, num_results=9):
    results = [ITEMS[n] for n in rng.permutation(12)[:num_results]]
    count = rng.integers(1, 4) if relevant else 0
    return FineTuningInput(
        rng.normal(size=3).astype("float32"),
        results[:count],
        sorted(results, key=lambda _: rng.random()),
        {result: float(rng.random()) for result in results},
        part_to_object=OBJECTS if parts else None,
    )


def extractor_of(kernels, **options):
    return FeaturesExtractor(*map(kernel_tower, kernels), **options)


class TableOfVectors(tf.keras.layers.Layer):
    """Rows of items as vectors, for towers that want those."""

    def __init__(self, vectors, tower):
        super().__init__()
        self.tower = tower
        self.vectors = tf.constant(vectors)

    def call(self, features):
        return self.tower(tf.gather(self.vectors, features["item_id"]))


def clicks_on_three_items(seed=0, *, num=24):
    """Makes searches in which the first three items of the table are always better."""
    rng = np.random.default_rng(seed)
    inputs = []
    for number in range(num):
        results = [ITEMS[n] for n in rng.permutation(12)[: rng.integers(4, 9)]]
        events = [r for r in results if r in ITEMS[:3]]
        inputs.append(
            FineTuningInput(
                {"user_id": np.int64(number % 6)},
                events,
                results,
                {r: float(rng.uniform(-0.2, 0.4)) for r in results},
            )
        )
    return inputs


def batches(inputs=None, batch_size=8, **options):
    pairs = pair_inputs(clicks_on_three_items() if inputs is None else inputs)
    return click_batches(pairs, ITEM_SET, batch_size, **options)


def towers(hidden=(), unit=4):
    return (
        FeatureTower([Feature("user_id", "id", 6)], unit, hidden_units=hidden),
        FeatureTower([Feature("item_id", "id", 12)], unit, hidden_units=hidden),
    )


def model_of(hidden=(), *, seed=0, options=(), **arguments):
    tf.keras.utils.set_random_seed(seed)
    return FineTuningModel(
        FeaturesExtractor(*towers(hidden), **dict(options)), **arguments
    )


def sgd(rate=0.5):
    return tf.keras.optimizers.SGD(rate)
