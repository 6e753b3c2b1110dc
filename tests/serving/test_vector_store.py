"""Against the embedded engine, Milvus Lite."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.serving import VectorIndex, VectorStore

pytest.importorskip("milvus_lite")

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(60, 5)).astype("float32") * RNG.gamma(2, size=(60, 1))
QUERIES = RNG.normal(size=(3, 5)).astype("float32")
NAMES = [f"item {n}" for n in range(60)]
GENRES = ["drama", "crime", "comedy"]
ATTRIBUTES = {
    "genre": [GENRES[n % 3] for n in range(60)],
    "year": np.arange(1950, 2010),
    "tags": [["a", "b"][: n % 2 + 1] for n in range(60)],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    from milvus_lite.server_manager import server_manager_instance

    path = str(tmp_path_factory.mktemp("store") / "store.db")
    yield path
    server_manager_instance.release_server(path)


@pytest.fixture
def store(place):
    with VectorStore(place, "items") as store:
        yield store.write(ITEMS, NAMES, attributes=ATTRIBUTES)


def best(scores, allowed, k):
    """Rows of the largest scores among the allowed ones, by sorting."""
    return [
        sorted(np.flatnonzero(allowed), key=lambda item: -row[item])[:k]
        for row in scores
    ]


EVERYTHING = np.ones(60, bool)
YEARS = np.arange(1950, 2010)


@pytest.mark.parametrize(
    ("where", "allowed"),
    [
        ("", EVERYTHING),
        ('genre == "crime"', np.arange(60) % 3 == 1),
        ("year >= 1990 and year < 1995", (YEARS >= 1990) & (YEARS < 1995)),
        ('id in ["item 3", "item 9"]', np.isin(np.arange(60), [3, 9])),
        ("year > 3000", ~EVERYTHING),
    ],
)
def test_the_best_candidates_that_pass_the_filter_are_found(store, where, allowed):
    found = store.query(QUERIES, k=7, where=where, attributes=["genre", "year"])
    scores = QUERIES @ ITEMS.T
    for row, items in enumerate(best(scores, allowed, 7)):
        missing = 7 - len(items)
        names = [NAMES[item] for item in items] + [""] * missing
        assert found.identifiers[row].tolist() == names
        np.testing.assert_allclose(
            found.scores[row], [*scores[row][items], *[-np.inf] * missing], rtol=1e-4
        )
        years = [YEARS[item] for item in items] + [None] * missing
        assert found.attributes["year"][row].tolist() == years


def test_angles_rank_where_the_metric_is_cosine(place):
    index = VectorIndex(kind="FLAT", metric="COSINE", build={}, search={})
    with VectorStore(place, "angles", index=index) as store:
        found = store.write(ITEMS, NAMES).query(QUERIES, k=5)
    unit = ITEMS / np.linalg.norm(ITEMS, axis=1, keepdims=True)
    for row, items in enumerate(best(QUERIES @ unit.T, EVERYTHING, 5)):
        assert found.identifiers[row].tolist() == [NAMES[item] for item in items]


def test_the_query_tower_maps_features_to_queries(place):
    table = tf.constant(QUERIES)
    tower = tf.keras.layers.Lambda(lambda features: tf.gather(table, features["user"]))
    with VectorStore(place, "items", query_model=tower) as store:
        store.write(ITEMS, tf.constant(NAMES))
        found = store.query({"user": tf.constant([2, 0])}, k=1)
    expected = np.argmax(QUERIES[[2, 0]] @ ITEMS.T, axis=1)
    assert found.identifiers[:, 0].tolist() == [NAMES[item] for item in expected]


def test_ids_may_be_numbers_and_missing_ones_are_minus_one(place):
    with VectorStore(place, "numbers") as store:
        store.write(ITEMS[:2], np.array([2**40, 7]))
        found = store.query(QUERIES, k=4)
        assert len(store) == 2
    assert found.identifiers.dtype == np.int64
    assert {*found.identifiers[0, :2]} == {2**40, 7}
    assert found.identifiers[:, 2:].tolist() == [[-1, -1]] * 3
    assert np.all(found.scores[:, 2:] == -np.inf)


def test_what_is_deleted_is_not_found_and_what_is_upserted_is(store):
    top = store.query(QUERIES, k=2).identifiers
    store.delete([top[0, 0], "nobody"])
    assert len(store) == 59
    assert store.query(QUERIES, k=1).identifiers[0, 0] == top[0, 1]
    store.upsert(
        np.stack([QUERIES[0] * 100, QUERIES[1] * 100]),
        ["new", NAMES[5]],
        attributes={"genre": ["war", "war"]},
    )
    found = store.query(QUERIES[:2], k=1, attributes=["genre"])
    assert found.identifiers[:, 0].tolist() == ["new", NAMES[5]]
    assert found.attributes["genre"].tolist() == [["war"], ["war"]]


def test_what_was_written_is_there_when_it_is_opened_again(store, place):
    expected = store.query(QUERIES, k=3)
    with VectorStore(place, "items") as again:
        assert len(again) == 60
        found = again.query(QUERIES, k=3)
        assert again.query(QUERIES, where="year > 3000").identifiers[0, 0] == ""
    assert found.identifiers.tolist() == expected.identifiers.tolist()


def test_writing_again_drops_what_was_there(store):
    store.write(ITEMS[:4, :3], [1, 2, 3, 4])  # other widths and ids
    assert len(store) == 4
    assert store.query(QUERIES[:, :3], k=1).identifiers.dtype == np.int64


def test_before_it_is_written_it_says_so(place):
    with VectorStore(place, "nothing") as store:
        assert len(store) == 0
        for call in (
            lambda: store.query(QUERIES),
            lambda: store.delete([1]),
            lambda: store.upsert(ITEMS, NAMES),
        ):
            with pytest.raises(ValueError, match="`nothing` is not there.*`write`"):
                call()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"identifiers": NAMES[:59]}, "'id': 59, 'embedding': 60"),
        ({"identifiers": [*NAMES[:59], NAMES[0]]}, "59 different ids"),
        ({"identifiers": [1.5] * 60}, r"numbers or strings.*\['float'\]"),
        ({"candidates": ITEMS[0]}, r"`candidates` must be a table.*\(5,\)"),
        ({"candidates": np.full([60, 5], np.nan)}, "300 that are not finite"),
        ({"attributes": {"year": [1]}}, "'year': 1"),
        ({"attributes": {"id": NAMES}}, "must not be called `id`"),
    ],
)
def test_candidates_that_do_not_fit_are_refused_before_anything_is_dropped(
    store, arguments, words
):
    with pytest.raises(ValueError, match=words):
        store.write(**{"candidates": ITEMS, "identifiers": NAMES, **arguments})
    assert len(store) == 60


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 0}, "`k` must be at least 1"),
        ({"queries": QUERIES * np.inf}, "`queries` must be a table of finite"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(store, arguments, words):
    with pytest.raises(ValueError, match=words):
        store.query(**{"queries": QUERIES, **arguments})


def test_a_metric_by_which_smaller_is_better_is_refused():
    with pytest.raises(ValueError, match="`metric` must be 'IP' or 'COSINE'. Got 'L2'"):
        VectorIndex(metric="L2")


def test_a_place_that_is_neither_file_nor_server_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ends with `.db`, or an address"):
        VectorStore(tmp_path / "store", "items")


def test_a_missing_package_is_named_with_how_to_get_it(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ImportError, match=r"pip install 'tfrs-models\[vector-store\]'"):
        VectorStore(place, "items")
