"""Models whose scores have trends as dimensions, against loops."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm

DAY = 86_400
NUM_ITEMS, DIM = 6, 4
RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def table():
    return tm.data.TrendTable(
        RNG.integers(1, NUM_ITEMS + 1, 60),
        10**9 + RNG.integers(0, 9 * DAY, 60),
        num_items=NUM_ITEMS,
        half_lives_days=[0.5, 8.0],
    )


@pytest.fixture(scope="module")
def model(table):
    tf.keras.utils.set_random_seed(1)
    item = tm.data.Feature("item_id", "id", NUM_ITEMS)
    items = tm.towers.FeatureTower([item], DIM)
    model = tm.models.NextItem(
        tm.towers.RecencyPooling(items, DIM, dropout=0.0),
        num_trends=table.num_trends,
        trend_table=table,
    )
    batch = windows()
    model.compute_loss(batch)
    weigh = model.query_tower.weights
    for weight in weigh:
        weight.assign_add(tf.random.stateless_normal(weight.shape, [1, 2]) * 0.3)
    return model


def windows():
    return {
        "history": tf.constant([[0, 3, 1], [2, 4, 0]], tf.int64),
        "item_id": tf.constant([[3, 1, 5], [4, 6, 0]], tf.int64),
        "timestamp": 10**9 + tf.constant([[1, 3, 9], [2, 5, 0]], tf.int64) * DAY,
        "candidate_sampling_probability": tf.constant(
            [[0.1, 0.2, 0.3], [0.25, 0.15, 0.1]]
        ),
        "known_items": tf.ragged.constant([[3, 1, 5], [2, 4, 6]], dtype=tf.int64),
    }


def test_the_loss_has_the_trends_at_the_time_of_each_target(model, table):
    batch = windows()
    queries = model.query_tower(batch, return_sequences=True).numpy()
    users = [0, 0, 0, 1, 1]
    flat = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    ids = [int(batch["item_id"][at]) for at in flat]
    times = [int(batch["timestamp"][at]) for at in flat]
    share = [float(batch["candidate_sampling_probability"][at]) for at in flat]
    items = model.candidate_tower.tower({"item_id": np.arange(NUM_ITEMS + 1)}).numpy()
    loss = 0.0
    for row, at in enumerate(flat):
        logits = []
        for column, item in enumerate(ids):
            known = batch["known_items"][users[row]].numpy()
            if column != row and item in known:
                continue
            trends = table.at(times[row])[item]
            query, weights = queries[at][:DIM], queries[at][DIM:]
            logit = (query @ items[item] + weights @ trends) / 0.1
            logits.append(logit - np.log(share[column]))
            if column == row:
                own = logits[-1]
        loss += np.log(np.exp(np.array(logits) - own).sum())
    np.testing.assert_allclose(model.compute_loss(batch), loss, rtol=1e-4)


def test_a_prefix_without_items_is_queried_by_trends_alone(model):
    query = model.query_tower({"history": tf.constant([[0, 0]])})
    np.testing.assert_array_equal(query[0, :DIM], np.zeros(DIM))
    sequence = model.query_tower(windows(), return_sequences=True)
    np.testing.assert_allclose(sequence[0, 0], query[0], atol=1e-6)


def test_an_index_gives_the_scores_of_evaluation(model, table):
    now = 10**9 + 7 * DAY
    items = tf.data.Dataset.from_tensors({"item_id": np.arange(1, NUM_ITEMS + 1)})
    index = tm.layers.BruteForce(k=NUM_ITEMS).index_from_dataset(
        model.embed_candidates(table.add_to(items, now))
    )
    batch = {"history": tf.constant([[2, 5], [0, 0]])}
    query = model.query_tower(batch)
    scores, ids = index(query)
    embeddings = model.candidate_tower.tower({"item_id": np.arange(1, NUM_ITEMS + 1)})
    expected = tm.metrics.trend_scores(
        query.numpy(), embeddings.numpy(), table, np.full(2, now)
    )
    for row in range(2):
        np.testing.assert_allclose(scores[row], expected[row][ids[row] - 1], rtol=1e-5)


def test_rows_of_single_items_have_the_trends_of_their_time(model, table):
    batch = {
        "history": tf.constant([[2, 5], [1, 0]]),
        "item_id": tf.constant([3, 4], tf.int64),
        "timestamp": tf.constant([10**9 + 2 * DAY, 10**9 + 8 * DAY], tf.int64),
    }
    offsets = model.task_inputs(batch)["score_offsets"].numpy()
    weights = model.query_tower(batch)[:, DIM:].numpy()
    for row in range(2):
        for column in range(2):
            trends = table.at(int(batch["timestamp"][row]))
            expected = weights[row] @ trends[int(batch["item_id"][column])]
            np.testing.assert_allclose(offsets[row, column], expected, rtol=1e-4)
    _, candidates = model(batch)
    assert candidates.shape == (2, DIM + table.num_trends)


def test_no_offsets_change_nothing():
    queries, items = (tf.constant(RNG.normal(size=(5, 3)), tf.float32) for _ in "ab")
    for temperature in (None, 0.3):
        task = tm.tasks.Retrieval(temperature=temperature)
        plain = task(queries, items)
        np.testing.assert_allclose(
            task(queries, items, score_offsets=tf.zeros([5, 5])), plain, rtol=1e-5
        )
        offset = task(queries, items, score_offsets=10.0 * tf.eye(5))
        assert offset < plain - 5


def test_trends_start_without_a_weight_and_learn():
    rng = np.random.default_rng(2)
    table = tm.data.TrendTable(
        np.r_[np.full(50, 2), np.full(2, 1)],
        np.r_[rng.integers(0, DAY, 50), [0, DAY]],
        num_items=2,
        half_lives_days=[1.0],
    )
    item = tm.data.Feature("item_id", "id", 2)
    items = tm.towers.FeatureTower([item], DIM)
    query = tm.towers.GRU4Rec(items, DIM)
    model = tm.models.NextItem(query, num_trends=3, trend_table=table)
    batch = {
        "history": tf.constant([[0]]),
        "item_id": tf.constant([[2]], tf.int64),
        "timestamp": tf.constant([[2 * DAY]], tf.int64),
    }
    batch = {name: tf.repeat(value, 2, axis=0) for name, value in batch.items()}
    batch["item_id"] = tf.constant([[2], [1]], tf.int64)
    batch["timestamp"] = tf.constant([[2 * DAY], [-DAY]], tf.int64)
    before = model.query_tower({"history": tf.constant([[0]])}).numpy()
    np.testing.assert_array_equal(before[0, DIM:], np.zeros(3))
    model.compile(tf.keras.optimizers.Adam(0.05))
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(8), verbose=0)
    after = model.query_tower({"history": tf.constant([[0]])}).numpy()
    assert after[0, DIM] > 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model, table: setattr(model, "trend_table", table), "must have the 4"),
        (lambda model, _: model.candidate_tower({"item_id": [1]}), "`trends`.*missing"),
        (
            lambda model, _: model.candidate_tower(
                {"item_id": [1], "trends": np.ones([1, 2])}
            ),
            r"must be \[batch, 4\]",
        ),
        (
            lambda model, _: model.task_inputs(
                {"history": tf.constant([[1]]), "item_id": tf.constant([2])}
            ),
            "`timestamp` is missing",
        ),
    ],
)
def test_bad_trends_are_named(model, change, message):
    other = tm.data.TrendTable([1], [0], num_items=2, half_lives_days=[1.0])
    with pytest.raises(ValueError, match=message):
        change(model, other)


def test_a_model_without_a_table_says_how_to_get_one(model):
    config = model.get_config()
    again = tm.models.NextItem.from_config(config)
    assert again.num_trends == 4
    assert again.trend_table is None
    with pytest.raises(ValueError, match="model.trend_table = data.trend_table"):
        again.compute_loss(windows())
