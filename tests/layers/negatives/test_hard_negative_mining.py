import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrs_models.layers import HardNegativeMining


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 5),
    size=st.integers(1, 9),
    num_hard=st.integers(1, 12),
)
def test_the_positive_stays_with_the_largest_negatives(seed, batch, size, num_hard):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(batch, size)) * 1e30).astype("float32")
    positives = rng.integers(size, size=batch)
    labels = np.eye(size, dtype="float32")[positives]
    kept, kept_labels = HardNegativeMining(num_hard)(logits, labels)
    for row in range(batch):
        negatives = np.delete(logits[row], positives[row])
        assert sorted(kept[row].numpy()) == sorted(
            [logits[row, positives[row]], *np.sort(negatives)[::-1][:num_hard]]
        )
        place = np.flatnonzero(kept_labels[row])
        assert kept[row].numpy()[place] == [logits[row, positives[row]]]


def test_a_masked_column_enters_only_where_no_other_is_left():
    lowest = np.finfo("float32").min
    logits = np.float32([[0.5, lowest, -3, lowest], [0.5, lowest, lowest, lowest]])
    kept, _ = HardNegativeMining(2)(logits, tf.one_hot([0, 0], 4))
    assert sorted(kept[0].numpy()) == [lowest, -3, 0.5]
    assert sorted(kept[1].numpy()) == [lowest, lowest, 0.5]


def test_a_positive_below_every_mask_stays():
    lowest = np.finfo("float32").min
    logits = np.float32([[lowest, 4, 3, 2]])
    kept, labels = HardNegativeMining(1)(logits, tf.one_hot([0], 4))
    assert sorted(kept[0].numpy()) == [lowest, 4]
    np.testing.assert_array_equal(kept[labels > 0], [lowest])


@pytest.mark.parametrize("num_hard", [0, -1])
def test_at_least_one_negative_is_asked_for(num_hard):
    with pytest.raises(ValueError, match=f"`num_hard_negatives`.*Got {num_hard}"):
        HardNegativeMining(num_hard)


def test_logits_of_double_precision_are_compared_as_they_are():
    logits = tf.constant([[0.5, 1.0, 1.0 + 1e-12]], tf.float64)
    labels = tf.constant([[1.0, 0.0, 0.0]])
    found, _ = HardNegativeMining(1)(logits, labels)
    assert found.dtype == tf.float64
    assert sorted(found.numpy()[0]) == [0.5, 1.0 + 1e-12]
