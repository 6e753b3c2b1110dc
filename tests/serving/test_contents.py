import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.serving.contents import read_contents


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def contents(loaded, exported):
    return read_contents(loaded, exported)


def test_an_export_has_the_items_and_users_of_the_data(contents, interactions):
    assert contents.item_ids == [*interactions.vocabularies["item_id"]]
    assert contents.titles == [*interactions.titles[1:]]
    assert contents.user_ids == [*interactions.vocabularies["user_id"]]
    shares = interactions.candidate_probabilities[1:]
    np.testing.assert_allclose(contents.popularity, shares, rtol=1e-6)
    assert not contents.exclude_seen


def test_scores_are_products_with_the_embeddings(contents, loaded, recommender):
    user = contents.user_ids[2]
    answer = loaded.signatures["serving_default"](
        user_id=tf.constant([user]),
        k=tf.constant([contents.num_items]),
        exclude_seen=tf.constant([False]),
    )
    found = recommender.find(tf.constant([user]), 1, tf.constant([False]))
    query = recommender.query_model(found.features).numpy()[0]
    rows = [contents.item_ids.index(i.decode()) for i in answer["item_id"].numpy()[0]]
    expected = contents.embeddings[rows] @ query
    np.testing.assert_allclose(answer["score"][0], expected, rtol=1e-5)


def test_attributes_have_the_names_that_the_recommender_was_given(contents):
    kind = contents.attributes["kind"]
    found = [kind.values[n] for n in kind.rows[:, 0]]
    assert found == [*np.resize(["short", "long", "long"], contents.num_items)]
    assert kind.values == ["long", "short"]  # the most frequent first


def test_a_user_without_a_history_has_the_known_items(contents, interactions):
    known = interactions.known_items("serving").to_list()
    assert contents.histories is None
    for user in range(len(contents.user_ids)):
        past = contents.past(user)
        assert [*past.items + 1] == known[user + 1]
        assert not past.times.any()


def made(index, features=None, **options):
    """A recommender of three items and two users, without weights."""
    tower = tf.keras.layers.Lambda(lambda features: features["taste"])
    taste = {"taste": np.zeros((3, index.embedding_dim), np.float32)}
    return tm.serving.Recommender(
        tower,
        index,
        user_ids=["ann", "bob"],
        user_features=taste | (features or {}),
        item_ids=[*"xyz"],
        titles=["", "X", "", "Z"],
        known_items=tf.ragged.constant([[], [2], [1, 3]], dtype=tf.int64),
        candidate_probabilities=[0, 0.5, 0.3, 0.2],
        **options,
    )


def test_text_without_names_is_left_out_and_numbers_name_themselves(tmp_path):
    index = tm.layers.BruteForce().index(
        np.eye(3, dtype="float32"),
        [3, 1, 2],
        attributes={
            "kind": np.array(["a", "b", "a"]),
            "year": np.array([[1999, -1], [7, 5], [7, -1]]),
        },
    )
    contents = read_contents(made(index), tmp_path)
    assert [*contents.attributes] == ["year"]
    year = contents.attributes["year"]
    found = [{year.values[n] for n in row if n >= 0} for row in year.rows]
    assert found == [{"7", "5"}, {"7"}, {"1999"}]  # of the items 1, 2 and 3
    np.testing.assert_array_equal(contents.embeddings, np.eye(3)[[1, 2, 0]])
    assert contents.titles == ["X", "", "Z"]
    assert contents.user_ids == []  # no file of an export


def test_the_history_of_a_user_is_the_past_with_its_times(tmp_path):
    index = tm.layers.BruteForce().index(np.eye(3, dtype="float32"), [1, 2, 3])
    features = {
        "history": np.array([[0, 0, 0], [3, 1, 0], [2, 2, 3]]),
        "history_timestamp": np.array([[0, 0, 0], [50, 60, 0], [0, 7, 8]]),
    }
    contents = read_contents(made(index, features), tmp_path)
    first, second = contents.past(0), contents.past(1)
    assert (first.items.tolist(), first.times.tolist()) == ([2, 0], [50, 60])
    assert (second.items.tolist(), second.times.tolist()) == ([1, 1, 2], [0, 7, 8])


def test_columns_of_trends_are_no_part_of_the_embeddings(tmp_path):
    trends = tm.serving.LiveTrends(
        np.zeros([4, 2]), [0] * 4, time=0, half_lives_days=[1.0, 5.0]
    )
    values = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    index = tm.layers.BruteForce().index(values, [1, 2, 3])
    contents = read_contents(made(index, trends=trends), tmp_path)
    np.testing.assert_array_equal(contents.embeddings, values[:, :2])


def test_an_index_of_scores_has_no_embeddings(tmp_path):
    index = tm.layers.ScoreIndex().index(np.zeros((3, 1), np.float32), [1, 2, 3])
    assert read_contents(made(index), tmp_path).embeddings is None


def test_values_of_an_attribute_that_is_not_indexed_are_refused():
    index = tm.layers.BruteForce().index(
        np.eye(3, dtype="float32"), [1, 2, 3], attributes={"year": [1, 2, 3]}
    )
    with pytest.raises(ValueError, match=r"of the index, \['year'\]. Got \['colour'\]"):
        made(index, attribute_values={"colour": ["red"]})


def test_a_module_without_items_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a module without a catalogue of items"):
        read_contents(tf.Module(), tmp_path)
