"""Which candidates and ids an index takes, and how it keeps them."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

UPDATABLE = ["BruteForce", "IVF"]
BUILT = [*UPDATABLE, "ScaNN"]
BEYOND_INT32 = 2**32 + 1


def make(kind, **options):
    if kind == "ScaNN":
        options |= {"num_leaves": 1, "num_leaves_to_search": 1}
    return getattr(layers, kind)(**options)


@pytest.mark.parametrize("kind", UPDATABLE)
@pytest.mark.parametrize("first", [None, np.arange(3, dtype="int32")])
@pytest.mark.parametrize("change", ["add", "upsert"])
def test_an_id_beyond_int32_joins_small_ones_uncut(kind, first, change):
    index = make(kind, k=2, capacity=9).index(np.eye(3, 4, dtype="float32"), first)
    new = np.eye(4, dtype="float32")[3:]
    getattr(index, change)(new, [BEYOND_INT32])
    assert sorted(index.contents()[0].numpy()) == [0, 1, 2, BEYOND_INT32]
    assert int(index(new, k=1)[1][0, 0]) == BEYOND_INT32
    assert BEYOND_INT32 in index(new, exclusions=[[1]])[1].numpy()  # its lower half
    assert BEYOND_INT32 not in index(new, exclusions=[[BEYOND_INT32]])[1].numpy()
    assert BEYOND_INT32 in index.similar([1], k=4)[1].numpy()
    popularity = tf.constant([[0.1, 0.9, 0.2, 0.7]])
    assert index.largest(popularity, 2)[1].numpy().tolist() == [[1, 2]]
    index.remove([BEYOND_INT32])
    assert sorted(index.contents()[0].numpy()) == [0, 1, 2]


def test_popularity_is_not_that_of_the_lower_half_of_an_id():
    ids = np.array([2**32 + 2, 1, 0])
    index = layers.BruteForce().index(np.eye(3, dtype="float32"), ids)
    scores, found = index.largest(tf.constant([[0.1, 0.2, 0.9]]), 3)
    assert found.numpy().tolist() == [[1, 0, -1]]
    np.testing.assert_allclose(scores, [[0.2, 0.1, -np.inf]])


@pytest.mark.parametrize("kind", BUILT)
@pytest.mark.parametrize("dtype", ["int8", "int32", "uint16", "int64"])
def test_integers_are_answered_as_int64(kind, dtype):
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    index = make(kind, k=3).index(rows, np.arange(20, dtype=dtype))
    assert index(rows[:1])[1].dtype == tf.int64


@pytest.mark.parametrize("kind", BUILT)
@pytest.mark.parametrize(
    "ids",
    [
        np.arange(20) - 1,
        np.arange(20).astype("float32") - 1,
        np.where(np.arange(20) == 7, np.nan, np.arange(20)),
        np.array([*"abcdefghijklmnopqrs", ""]),
        np.arange(20, dtype="uint64") + 2**63 - 10,
    ],
    ids=["-1", "-1.0", "NaN", "empty string", "beyond int64"],
)
def test_an_id_that_means_none_in_answers_is_refused(kind, ids):
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    with pytest.raises(ValueError, match=r"`identifiers` must not be -1, an empty str"):
        make(kind).index(rows, ids)


@pytest.mark.parametrize("kind", UPDATABLE)
@pytest.mark.parametrize("change", ["add", "upsert"])
@pytest.mark.parametrize(("ids", "none"), [([3, 4, 5], -1), (["a", "b", "c"], "")])
def test_an_id_that_means_none_cannot_be_added(kind, change, ids, none):
    rows = np.eye(3, dtype="float32")
    index = make(kind, k=3, capacity=9).index(rows, ids)
    with pytest.raises(ValueError, match="1 are, .* is one"):
        getattr(index, change)(rows[:1], [none])
    assert index.num_candidates == 3


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_products_beyond_half_precision_rank_right(kind, dtype):
    rng = np.random.default_rng(0)
    rows = tf.cast(rng.uniform(0, 100, (90, 128)), dtype)
    queries = rng.uniform(0, 100, (5, 128)).astype("float32")
    exact = queries @ tf.cast(rows, tf.float32).numpy().T  # about 320,000
    index = make(kind, k=10).index(rows)
    everything = tf.constant([np.arange(90)] * 5)
    for scores, ids in (index(queries), index(queries, allowed=everything)):
        np.testing.assert_allclose(scores, -np.sort(-exact)[:, :10], rtol=1e-5)
        np.testing.assert_array_equal(ids, np.argsort(-exact)[:, :10])
    own = tf.cast(rows, tf.float32).numpy()[7]
    scores, ids = index.similar([7], k=3)
    products = np.delete(tf.cast(rows, tf.float32).numpy() @ own, 7)
    np.testing.assert_allclose(scores[0], -np.sort(-products)[:3], rtol=1e-5)


@pytest.mark.parametrize("kind", BUILT)
def test_embeddings_whose_products_are_not_finite_are_refused(kind):
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    rows[13] *= 1e30
    with pytest.raises(ValueError, match="must be at most .* long.*Row 13 is"):
        make(kind).index(rows)


@pytest.mark.parametrize("kind", UPDATABLE)
def test_an_update_or_a_query_is_not_too_long_either(kind):
    rows = np.eye(3, dtype="float32")
    index = make(kind, k=2, capacity=9).index(1e18 * rows)
    with pytest.raises(ValueError, match="must be at most .* long.*Row 0 is"):
        index.upsert(1e30 * rows[:1], [0])
    assert np.isfinite(index(1e18 * rows)[0]).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="not longer than 1e19"):
        index(1e30 * rows)
    cosines = make(kind, k=2, distance_measure="cosine").index(1e30 * rows)
    np.testing.assert_allclose(cosines(1e30 * rows)[0], [[1, 0]] * 3)


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "bool"])
def test_quantised_candidates_are_refused_with_what_to_do(kind, dtype):
    rows = np.random.default_rng(0).integers(0, 2, size=(20, 4)).astype(dtype)
    message = f"must be floating-point embeddings. Got {dtype}.*scale"
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make(kind).index(rows)
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(8)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make(kind).index_from_dataset(batches)


@pytest.mark.parametrize("kind", UPDATABLE)
@pytest.mark.parametrize("names", [None, ["a", "b", "c", "d"]])
def test_an_update_without_rows_changes_nothing(kind, names):
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    index = make(kind, k=4).index(rows, names)
    before = index(rows)
    for change in (index.add, index.upsert):
        change(np.zeros([0, 3], "float32"), np.zeros(0, "int32"))
        change([], [])
    index.remove([])
    index.remove(np.zeros(0, "int64"))
    for value, expected in zip(index(rows), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert index.staleness == 0
    with pytest.raises(ValueError, match="one id for each candidate. Got 0 ids for 1"):
        index.add(rows[:1], [])
    for change in (
        lambda empty: empty.remove([]),
        lambda empty: empty.upsert([], []),
    ):
        with pytest.raises(ValueError, match="The index is empty"):
            change(make(kind))


@pytest.mark.parametrize("kind", [*BUILT, "Streaming"])
@pytest.mark.parametrize("ids", [True, False])
def test_candidates_of_width_0_are_refused(kind, ids):
    rows = tf.data.Dataset.from_tensor_slices(np.zeros((20, 0), "float32"))
    rows = tf.data.Dataset.zip((tf.data.Dataset.range(20), rows)) if ids else rows
    with pytest.raises(ValueError, match="`candidates` must have a width of at least"):
        make(kind).index_from_dataset(rows.batch(7))


def test_scann_refuses_what_ends_its_process():
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    with pytest.raises(ValueError, match=r"at most 1e\+15 long.*Row 2 is"):
        make("ScaNN").index(np.where(np.arange(20)[:, None] == 2, 1e19 * rows, rows))
    with pytest.raises(ValueError, match="at least 16 candidates.*Got 15.*BruteForce"):
        make("ScaNN").index(rows[:15])


def test_by_distance_a_missing_position_of_scann_is_the_farthest():
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    index = make("ScaNN", distance_measure="squared_l2", num_reordering_candidates=20)
    index.index(rows)
    scores, ids = index(rows[:1], k=5, allowed=[[3, 9]])
    distances = ((rows[[3, 9]] - rows[0]) ** 2).sum(axis=1)
    order = np.argsort(distances)
    np.testing.assert_allclose(scores[0], [*distances[order], *[np.inf] * 3], rtol=1e-5)
    assert ids.numpy().tolist() == [[*np.array([3, 9])[order], -1, -1, -1]]


@pytest.fixture
def half():
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf.keras.mixed_precision.set_global_policy(before)


@pytest.mark.usefixtures("half")
@pytest.mark.parametrize("kind", [*BUILT, "Streaming"])
def test_training_in_half_precision_does_not_reach_an_index(kind):
    rng = np.random.default_rng(3)
    rows, query = rng.normal(size=(20, 8)), rng.normal(size=(1, 8))
    rows, query = rows.astype("float32"), query.astype("float32")
    options = {"num_reordering_candidates": 20} if kind == "ScaNN" else {}
    index = make(kind, k=3, **options)
    ids = np.arange(20) + 2**20 + 0.25
    if kind == "Streaming":
        batches = tf.data.Dataset.from_tensors((ids, rows))
        scores, found = index.index_from_dataset(batches)(query)
    else:
        scores, found = index.index(rows, ids)(query)
    products = (rows @ query[0]).astype("float32")
    best = np.argsort(-products)[:3]
    np.testing.assert_allclose(scores[0], products[best], rtol=1e-5)
    np.testing.assert_array_equal(found[0], ids[best])


@pytest.mark.parametrize("change", ["add", "upsert"])
def test_quantised_embeddings_are_not_added_as_they_are(change):
    index = layers.BruteForce(capacity=9).index(np.eye(3, dtype="float32"))
    with pytest.raises(ValueError, match="must be floating-point.*Got int8"):
        getattr(index, change)(np.array([[127, 0, 0]], "int8"), [7])


@pytest.mark.parametrize("kind", UPDATABLE)
@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda i, r: i.index(r, np.arange(3)[:, None]), "must be a list of ids"),
        (lambda i, r: i.add(r[:1], [[7]]), "must be a list of ids"),
        (lambda i, r: i.add(r[:1], 7), "must be a list of ids"),
        (lambda i, _: i.similar(1), "must be a list of ids"),
        (lambda i, r: i.index(r, [1j, 2j, 3j]), "Got <dtype: 'complex"),
        (lambda i, r: i.index(r[:, :0]), "at least 1 wide"),
        (lambda i, r: i.index(r, attributes={1: [1, 2, 3]}), "Names of attributes"),
        (lambda i, r: i.index(r, attributes={"a": 1}), r"`\[n\]` or `\[n, None\]`"),
        (
            lambda i, r: i.index(r, attributes={"a": [[[1]]] * 3}),
            r"`\[n\]` or `\[n, None\]`",
        ),
        (lambda i, _: type(i)(capacity=2.5), "`capacity` must be a whole number"),
        (lambda i, r: i(r[None]), "`queries` must be .* reshape"),
        (lambda i, _: i(1.0), "`queries` must be .* reshape"),
        (lambda i, r: i(r, filters=["a"]), "`filters` must be a dict"),
        (lambda i, _: i.largest([1.0, 2.0], 2), "`values` must be"),
        (lambda i, r: i.index_from_dataset([r]), "must be a `tf.data.Dataset`"),
        (
            lambda i, r: i.index_from_dataset(tf.data.Dataset.from_tensor_slices(r)),
            "makes batches",
        ),
        (
            lambda i, r: tf.function(lambda: i.upsert(r, [0, 1, 2]))(),
            "must be called eagerly",
        ),
    ],
)
def test_what_has_another_form_is_refused_by_name(kind, use, message):
    rows = np.eye(3, 4, dtype="float32")
    index = make(kind, k=2, capacity=9).index(rows)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        use(index, rows)
    assert index.num_candidates == 3


@pytest.mark.parametrize("kind", UPDATABLE)
def test_nobody_and_one_alone_are_lists_too(kind):
    rows = np.eye(3, 4, dtype="float32")
    index = make(kind, k=2, capacity=9).index(rows)
    nothing = tf.ragged.constant([[], [], []])  # float32, for it knows no better
    expected = index(rows)[1]
    np.testing.assert_array_equal(index(rows, exclusions=nothing)[1], expected)
    assert index.similar([])[1].shape == (0, 2)
    counts = np.array([[7, 2**53 - 1, 2**53 - 2]])
    assert index.largest(counts, 2)[1].numpy().tolist() == [[1, 2]]
    index.remove(1)
    assert index.contents()[0].numpy().tolist() == [0, 2]


def test_a_k_beyond_int32_is_no_small_one():
    index = layers.BruteForce().index(np.eye(3, dtype="float32"))
    ask = tf.function(lambda k: index(np.eye(3, dtype="float32"), k=k))
    assert ask(tf.constant(2, tf.int64))[1].shape[0] == 3
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 2.31 - 1"):
        ask(tf.constant(2**32 + 2, tf.int64))
