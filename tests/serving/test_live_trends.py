"""Live trends go on from those of training, as if all events had been there."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

DAY, START = 86_400, 1_500_000_000
LENGTH = 5
RNG = np.random.default_rng(4)


def rows_until(number):
    """The first rows of a log of 12 items."""
    rng = np.random.default_rng(8)
    item, time = rng.integers(1, 13, 70), START + np.sort(rng.integers(0, 30 * DAY, 70))
    return item[:number], time[:number]


def test_updates_in_steps_are_those_of_a_table_of_all_rows():
    item, time = rows_until(70)
    options = {"num_items": 12, "half_lives_days": [0.5, 20.0]}
    table = tm.data.TrendTable(item[:30], time[:30], **options)
    trends = tm.serving.LiveTrends.of(table, int(time[29]) + 1)
    for start, end in ((30, 50), (50, 50), (50, 70)):
        now = int(time[min(end, 69)]) + (1 if end == 70 else 0)
        new = slice(start, end)
        ones = np.ones(end - start)
        trends.adopt(*trends.counted(item[new], ones, time[new], now, 13), now)
    end = tm.data.TrendTable(item, time, **options)
    now = end.next_period(end.newest_time)
    nothing = np.zeros(0, np.int64)
    trends.adopt(*trends.counted(nothing, nothing, nothing, now, 13), now)
    np.testing.assert_allclose(trends.columns(np.arange(13)), end.at(now), rtol=1e-4)


@pytest.fixture(scope="module")
def made(dated):
    """A recommender of a model with trends, at the end of the log, and the model."""
    tf.keras.utils.set_random_seed(3)
    table = tm.data.trend_table(dated, "serving", half_lives_days=[0.5, 8.0])
    items = tm.towers.FeatureTower(dated.item_features, 4)
    items = tm.towers.FeatureLookup(items, dated.items)
    model = tm.models.NextItem(
        tm.towers.RecencyPooling(items, 4, dropout=0.0),
        num_trends=table.num_trends,
        trend_table=table,
    )
    model({"history": tf.constant([[1]]), "item_id": [1], "timestamp": [START]})
    kernel, bias = model.query_tower.trainable_weights[-2:]
    kernel.assign(tf.random.stateless_normal(kernel.shape, [1, 2]) * 0.3)
    bias.assign([0.4, 0.9, -0.2, 0.1])
    now = table.next_period(table.newest_time)
    ids, embeddings = zip(
        *model.embed_candidates(table.add_to(dated.candidate_batches(), now)),
        strict=True,
    )
    index = tm.layers.BruteForce(capacity=40).index(
        tf.concat(embeddings, 0), tf.concat(ids, 0)
    )
    history = tm.data.history_table(dated, "serving", LENGTH)
    times = tm.data.history_table(dated, "serving", LENGTH, column="timestamp")
    recommender = tm.serving.Recommender(
        model.query_tower,
        index,
        user_ids=dated.vocabularies["user_id"],
        user_features={"history": history, "history_timestamp": times},
        item_ids=dated.vocabularies["item_id"],
        titles=dated.titles,
        known_items=dated.known_items("serving"),
        candidate_probabilities=dated.popularity("serving"),
        trends=tm.serving.LiveTrends.of(table, now),
        explain=True,
    )
    return recommender, model, table, now


def ask(recommender, user, k=5):
    answer = recommender.recommend([user], [k], [False])
    return answer["item_id"].numpy()[0].astype(str).tolist(), answer["score"].numpy()[0]


def test_an_answer_tells_what_trends_add_to_its_score(made, dated):
    recommender, model, table, now = made
    number, ids = dated.num_items, [*dated.vocabularies["item_id"]]
    found = recommender.ask(history=[ids[:3]], k=number, why=True)[0]
    history = np.zeros([1, LENGTH], np.int64)
    history[0, :3] = [1, 2, 3]
    times = np.zeros_like(history)
    features = {"history": history, "history_timestamp": times, "timestamp": [0]}
    query = model.query_tower({n: tf.constant(v) for n, v in features.items()}).numpy()
    expected = table.at(now)[1:] @ query[0, 4:]
    for item, share in zip(found["item_id"], found["trend_score"], strict=True):
        if item:
            np.testing.assert_allclose(share, expected[ids.index(item)], rtol=1e-3)


def test_a_visitor_gets_what_trends_and_it_changes_at_once(made, dated, tmp_path):
    recommender, model, _, now = made
    number = dated.num_items
    ids = [*dated.vocabularies["item_id"]]
    last = ids[-1]
    before, _ = ask(recommender, "nobody", number)
    assert before[0] != last
    times = [now + 60 * n for n in range(200)]
    rows = [*dated.splits["train"]["item_id"]]
    known = [dated.splits[s] for s in ("train", "validation", "test")]
    item = np.concatenate([part["item_id"] for part in known])
    time = np.concatenate([part["timestamp"] for part in known])
    assert rows
    later = tm.data.TrendTable(
        np.append(item, np.full(200, number)),
        np.append(time, times),
        num_items=number,
        half_lives_days=[0.5, 8.0],
    )
    moment = later.next_period(later.newest_time)
    recommender.update_trends([last] * 200, moment, event_times=times)
    for user in ("nobody", dated.vocabularies["user_id"][0]):
        found, scores = ask(recommender, user, number)
        row = [*dated.vocabularies["user_id"], "nobody"].index(user) + 1
        row = row if user != "nobody" else 0
        history = tm.data.history_table(dated, "serving", LENGTH)[[row]]
        query = model.query_tower({"history": tf.constant(history)}).numpy()
        embeddings = model.candidate_tower.tower(
            {"item_id": tf.range(1, number + 1, dtype=tf.int64)}
        ).numpy()
        expected = tm.metrics.trend_scores(query, embeddings, later, [moment])[0]
        order = [ids.index(i) for i in found]
        np.testing.assert_allclose(scores, expected[order], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            scores, np.sort(expected)[::-1], rtol=1e-4, atol=1e-5
        )
    assert ask(recommender, "nobody")[0][0] == last
    path = tm.serving.export(recommender, tmp_path)
    loaded = tf.saved_model.load(str(path))
    served = loaded.signatures["serving_default"](
        user_id=tf.constant(["nobody"]),
        k=tf.constant([5]),
        exclude_seen=tf.constant([False]),
    )
    assert (
        served["item_id"].numpy()[0].astype(str).tolist()
        == ask(recommender, "nobody")[0]
    )


def test_new_items_have_no_trend_until_there_are_events(made):
    recommender = made[0]
    recommender.upsert_items(["fresh"], embeddings=np.float32([[0, 0, 0, 0]]))
    _, embeddings = recommender.index.contents()
    np.testing.assert_array_equal(embeddings[-1, 4:], [0, 0, 0, 1])
    recommender.update_trends({"fresh": 10_000}, recommender.trends.time + DAY)
    assert ask(recommender, "nobody")[0][0] == "fresh"


def test_similar_items_are_alike_without_their_trends(made, dated):
    recommender = made[0]
    first = dated.vocabularies["item_id"][1]
    answer = recommender.similar_items(
        item_id=tf.constant([[first]]),
        k=tf.constant([3]),
        exclusions=tf.zeros([1, 0], tf.string),
        filters={},
    )
    numbers, embeddings = recommender.index.contents()
    alike = embeddings.numpy()[:, :4]
    own = list(numbers.numpy()).index(int(recommender.catalogue.rows([first])[0]))
    products = np.delete(alike @ alike[own], own)
    np.testing.assert_allclose(
        answer["score"][0], np.sort(products)[::-1][:3], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("counts", "time", "times", "message"),
    [
        ({"nothing": 1}, None, None, r"1 are unknown, \['nothing'\]"),
        ({"i0": -1}, None, None, "finite and not negative.*'i0'"),
        ({"i0": np.nan}, None, None, "finite and not negative"),
        ({}, 5, None, "must not be before the last update"),
        ({}, 1_700_000_000_000, None, "are these milliseconds"),
        ({}, 1.5, None, "`time` must be whole seconds"),
        ({"i0": 1}, None, [5], "`event_times` is for `counts` with an id"),
        (["i0"], None, [5, 6], "one for each event"),
        (["i0"], None, [2_000_000_000], "must be seconds before `time`"),
    ],
)
def test_bad_updates_are_refused_and_change_nothing(made, counts, time, times, message):
    recommender = made[0]
    before = recommender.index.contents()[1].numpy()
    time = recommender.trends.time + 60 if time is None else time
    with pytest.raises(ValueError, match=message):
        recommender.update_trends(counts, time, event_times=times)
    np.testing.assert_array_equal(recommender.index.contents()[1], before)


def test_a_recommender_without_trends_says_so(recommender):
    with pytest.raises(ValueError, match="`update_trends` needs a recommender with"):
        recommender.update_trends({}, 5)


def test_counts_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`counts` must be \[3, 1\]"):
        tm.serving.LiveTrends(
            np.zeros([3, 2]), np.zeros(3, np.int64), time=0, half_lives_days=[1.0]
        )
