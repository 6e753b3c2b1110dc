"""Labels that a model of traces refuses, in training as in evaluation."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.automtn.automtn_data import features, golden, make
from tfrs_models.models.automtn.trace_labels import trace_labels

BATCH = {
    "next_poi_id": np.array([11, 0, 3]),
    "next_category_id": np.array([0, 4, 1]),
    "sample_weight": np.array([1, 0, 2.5], "float32"),
}


def read(features):
    rows = tf.ones([3], tf.bool)
    return trace_labels(features, rows, num_pois=11, num_categories=4)


def in_a_graph(features):
    """Where no size is known."""
    tensors = {n: tf.convert_to_tensor(v) for n, v in features.items()}
    spec = {
        n: tf.TensorSpec([None] * len(v.shape), v.dtype) for n, v in tensors.items()
    }
    return tf.function(read, input_signature=[spec])(tensors)


IDS, RANK = "must hold ids from 0 to", "must have rank 1"


@pytest.mark.parametrize("read", [read, in_a_graph])
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
        read(BATCH | {name: np.array(values)})


@pytest.mark.parametrize("read", [read, in_a_graph])
def test_ids_become_columns(read):
    found = read(BATCH)
    np.testing.assert_array_equal(found.place, [10, -1, 2])
    np.testing.assert_array_equal(found.category, [-1, 3, 0])
    np.testing.assert_array_equal(found.weight, BATCH["sample_weight"])
    whole = read(BATCH | {"sample_weight": np.array([1, 2, 0])})
    np.testing.assert_array_equal(whole.weight, [1, 2, 0])
    assert whole.weight.dtype == tf.float32
    bare = read({n: v for n, v in BATCH.items() if n != "sample_weight"})
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
