"""Items that come and go without training."""

import threading

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tests.serving.live_requests import ask
from tfrs_models.serving.catalogue import Catalogue


@pytest.fixture
def module():
    """Two users, three items, room for six; a query is the sum of the history."""
    rows = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    index = tm.layers.BruteForce(capacity=6).index(
        rows[1:], [1, 2, 3], attributes={"kind": np.array(["a", "b", "a"])}
    )

    def query(features):
        return tf.reduce_sum(tf.gather(tf.constant(rows), features["history"]), axis=1)

    def embed(features):
        own = tf.gather(tf.constant(rows), features["item_id"])
        return own + tf.cast(features["color"], tf.float32)

    return tm.serving.Recommender(
        tf.keras.layers.Lambda(query),
        index,
        user_ids=["ann", "bob"],
        user_features={"history": np.array([[0, 0], [1, 0], [2, 3]])},
        item_ids=["x", "y", "z"],
        titles=["", "Xi", "Yes", "Zoo"],
        known_items=tf.ragged.constant([[], [1], [2, 3]], dtype=tf.int64),
        candidate_probabilities=[0, 0.5, 0.3, 0.2],
        item_tower=tf.keras.layers.Lambda(embed),
    )


NEW = {"titles": ["New"], "attributes": {"kind": np.array(["b"])}}


def titles(module, user="ann", **changes):
    answer = ask(module, user, k=module.num_items, **changes)
    return [title.decode() for title in answer["title"] if title]


def test_a_new_item_is_found_named_and_filtered_at_once(module):
    assert titles(module) == ["Xi", "Yes", "Zoo"]
    module.upsert_items(["new"], embeddings=[[2.0, 0, 0]], **NEW)
    assert titles(module) == ["New", "Xi", "Yes", "Zoo"]
    assert titles(module, kind=["b"]) == ["New", "Yes"]
    assert titles(module, exclusions=["new"]) == ["Xi", "Yes", "Zoo"]
    module.remove_items(["new", "x"])
    assert sorted(titles(module)) == ["Yes", "Zoo"]  # both score 0


def test_a_new_item_is_embedded_by_its_features_and_a_trained_one_by_its_id_too(module):
    color = np.float32([[0, 3, 0], [0, 3, 0]])
    kinds = {"kind": np.array(["a", "a"])}
    module.upsert_items(["new", "x"], features={"color": color}, attributes=kinds)
    ids, embeddings = module.index.contents()
    found = dict(zip(ids.numpy().tolist(), embeddings.numpy().tolist(), strict=True))
    assert found[4] == [0, 3, 0]
    assert found[1] == [1, 3, 0]
    answer = module.catalogue.name(tf.constant([1, 4]))
    assert answer["title"].numpy().tolist() == [b"Xi", b""]
    assert answer["item_id"].numpy().tolist() == [b"x", b"new"]


def test_new_items_of_a_history_are_skipped_counted_and_seen(module):
    module.upsert_items(["new"], embeddings=[[2.0, 0, 0]], **NEW)
    answer = ask(module, "", ["new", "z"], exclude_seen=True, k=4)
    assert answer["num_unknown"] == 1
    assert {*answer["item_id"]} == {b"x", b"y", b""}
    alone = ask(module, "", ["z"], k=4)
    np.testing.assert_array_equal(
        answer["score"][:2],
        [alone["score"][alone["item_id"] == i][0] for i in (b"x", b"y")],
    )


def test_an_export_keeps_what_came_and_what_went(module, tmp_path):
    module.upsert_items(["new"], embeddings=[[2.0, 0, 0]], **NEW)
    module.remove_items(["y"])
    served = {
        "serving_default": module.recommend,
        "similar_items": module.similar_items,
    }
    path = tm.serving.export(module, tmp_path, signatures=served)
    loaded = tf.saved_model.load(str(path))
    request = {"user_id": ["ann"], "k": [3], "exclude_seen": [False]}
    request = {name: tf.constant(value) for name, value in request.items()}
    answer = loaded.signatures["serving_default"](**request)
    assert answer["title"].numpy().tolist() == [[b"New", b"Xi", b"Zoo"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ids": ["new"] * 2, "embeddings": np.ones([2, 3])},
            "`ids` must be .* each once",
        ),
        ({"ids": [""]}, "`ids` must be .* none empty"),
        ({"embeddings": [[np.nan, 0, 0]]}, "`embeddings` must give finite"),
        ({"embeddings": [[1, 0, 0]]}, "`embeddings` must give finite.*Got int32"),
        ({"embeddings": [[1.0, 0]]}, r"`embeddings` must give \[1, 3\]"),
        ({"embeddings": None}, "either `features` or `embeddings`. Got none"),
        ({"features": {}}, "either `features` or `embeddings`. Got both"),
        ({"titles": ["A", "B"]}, "`titles` must be one for each"),
        ({"attributes": None}, "`attributes` must be those"),
        ({"attributes": {"colour": np.array(["red"])}}, "`attributes` must be those"),
        (
            {"embeddings": None, "features": {"color": np.ones([2, 3], "float32")}},
            r"`features\['color'\]` must have a row for each",
        ),
        (
            {"embeddings": None, "features": {"color": np.full([1, 3], np.nan)}},
            "`features` must give finite",
        ),
    ],
)
def test_a_wrong_item_is_named_and_nothing_changes(module, changes, message):
    arguments = {"ids": ["new"], "embeddings": [[2.0, 0, 0]], **NEW, **changes}
    with pytest.raises(ValueError, match=message):
        module.upsert_items(arguments.pop("ids"), **arguments)
    assert module.num_items == 3
    assert titles(module) == ["Xi", "Yes", "Zoo"]
    assert module.catalogue.rows(tf.constant(["new"])).numpy() == [0]


def test_an_index_without_room_says_so_and_nothing_changes(module):
    names = ["p", "q", "r", "s"]
    kinds = {"kind": np.array(["b"] * 4)}
    with pytest.raises(ValueError, match="room"):
        module.upsert_items(names, embeddings=np.ones([4, 3], "f"), attributes=kinds)
    assert module.num_items == 3


@pytest.mark.parametrize("ids", [["x", "new"], [""], ["x", "gone"]])
def test_what_is_not_there_cannot_be_removed(module, ids):
    module.upsert_items(["gone"], embeddings=[[2.0, 0, 0]], **NEW)
    module.remove_items(["gone"])
    with pytest.raises(ValueError, match="`ids` must be of items that are there"):
        module.remove_items(ids)
    assert titles(module) == ["Xi", "Yes", "Zoo"]


def test_no_items_are_no_change(module):
    module.upsert_items([], embeddings=np.ones([0, 3], "float32"))
    module.remove_items([])
    assert titles(module) == ["Xi", "Yes", "Zoo"]


def test_ids_are_found_by_row_among_many():
    ids = [f"item {i}" for i in np.random.default_rng(0).permutation(2000)]
    catalogue = Catalogue(ids[:1500], ids[:1500])
    catalogue.put(ids[1500:], ids[1500:])
    some = [ids[7], "", "nothing", ids[1499], ids[1999]]
    assert catalogue.rows(tf.constant([some])).numpy().tolist() == [
        [8, 0, 0, 1500, 2000]
    ]
    named = catalogue.name(tf.range(1, 2001))
    assert named["item_id"].numpy().tolist() == [i.encode() for i in ids]
    assert named["title"].numpy().tolist() == [i.encode() for i in ids]


def test_it_may_be_read_while_it_grows():
    catalogue = Catalogue(["0"], ["0"])
    ids = tf.constant([str(i) for i in range(60)])

    @tf.function
    def read():
        rows = catalogue.rows(ids)
        return rows, catalogue.name(rows)["item_id"]

    wrong, done = [], threading.Event()

    def keep_reading():
        while not done.is_set():
            rows, names = (value.numpy() for value in read())
            expected = np.where(rows > 0, ids.numpy(), b"")
            if not ((names == expected) | (names == b"")).all():
                wrong.append(names)

    threads = [threading.Thread(target=keep_reading) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 60):
        catalogue.put([str(number)], None)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert read()[0].numpy().tolist() == [*range(1, 61)]


def test_a_dense_vector_is_a_feature_of_a_new_item():
    """The embedding of a text made elsewhere: one row of numbers for each item."""
    fields = [
        tm.data.Feature("item_id", "id", 2),
        tm.data.Feature("text", "vector", dim=2),
    ]
    tower = tm.towers.FeatureTower(fields, 3)
    ids, projection = (
        np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]),
        [[1, 0, 0], [0, 0, 9]],
    )
    tower.set_weights([ids, np.float32([[0, 0, 0], *projection])])
    index = tm.layers.BruteForce(capacity=6).index(ids[1:], [1, 2])
    module = tm.serving.Recommender(
        tf.keras.layers.Lambda(lambda user: user["x"]),
        index,
        user_ids=["ann"],
        user_features={"x": np.float32([[0, 0, 0], [0, 0, 1]])},
        item_ids=["p", "q"],
        titles=["", "Pi", "Qi"],
        known_items=tf.ragged.constant([[], []], dtype=tf.int64),
        candidate_probabilities=[0, 0.5, 0.5],
        item_tower=tower,
    )
    text = np.float32([[-3, 4], [0, 0]])  # the second is missing
    module.upsert_items(["r", "q"], features={"text": text}, titles=["Ro", "Qi"])
    found_ids, found = (part.numpy() for part in module.index.contents())
    np.testing.assert_allclose(found[found_ids == 3], [[-0.6, 0, 7.2]], rtol=1e-6)
    np.testing.assert_allclose(found[found_ids == 2], [[0, 1, 0]])
    assert module.recommend(["ann"], [1], [True])["title"].numpy().item() == b"Ro"
    for wrong in (text[:, :1], text[0], [["a", "b"]] * 2):
        with pytest.raises(ValueError, match="`text`"):
            module.upsert_items(["r", "q"], features={"text": wrong})
