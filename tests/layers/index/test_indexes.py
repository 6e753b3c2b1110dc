"""What holds of every index; ScaNN is made to search everything."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrs_models import layers

SIZE, WIDTH = 60, 4
KINDS = ["BruteForce", "Streaming", "ScaNN", "IVF"]


def make(kind, **options):
    if kind == "ScaNN":
        options |= {
            "num_leaves": 1,
            "num_leaves_to_search": 1,
            "num_reordering_candidates": SIZE,
        }
    if kind == "IVF":
        options |= {"block_size": 8, "num_probes": 100}  # all blocks: exact
    return getattr(layers, kind)(**options)


def build(kind, candidates, ids=None, **options):
    values = candidates if ids is None else (ids, candidates)
    batches = tf.data.Dataset.from_tensor_slices(values).batch(7)
    return make(kind, **options).index_from_dataset(batches)


@pytest.fixture(scope="module")
def candidates():
    return np.random.default_rng(0).normal(size=(SIZE, WIDTH)).astype("float32")


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).normal(size=(5, WIDTH)).astype("float32")


def best(queries, candidates, k, ids=None, excluded=None):
    """Scores and ids by sorting; missing places have -inf and -1 (or "")."""
    ids = np.arange(len(candidates)) if ids is None else np.asarray(ids)
    missing = "" if ids.dtype.kind == "U" else -1
    scores, names = [], []
    for row, query in enumerate(queries):
        out = set(excluded[row]) if excluded is not None else set()
        pairs = [
            (float(query @ c), i)
            for c, i in zip(candidates, ids.tolist(), strict=True)
            if i not in out
        ]
        pairs = sorted(pairs, reverse=True)[:k] + [(-np.inf, missing)] * k
        scores.append([score for score, _ in pairs[:k]])
        names.append([name for _, name in pairs[:k]])
    return np.array(scores), np.array(names)


def decoded(ids):
    ids = ids.numpy()
    return ids.astype(str) if ids.dtype == object else ids


def assert_best(result, expected):
    np.testing.assert_allclose(result[0], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(decoded(result[1]), expected[1])


def identifiers(dtype):
    ids = np.random.default_rng(2).permutation(SIZE)
    if dtype == "str":
        return np.array([f"item {i}" for i in ids])
    return ids if dtype == "int32" else ids + 2**60  # beyond the exact floats


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [None, "int32", "int64", "str"])
def test_the_best_candidates_come_first(kind, dtype, candidates, queries):
    ids = None if dtype is None else identifiers(dtype)
    index = build(kind, candidates, ids, k=6)
    assert_best(index(queries), best(queries, candidates, 6, ids))
    assert_best(index(queries, k=2), best(queries, candidates, 2, ids))
    assert index.is_exact() == (kind not in ("ScaNN", "IVF"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [None, "int64", "str"])
@pytest.mark.parametrize("ragged", [True, False])
def test_excluded_candidates_never_come(kind, dtype, ragged, candidates, queries):
    ids = None if dtype is None else identifiers(dtype)
    known = np.arange(SIZE) if ids is None else ids
    favourites = np.argsort(-queries @ candidates.T)
    rng = np.random.default_rng(3)
    excluded = [
        # the best, repeated, and one that the index does not hold
        [*known[favourites[row, : 3 + row]], *known[rng.integers(SIZE, size=3)]] * 2
        for row in range(5)
    ]
    if dtype == "str":
        excluded = [[*row, "unheard of"] for row in excluded]
    elif dtype == "int64":
        excluded = [[*row, 7] for row in excluded]
    if not ragged:
        excluded = [row[:7] for row in excluded]
    flat = np.array([i for row in excluded for i in row])
    given_ = tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in excluded])
    index = build(kind, candidates, ids, k=4)
    result = index.query_with_exclusions(
        queries, given_ if ragged else given_.to_tensor()
    )
    assert_best(result, best(queries, candidates, 4, ids, excluded))
    called = index(queries, exclusions=given_ if ragged else given_.to_tensor())
    np.testing.assert_array_equal(called[1], result[1])


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    k=st.integers(1, 12),
    scale=st.sampled_from([1e-20, 1.0, 1e8, 1e18]),
)
@pytest.mark.parametrize("kind", ["BruteForce", "Streaming", "IVF"])
def test_exclusion_is_exact_at_any_magnitude_and_to_the_last_candidate(
    kind, seed, k, scale
):
    rng = np.random.default_rng(seed)
    candidates = (rng.normal(size=(12, 3)) * scale).astype("float32")
    queries = rng.normal(size=(3, 3)).astype("float32")
    excluded = [rng.integers(12, size=n).tolist() for n in (0, 5, 40)]
    index = build(kind, candidates, k=k)
    result = index.query_with_exclusions(
        queries, tf.ragged.constant(excluded, dtype=tf.int32)
    )
    expected = best(queries, candidates, k, excluded=excluded)
    np.testing.assert_array_equal(decoded(result[1]), expected[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [None, "str"])
def test_excluding_everything_leaves_places_that_say_so(
    kind, dtype, candidates, queries
):
    ids = identifiers(dtype) if dtype else np.arange(SIZE)
    index = build(kind, candidates, ids if dtype else None, k=3)
    scores, names = index.query_with_exclusions(queries[:1], tf.constant([ids]))
    np.testing.assert_array_equal(scores, [[-np.inf] * 3])
    np.testing.assert_array_equal(decoded(names), [["" if dtype else -1] * 3])


@pytest.mark.parametrize("kind", KINDS)
def test_an_excluded_id_beyond_the_candidates_dtype_excludes_nobody(
    kind, candidates, queries
):
    index = build(kind, candidates, k=3)
    excluded = tf.constant([[2**32 + i for i in range(SIZE)]] * 5, tf.int64)
    assert_best(
        index.query_with_exclusions(queries, excluded), best(queries, candidates, 3)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_indexing_again_drops_what_was_there(kind, candidates, queries):
    index = build(kind, candidates, identifiers("str"), k=3)
    none = tf.zeros([5, 0], tf.string)
    index.query_with_exclusions(queries, none), index(queries)
    again = tf.data.Dataset.from_tensor_slices(-candidates[:40]).batch(9)
    index.index_from_dataset(again)
    expected = best(queries, -candidates[:40], 3)
    assert_best(index(queries), expected)
    none = tf.zeros([5, 0], tf.int32)
    assert_best(index.query_with_exclusions(queries, none), expected)
    other = tf.data.Dataset.from_tensor_slices(candidates[:30]).batch(9)
    index.index_from_dataset(other)
    assert_best(
        index.query_with_exclusions(queries, none), best(queries, candidates[:30], 3)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_model_embeds_raw_features(kind, candidates):
    class Query(tf.keras.Model):
        def call(self, features):
            return tf.stack([features["a"], features["b"]], axis=1)

    index = build(kind, candidates[:, :2], k=2, query_model=Query())
    features = {"a": tf.constant([1.0, 0.0]), "b": tf.constant([0.5, -2.0])}
    expected = best(np.float32([[1, 0.5], [0, -2]]), candidates[:, :2], 2)
    assert_best(index(features), expected)
    none = tf.zeros([2, 0], tf.int32)
    assert_best(index.query_with_exclusions(features, none), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_embeddings_of_half_precision_are_welcome(kind, dtype, candidates, queries):
    index = build(kind, tf.cast(candidates, dtype), k=3)
    scores, names = index(tf.cast(queries, dtype))
    best_scores, _ = best(queries, candidates, 3)
    np.testing.assert_allclose(tf.cast(scores, tf.float32), best_scores, rtol=0.05)
    none = tf.zeros([5, 0], tf.int32)
    again = index.query_with_exclusions(tf.cast(queries, dtype), none)
    np.testing.assert_array_equal(again[1], names)


@pytest.mark.parametrize("kind", KINDS)
def test_graph_and_eager_agree(kind, candidates, queries):
    index = build(kind, candidates, identifiers("str"), k=3)
    graph = tf.function(lambda queries: index(queries))
    for rows in (slice(0, 3), slice(3, 4)):
        expected, result = index(queries[rows]), graph(tf.constant(queries[rows]))
        np.testing.assert_array_equal(result[1], expected[1])
        np.testing.assert_allclose(result[0], expected[0], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_index_asks_to_be_filled(kind, queries):
    index = make(kind)
    with pytest.raises(ValueError, match=r"index is empty.*`index`"):
        index(queries)
    with pytest.raises(ValueError, match=r"index is empty.*`index`"):
        index.query_with_exclusions(queries, tf.constant([[1]] * 5))


@pytest.mark.parametrize("kind", KINDS)
def test_widths_that_differ_are_told(kind, candidates, queries):
    index = build(kind, candidates)
    with pytest.raises(ValueError, match=f"`queries` must have the .* width, {WIDTH}"):
        index(queries[:, :2])


@pytest.mark.parametrize("kind", ["BruteForce", "ScaNN", "IVF"])
def test_more_than_there_is_cannot_be_asked(kind, candidates, queries):
    index = build(kind, candidates)
    message = f"`k` must be at most the number of candidates, {SIZE}. Got 61"
    with pytest.raises(ValueError, match=message):
        index(queries, k=61)
    with pytest.raises(ValueError, match=message):
        index.query_with_exclusions(queries, tf.constant([[1]] * 5), k=61)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_cannot_be_asked(kind, candidates, queries):
    with pytest.raises(ValueError, match=r"`k` must be at least 1\. Got 0"):
        make(kind, k=0)
    with pytest.raises(ValueError, match=r"`k` must be at least 1\. Got 0"):
        build(kind, candidates)(queries, k=0)


@pytest.mark.parametrize("kind", ["BruteForce", "ScaNN", "IVF"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, ids: (c.__setitem__((3, 1), np.nan), (c, ids))[1], "finite.*Row 3"),
        (lambda c, ids: (c, ids[:-1]), "`identifiers`.*59 ids for 60 candidates"),
        (lambda c, ids: (c[0], ids), r"`candidates` must be.*Got shape \(4,\)"),
        (lambda c, ids: (c[:0], ids[:0]), "`candidates`.*at least one"),
    ],
)
def test_bad_candidates_are_refused_by_name(kind, change, message, candidates):
    bad = change(candidates.copy(), np.arange(SIZE))
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make(kind).index(*bad)


@pytest.mark.parametrize("kind", KINDS)
def test_the_config_makes_an_equal_empty_index(kind):
    model = tf.keras.Sequential([tf.keras.layers.Dense(3, name="my_query")])
    index = make(kind, k=7, query_model=model)
    copy = type(index).from_config(index.get_config())
    assert copy.get_config()["k"] == 7
    assert copy.query_model.layers[0].name == "my_query"
    assert {k: v for k, v in copy.get_config().items() if k != "query_model"} == {
        k: v for k, v in index.get_config().items() if k != "query_model"
    }


@pytest.mark.parametrize("kind", ["BruteForce", "ScaNN", "IVF"])
def test_a_saved_model_answers_the_same(kind, candidates, queries, tmp_path):
    index = build(kind, candidates, identifiers("str"), k=3)
    excluded = tf.constant(identifiers("str")[:10].reshape(5, 2))
    expected = index(queries), index.query_with_exclusions(queries, excluded)
    index.save(
        tmp_path / "index",
        options=tf.saved_model.SaveOptions(namespace_whitelist=["Scann"]),
    )
    for load in (tf.keras.models.load_model, tf.saved_model.load):
        loaded = load(str(tmp_path / "index"))
        np.testing.assert_array_equal(loaded(tf.constant(queries))[1], expected[0][1])
        result = loaded.query_with_exclusions(tf.constant(queries), excluded)
        np.testing.assert_array_equal(result[1], expected[1][1])
