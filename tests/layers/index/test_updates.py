"""Adding, removing and replacing candidates, beside what sorting finds."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

WIDTH = 3


def make(kind, **options):
    if kind == "IVF":
        options |= {"block_size": 4, "num_probes": 999, "num_partitions": 5}
    return getattr(layers, kind)(k=7, **options)


def rows(rng, names):
    """Candidates by name, with an attribute."""
    return {
        name: (rng.normal(size=WIDTH).astype("float32"), rng.choice(["a", "b"]))
        for name in names
    }


def parts(corpus):
    embeddings = np.stack([embedding for embedding, _ in corpus.values()])
    attributes = {"kind": np.array([kind for _, kind in corpus.values()])}
    return embeddings, np.array(list(corpus)), attributes


def assert_best(index, corpus, measure):
    """Answers are those of sorting, with every kind of restriction."""
    embeddings, names, attributes = parts(corpus)
    queries = np.random.default_rng(9).normal(size=(5, WIDTH)).astype("float32")
    products = queries @ embeddings.T
    if measure == "cosine":
        lengths = [np.linalg.norm(rows, axis=1) for rows in (queries, embeddings)]
        products /= np.outer(*lengths)
    few, wanted = tf.constant([names[:3]] * 5), tf.constant([["a"]] * 5)
    is_one_of_few = np.isin(names, names[:3])
    for restrictions, passes in (
        ({}, True),
        ({"exclusions": few}, ~is_one_of_few),
        ({"filters": {"kind": wanted}}, attributes["kind"] == "a"),
        ({"allowed": few}, is_one_of_few),
    ):
        left = np.where(passes, products, -np.inf)
        order = np.argsort(-left)[:, :7]
        scores, found = index(queries, **restrictions)
        expected = np.take_along_axis(left, order, axis=1)
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
        best = np.where(np.isfinite(expected), names[order], "")
        np.testing.assert_array_equal(found.numpy().astype(str), best)


@pytest.mark.parametrize("measure", ["dot_product", "cosine"])
@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_a_long_life_of_changes_leaves_the_index_of_what_is_left(kind, measure):
    rng = np.random.default_rng(1)
    options = {"capacity": 80, "distance_measure": measure}
    corpus = rows(rng, [f"i{n}" for n in range(50)])
    embeddings, names, attributes = parts(corpus)
    index = make(kind, **options).index(embeddings, names, attributes=attributes)
    assert index.staleness == 0
    changes = 0
    for step in range(6):
        gone = rng.choice(list(corpus), size=9, replace=False)
        index.remove(gone)
        for name in gone:
            del corpus[name]
        new = rows(rng, [f"new {step} {n}" for n in range(11)])
        embeddings, names, attributes = parts(new)
        index.add(embeddings, names, attributes=attributes)
        corpus |= new
        some = [*rng.choice(list(corpus), size=4, replace=False), f"up {step}"]
        changed = rows(rng, some)
        embeddings, names, attributes = parts(changed)
        index.upsert(embeddings, names, attributes=attributes)
        corpus |= changed
        changes += 9 + 11 + 5
        assert index.num_candidates == len(corpus)
        assert index.staleness == pytest.approx(changes / len(corpus))
        assert_best(index, corpus, measure)


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_all_candidates_can_go_and_others_come(kind):
    corpus = rows(np.random.default_rng(2), ["a", "b", "c"])
    embeddings, names, attributes = parts(corpus)
    index = make(kind, capacity=9).index(embeddings, names, attributes=attributes)
    index.remove(names)
    assert index.num_candidates == 0
    index.add(embeddings[:2], names[:2], attributes={"kind": attributes["kind"][:2]})
    found = {*index(embeddings, k=2)[1].numpy()[0].tolist()}
    assert found == {b"a", b"b"}


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_a_traced_graph_sees_the_changes(kind):
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(20, WIDTH)).astype("float32")
    index = make(kind).index(embeddings)
    ask = tf.function(lambda queries: index(queries, k=3))
    query = tf.constant(embeddings[:1])
    best = ask(query)[1].numpy()[0]
    index.remove(best[:1])
    again = ask(query)[1].numpy()[0]
    assert best[0] not in again
    np.testing.assert_array_equal(again[:2], best[1:])


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_a_changed_index_survives_saving(kind, tmp_path):
    rng = np.random.default_rng(4)
    embeddings = rng.normal(size=(20, WIDTH)).astype("float32")
    index = make(kind, capacity=30).index(embeddings)
    index.remove([3, 4])
    index.add(embeddings[3:4] * 5, [99])
    query = tf.constant(embeddings[3:4])
    expected = index(query)
    index.save(tmp_path / "index")
    loaded = tf.keras.models.load_model(tmp_path / "index")
    np.testing.assert_array_equal(loaded(query)[1], expected[1])
    assert int(expected[1][0, 0]) == 99
    index.save_weights(tmp_path / "weights")
    copy = type(index).from_config(index.get_config())
    copy.load_weights(tmp_path / "weights").expect_partial()
    np.testing.assert_array_equal(copy(query)[1], expected[1])
    copy.remove([99])
    assert 99 not in copy(query)[1].numpy()


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda i: i.add(np.ones([1, 3], "float32"), [4]),
            "`identifiers` to add.*4 is",
        ),
        (lambda i: i.remove([2, 77]), r"to remove must be indexed.*77 is one"),
        (lambda i: i.add(np.ones([50, 3], "float32"), range(50, 100)), "`capacity` is"),
        (
            lambda i: i.upsert(np.ones([50, 3], "float32"), range(50, 100)),
            "`capacity` is",
        ),
        (lambda i: i.add(np.ones([1, 2], "float32"), [50]), "`candidates` must have"),
        (lambda i: i.upsert(np.full([1, 3], np.nan, "float32"), [0]), "finite.*Row 0"),
        (lambda i: i.upsert(np.ones([2, 3], "float32"), [0, 0]), "must be unique"),
        (
            lambda i: i.add(np.ones([1, 3], "float32"), [50], attributes={"a": [1]}),
            r"`attributes` must be those .*\[\]. Got \['a'\]",
        ),
    ],
)
def test_a_refused_change_changes_nothing(kind, change, message):
    embeddings = np.random.default_rng(5).normal(size=(20, 3)).astype("float32")
    index = make(kind, capacity=25).index(embeddings)
    before = index(embeddings)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        change(index)
    np.testing.assert_array_equal(index(embeddings)[1], before[1])
    assert index.num_candidates == 20
    assert index.staleness == 0


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_an_empty_index_cannot_be_changed(kind):
    with pytest.raises(ValueError, match="The index is empty"):
        make(kind).remove([1])
    with pytest.raises(ValueError, match="The index is empty"):
        make(kind).add(np.ones([1, 3], "float32"), [1])


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_less_capacity_than_candidates_is_refused(kind):
    with pytest.raises(ValueError, match="`capacity` must be at least .* 20. Got 10"):
        make(kind, capacity=10).index(np.ones([20, 3], "float32"))


@pytest.mark.parametrize("make", [layers.BruteForce, layers.IVF])
@pytest.mark.parametrize(
    "use",
    [
        lambda index: index(np.ones([1, 3], "float32"), k=2, allowed=[[4, 7]]),
        lambda index: index.similar([4], k=2),
        lambda index: index.remove([4, 7]),
        lambda index: index.upsert(np.ones([1, 3], "float32"), [4]),
        lambda index: index.query_with_exclusions(
            np.ones([1, 3], "float32"), tf.constant([[4]]), k=2
        ),
    ],
    ids=["allowed", "similar", "remove", "upsert", "exclusions"],
)
def test_no_use_makes_later_searches_copy_the_embeddings(make, use):
    index = make().index(np.random.default_rng(0).normal(size=(40, 3)).astype("f4"))
    use(index)
    reads = [index.snapshot()["candidates"] for _ in range(2)]
    assert len({np.asarray(memoryview(read)).ctypes.data for read in reads}) == 1


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
@pytest.mark.parametrize("change", ["add", "upsert"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b"], "must be of its type, int64"),
        ([1], "must have a row for each candidate. Got 1 rows for 2"),
        ([[1, 2], [3, 4]], "must have at most 1 values"),
    ],
)
def test_attributes_that_do_not_fit_change_nothing(kind, change, values, message):
    embeddings = np.random.default_rng(6).normal(size=(20, 3)).astype("float32")
    index = make(kind, capacity=25).index(
        embeddings, attributes={"g": np.arange(20) % 3}
    )
    before = index(embeddings)
    ids = [0, 1] if change == "upsert" else [50, 51]
    with pytest.raises(ValueError, match=message):
        getattr(index, change)(9 * embeddings[:2], ids, attributes={"g": values})
    np.testing.assert_array_equal(index(embeddings)[1], before[1])
    assert index.num_candidates == 20
    getattr(index, change)(9 * embeddings[:2], ids, attributes={"g": [1, 1]})
    assert set(ids) & set(index(embeddings)[1].numpy().ravel().tolist())


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_weights_of_an_index_with_fewer_candidates_can_be_changed_on(kind):
    embeddings = np.random.default_rng(7).normal(size=(20, 3)).astype("float32")
    index = make(kind, capacity=40).index(embeddings)
    copy = type(index).from_config(index.get_config())
    index.remove(np.arange(15))
    copy.set_weights(index.get_weights())
    copy.add(100 * embeddings[:1], [50])
    assert copy.num_candidates == 6
    assert {*copy(embeddings, k=6)[1].numpy()[0].tolist()} == {15, 16, 17, 18, 19, 50}


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_id_zero_is_gone_with_the_last_candidate(kind):
    index = make(kind).index(np.eye(3, dtype="float32"))
    index.remove([0, 1, 2])
    with pytest.raises(ValueError, match="to remove must be indexed"):
        index.remove([0])
    index.add(np.ones([1, 3], "float32"), [0])
    assert index.num_candidates == 1


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
@pytest.mark.parametrize(("size", "width"), [(20, 3), (9, 3), (31, 3), (20, 2)])
def test_indexing_anew_forgets_everything(kind, size, width):
    """Also in slots that are free now: they are saved with the rest."""
    rng = np.random.default_rng(8)
    index = make(kind, capacity=40).index(
        rng.normal(size=(20, 3)).astype("float32"),
        np.arange(20) + 1000,
        attributes={"old": np.arange(20) + 2000},
    )
    index.remove([1003, 1004])
    index.add(np.ones([1, 3], "float32"), [1020], attributes={"old": [2020]})
    assert index.staleness == 3 / 19
    generation = index.generation
    rows = rng.normal(size=(size, width)).astype("float32")
    old = {"old": np.full(size, 7)} if width == 3 else {}
    index.index(rows, attributes=old)
    assert index.staleness == 0
    assert index.num_candidates == size
    assert index.embedding_dim == width
    assert index.generation > generation
    assert index.attributes == dict.fromkeys(old, "int64")
    assert sorted(index.contents()[0].numpy()) == [*range(size)]
    queries = rng.normal(size=(4, width)).astype("float32")
    best = np.argsort(-queries @ rows.T)[:, :7]
    gone = tf.constant([[1001, 1020, 0]] * 4)
    np.testing.assert_array_equal(index(queries)[1], best)
    for ids, row in zip(index(queries, exclusions=gone)[1].numpy(), best, strict=True):
        assert ids.tolist()[:6] == [i for i in row if i != 0][:6]
    assert (index(queries, allowed=gone)[1].numpy() == [0, *[-1] * 6]).all()
    if old:
        assert (index(queries, filters={"old": [[2003]] * 4})[1].numpy() == -1).all()
    values = [w.numpy() for w in index.weights if w.dtype == tf.int64]
    assert not any(np.isin(value, np.arange(1000, 2021)).any() for value in values)


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_the_largest_values_are_restricted_as_a_search_is(kind):
    rng = np.random.default_rng(11)
    ids = rng.permutation(30)[:20]
    odd = ids % 2 == 1
    index = make(kind, capacity=40)
    index.index(rng.normal(size=(20, 3)).astype("float32"), ids, attributes={"o": odd})
    values = rng.permutation(2 * 30).reshape(2, 30)
    gone, few = ids[:5], ids[2:12]
    for arguments, passes in (
        ({}, lambda _: True),
        ({"exclusions": [gone] * 2}, lambda i: i not in gone),
        ({"allowed": [few] * 2}, lambda i: i in few),
        ({"filters": {"o": [[True]] * 2}}, lambda i: i % 2 == 1),
    ):
        scores, found = index.largest(values, 6, **arguments)
        for row in range(2):
            left = sorted((i for i in ids if passes(i)), key=lambda i: -values[row, i])
            left = (left + [-1] * 6)[:6]
            assert found[row].numpy().tolist() == left
            expected = [values[row, i] if i >= 0 else -np.inf for i in left]
            np.testing.assert_array_equal(scores[row], expected)


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_new_last_columns_leave_the_index_of_the_changed_candidates(kind):
    rng = np.random.default_rng(5)
    corpus = rows(rng, [f"item {i}" for i in range(23)])
    embeddings, names, attributes = parts(corpus)
    index = make(kind).index(embeddings, names, attributes=attributes)
    index.remove(names[4:6])
    for name in names[4:6]:
        del corpus[name]
    some = rng.permutation(list(corpus))[:9]
    values = rng.normal(size=(9, 2)).astype("float32")
    index.update_columns(values, some)
    for name, row in zip(some, values, strict=True):
        embedding, kind_of = corpus[name]
        corpus[name] = (np.append(embedding[:1], row), kind_of)
    assert_best(index, corpus, "dot_product")


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        ([[1.0]], ["z"], "`identifiers` to update must be indexed. 1 are not, 'z'"),
        ([[1.0], [2.0]], ["a", "a"], "a"),
        ([[np.nan]], ["a"], "1 values not finite"),
        ([[1.0] * 4], ["a"], "1 to 3 columns"),
        ([[1.0], [2.0]], ["a"], "a row for each of the 1"),
    ],
)
def test_wrong_columns_change_nothing(values, names, message):
    index = make("BruteForce").index(np.ones([2, 3], "float32"), ["a", "b"])
    with pytest.raises(ValueError, match=message):
        index.update_columns(np.float32(values), names)
    np.testing.assert_array_equal(index.contents()[1], np.ones([2, 3]))


def test_columns_of_directions_cannot_change_alone():
    index = make("BruteForce", distance_measure="cosine").index([[1.0, 2.0]], ["a"])
    with pytest.raises(ValueError, match="must be 'dot_product' to update columns"):
        index.update_columns([[1.0]], ["a"])
