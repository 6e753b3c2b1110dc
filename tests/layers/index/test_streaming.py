import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(20, 3)).astype("float32")
QUERIES = RNG.normal(size=(4, 3)).astype("float32")


def test_candidates_that_follow_a_variable_are_never_stale():
    table = tf.Variable(CANDIDATES)
    rows = tf.data.Dataset.range(20).batch(6)
    index = layers.Streaming(k=5).index_from_dataset(
        rows.map(lambda i: (i, tf.gather(table, i)))
    )
    none = tf.zeros([4, 0], tf.int64)
    for sign in (1, -1):
        table.assign(sign * CANDIDATES)
        exact = np.argsort(-sign * QUERIES @ CANDIDATES.T)[:, :5]
        np.testing.assert_array_equal(index(QUERIES)[1], exact)
        np.testing.assert_array_equal(
            index.query_with_exclusions(QUERIES, none)[1], exact
        )


def test_fewer_candidates_than_k_all_come():
    batches = tf.data.Dataset.from_tensor_slices(CANDIDATES[:3]).batch(2)
    index = layers.Streaming(k=10).index_from_dataset(batches)
    expected = np.argsort(-QUERIES @ CANDIDATES[:3].T)
    np.testing.assert_array_equal(index(QUERIES)[1], expected)


def test_it_takes_datasets_only():
    with pytest.raises(NotImplementedError, match="index_from_dataset"):
        layers.Streaming().index(CANDIDATES)


def streaming(ids=None, candidates=CANDIDATES, **options):
    values = candidates if ids is None else (ids, candidates)
    batches = tf.data.Dataset.from_tensor_slices(values).batch(6)
    return layers.Streaming(k=4, **options).index_from_dataset(batches)


def test_one_query_is_answered_without_a_batch():
    scores, ids = streaming()(QUERIES[0])
    order = np.argsort(-CANDIDATES @ QUERIES[0])[:4]
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_allclose(scores, (CANDIDATES @ QUERIES[0])[order], rtol=1e-5)


@pytest.mark.parametrize("through", ["queries", "the query model", "exclusions"])
def test_a_query_that_is_not_finite_has_no_answer(through):
    query_model = tf.keras.layers.Lambda(lambda q: q / 0.0)
    index = streaming(query_model=query_model if "model" in through else None)
    queries = QUERIES if "model" in through else QUERIES * np.nan
    arguments = {"exclusions": [[1]] * 4} if through == "exclusions" else {}
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="`queries` must be finite"
    ):
        index(queries, **arguments)


def test_a_candidate_that_is_not_finite_is_no_answer():
    bad = np.where(np.arange(20)[:, None] == 7, np.inf, CANDIDATES)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="`candidates` must be fin"
    ):
        streaming(candidates=bad)(QUERIES)


def test_repeated_ids_are_counted_and_all_copies_are_excluded():
    ids = np.array([f"i{i % 15}" for i in range(20)])
    with pytest.warns(UserWarning, match=r"5 of 15 ids repeat, 'i0'.*unique") as told:
        index = streaming(ids)
    assert len(told) == 1
    best = ids[np.argsort(-QUERIES @ CANDIDATES.T)]
    for row, answer in enumerate(index(QUERIES)[1].numpy().astype(str)):
        np.testing.assert_array_equal(answer, best[row, :4])
    _, answers = index.query_with_exclusions(QUERIES, [["i0", "i3"]] * 4)
    for row, answer in enumerate(answers.numpy().astype(str)):
        left = best[row][~np.isin(best[row], ["i0", "i3"])]
        np.testing.assert_array_equal(answer, left[:4])
    with pytest.raises(ValueError, match=r"must be unique.*5 of 15"):
        streaming(ids, duplicates="error")
