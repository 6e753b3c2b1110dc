"""Exclusions, allow-lists and filters of indexes, beside a loop over candidates."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

SIZE, WIDTH = 90, 4
RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(SIZE, WIDTH)).astype("float32")
QUERIES = RNG.normal(size=(6, WIDTH)).astype("float32")
IDS = np.array([f"item {i}" for i in RNG.permutation(SIZE)])
GENRES = [
    [f"g{g}" for g in RNG.choice(5, size=n, replace=False)]
    for n in RNG.integers(4, size=SIZE)  # none for some
]
SHOPS = RNG.integers(3, size=SIZE)
ATTRIBUTES = {
    "genre": tf.ragged.constant(GENRES, dtype=tf.string),
    "shop": tf.constant(SHOPS),
}


@pytest.fixture(
    scope="module",
    params=["BruteForce", "IVF, all blocks", "IVF, one block", "ScaNN"],
)
def index(request):
    kind, _, probes = request.param.partition(", ")
    options = {}
    if kind == "IVF":
        options = {"block_size": 8, "num_probes": 1 if probes == "one block" else 99}
    if kind == "ScaNN":
        options = {
            "num_leaves": 3,
            "num_leaves_to_search": 3,
            "num_reordering_candidates": SIZE,
        }
    index = getattr(layers, kind)(k=5, **options)
    index.index(CANDIDATES, IDS, attributes=ATTRIBUTES)
    index.sees_all = probes != "one block"
    return index


def passing(row, *, excluded=None, allowed=None, genres=None, shops=None):
    """Candidates that a query may have, by the definitions."""
    return [
        number
        for number, name in enumerate(IDS.tolist())
        if (excluded is None or name not in excluded[row])
        and (allowed is None or name in allowed[row])
        and (not genres or not genres[row] or {*genres[row]} & {*GENRES[number]})
        and (not shops or not shops[row] or SHOPS[number] in shops[row])
    ]


def check(index, result, k, **restrictions):
    """The best that pass where the index sees all; else `k` that pass, in order."""
    scores, names = (value.numpy() for value in result)
    for row, query in enumerate(QUERIES):
        products = {IDS[i]: query @ CANDIDATES[i] for i in passing(row, **restrictions)}
        best = sorted(products, key=products.get, reverse=True)[:k]
        found = [name.decode() for name in names[row] if name]
        if index.sees_all or "allowed" in restrictions:
            assert found == best
        assert len(found) == len(set(found)) == len(best)
        np.testing.assert_allclose(
            scores[row, : len(found)], [products[name] for name in found], rtol=1e-5
        )
        assert (np.diff(scores[row, : len(found)]) <= 0).all()
        assert np.isneginf(scores[row, len(found) :]).all()


def ragged(rows):
    return tf.ragged.constant(rows, dtype=tf.string)


LISTS = [
    [],
    IDS[:40].tolist(),
    [IDS[3], IDS[3], "unheard of"],
    IDS.tolist(),
    IDS[5:].tolist() + IDS[60:].tolist(),  # repeats
    ["unheard of"],
]


@pytest.mark.parametrize("graph", [False, True])
def test_exclusions(index, graph):
    def ask(queries, lists):
        return index(queries, exclusions=lists)

    ask = tf.function(ask) if graph else ask
    check(index, ask(tf.constant(QUERIES), ragged(LISTS)), 5, excluded=LISTS)


@pytest.mark.parametrize("k", [1, 5, 60])
def test_allowed_ids(index, k):
    result = index(QUERIES, k=k, allowed=ragged(LISTS))
    check(index, result, k, allowed=LISTS)


def test_dense_lists_with_padding_are_the_same(index):
    lists = ragged(LISTS)
    for name in ("exclusions", "allowed"):
        for dense, sparse in zip(
            index(QUERIES, **{name: lists.to_tensor("")}),
            index(QUERIES, **{name: lists}),
            strict=True,
        ):
            np.testing.assert_array_equal(dense, sparse)


WANTED_GENRES = [["g1"], ["g0", "g4", "g4"], [], ["unheard of"], ["g2", "new"], ["g3"]]
WANTED_SHOPS = [[2], [], [], [0, 1], [1], [7]]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("k", [2, 30])
def test_filters(index, graph, k):
    def ask(queries, genres, shops):
        return index(queries, k=k, filters={"genre": genres, "shop": shops})

    ask = tf.function(ask) if graph else ask
    shops = tf.ragged.constant(WANTED_SHOPS, dtype=tf.int64)
    result = ask(tf.constant(QUERIES), ragged(WANTED_GENRES), shops)
    check(index, result, k, genres=WANTED_GENRES, shops=WANTED_SHOPS)
    padded = ask(
        tf.constant(QUERIES), ragged(WANTED_GENRES).to_tensor(""), shops.to_tensor(-1)
    )
    np.testing.assert_array_equal(padded[1], result[1])


def test_everything_at_once(index):
    allowed = [IDS.tolist()] * 5 + [IDS[:9].tolist()]
    result = index(
        QUERIES,
        exclusions=ragged(LISTS),
        allowed=ragged(allowed),
        filters={"genre": ragged(WANTED_GENRES)},
    )
    check(index, result, 5, excluded=LISTS, allowed=allowed, genres=WANTED_GENRES)


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_restrictions_hold_at_any_magnitude(scale):
    for kind in ("BruteForce", "IVF"):
        index = getattr(layers, kind)(k=4).index(np.float32(CANDIDATES * scale), IDS)
        best = index(QUERIES)[1]
        scores, names = index(QUERIES, exclusions=best)
        for row in range(len(QUERIES)):
            assert not {*names[row].numpy()} & {*best[row].numpy()}
        assert np.isfinite(scores).all()


def test_a_filter_by_an_unknown_attribute_is_named(index):
    with pytest.raises(ValueError, match=r"`filters` must be by .*\['genre', 'shop'\]"):
        index(QUERIES, filters={"colour": ragged([["red"]] * 6)})


def test_a_filter_of_another_type_is_named(index):
    with pytest.raises(ValueError, match="attribute `shop` must be of its type, int64"):
        index(QUERIES, filters={"shop": ragged([["red"]] * 6)})


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"price": np.ones(SIZE, "float32")}, "`price` must be of its type.*ranges"),
        ({"shop": SHOPS[:-1]}, "`shop` must have a row for each.*89 rows for 90"),
    ],
)
def test_attributes_that_cannot_be_filtered_by_are_named(attributes, message):
    with pytest.raises(ValueError, match=message):
        layers.BruteForce().index(CANDIDATES, IDS, attributes=attributes)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_query_that_is_not_finite_is_an_error(index, bad):
    queries = QUERIES.copy()
    queries[4, 1] = bad
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`queries` must be fin"):
        index(queries)


def test_an_index_can_be_filled_from_a_dataset_with_attributes():
    rows = tf.data.Dataset.from_tensor_slices((IDS, CANDIDATES, ATTRIBUTES)).batch(7)
    wanted = {"genre": ragged(WANTED_GENRES)}
    expected = layers.BruteForce(k=5).index(CANDIDATES, IDS, attributes=ATTRIBUTES)
    index = layers.BruteForce(k=5).index_from_dataset(rows)
    np.testing.assert_array_equal(
        index(QUERIES, filters=wanted)[1], expected(QUERIES, filters=wanted)[1]
    )


@pytest.mark.parametrize("argument", ["exclusions", "allowed", "filters"])
def test_lists_for_another_number_of_queries_are_refused(index, argument):
    lists = ragged([["g1"]])
    value = {"genre": lists} if argument == "filters" else lists
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"`{argument}.*a list for"
    ):
        index(QUERIES, **{argument: value})


def test_a_single_query_may_have_plain_lists(index):
    plain = index(QUERIES[1], exclusions=IDS[:40], filters={"shop": [0, 2]})
    listed = index(QUERIES[1:2], exclusions=IDS[None, :40], filters={"shop": [[0, 2]]})
    np.testing.assert_array_equal(plain[1], listed[1][0])
    nothing = index(QUERIES[1], exclusions=[], filters={"genre": []})
    np.testing.assert_array_equal(nothing[1], index(QUERIES[1])[1])


def test_an_empty_batch_may_be_restricted(index):
    none = tf.zeros([0, 3], tf.string)
    ask = tf.function(
        lambda queries: index(
            queries, exclusions=none, allowed=none, filters={"genre": none}
        ),
        input_signature=[tf.TensorSpec([None, WIDTH])],
    )
    assert ask(tf.zeros([0, WIDTH]))[1].shape == (0, 5)


@pytest.mark.parametrize("kind", [np.int64, tf.constant, np.int32])
def test_k_may_be_of_any_integer_type(index, kind):
    k = tf.constant(3, tf.int64) if kind is tf.constant else kind(3)
    result = index(QUERIES, k=k, exclusions=ragged(LISTS))
    check(index, result, 3, excluded=LISTS)


def test_an_attribute_that_nobody_has_filters_everybody_out():
    nobody = tf.ragged.constant([[]] * SIZE, dtype=tf.string)
    index = layers.IVF(k=2).index(CANDIDATES, attributes={"badge": nobody})
    scores, _ = index(QUERIES, filters={"badge": ragged([["gold"]] * 6)})
    assert np.isneginf(scores).all()


def test_names_that_cannot_be_inputs_are_refused():
    with pytest.raises(ValueError, match="Names of attributes must be.*'a/b c'"):
        layers.IVF().index(CANDIDATES, attributes={"a/b c": SHOPS})


def test_attributes_padded_batch_by_batch_are_joined():
    rows = [
        ([1, 2], np.eye(2), [["a", ""], ["b", "c"]]),
        ([3], np.ones([1, 2]), [["a", "b", "c"]]),
    ]
    batches = tf.data.Dataset.from_generator(
        lambda: iter(rows),
        output_signature=(
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None, 2]),
            tf.TensorSpec([None, None], tf.string),
        ),
    ).map(lambda ids, rows, kinds: (ids, rows, {"kind": kinds}))
    index = layers.BruteForce(k=3).index_from_dataset(batches)
    _, ids = index(np.ones([1, 2], "float32"), filters={"kind": [["a"]]})
    assert {*ids.numpy()[0].tolist()} == {1, 3, -1}


def test_batches_of_several_widths_are_refused():
    batches = tf.data.Dataset.from_generator(
        lambda: iter([np.eye(2), np.eye(3)]),
        output_signature=tf.TensorSpec([None, None]),
    )
    with pytest.raises(
        ValueError, match="one width and type.*after float32 of width 2"
    ):
        layers.BruteForce().index_from_dataset(batches)


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(1e-7, "float32"), (1e20, "float32"), (200, "float16"), (1e-4, "float16")],
)
def test_cosines_are_right_at_any_length(kind, scale, dtype):
    rows = (CANDIDATES * scale).astype(dtype)
    index = getattr(layers, kind)(k=5, distance_measure="cosine").index(rows)
    expected = getattr(layers, kind)(k=5, distance_measure="cosine").index(CANDIDATES)
    scores, ids = index((QUERIES * scale).astype(dtype))
    tolerance = 1e-5 if dtype == "float32" else 0.01
    np.testing.assert_allclose(scores, expected(QUERIES)[0], atol=tolerance)
    if dtype == "float32":
        np.testing.assert_array_equal(ids, expected(QUERIES)[1])
    zero = index(np.zeros([1, WIDTH], dtype))[0]
    np.testing.assert_array_equal(zero, np.zeros([1, 5]))


def test_a_score_beyond_its_type_is_still_the_best():
    index = layers.BruteForce(k=3).index(
        np.diag(np.float16([300, 200, 100])).astype("float16")
    )
    assert index(np.full((1, 3), 250, "float16"))[1].numpy()[0, 0] == 0
