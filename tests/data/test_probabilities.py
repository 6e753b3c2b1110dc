import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data import candidate_probabilities, sampling_probability_lookup

IDS = np.array([3, 1, 3, 3, 5, 1, 2, 3], np.int64)
SHARES = np.array([0, 2, 1, 4, 0, 1, 0, 0]) / 8


def sources():
    rows = {"item_id": IDS, "other": np.arange(8)}
    dataset = tf.data.Dataset.from_tensor_slices(rows)
    return {"arrays": rows, "rows": dataset, "batches": dataset.batch(3)}


@pytest.mark.parametrize("source", ["arrays", "rows", "batches"])
def test_probabilities_are_shares_of_the_training_rows(source):
    found = candidate_probabilities(sources()[source], "item_id", num_items=7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, SHARES)


@pytest.mark.parametrize("source", ["arrays", "rows", "batches"])
def test_without_a_size_the_table_ends_at_the_largest_index(source):
    np.testing.assert_allclose(candidate_probabilities(sources()[source]), SHARES[:6])


@pytest.mark.parametrize("batch", [None, 3])
def test_the_lookup_adds_the_probability_and_never_a_zero(batch):
    ids = np.array([3, 1, 4, 7, 5], np.int64)  # nobody trained on 4 and 7
    dataset = tf.data.Dataset.from_tensor_slices({"item_id": ids})
    dataset = dataset.batch(batch) if batch else dataset
    rows = dataset.map(sampling_probability_lookup(SHARES))
    rows = rows.unbatch() if batch else rows
    found = [float(row["candidate_sampling_probability"]) for row in rows]
    np.testing.assert_allclose(found, [4 / 8, 2 / 8, 1 / 8, 1 / 8, 1 / 8])


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"movie": IDS}, r"feature `item_id`. Got \['movie'\]"),
        ({"item_id": IDS[:0]}, "at least one row"),
        ({"item_id": IDS - 2}, "indices from 0 to 7. Got -1"),
        ({"item_id": IDS * 3}, "indices from 0 to 7. Got 3 to 15"),
        ({"item_id": np.array(["a"])}, "look the ids up in their vocabulary first"),
        (tf.data.Dataset.from_tensor_slices(IDS), "feature `item_id`. Got TensorSpec"),
        (
            tf.data.Dataset.from_tensor_slices({"item_id": IDS}).repeat(),
            "repeats forever",
        ),
    ],
)
def test_rows_that_cannot_be_counted_are_refused(train, message):
    with pytest.raises(ValueError, match=message):
        candidate_probabilities(train, "item_id", num_items=7)
