import numpy as np
import pytest

from tfrs_models.data import kuaisar, synthetic


def events_before(data, user, time):
    """(time, is a search, topic) of what the user did before, in order."""
    topic = data.items["first_level_category_id"]
    found = []
    for is_search, histories in enumerate(
        [data.item_histories, data.session_histories]
    ):
        own = slice(*histories.row_splits[user : user + 2])
        for number, moment in zip(
            histories.ids[own], histories.times[own], strict=True
        ):
            item = data.sessions["pos_items"][number, 0] if is_search else number
            if moment < time:
                found.append((moment, is_search, topic[item]))
    return sorted(found)


def test_the_last_click_is_on_the_topic_that_the_order_of_the_services_left_open(data):
    """The last episode: four topics in pairs, then both open ones, the last first."""
    columns = data.samples["recommendation"]["test"]
    topic = data.items["first_level_category_id"]
    ordinary = columns["user_id"] < 40
    for user, item, time in zip(
        *(columns[name][ordinary] for name in ("user_id", "item_id", "timestamp")),
        strict=True,
    ):
        events = events_before(data, user, time)[-9:]
        pairs = [events[2 * n : 2 * n + 2] for n in range(4)]
        assert all(a[2] == b[2] and a[1] != b[1] for a, b in pairs)
        still_open = [a[2] for a, b in pairs if not a[1]]
        assert len(still_open) == 2
        assert events[-1][1:] == (0, still_open[1])
        assert topic[item] == still_open[0]
    assert ordinary.sum() == 40


def test_neither_service_alone_tells_which_topic_is_open():
    """Over the places 1 to 4 of a topic among the clicks, open ones are as frequent."""
    data = synthetic.make_search_and_recommendation(0, num_users=800, num_episodes=1)
    opened = np.zeros([2, 4])
    topic = data.items["first_level_category_id"]
    for user in range(800):
        clicked, searched = (
            [
                topic[table[number]]
                for number in histories.ids[
                    slice(*histories.row_splits[user : user + 2])
                ]
            ]
            for histories, table in [
                (data.item_histories, np.arange(data.num_items + 1)),
                (data.session_histories, data.sessions["pos_items"][:, 0]),
            ]
        )
        for service, topics in enumerate([clicked[:4], searched]):
            opened[service] += [t in clicked[4:] for t in topics]
    np.testing.assert_allclose(opened / 800, 0.5, atol=0.06)


def test_a_search_prefers_the_subtopic_last_clicked_in_the_recommender(data):
    kind = data.items["second_level_category_id"]
    same = []
    for user in range(40):
        items, sessions = (
            [*zip(h.times[own], h.ids[own], strict=True)]
            for h in (data.item_histories, data.session_histories)
            for own in [slice(*h.row_splits[user : user + 2])]
        )
        for time, session in sessions:
            before = [item for moment, item in items if moment < time]
            if before:
                clicked = data.sessions["pos_items"][session, 0]
                same.append(kind[before[-1]] % 2 == kind[clicked] % 2)
    np.testing.assert_allclose(np.mean(same), 0.8, atol=0.05)


def test_the_edge_cases_are_all_there(raw_directory):
    options = kuaisar.Options(
        k_core=1, both_services=False, keep_empty_histories=True, max_words=50
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
    "arguments", [{"num_items": 100}, {"num_items": 161}, {"num_users": 0}]
)
def test_numbers_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
        synthetic.make_search_and_recommendation(0, **arguments)
