"""Requests that carry their history, against batches of the data and loops."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tests.serving.conftest import LENGTH, START, histories
from tests.serving.live_requests import ask, request
from tfrs_models.serving.live_history import join_history


@pytest.fixture(scope="module")
def data(dated):
    return dated


@pytest.fixture(scope="module")
def module(live_recommender):
    return live_recommender


def past_of(data, user):
    """Ids and times of a user's items before the test rows, oldest first."""
    row = list(data.vocabularies["user_id"]).index(user) + 1
    items, times = (table[row] for table in histories(data).values())
    times = times[items > 0]
    return data.vocabularies["item_id"][items[items > 0] - 1].tolist(), times.tolist()


def test_a_request_equals_offline_evaluation_of_the_same_row_bit_for_bit(module, data):
    for batch in data.batches("test", 1).take(3):
        user = str(data.vocabularies["user_id"][int(batch["user_id"][0]) - 1])
        history, times = past_of(data, user)
        query = module.query_model(
            {name: batch[name] for name in ("history", "history_timestamp")}
        )
        scores, items = module.index(query, k=6)
        names = data.vocabularies["item_id"][items.numpy()[0] - 1]
        by_id = module.recommend(
            user_id=tf.constant([user]),
            k=tf.constant([6]),
            exclude_seen=tf.constant([False]),
        )
        half = len(history) // 2
        for answer in (
            ask(module, "", history, times),
            ask(module, user, history, times),
            ask(module, user),  # nothing is sent: the known past
            ask(module, user, append=True),
            ask(module, user, history[half:], times[half:], append=True),
            ask(module, "", [*history, "unheard of", ""], [*times, times[-1], 0]),
        ):
            np.testing.assert_array_equal(answer["score"], scores.numpy()[0])
            assert [item.decode() for item in answer["item_id"]] == [*names]
        np.testing.assert_array_equal(by_id["score"][0], scores.numpy()[0])


def test_a_click_changes_the_answer_of_users_and_visitors(module, data):
    item = str(data.vocabularies["item_id"][3])
    user = str(data.vocabularies["user_id"][1])
    for who, append in ((user, True), ("", False), ("nobody", True)):
        before, after = ask(module, who), ask(module, who, [item], append=append)
        assert before["item_id"].tolist() != after["item_id"].tolist()
        assert after["personal"]
        assert bool(after["known_user"]) is (who == user)


def test_a_visitor_without_history_gets_the_most_popular_items(module, data):
    best = np.sort(data.popularity("test")[1:])[::-1][:6]
    for history in ((), ("",), ("unheard of", "")):
        answer = ask(module, "", history)
        np.testing.assert_allclose(answer["score"], best)
        assert not answer["personal"]
        assert answer["num_unknown"] == ("unheard of" in history)


def test_items_of_the_request_count_as_seen(module, data):
    names = data.vocabularies["item_id"].tolist()
    history = names[2:11]  # longer than the model's: the older ones are seen too
    answer = ask(module, "", history, exclude_seen=True, k=len(names))
    found = [item.decode() for item in answer["item_id"] if item]
    assert {*found} == {*names} - {*history}
    assert (
        ask(module, "", history[-LENGTH:])["score"].tolist()
        == ask(module, "", history)["score"].tolist()
    )


def test_exclusions_and_filters_hold(module, data):
    names = np.array(data.vocabularies["item_id"])
    answer = ask(
        module, "", names[:1], exclusions=[*names[2:5]], kind=["long"], k=len(names)
    )
    found = {item.decode() for item in answer["item_id"] if item}
    assert found == {*names[1::2]} - {*names[2:5]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": [3, 2]}, "`history_time` must not fall"),
        ({"times": [3, -1]}, "`history_time` must be seconds.*negative"),
        ({"times": [START * 1000, 0]}, "`history_time`.*not milliseconds"),
        ({"time": START * 1000}, "`time` must be seconds.*not milliseconds"),
        ({"time": -1}, "`time` must be seconds.*negative"),
        ({"times": [1, 2, 3]}, "`history_time` must have a time for each"),
    ],
)
def test_wrong_times_are_named(module, data, changes, message):
    history = [*map(str, data.vocabularies["item_id"][:2])]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ask(module, "", history, **changes)


@pytest.mark.parametrize("name", ["history", "history_time", "time", "append"])
def test_inputs_for_another_number_of_rows_are_named(module, name):
    inputs = request("u1", ["i1"])
    live = inputs["live"]
    live[name] = tf.repeat(live[name], 2, axis=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{name}` must have a"):
        module.recommend_history(**inputs)


def test_the_saved_model_answers_as_the_module_does(module, tmp_path):
    served = {"history": module.recommend_history}
    path = tm.serving.export(module, tmp_path, signatures=served)  # replays samples
    loaded = tf.saved_model.load(str(path)).signatures["history"]
    inputs = request("u1", ["i1", "i2"], [5, 7], time=9, append=True)
    expected = module.recommend_history(**inputs)
    kind = inputs.pop("filters")["kind"]
    answer = loaded(**inputs.pop("live"), **inputs, filter_kind=kind)
    for name, values in expected.items():
        np.testing.assert_array_equal(answer[name], values)
    samples = tm.serving.contract.read(path)["samples"]
    assert [sample["signature"] for sample in samples] == ["history", "history"]
    assert module.samples.keys() == module.signatures.keys()


def joined(past, past_times, items, times, *, now=0, append=True, length=4):
    """The definition, as loops over one row."""
    new = list(zip(items, times, strict=True))
    known = [(i, t) for i, t in zip(past, past_times, strict=True) if i]
    rows = [(i, t) for i, t in new if i]
    if append or not rows:
        newest = max([0, *(t for _, t in known)])
        rows = known + [
            (i, t) for i, t in rows if not t or (t >= newest and (i, t) not in known)
        ]
    rows = rows[-length:]
    filled = []
    for place, (_, own) in enumerate(rows):
        later = [t for _, t in rows[place:] if t]
        earlier = [t for _, t in rows[:place] if t]
        last = max([now, *earlier]) if now else max([0, *earlier])
        filled.append(own or (later[0] if later else last))
    blank = [0] * (length - len(rows))
    return [i for i, _ in rows] + blank, filled + blank


def test_joining_follows_its_definition():
    rng = np.random.default_rng(7)
    rows, expected = [], []
    for _ in range(200):
        count = rng.integers(5)
        past = np.pad(rng.integers(1, 9, size=count), [0, 4 - count])
        past_times = np.pad(np.sort(rng.integers(1, 9, size=count)), [0, 4 - count])
        items = rng.integers(9, size=6) * (rng.random(6) < 0.6)
        times = np.sort(rng.integers(1, 16, size=6)) * (rng.random(6) < 0.6)
        now, append = rng.choice([0, 20]), rng.random() < 0.6
        rows.append((past, past_times, items, times, now, append))
        expected.append(joined(*rows[-1][:4], now=now, append=append))
    past, past_times, items, times, now, append = map(np.array, zip(*rows, strict=True))
    live = {
        "history": np.where(items > 0, "known", np.where(times > 0, "unknown", "")),
        "history_time": times,
        "time": now,
        "append": append,
    }
    found = join_history(
        {name: tf.constant(values) for name, values in live.items()},
        tf.constant(items),
        {
            "history": tf.constant(past),
            "history_timestamp": tf.constant(past_times),
            "history_weight": tf.ones_like(past, tf.float32) * 2,
        },
    )
    lists, filled = map(np.array, zip(*expected, strict=True))
    np.testing.assert_array_equal(found.features["history"], lists)
    np.testing.assert_array_equal(found.features["history_timestamp"], filled)
    np.testing.assert_array_equal(found.features["timestamp"], now)
    np.testing.assert_array_equal(found.has_items, lists.any(axis=1))
    unknown = ((items == 0) & (times > 0)).sum(axis=1)
    np.testing.assert_array_equal(found.num_unknown, unknown)
    weights = found.features["history_weight"].numpy()
    assert {*weights[lists > 0]} == {1, 2}
    assert not weights[lists == 0].any()
