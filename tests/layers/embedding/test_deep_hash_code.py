"""Codes are fixed, of the stated distribution, and no two ids share one."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers.embedding.deep_hash_code import DeepHashCode

PRIME = 2**31 - 1


def finalise(z):
    """SplitMix64's."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> shift)) * factor % 2**64
    return z ^ (z >> 31)


def oracle(layer, key):
    """Carter and Wegman's hash of a mixed key, in Python's integers of any length."""
    key = finalise(key % 2**64)
    limbs = [key % 2**30, key // 2**30 % 2**30, key // 2**60]
    multipliers, offsets = (w.numpy().astype(object) for w in layer.weights)
    return [
        (sum(a * x for a, x in zip(column, limbs, strict=True)) + b)
        % PRIME
        % layer.num_buckets
        for column, b in zip(multipliers.T, offsets, strict=True)
    ]


KEYS = [0, 1, -1, 7, 2**30 - 1, 2**31 - 1, 2**53, 2**53 + 1, 2**62 + 3, -(2**63)]


@pytest.mark.parametrize("num_buckets", [2, 97, 1_000_000, 2**31 - 2])
def test_uniform_codes_are_the_hashes_spread_over_minus_one_to_one(num_buckets):
    layer = DeepHashCode(6, num_buckets=num_buckets, seed=3)
    expected = [
        [2 * h / (num_buckets - 1) - 1 for h in oracle(layer, key)] for key in KEYS
    ]
    np.testing.assert_allclose(layer(np.array(KEYS)), expected, atol=2e-7)


def test_normal_codes_are_box_and_mullers_of_pairs():
    layer = DeepHashCode(6, num_buckets=1000, encoding="normal", seed=3)
    for key, code in zip(KEYS, layer(np.array(KEYS)).numpy(), strict=True):
        u = [(h + 1) / 1001 for h in oracle(layer, key)]
        pairs = list(zip(u[::2], u[1::2], strict=True))
        expected = [np.sqrt(-2 * np.log(a)) * np.cos(2 * np.pi * b) for a, b in pairs]
        expected += [np.sqrt(-2 * np.log(a)) * np.sin(2 * np.pi * b) for a, b in pairs]
        np.testing.assert_allclose(code, expected, atol=1e-5)


def test_a_seed_always_draws_the_same_hashes():
    one, same, other = (DeepHashCode(4, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one(np.array(KEYS)), same(np.array(KEYS)))
    assert not np.intersect1d(one.weights[0], other.weights[0]).size
    # SplitMix64 from the seed, in every version: saved models depend on it.
    drawn = [
        finalise((finalise(5) + place * 0x9E3779B97F4A7C15) % 2**64) % (PRIME - 1) + 1
        for place in range(1, 17)
    ]
    assert one.weights[0].numpy().ravel().tolist() == drawn[:12]
    assert one.weights[1].numpy().tolist() == drawn[12:]


def test_neighbours_beyond_the_exact_floats_have_codes_of_their_own():
    codes = DeepHashCode(16)(np.array([2**53, 2**53 + 1, 2**62, 2**62 + 1])).numpy()
    for one, other in itertools.combinations(codes, 2):
        assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("stride", [1, 2**31 - 1, 2**34])
def test_uniform_codes_are_uniform_and_uncorrelated(stride):
    ids = np.arange(20_000) * stride
    codes = DeepHashCode(12)(ids).numpy()
    for column in codes.T:
        counts, _ = np.histogram(column, 40, (-1, 1))
        chi_square = ((counts - 500) ** 2 / 500).sum()
        assert abs(chi_square - 39) < 5 * np.sqrt(2 * 39)
    correlation = np.corrcoef(codes.T)[np.triu_indices(12, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_normal_codes_are_standard_normal():
    codes = DeepHashCode(10, encoding="normal")(np.arange(20_000)).numpy()
    assert np.abs(codes.mean(axis=0)).max() < 0.03
    np.testing.assert_allclose(codes.std(axis=0), 1, atol=0.03)
    assert np.mean(np.abs(codes) < 1) == pytest.approx(0.6827, abs=0.01)


def test_a_million_large_ids_have_a_million_codes():
    rng = np.random.default_rng(0)
    ids = np.unique(rng.integers(2**62, size=1_000_000))
    layer = DeepHashCode(8)
    prints = []
    for chunk in np.array_split(ids, 10):
        codes = np.ascontiguousarray(layer(chunk).numpy())
        prints.append(codes.view("V32").ravel())  # all 8 floats as one value
    assert len(np.unique(np.concatenate(prints))) == len(ids)


def test_text_is_encoded_by_its_fingerprint():
    names = np.array(["ann", "bob", "ann", ""])
    codes = DeepHashCode(5)(names).numpy()
    np.testing.assert_array_equal(codes[0], codes[2])
    assert len(np.unique(codes, axis=0)) == 3


def test_training_does_not_change_the_hashes():
    layer = DeepHashCode(5)
    assert not layer.trainable_weights
    assert [w.dtype for w in layer.weights] == [tf.int64, tf.int64]


def test_another_models_weights_bring_their_hashes():
    one, other = DeepHashCode(5, seed=1), DeepHashCode(5, seed=2)
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(one(np.array(KEYS)), other(np.array(KEYS)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_hashes": 0}, "`num_hashes` must be at least 1. Got 0"),
        ({"num_hashes": 4, "num_buckets": 1}, r"`num_buckets` must be in \[2, 2\^31"),
        (
            {"num_hashes": 4, "num_buckets": 2**31},
            "`num_buckets` must be .* 2147483648",
        ),
        ({"num_hashes": 4, "encoding": "gauss"}, "`encoding` must be .*'gauss'"),
        ({"num_hashes": 3, "encoding": "normal"}, "`num_hashes` must be even.* Got 3"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepHashCode(**arguments)
