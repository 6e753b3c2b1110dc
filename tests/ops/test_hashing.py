import functools

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.ops.hashing import fingerprints, hash_buckets

MASK = 2**64 - 1


def finalise(z):
    """SplitMix64's, in Python's integers of any length."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


HOW = {
    "eager": lambda function, keys: function(keys),
    "graph": lambda function, keys: tf.function(function)(keys),
    "graph of constants": lambda function, keys: tf.function(lambda: function(keys))(),
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_buckets_are_those_of_splitmix64(how):
    keys = [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 123456789]
    hashed = functools.partial(hash_buckets, num_buckets=997, num_hashes=3)
    found = how(hashed, tf.constant(keys, tf.int64))
    for row in range(3):
        start = finalise((row + 1) * 0x9E3779B97F4A7C15 & MASK)
        for column, key in enumerate(keys):
            expected = (finalise(start ^ (key & MASK)) >> 1) % 997
            assert int(found[row, column]) == expected


@pytest.mark.parametrize("stride", [1, 2, 1000, 2**32, 2**45])
def test_regular_ids_spread_like_random_ones_and_rows_are_independent(stride):
    keys = tf.range(64_000, dtype=tf.int64) * stride
    rows = hash_buckets(keys, num_buckets=640, num_hashes=4).numpy()
    for row in rows:
        counts = np.bincount(row, minlength=640)
        chi_square = ((counts - 100) ** 2 / 100).sum()
        assert abs(chi_square - 639) < 5 * np.sqrt(2 * 639)
    for one in range(4):
        for other in range(one):
            shared = (rows[one] == rows[other]).sum()
            assert abs(shared - 100) < 50  # 64,000 / 640, five standard deviations
    # Two keys that share a bucket in one row are strangers in the next.
    first = np.flatnonzero(rows[0] == rows[0][0])[1:]
    assert (rows[1][first] == rows[1][0]).sum() <= 3


def test_neighbours_beyond_the_exact_floats_differ():
    keys = tf.constant([2**53, 2**53 + 1], tf.int64)
    one, other = hash_buckets(keys, num_buckets=2**40, num_hashes=1).numpy()[0]
    assert one != other


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_integers_of_every_width_are_the_same_id(dtype):
    np.testing.assert_array_equal(fingerprints(np.array([3, 9], dtype)), [3, 9])


def test_ids_that_are_no_ids_are_refused():
    with pytest.raises(ValueError, match=r"`ids` must be integers or strings.*float32"):
        fingerprints(tf.constant([1.5]))
