import numpy as np
import pytest

from tfrs_models.data import kuaisar, synthetic


def first_day(data, user):
    """Topics and times of a user's clicks, and searches, of the first day."""
    topic = data.items["first_level_category_id"]
    found = []
    for histories, table in [
        (data.item_histories, np.arange(data.num_items + 1)),
        (data.session_histories, data.sessions["pos_items"][:, 0]),
    ]:
        own = slice(histories.row_splits[user], histories.row_splits[user] + 12)
        found.append((topic[table[histories.ids[own]]], histories.times[own]))
    return found


def test_samples_are_on_what_the_order_of_click_and_search_left_open(data):
    topic = data.items["first_level_category_id"]
    for user in range(40):
        (clicked, click_times), (searched, search_times) = first_day(data, user)
        np.testing.assert_array_equal(clicked, searched)
        assert len(set(clicked)) == 12
        is_open = click_times < search_times
        shown = [
            topic[item]
            for columns in data.samples["recommendation"].values()
            for item in columns["item_id"][columns["user_id"] == user]
        ]
        assert sorted(shown) == sorted(clicked[is_open])
        assert len(shown) == 6


def test_neither_service_alone_tells_which_topic_is_open():
    """A topic's place among the clicks, or among the searches, is no hint."""
    data = synthetic.make_search_and_recommendation(0, num_users=600)
    days = [first_day(data, user) for user in range(600)]
    is_open = [clicks[1] < searches[1] for clicks, searches in days]
    np.testing.assert_allclose(np.mean(is_open, axis=0), 0.5, atol=0.07)


def test_interests_drift_from_a_topic_to_the_next_ones(data):
    steps = []
    for user in range(40):
        (clicked, _), _ = first_day(data, user)
        step = np.abs(np.diff(clicked.astype(int)))[:4]
        steps += np.minimum(step, 16 - step).tolist()
    assert np.mean(steps) < 2.5  # of any two topics it is more than 4


def test_clicks_of_a_search_are_to_the_taste_that_the_recommender_knows(data):
    kind = data.items["second_level_category_id"] % 2
    agree = []
    for user in range(40):
        own = slice(*data.item_histories.row_splits[user : user + 2])
        taste = round(kind[data.item_histories.ids[own]].mean())
        agree += [
            kind[item] == taste
            for columns in data.samples["search"].values()
            for item in columns["item_id"][columns["user_id"] == user]
        ]
    np.testing.assert_allclose(np.mean(agree), 0.9, atol=0.06)


def test_the_edge_cases_are_all_there(raw_directory):
    options = kuaisar.Options(
        k_core=1, both_services=False, keep_empty_histories=True, history_days=0
    )
    full = kuaisar.convert(raw_directory, options)
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
    for columns in full.samples["search"].values():
        assert columns["negatives"].shape[1] in (4, 99)
    assert 0 in full.samples["recommendation"]["train"]["user_id"]


def test_a_seed_makes_the_same_data_and_another_one_other_data(data):
    again = synthetic.make_search_and_recommendation(3, num_users=40)
    other = synthetic.make_search_and_recommendation(4, num_users=40)
    np.testing.assert_array_equal(again.item_histories.ids, data.item_histories.ids)
    assert (other.item_histories.ids != data.item_histories.ids).any()
    assert f"46 users, {data.num_items} items" in str(data)


@pytest.mark.parametrize(
    "arguments", [{"num_items": 100}, {"num_items": 321}, {"num_users": 0}]
)
def test_numbers_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
        synthetic.make_search_and_recommendation(0, **arguments)
