import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from tfrs_models.ops.ranks import corpus_ranks, score_tiles
from tfrs_models.ops.ranks.corpus_ranks import ranks_by_row, ranks_by_score
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns


def ragged(rows):
    return tf.RaggedTensor.from_row_lengths(
        tf.constant([row for rows_ in rows for row in rows_], tf.int32),
        [len(row) for row in rows],
    )


def whole_numbers(rng, *shape):
    """Embeddings whose scores are exact, so that ties are plenty and certain."""
    return tf.constant(rng.integers(-2, 3, size=shape), tf.float32)


def reals(rng, *shape):
    return tf.constant(rng.normal(size=shape), tf.float32)


@pytest.fixture
def in_tiles(monkeypatch):
    """Ranks as of a corpus whose scores do not fit into memory at once."""
    calls = []
    count = score_tiles._count_tiles

    def counted(*args):  # the loop around it is traced in every problem
        tf.py_function(lambda: calls.append(len(calls)), [], [])
        return count(*args)

    def rank(function, *args):
        with monkeypatch.context() as patch:
            patch.setattr(corpus_ranks, "_TILED_FROM", 1)
            patch.setattr(score_tiles, "_count_tiles", counted)
            calls.clear()
            result = tf.function(function)(*args)
        assert calls, "no tile was counted"
        return result

    return rank


def assert_ranks(result, expected):
    above, tied, competing = expected
    for i, number in enumerate(competing):
        if number is None:
            assert not result.found[i]
            continue
        assert result.found[i]
        got = (result.above[i], result.tied[i], result.num_candidates[i])
        assert tuple(map(int, got)) == (above[i], tied[i], number), f"row {i}"


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 6),
    size=st.integers(1, 40),
    num_heads=st.sampled_from([None, 1, 3]),
    most_excluded=st.integers(0, 60),
)
def test_ranks_are_what_a_loop_counts(seed, batch, size, num_heads, most_excluded):
    rng = np.random.default_rng(seed)
    shape = (batch, 3) if num_heads is None else (batch, num_heads, 3)
    queries, corpus = whole_numbers(rng, *shape), whole_numbers(rng, size, 3)
    positives = rng.integers(-1, size, size=batch)  # -1: not in the corpus
    # Repeats, ids that the corpus does not hold, and the row's own positive.
    excluded = [
        rng.integers(-1, size, size=rng.integers(0, most_excluded + 1)).tolist()
        for _ in range(batch)
    ]
    result = ranks_by_row(
        queries,
        corpus,
        tf.constant(positives, tf.int32),
        ragged(excluded),
    )
    assert_ranks(
        result, oracles.ranks(oracles.scores(queries, corpus), positives, excluded)
    )


@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("size", [100, 256, 257, 600])
def test_ranks_of_a_large_product_are_what_a_loop_counts(size, heads, in_tiles):
    rng = np.random.default_rng(size)
    distinct, repeats = 7, 3
    shape = (distinct, 3) if heads is None else (distinct, heads, 3)
    queries, corpus = whole_numbers(rng, *shape), whole_numbers(rng, size, 3)
    positives = rng.integers(size, size=distinct)
    positives[:2] = [0, size - 1]  # the first and the last place of the corpus
    excluded = [rng.integers(-1, size, size=n).tolist() for n in range(distinct)]
    result = in_tiles(
        corpus_ranks._rank_rows,
        tf.concat([queries] * repeats, axis=0),
        corpus,
        tf.constant(np.tile(positives, repeats), tf.int32),
        tf.tile(ragged(excluded), [repeats, 1]),
    )
    assert_ranks(
        result, oracles.ranks(oracles.scores(queries, corpus), positives, excluded)
    )
    for values in result:  # the same question always gets the same answer
        table = np.reshape(values, [repeats, distinct])
        np.testing.assert_array_equal(table, table[:1].repeat(repeats, axis=0))


def test_a_large_product_counts_what_beats_an_embedding(in_tiles):
    rng = np.random.default_rng(5)
    queries, corpus = whole_numbers(rng, 7, 3), whole_numbers(rng, 600, 3)
    positives = rng.integers(600, size=7)
    positives[:2] = [0, 599]
    result = in_tiles(
        ranks_by_score.python_function, queries, corpus, tf.gather(corpus, positives)
    )
    assert_ranks(result, oracles.ranks(oracles.scores(queries, corpus), positives))


def test_small_and_large_products_agree_where_rounding_matters(in_tiles):
    rng = np.random.default_rng(3)
    queries, corpus = reals(rng, 64, 33), reals(rng, 521, 33)
    # Exact copies must stay ties in both.
    corpus = tf.concat([corpus[:100], tf.tile(corpus[7:8], [40, 1]), corpus[140:]], 0)
    positives = tf.constant(rng.integers(90, 150, size=64), tf.int32)
    none = ragged([[]] * 64)
    small = ranks_by_row(queries, corpus, positives, none)
    large = in_tiles(corpus_ranks._rank_rows, queries, corpus, positives, none)
    copies = (positives.numpy() >= 100) & (positives.numpy() < 140)
    assert copies.any()
    for ranks in (small, large):
        np.testing.assert_array_equal(ranks.tied.numpy(), np.where(copies, 40, 0))
    # Two kernels may sum in another order: a neighbour may swap, no more.
    np.testing.assert_allclose(small.above, large.above, atol=1)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("width", [3, 16, 100])
@pytest.mark.parametrize("size", [1, 2, 5, 15, 16, 17, 33, 100, 255, 256, 257, 1023])
def test_a_collapsed_corpus_is_all_ties_at_every_size(size, width, batch):
    rng = np.random.default_rng(size)
    queries, corpus = reals(rng, batch, width), tf.tile(reals(rng, 1, width), [size, 1])
    positives = tf.constant(rng.integers(size, size=batch), tf.int32)
    result = ranks_by_row(queries, corpus, positives, ragged([[]] * batch))
    np.testing.assert_array_equal(result.above, [0] * batch)
    np.testing.assert_array_equal(result.tied, [size - 1] * batch)


def test_queries_with_one_and_with_several_heads_can_follow_one_another():
    rng = np.random.default_rng(0)
    corpus = whole_numbers(rng, 9, 3)
    for shape in [(2, 4, 3), (2, 3), (5, 3), (3, 2, 3), (1, 3)]:
        queries = whole_numbers(rng, *shape)
        positives = rng.integers(9, size=shape[0])
        result = ranks_by_row(
            queries,
            corpus,
            tf.constant(positives, tf.int32),
            ragged([[]] * shape[0]),
        )
        assert_ranks(result, oracles.ranks(oracles.scores(queries, corpus), positives))


def test_a_miss_competes_with_all_that_are_not_excluded():
    rng = np.random.default_rng(0)
    scores = whole_numbers(rng, 3, 6)
    positives, exclusions = tf.constant([-1, -1, 4]), ragged([[], [0, 4], [4, 1, 4]])
    by_row = ranks_by_row(scores, tf.eye(6), positives, exclusions)
    by_column = ranks_of_columns(scores, positives, excluded=exclusions)
    for result in (by_row, by_column):
        np.testing.assert_array_equal(result.num_candidates, [6, 4, 4])
        np.testing.assert_array_equal(result.found, [False] * 3)
        np.testing.assert_array_equal(result.hidden, [False, False, True])
        np.testing.assert_array_equal(result.above, [0, 0, 0])
        np.testing.assert_array_equal(result.tied, [0, 0, 0])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), batch=st.integers(1, 6), size=st.integers(1, 40))
def test_a_positive_known_by_its_embedding_has_the_rank_of_its_copy(seed, batch, size):
    rng = np.random.default_rng(seed)
    queries, corpus = whole_numbers(rng, batch, 3), whole_numbers(rng, size, 3)
    positives = rng.integers(size, size=batch)
    result = ranks_by_score(queries, corpus, tf.gather(corpus, positives))
    assert_ranks(result, oracles.ranks(oracles.scores(queries, corpus), positives))


def test_a_positive_from_outside_is_ranked_against_the_whole_corpus():
    queries = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    corpus = tf.constant([[3.0, 1.0], [1.0, 2.0], [-1.0, 7.0]])
    result = ranks_by_score(queries, corpus, tf.constant([[2.0, 0.0], [0.0, 0.5]]))
    np.testing.assert_array_equal(result.above, [1, 3])
    np.testing.assert_array_equal(result.tied, [0, 0])
    np.testing.assert_array_equal(result.num_candidates, [3, 3])


@pytest.mark.parametrize("width", [8, 64, 512])
def test_a_positive_is_not_beaten_by_its_own_copy_through_rounding(width):
    rng = np.random.default_rng(width)
    queries, corpus = reals(rng, 256, width), reals(rng, 300, width)
    positives = rng.integers(300, size=256)
    by_score = ranks_by_score(queries, corpus, tf.gather(corpus, positives))
    by_row = ranks_by_row(
        queries,
        corpus,
        tf.constant(positives, tf.int32),
        ragged([[]] * 256),
    )
    same = by_score.above.numpy() == by_row.above.numpy()
    # A rival within rounding of the positive is a tie on one side only: rare.
    assert same.mean() > 0.99
    assert np.abs(by_score.above - by_row.above).max() <= 1
