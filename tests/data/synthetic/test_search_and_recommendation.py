import numpy as np
import pytest

from tfrs_models.data import kuaisar, synthetic
from tfrs_models.data.kuaisar.convert import convert


@pytest.fixture(scope="module")
def data():
    return synthetic.make_search_and_recommendation(3, num_users=40)


@pytest.fixture(scope="module")
def raw_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("raw")
    synthetic.write_search_and_recommendation_log(directory, 3, num_users=40)
    return directory


@pytest.fixture(scope="module")
def many():
    return synthetic.make_search_and_recommendation(0, num_users=900)


def first_day(data, user):
    """Topics and times of a user's clicks, and the time of the search at which they
    stopped: the second of the day."""
    topic = data.items["first_level_category_id"]
    items, sessions = data.item_histories, data.session_histories
    own = slice(items.row_splits[user], items.row_splits[user] + 6)
    stop = sessions.times[sessions.row_splits[user] + 1]
    return topic[items.ids[own]], items.times[own], stop


def target(data, user):
    """Topic of a user's only sample of the recommender."""
    for columns in data.samples["recommendation"].values():
        for item in columns["item_id"][columns["user_id"] == user]:
            return data.items["first_level_category_id"][item]
    raise AssertionError(user)


def test_the_sample_is_on_the_topic_that_was_clicked_just_before_the_search(data):
    for user in range(40):
        topics, times, searched = first_day(data, user)
        assert len(set(topics)) == 6
        assert target(data, user) == topics[times < searched][-1]


def test_neither_service_alone_tells_which_topic_comes(many):
    """All six places are alike; one search is of any topic, and one without a click."""
    places, of_search = [], []
    topic = many.items["first_level_category_id"]
    for user in range(900):
        places.append([*first_day(many, user)[0]].index(target(many, user)))
        first = many.session_histories.row_splits[user]
        clicked, stop = many.session_histories.ids[first : first + 2]
        assert not many.sessions["pos_items"][stop].any()
        (found,) = many.sessions["pos_items"][clicked][:1]
        of_search.append(topic[found] == target(many, user))
    np.testing.assert_allclose(np.bincount(places) / 900, 1 / 6, atol=0.04)
    np.testing.assert_allclose(np.mean(of_search), 1 / 32, atol=0.02)


def test_there_is_a_searched_and_a_clicked_item_in_every_history(many):
    """What the contrast of queries and items learns from: an item of the words."""
    topic = many.items["first_level_category_id"]
    for user in range(900):
        session = many.session_histories.ids[many.session_histories.row_splits[user]]
        words = many.sessions["keyword"][session]
        (found,) = (item for item in many.sessions["pos_items"][session] if item)
        captions = many.items["caption"][topic == topic[found]]
        assert {*words[words > 0]} <= {*captions.ravel()}


def test_interests_drift_from_a_topic_to_the_next_ones(data):
    steps = []
    for user in range(40):
        step = np.abs(np.diff(first_day(data, user)[0].astype(int)))
        steps += np.minimum(step, 32 - step).tolist()
    assert np.mean(steps) < 3  # of any two topics it is 8


def test_clicks_of_a_search_are_to_the_taste_that_the_recommender_knows(many):
    kind = many.items["second_level_category_id"] % 2
    agree = []
    for user in range(900):
        own = slice(*many.item_histories.row_splits[user : user + 2])
        clicked = kind[many.item_histories.ids[own]].mean()
        agree += [
            kind[item] == (clicked > 0.5)
            for columns in many.samples["search"].values()
            for item in columns["item_id"][columns["user_id"] == user]
        ]
    np.testing.assert_allclose(np.mean(agree), 0.9, atol=0.04)


def test_the_edge_cases_are_all_there(raw_directory):
    options = kuaisar.Options(
        k_core=1, both_services=False, keep_empty_histories=True, history_days=0
    )
    full = convert(raw_directory, options)
    num_items, num_sessions = (
        np.diff(h.row_splits)[40:]
        for h in (full.item_histories, full.session_histories)
    )
    assert num_items.tolist() == [36, 1, 4, 0, 8, 4]
    assert num_sessions.tolist() == [36, 1, 0, 4, 4, 4]
    clicks = (full.sessions["pos_items"] > 0).sum(axis=1)[1:]
    assert {0, 1, 2, 5} <= set(clicks.tolist())
    lengths = (full.sessions["keyword"] > 0).sum(axis=1)[1:]
    assert {0, 1, 2, 50} == set(lengths.tolist())
    assert ((full.items["caption"] > 0).sum(axis=1)[1:] == 0).sum() == 1
    own = slice(*full.item_histories.row_splits[44:46])
    moments = full.item_histories.times[own]
    assert len(set(moments)) == 4  # of eight clicks, at the times of four searches
    assert set(moments) <= set(full.session_histories.times.tolist())
    for splits in full.samples.values():
        sizes = [columns["negatives"].shape[1] for columns in splits.values()]
        assert sizes == [4, 99, 99]
    assert 0 in full.samples["recommendation"]["train"]["user_id"]


def test_a_seed_makes_the_same_data_and_another_one_other_data(data):
    again = synthetic.make_search_and_recommendation(3, num_users=40)
    other = synthetic.make_search_and_recommendation(4, num_users=40)
    np.testing.assert_array_equal(again.item_histories.ids, data.item_histories.ids)
    assert (other.item_histories.ids != data.item_histories.ids).any()
    assert f"46 users, {data.num_items} items" in str(data)


@pytest.mark.parametrize(
    "arguments", [{"num_items": 100}, {"num_items": 321}, {"num_users": 19}]
)
def test_numbers_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
        synthetic.make_search_and_recommendation(0, **arguments)


@pytest.mark.parametrize("seed", range(3))
def test_the_fewest_users_have_negatives_to_draw(seed):
    data = synthetic.make_search_and_recommendation(seed, num_users=20)
    assert data.samples["search"]["test"]["negatives"].shape[1] == 99
