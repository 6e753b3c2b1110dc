import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.masks import known_positives


@pytest.mark.parametrize("start", [0, -3, 2**21])  # small ids have a way of their own
@pytest.mark.parametrize("dtype", ["int32", "int64", "str"])
def test_the_mask_is_what_a_loop_over_sets_says(dtype, start):
    rng = np.random.default_rng(5)
    ids = start + rng.integers(8, size=11)  # repeats
    known = [(start + rng.integers(-2, 12, size=n)).tolist() for n in (0, 5, 1, 9)]
    expected = [[i in row for i in ids] for row in known]
    flat = np.array([i for row in known for i in row]).astype(dtype)
    ragged = tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in known])
    mask = known_positives(tf.constant(ids.astype(dtype)))(ragged)
    np.testing.assert_array_equal(mask, expected)


def test_a_known_id_beyond_the_candidates_dtype_masks_nobody():
    known = tf.ragged.constant([[2**32 + 1]], dtype=tf.int64)
    mask = known_positives(tf.constant([1, 2], tf.int32))(known)
    np.testing.assert_array_equal(mask, [[False, False]])


def test_no_candidates_have_no_mask():
    known = tf.ragged.constant([[1, 2]], dtype=tf.int64)
    assert known_positives(tf.zeros([0], tf.int64))(known).shape == (1, 0)
