"""Traces of check-ins whose features must go together."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.automtn.automtn_data import make
from tfrs_models.models.automtn.traces import newest_trace

STEPS = ("poi_id", "category_id", "hour", "weekday")
BATCH = {name: np.arange(1, 16).reshape(3, 5) for name in STEPS}
BATCH = BATCH | {"user_id": np.array([1, 2, 3])}


def in_a_graph(features):
    """Where no size is known."""
    spec = {n: tf.TensorSpec([None] * v.ndim, tf.int64) for n, v in features.items()}
    function = tf.function(lambda x: newest_trace(x, 4), input_signature=[spec])
    return function({n: tf.constant(v, tf.int64) for n, v in features.items()})


@pytest.mark.parametrize("read", [lambda x: newest_trace(x, 4), in_a_graph])
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("hour", np.ones([3, 4], int), "a value for each step of `poi_id`"),
        ("hour", np.ones([3, 6], int), "a value for each step of `poi_id`"),
        ("weekday", np.ones([2, 5], int), "a value for each step of `poi_id`"),
        ("category_id", np.ones([3, 0], int), "a value for each step of `poi_id`"),
        ("user_id", np.ones([3, 1], int), "a value for each step of `poi_id`"),
        ("user_id", np.ones([1], int), "a row for each of `poi_id`"),
        ("user_id", np.ones([4], int), "a row for each of `poi_id`"),
    ],
)
def test_a_feature_of_another_shape_is_named(read, name, values, message):
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError),
        match=f"Feature `{name}` must have {message}",
    ):
        read(BATCH | {name: values})


@pytest.mark.parametrize("read", [lambda x: newest_trace(x, 4), in_a_graph])
def test_features_of_one_shape_are_cut_alike(read):
    users = np.tile(BATCH["user_id"][:, None], [1, 5])
    found = read(BATCH | {"user_id": users})
    for name in STEPS:
        np.testing.assert_array_equal(found[name], BATCH[name][:, -4:])
    np.testing.assert_array_equal(found["user_id"], users[:, -4:])
    np.testing.assert_array_equal(read(BATCH)["user_id"], BATCH["user_id"])


def test_traces_without_a_step_are_those_of_padding():
    model = make(seq_len=4)
    padded = {name: np.zeros([3, 2], int) for name in STEPS}
    none = {name: np.zeros([3, 0], int) for name in STEPS}
    users = {"user_id": BATCH["user_id"]}
    for ours, expected in zip(model(none | users), model(padded | users), strict=True):
        np.testing.assert_array_equal(ours, expected)
