import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrs_models.ops.ranks.lookup import find_rows, index_ids

integers = st.integers(-(2**63), 2**63 - 1)


def loop(corpus, ids):
    return [list(corpus).index(i) if i in list(corpus) else -1 for i in ids]


@settings(max_examples=40, deadline=None)
@given(corpus=st.sets(integers, min_size=1, max_size=20), data=st.data())
def test_integer_ids_are_exact_over_the_whole_range(corpus, data):
    corpus = data.draw(st.permutations(sorted(corpus)))
    near = st.sampled_from(corpus).map(lambda i: max(min(i + 1, 2**63 - 1), -(2**63)))
    ids = data.draw(
        st.lists(st.one_of(st.sampled_from(corpus), near, integers), max_size=9)
    )
    rows = find_rows(
        index_ids(tf.constant(corpus, tf.int64)), tf.constant(ids, tf.int64)
    )
    assert rows.numpy().tolist() == loop(corpus, ids)


@settings(max_examples=40, deadline=None)
@given(corpus=st.sets(st.text(max_size=4), min_size=1, max_size=20), data=st.data())
def test_string_ids_are_exact(corpus, data):
    corpus = data.draw(st.permutations(sorted(corpus)))
    ids = data.draw(
        st.lists(st.one_of(st.sampled_from(corpus), st.text(max_size=4)), max_size=9)
    )
    rows = find_rows(
        index_ids(tf.constant(corpus, tf.string)), tf.constant(ids, tf.string)
    )
    assert rows.numpy().tolist() == loop(corpus, ids)


def test_numbers_with_fractions_are_told_apart_and_both_zeros_are_one():
    index = index_ids(tf.constant([1.5, 1.25, -0.0, 2.0**60, -1.5], tf.float64))
    ids = tf.constant([1.25, 1.5, 0.0, 1.0, -1.5, 2.0**60, -1.25], tf.float64)
    assert find_rows(index, ids).numpy().tolist() == [1, 0, 2, -1, 4, 3, -1]
    small = find_rows(index, tf.constant([1.25, -1.5, 1.1], tf.float32))
    assert small.numpy().tolist() == [1, 4, -1]


@pytest.mark.parametrize("corpus_dtype", [tf.int32, tf.int64])
@pytest.mark.parametrize("query_dtype", [tf.int32, tf.int64])
def test_integer_dtypes_mix(corpus_dtype, query_dtype):
    index = index_ids(tf.constant([7, -3, 5], corpus_dtype))
    rows = find_rows(index, tf.constant([5, 6, -3, 7], query_dtype))
    assert rows.numpy().tolist() == [2, -1, 1, 0]


def test_an_id_beyond_the_candidates_dtype_is_not_wrapped_into_it():
    index = index_ids(tf.constant([0, 1, 2, 3], tf.int32))
    rows = find_rows(index, tf.constant([2**32 + 3, -(2**32), 3], tf.int64))
    assert rows.numpy().tolist() == [-1, -1, 3]


@pytest.mark.parametrize(
    ("corpus", "ids"),
    [
        (["1"], [1]),
        ([1], ["1"]),
        ([2.0**53], [2**53 + 1]),  # would be rounded into a hit
        ([1], [1.5]),  # would be cut into a hit
    ],
)
def test_ids_of_different_kinds_do_not_mix(corpus, ids):
    corpus, ids = tf.constant(corpus), tf.constant(ids)
    with pytest.raises(ValueError, match=f"candidates.*{corpus.dtype.name}.*Got "):
        find_rows(index_ids(corpus), ids)


@pytest.mark.parametrize(
    ("ids", "repeated"), [([4, 9, 2, 9], "9"), (["a", "twin", "twin"], "twin")]
)
def test_repeated_ids_are_refused_by_name(ids, repeated):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"(?s)must be unique.*{repeated}"
    ):
        index_ids(tf.constant(ids))
