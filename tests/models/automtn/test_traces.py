"""Traces of check-ins: reading, labels and embedding."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.automtn.automtn_data import features, golden, make
from tfrs_models.models.automtn.traces import (
    TraceEmbedding,
    newest_trace,
    trace_labels,
)

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


LABELS = {
    "next_poi_id": np.array([11, 0, 3]),
    "next_category_id": np.array([0, 4, 1]),
    "sample_weight": np.array([1, 0, 2.5], "float32"),
}


def read(features):
    rows = tf.ones([3], tf.bool)
    return trace_labels(features, rows, num_pois=11, num_categories=4)


def labels_in_a_graph(features):
    """Where no size is known."""
    tensors = {n: tf.convert_to_tensor(v) for n, v in features.items()}
    spec = {
        n: tf.TensorSpec([None] * len(v.shape), v.dtype) for n, v in tensors.items()
    }
    return tf.function(read, input_signature=[spec])(tensors)


IDS, RANK = "must hold ids from 0 to", "must have rank 1"


@pytest.mark.parametrize("read", [read, labels_in_a_graph])
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("next_poi_id", [1, 12, 3], f"{IDS} 11.*12"),
        ("next_poi_id", [1, -5, 3], f"{IDS} 11.*-5"),
        ("next_poi_id", [1.0, 2.7, 3.0], "must hold integers. Got float64"),
        ("next_poi_id", [[1], [2], [3]], RANK),
        ("next_poi_id", [1, 2], "must have a value for each trace"),
        ("next_category_id", [5, 1, 1], f"{IDS} 4.*5"),
        ("next_category_id", [[1], [2], [3]], RANK),
        ("next_category_id", [1], "must have a value for each trace"),
        ("sample_weight", [[1.0], [1.0], [1.0]], r"must be \[batch\] numbers"),
        ("sample_weight", [1.0], "must have a value for each trace"),
        ("sample_weight", [1.0, np.nan, 1.0], "must be finite, not negative.*nan"),
        ("sample_weight", [1.0, 1.0, -2.0], "must be finite, not negative.*-2"),
        ("sample_weight", ["1", "2", "3"], r"must be \[batch\] numbers. Got string"),
    ],
)
def test_a_label_that_no_model_could_learn_is_named(read, name, values, message):
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError),
        match=f"(?s)Feature `{name}` {message}",
    ):
        read(LABELS | {name: np.array(values)})


@pytest.mark.parametrize("read", [read, labels_in_a_graph])
def test_ids_become_columns(read):
    found = read(LABELS)
    np.testing.assert_array_equal(found.poi, [10, -1, 2])
    np.testing.assert_array_equal(found.category, [-1, 3, 0])
    np.testing.assert_array_equal(found.weight, LABELS["sample_weight"])
    whole = read(LABELS | {"sample_weight": np.array([1, 2, 0])})
    np.testing.assert_array_equal(whole.weight, [1, 2, 0])
    assert whole.weight.dtype == tf.float32
    bare = read({n: v for n, v in LABELS.items() if n != "sample_weight"})
    np.testing.assert_array_equal(bare.weight, [1, 1, 1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("next_poi_id", [1, 12, 3]),
        ("next_category_id", [1, 1, 5]),
        ("sample_weight", [1.0, np.nan, 1.0]),
        ("sample_weight", [1.0, 1.0]),
    ],
)
def test_the_model_refuses_them_in_training_and_evaluation(training, name, values):
    model, batch = make(num_layers=0), features(golden())
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match=f"Feature `{name}` must"
    ):
        model.compute_loss(batch | {name: np.array(values)}, training=training)


def test_a_step_is_the_sum_of_who_what_and_when():
    layer = TraceEmbedding(3, 5, 2)
    rng = np.random.default_rng(0)
    users, ids, hours, weekdays = (rng.normal(size=t.shape) for t in layer.tables)
    for table, value in zip(layer.tables, (users, ids, hours, weekdays), strict=True):
        table.assign(value)
    found = layer(
        np.array([3, 0]),
        np.array([[1, 5], [0, 2]]),
        np.array([[0, 23], [5, 5]]),
        np.array([[6, 0], [1, 1]]),
    )
    known = users[2] + ids[0] + hours[0] + weekdays[6]
    np.testing.assert_allclose(found[0, 0], known, rtol=1e-5)
    np.testing.assert_allclose(found[1, 0], hours[5] + weekdays[1], rtol=1e-5)
    np.testing.assert_allclose(found[1, 1], ids[1] + hours[5] + weekdays[1], rtol=1e-5)


def test_users_may_be_given_for_every_step():
    layer, steps = TraceEmbedding(3, 5, 2), np.array([[1, 5], [0, 2]])
    by_row = layer(np.array([3, 1]), steps, steps, steps)
    by_step = layer(np.array([[3, 3], [1, 1]]), steps, steps, steps)
    np.testing.assert_array_equal(by_row, by_step)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weekdays": 7}, "weekdays must be from 0 to 6"),
        ({"hours": -1}, "hours must be from 0 to 23"),
        ({"ids": 6}, "must be from 0 to 5"),
        ({"users": 4}, "user ids must be from 0 to 3"),
    ],
)
def test_a_number_outside_of_its_table_is_named(change, message):
    steps = {"users": 0, "ids": 0, "hours": 0, "weekdays": 0} | change
    layer = TraceEmbedding(3, 5, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        layer(*(np.array([[number]]) for number in steps.values()))
