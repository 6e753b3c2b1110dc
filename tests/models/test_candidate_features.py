"""Features of lists against loops."""

import math

import numpy as np
import pytest
import scipy.sparse

import tfrs_models as tm

RNG = np.random.default_rng(0)
ITEMS, MINUTE = 7, 60
EMBEDDINGS = RNG.normal(size=(ITEMS + 1, 3))
SIMILAR = {
    name: RNG.random((ITEMS + 1, ITEMS + 1)) * (RNG.random((ITEMS + 1,) * 2) < 0.4)
    for name in ("knn", "next")
}
COUNTS = RNG.normal(size=(ITEMS + 1, 2)).astype("float32")
TRENDS = RNG.normal(size=(ITEMS + 1, 3)).astype("float32")
START = 10**9
CANDIDATES = np.array([[3, 7, 1], [5, 2, 0], [1, 4, 6]])
SCORES = np.array([[0.9, 0.5, -0.2], [0.8, 0.1, -np.inf], [3, 2, 1]], "float32")
REQUESTS = {
    "history": np.array([[2, 5, 6, 1], [4, 0, 0, 0], [0, 0, 0, 0]]),
    "history_timestamp": np.array(
        [[START, START + 60, START + 60, START + 9000], [START + 5, 0, 0, 0], [0] * 4]
    ),
    "timestamp": np.array([START + 9990, 0, START]),
}
SEQ_LEN = 3


def make(**options):
    matrices = {name: scipy.sparse.csr_array(x) for name, x in SIMILAR.items()}
    return tm.models.CandidateFeatures(EMBEDDINGS, matrices, seq_len=SEQ_LEN, **options)


@pytest.fixture(scope="module")
def features():
    tables = {"item_features": COUNTS, "trends": TRENDS}
    found = make(**tables)(CANDIDATES, SCORES, REQUESTS)
    return {name: values.numpy() for name, values in found.items()}


def newest(row):
    """Items and times of the newest items of a history."""
    items = [i for i in REQUESTS["history"][row] if i][-SEQ_LEN:]
    times = REQUESTS["history_timestamp"][row][: len(REQUESTS["history"][row])]
    return items, [t for t in times if t][-SEQ_LEN:]


def now(row):
    return max([REQUESTS["timestamp"][row], *newest(row)[1]])


def cosine(i, j):
    length = np.linalg.norm(EMBEDDINGS[i]) * np.linalg.norm(EMBEDDINGS[j])
    return EMBEDDINGS[i] @ EMBEDDINGS[j] / length


def test_pairs_have_the_cosine_and_each_similarity_with_its_logarithm(features):
    found = features["pair_features"]
    assert found.shape == (3, 3, SEQ_LEN, 5)
    for row, column in np.ndindex(3, 3):
        candidate = CANDIDATES[row, column]
        for j, item in enumerate(newest(row)[0]):
            expected = [cosine(candidate, item)]
            for matrix in SIMILAR.values():
                weight = matrix[item, candidate]
                expected += [weight, math.log(weight + 0.01)]
            np.testing.assert_allclose(found[row, column, j], expected, atol=1e-5)


def test_candidates_have_their_rank_table_and_trend(features):
    found = features["candidate_features"]
    assert found.shape == (3, 3, 3 + 2 + 3)
    for row, column in np.ndindex(3, 3):
        item = CANDIDATES[row, column]
        if not item:
            continue
        expected = [SCORES[row, column] - SCORES[row, 0], math.log(column + 1)]
        expected += [1 / (column + 1), *COUNTS[item], *TRENDS[item]]
        np.testing.assert_allclose(found[row, column], expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(found).all()


def test_the_history_has_gaps_to_the_request_and_to_the_newest_item(features):
    for row in range(3):
        items, times = newest(row)
        mask = features["history_mask"][row]
        assert mask.tolist() == [True] * len(items) + [False] * (SEQ_LEN - len(items))
        for j, time in enumerate(times):
            expected = [len(items) - 1 - j, (now(row) - time) / MINUTE]
            expected.append((times[-1] - time) / MINUTE)
            found = features["history_features"][row, j]
            np.testing.assert_allclose(found, np.log1p(expected), rtol=1e-5)
    counts = np.log1p([4, 1, 0])
    gaps = np.log1p([990 / MINUTE, 0, 0])
    expected = np.stack([gaps, counts], axis=1)
    np.testing.assert_allclose(features["context_features"], expected, rtol=1e-5)


def test_trends_of_the_request_take_the_place_of_the_newest_ones():
    own = RNG.normal(size=(3, 3, 3)).astype("float32")
    found = make(trends=TRENDS)(CANDIDATES, SCORES, REQUESTS, trends=own)
    np.testing.assert_array_equal(found["candidate_features"][:, :, -3:], own)


def test_trends_are_replaced_without_a_new_module():
    module = make(trends=TRENDS)
    module.update_trends(2 * TRENDS)
    found = module(CANDIDATES, SCORES, REQUESTS)["candidate_features"]
    np.testing.assert_array_equal(found[:, :, -3:], 2 * TRENDS[CANDIDATES])
    with pytest.raises(ValueError, match="`trends` must have the shape"):
        module.update_trends(TRENDS[:, :2])


def test_items_that_joined_later_have_the_features_of_the_unknown_item():
    module = make(item_features=COUNTS, trends=TRENDS)
    items = np.where(CANDIDATES == 7, 99, CANDIDATES)
    found = module(items, SCORES, REQUESTS)
    np.testing.assert_array_equal(found["candidate_features"][0, 1, 3:5], COUNTS[0])
    unknown = module(np.where(items == 99, 0, items), SCORES, REQUESTS)
    for name, values in unknown.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_rotation_of_the_embeddings_changes_nothing(features):
    """A model that is trained again has other dimensions, and the same cosines."""
    rotation, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    matrices = {name: scipy.sparse.csr_array(x) for name, x in SIMILAR.items()}
    other = tm.models.CandidateFeatures(
        2 * EMBEDDINGS @ rotation, matrices, seq_len=SEQ_LEN
    )
    found = other(CANDIDATES, SCORES, REQUESTS)["pair_features"]
    np.testing.assert_allclose(found, features["pair_features"], atol=1e-5)


def test_a_table_of_another_catalogue_is_refused():
    with pytest.raises(ValueError, match="`trends` must have 8 rows, .* Got 5"):
        make(trends=TRENDS[:5])
