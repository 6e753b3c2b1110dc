"""Against the embedded engine, Milvus Lite."""

import contextlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.serving import VectorIndex, VectorStore

pytest.importorskip("milvus_lite")
pymilvus = pytest.importorskip("pymilvus")

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(60, 5)).astype("float32") * RNG.gamma(2, size=(60, 1))
QUERIES = RNG.normal(size=(3, 5)).astype("float32")
NAMES = [f"item {n}" for n in range(60)]
GENRES = ["drama", "crime", "comedy"]
ATTRIBUTES = {
    "genre": [GENRES[n % 3] for n in range(60)],
    "year": np.arange(1950, 2010),
    "tags": [["a", "b"][: n % 2 + 1] for n in range(60)],
    "seen": [n % 2 == 0 for n in range(60)],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    from milvus_lite.server_manager import server_manager_instance

    path = str(tmp_path_factory.mktemp("store") / "store.db")
    yield path
    server_manager_instance.release_server(path)


@pytest.fixture(scope="module")
def engine(place):
    """The engine itself, beside the store."""
    with contextlib.closing(pymilvus.MilvusClient(place)) as client:
        yield client


@pytest.fixture(scope="module")
def written(place):
    """A store that is only asked."""
    with VectorStore(place, "written") as store:
        yield store.write(ITEMS, NAMES, attributes=ATTRIBUTES)


@pytest.fixture
def store(place):
    """A store of four candidates, to be changed."""
    with VectorStore(place, "items") as store:
        yield store.write(ITEMS[:4], NAMES[:4], attributes={"genre": [*"abcd"]})


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
def test_the_best_candidates_that_pass_the_filter_are_found(written, where, allowed):
    found = written.query(QUERIES, k=7, where=where, attributes=["genre", "year"])
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
    assert len(store) == 3
    assert store.query(QUERIES, k=1).identifiers[0, 0] == top[0, 1]
    store.upsert(
        np.stack([QUERIES[0] * 100, QUERIES[1] * 100]),
        ["new", NAMES[3]],
        attributes={"genre": ["war", "war"]},
    )
    found = store.query(QUERIES[:2], k=1, attributes=["genre"])
    assert found.identifiers[:, 0].tolist() == ["new", NAMES[3]]
    assert found.attributes["genre"].tolist() == [["war"], ["war"]]
    store.upsert(QUERIES[:1] * 100, ["new"])  # without its genre
    assert store.query(QUERIES[:1], k=1, attributes=["genre"]).attributes["genre"] == [
        [None]
    ]


ODD = [
    "zzz'] or id not in ['",
    '"] or id != "',
    "it's",
    'say "hi"',
    "back\\slash",
    "ends with \\",
    "\\'",
    "\\n is no line break",
    "line\nbreak\r\tand tab",
    "{ids}",
    "a, b",
    "%s $meta",
    "ü 😀 \u2028 \x85 \x00",
]


def test_whatever_is_in_an_id_or_a_value_it_is_one(store):
    scores = np.arange(1, len(ODD) + 1)
    store.write(
        np.stack([scores, scores], axis=1),
        ODD,
        attributes={"title": ODD, "tags": [[text, "same"] for text in ODD]},
    )
    query = np.ones([1, 2])
    for text in ODD:
        for where in ("id in {x}", "title == {x}", "array_contains(tags, {x})"):
            value = [text] if "in {" in where else text
            found = store.query(query, k=20, where=where, where_params={"x": value})
            assert [name for name in found.identifiers[0] if name] == [text]
    store.delete(["' or id != '", "*", '"] or true or id in ["'])
    for left, text in reversed(list(enumerate(ODD))):
        store.delete([text])
        assert len(store) == left


@pytest.mark.parametrize(
    ("where", "params", "allowed"),
    [
        ("year in {years}", {"years": np.array([1951, 1999])}, [1, 49]),
        ("year in {none}", {"none": []}, []),
        ("year > {low} and year <= {high}", {"low": 2005.5, "high": 2007}, [56, 57]),
        ('genre != "{year}" and year == {year}', {"year": np.int32(1960)}, [10]),
        ("genre == '{\\'}' or id == {id}", {"id": b"item 4"}, [4]),
        ("seen == {yes} and year < 1954", {"yes": np.True_}, [0, 2]),
    ],
)
def test_parameters_are_values_of_their_kinds(written, where, params, allowed):
    found = written.query(QUERIES, k=9, where=where, where_params=params)
    for row in found.identifiers:
        assert sorted(name for name in row if name) == [NAMES[n] for n in allowed]


def test_what_was_written_is_there_when_it_is_opened_again(written, place):
    expected = written.query(QUERIES, k=3)
    with VectorStore(place, "written") as again:
        assert len(again) == 60
        found = again.query(QUERIES, k=3)
        assert again.query(QUERIES, where="year > 3000").identifiers[0, 0] == ""
    assert found.identifiers.tolist() == expected.identifiers.tolist()


def collections(engine):
    names = engine.list_collections()
    return [name for name in names if name.startswith("items")]


def test_writing_again_takes_the_place_of_what_was_there_for_everybody(
    store, place, engine
):
    killed = "items__12"  # as a write leaves it that is killed before its end
    engine.create_collection(killed, dimension=2)
    with VectorStore(place, "items") as other:
        store.write(ITEMS[:3, :3], [1, 2, 3])  # other widths and ids
        for one in (store, other):
            assert len(one) == 3
            assert one.query(QUERIES[:, :3], k=1).identifiers.dtype == np.int64
        other.upsert(ITEMS[:1, :3], [4])
        other.delete([2])
        assert sorted(store.query(QUERIES[:1, :3], k=3).identifiers[0]) == [1, 3, 4]
    assert len(collections(engine)) == 1
    assert killed not in collections(engine)


@pytest.mark.parametrize("step", ["create_collection", "upsert", "alter_alias"])
def test_a_write_that_fails_half_way_changes_nothing(store, engine, step, monkeypatch):
    before = store.query(QUERIES, k=5)
    method, calls = getattr(pymilvus.MilvusClient, step), []

    def fail(*args, **kwargs):
        calls.append(args)
        if step == "upsert" and len(calls) < 2:  # the first message arrives
            return method(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(pymilvus.MilvusClient, step, fail)
    rows = 1001  # two messages
    with pytest.raises(KeyboardInterrupt):
        store.write(np.ones([rows, 2]), np.arange(rows))
    assert calls
    monkeypatch.undo()
    assert len(store) == 4
    for one, other in zip(store.query(QUERIES, k=5)[:2], before[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    store.write(ITEMS[:2], NAMES[:2])
    assert len(store) == 2
    assert len(collections(engine)) == 1


def test_what_takes_several_messages_is_written_and_deleted_in_full(store):
    number = 2003
    angles = np.linspace(0, 1.5, number)
    store.write(np.stack([np.cos(angles), np.sin(angles)], axis=1), np.arange(number))
    assert len(store) == number
    found = store.query([[1, 0]], k=number).identifiers[0]
    assert found.tolist() == list(range(number))
    store.delete(np.arange(1, number))
    assert store.query([[1, 0]], k=2).identifiers.tolist() == [[0, -1]]


def test_wide_embeddings_go_in_smaller_messages(place, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        pymilvus.MilvusClient, "upsert", lambda *args: sizes.append(len(args[2]))
    )
    with VectorStore(place, "wide") as store:
        store.write(np.ones([129, 2**15]), np.arange(129))
        assert sizes == [128, 1]  # of 2**22 numbers
        sizes.clear()
        store.write(np.ones([2001, 1]), np.arange(2001))
        assert sizes == [1000, 1000, 1]


def test_a_query_for_many_searches_at_least_as_widely(place, monkeypatch):
    sent, search = [], pymilvus.MilvusClient.search

    def watched(*args, **kwargs):
        sent.append((kwargs["limit"], kwargs["search_params"]))
        return search(*args, **kwargs)

    monkeypatch.setattr(pymilvus.MilvusClient, "search", watched)
    index = VectorIndex(metric="COSINE", search={"ef": 20, "other": 3})
    with VectorStore(place, "many", index=index) as store:
        store.write(ITEMS, NAMES)
        for k in (5, 50):
            store.query(QUERIES, k=k)
    assert sent == [
        (k, {"metric_type": "COSINE", "params": {"ef": ef, "other": 3}})
        for k, ef in ((5, 20), (50, 50))
    ]


def test_a_collection_of_another_program_steps_aside(place, engine):
    with VectorStore(place, "foreign") as store:
        client = engine
        client.create_collection("foreign", dimension=5, vector_field_name="embedding")
        client.insert(
            "foreign", {"id": 7, "embedding": ITEMS[7].tolist(), "hue": "red"}
        )
        found = store.query(QUERIES[:1], k=1, attributes=["hue"])
        assert (found.identifiers, found.attributes["hue"]) == ([[7]], [["red"]])
        store.upsert(ITEMS[8:9], [8], attributes={"size": [3]})
        assert len(store) == 2
        store.write(ITEMS[:3], NAMES[:3])
        assert len(store) == 3
        assert [n for n in client.list_collections() if "foreign" in n] != ["foreign"]
        client.create_collection("other", dimension=2)
        with pytest.raises(ValueError, match="`other` must have the fields `id` and"):
            VectorStore(place, "other").query(QUERIES)


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
        ({"identifiers": [*NAMES[:59], 3]}, r"of one kind.*\['int', 'str'\]"),
        ({"identifiers": [True, False] * 30}, r"numbers or strings.*\['bool'\]"),
        ({"identifiers": "ab"}, "`identifiers` must be a list of ids. Got 'ab'"),
        ({"identifiers": [*NAMES[:59], "x" * 513]}, r"1 to 512 bytes.*xxx.* in row 59"),
        ({"identifiers": ["ü" * 257, *NAMES[:59]]}, "1 to 512 bytes.* in row 0"),
        ({"identifiers": [*NAMES[:59], ""]}, "stand for no candidate.*Got '' in row"),
        ({"identifiers": [*range(59), -1]}, "stand for no candidate.*Got -1 in row 59"),
        ({"identifiers": [*range(59), 2**63]}, "9223372036854775808 in row 59"),
        ({"identifiers": [*NAMES[:59], "\ud800"]}, "bytes of UTF-8.* in row 59"),
        ({"identifiers": [b"\xff"] * 60}, "can't decode"),
        ({"candidates": ITEMS[0]}, r"`candidates` must be a table.*\(5,\)"),
        ({"candidates": np.full([60, 5], np.nan)}, "300 that are not finite"),
        ({"candidates": np.full([60, 5], 1e39)}, "300 that are not finite"),
        ({"candidates": ITEMS[:, :0]}, "from 1 to 32768 columns. Got 0"),
        ({"candidates": ITEMS[:0], "identifiers": []}, "one at least.*'id': 0"),
        ({"attributes": {"year": [1]}}, "'year': 1"),
        ({"attributes": {"id": NAMES}}, "must not be called `id`"),
        (
            {"attributes": {"release year": NAMES}},
            "letters, digits and `_`.*'release y",
        ),
        (
            {"attributes": {"year": [*[1] * 59, 2**63]}},
            "`year` must be .*int64.*row 59",
        ),
        (
            {"attributes": {"year": [*[1] * 59, np.nan]}},
            "finite numbers.*Got nan in row",
        ),
        (
            {"attributes": {"year": [*[1] * 59, "?"]}},
            "`year` must be of one kind.*INT64",
        ),
        ({"attributes": {"year": [*[[1]] * 59, 2]}}, "of one kind.*some in lists"),
        ({"attributes": {"day": np.zeros(60, "datetime64[D]")}}, "`day`.*1970-01-01"),
        (
            {"attributes": {"text": ["y" * 65_536] * 60}},
            "65535 bytes.*65,538 characters",
        ),
        ({"attributes": {"tags": [[1] * 4097] * 60}}, "at most 4096 of these"),
        ({"attributes": {"tags": [{"a": 1}] * 60}}, r"Got {'a': 1} in row 0"),
    ],
)
def test_candidates_that_do_not_fit_are_refused_before_anything_is_sent(
    written, engine, arguments, words
):
    before = engine.list_collections()
    with pytest.raises(ValueError, match=words):
        written.write(**{"candidates": ITEMS, "identifiers": NAMES, **arguments})
    assert len(written) == 60
    assert engine.list_collections() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"identifiers": [5]},
            "`identifiers` must be str, as they were written. Got int",
        ),
        ({"candidates": ITEMS[:1, :4]}, "`candidates` must have 5 columns.* Got 4"),
        ({"attributes": {"gener": ["a"]}}, r"\['genre', .*'year'\]. Got \['gener'\]"),
        ({"attributes": {"year": ["1999"]}}, "`year` must be INT64.* Got VARCHAR"),
        (
            {"attributes": {"tags": ["a"]}},
            "`tags` must be lists of VARCHAR.* Got VARCH",
        ),
        ({"attributes": {"year": [2.5]}}, "`year` must be INT64.* Got DOUBLE"),
        ({"candidates": ITEMS[:0], "identifiers": []}, "one at least"),
    ],
)
def test_upserts_of_another_kind_than_what_was_written_are_refused(
    written, arguments, words
):
    with pytest.raises(ValueError, match=words):
        written.upsert(**{"candidates": ITEMS[:1], "identifiers": ["new"], **arguments})
    assert len(written) == 60


def test_ids_of_another_kind_are_not_deleted(written):
    for ids, words in (([1], "must be str"), ([""], "no candidate"), ("a", "a list")):
        with pytest.raises(ValueError, match=words):
            written.delete(ids)
    written.delete([])
    assert len(written) == 60


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 0}, "`k` must be at least 1"),
        ({"k": 16_385}, "at most 16384. Got 16385"),
        ({"k": 2.5}, "`k` must be at least 1.*Got 2.5"),
        ({"queries": QUERIES * np.inf}, "`queries` must be a table of finite"),
        ({"queries": QUERIES[0]}, r"`queries` must be a table.*\(5,\)"),
        ({"queries": QUERIES[:0]}, "`queries` must be at least one"),
        ({"queries": QUERIES[:, :4]}, "`queries` must have 5 columns.* Got 4"),
        ({"attributes": ["gener"]}, r"\['genre', .*'year'\]. Got \['gener'\]"),
        ({"attributes": "genre"}, "`attributes` must be a list. Got 'genre'"),
        ({"where": "gener == 'crime'"}, "`where` must be a filter.*'gener'"),
        ({"where": "year == '1999'"}, "`where` must be a filter"),
        ({"where": "year >"}, "`where` must be a filter"),
        ({"where": None}, "`where` must be a string. Got None"),
        ({"where": "year in {years}"}, r"every {name}.* Got \[\] for \['years'\]"),
        ({"where_params": {"year": 1}}, r"Got \['year'\] for \[\]"),
        ({"where": "year > {y}", "where_params": {"y": None}}, r"\['y'\]` must.*None"),
        ({"where": "year > {y}", "where_params": {"y": 2**63}}, "must be .*an int64"),
        ({"where": "year > {y}", "where_params": {"y": np.nan}}, "a finite number"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(written, arguments, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        written.query(**{"queries": QUERIES, **arguments})


def test_a_metric_by_which_smaller_is_better_is_refused():
    with pytest.raises(ValueError, match="`metric` must be 'IP' or 'COSINE'. Got 'L2'"):
        VectorIndex(metric="L2")


def test_a_place_that_is_neither_file_nor_server_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ends with `.db`, or an address"):
        VectorStore(tmp_path / "store", "items")


@pytest.mark.parametrize("name", ["", "my items", "9items", "it-ems", "x" * 201])
def test_a_name_that_no_collection_can_have_is_refused(place, name):
    with pytest.raises(ValueError, match=f"`collection` must be a .* Got '{name}'"):
        VectorStore(place, name)


def test_a_file_that_is_no_store_is_refused_by_name(tmp_path):
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    for path in (tmp_path / "a.db", tmp_path / "not there" / "b.db"):
        with pytest.raises(
            ValueError, match=f"cannot be opened: '{path}' must be a fol"
        ):
            VectorStore(path, "items")


def test_a_missing_package_is_named_with_how_to_get_it(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ImportError, match=r"pip install 'tfrs-models\[vector-store\]'"):
        VectorStore(place, "items")
