"""Negatives of single rows: impressions, and what an index finds."""

import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tfrs_models import layers, models, tasks, towers
from tfrs_models.data import Feature
from tfrs_models.training import IndexNegatives

NUM_USERS, NUM_ITEMS = 7, 9


@pytest.fixture
def batch():
    rng = np.random.default_rng(3)
    return {
        "user_id": tf.constant([1, 2, 3, 7]),
        "item_id": tf.constant([4, 9, 4, 1]),
        "negative_items": tf.constant([[2, 4], [0, 0], [9, 1], [3, 0]]),
        "known_items": tf.ragged.constant([[4, 9], [1], [], [2]], dtype=tf.int32),
        "candidate_sampling_probability": tf.constant(
            rng.uniform(0.05, 0.3, size=4), tf.float32
        ),
    }


def make(**options):
    tf.keras.utils.set_random_seed(1)
    return models.TwoTower(
        towers.FeatureTower([Feature("user_id", "id", NUM_USERS)], 5),
        towers.FeatureTower([Feature("item_id", "id", NUM_ITEMS)], 5),
        **options,
    )


def test_impressions_are_negatives_of_their_own_row(batch):
    del batch["known_items"], batch["candidate_sampling_probability"]
    model = make()
    query, _ = model(batch)
    items = model.candidate_tower({"item_id": tf.range(NUM_ITEMS + 1)}).numpy()
    table = oracles.scores(query, items) / 0.2
    own, expected = [4, 9, 4, 1], 0.0
    for i, shown in enumerate([[2], [], [9, 1], [3]]):  # no padding, no positive
        negatives = [j for j in own if j != own[i]] + shown
        mass = sum(np.exp(table[i, j]) for j in [own[i], *negatives])
        expected += np.log(mass) - table[i, own[i]]
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-5)


def test_mined_negatives_join_in_training_only(batch):
    table = layers.MinedNegatives(NUM_USERS + 1, 2)
    table.assign(tf.constant([2, 3]), tf.constant([[5, 9], [6, -1]]))
    model = make(mined_negatives=table)
    inputs = model.task_inputs(batch, training=True)
    np.testing.assert_array_equal(
        inputs["negative_mask"],
        [
            [True, False, False, False],  # the positive, and nothing mined
            [False, False, True, False],  # mined is 5, and 9, the positive
            [True, True, True, False],
            [True, False, False, False],
        ],
    )
    mined = model.candidate_tower({"item_id": tf.constant([5, 6])})
    found = inputs["negative_embeddings"]
    np.testing.assert_allclose(tf.stack([found[1, 2], found[2, 2]]), mined, rtol=1e-5)
    assert model.task_inputs(batch)["negative_mask"].shape[1] == 2


def test_an_index_mines_what_the_model_ranks_highest_and_nothing_known(batch):
    table = layers.MinedNegatives(NUM_USERS + 1, 3)
    model = make(mined_negatives=table)
    rows = tf.data.Dataset.from_tensor_slices(
        {"user_id": [1, 2, 3, 7], "known_items": batch["known_items"]}
    ).batch(3)
    items = tf.data.Dataset.range(1, NUM_ITEMS + 1).batch(4)
    candidates = items.map(lambda ids: {"item_id": ids})
    callback = IndexNegatives(
        layers.BruteForce(k=3), queries=rows, candidates=candidates, warmup=1
    )
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    assert (table(tf.range(NUM_USERS + 1)).numpy() == -1).all()
    callback.on_epoch_begin(1)
    queries = model.query_tower({"user_id": tf.constant([1, 2, 3, 7])})
    ids = tf.range(1, NUM_ITEMS + 1)
    scores = oracles.scores(queries, model.candidate_tower({"item_id": ids}))
    for row, user in enumerate([1, 2, 3, 7]):
        known = set(batch["known_items"][row].numpy())
        order = [j + 1 for j in np.argsort(-scores[row]) if j + 1 not in known]
        np.testing.assert_array_equal(table(tf.constant([user]))[0], order[:3])
    assert (table(tf.constant([0, 4, 5, 6])).numpy() == -1).all()


@pytest.mark.parametrize("refresh_every", [1, 2])
def test_it_is_asked_again_when_the_schedule_says_so(refresh_every):
    model = make(mined_negatives=layers.MinedNegatives(NUM_USERS + 1, 2))
    users = tf.data.Dataset.range(1, NUM_USERS + 1)
    items = tf.data.Dataset.range(1, NUM_ITEMS + 1).batch(4)
    callback = IndexNegatives(
        layers.BruteForce(k=2),
        queries=users.map(lambda user: {"user_id": user}).batch(4),
        candidates=items.map(lambda ids: {"item_id": ids}),
        refresh_every=refresh_every,
        warmup=0,
    )
    model.compile(tf.keras.optimizers.Adam(0.5), run_eagerly=True)
    data = {"user_id": np.arange(8) % NUM_USERS + 1, "item_id": np.arange(8) + 1}
    tables = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            del epoch, logs
            tables.append(model.mined_negatives(tf.range(NUM_USERS + 1)).numpy())

    dataset = tf.data.Dataset.from_tensor_slices(data).batch(4)
    model.fit(dataset, epochs=3, callbacks=[callback, Look()], verbose=0)
    assert (tables[0][1:] > 0).all()
    assert (tables[0] == tables[1]).all() == (refresh_every == 2)
    assert (tables[1] != tables[2]).any()


def test_wrong_arguments_are_named(batch):
    with pytest.raises(ValueError, match="`num_queries` and `per_query` must be at"):
        layers.MinedNegatives(0, 2)
    with pytest.raises(ValueError, match=r"must have 2 columns. Got 1"):
        layers.MinedNegatives(3, 2).assign(tf.constant([1]), tf.constant([[1]]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`query_ids` must be in"):
        layers.MinedNegatives(3, 2).assign(tf.constant([3]), tf.constant([[1, 2]]))
    with pytest.raises(ValueError, match="`refresh_every` must be at least"):
        IndexNegatives(None, queries=None, candidates=None, refresh_every=0)
    mined = layers.MinedNegatives(3, 2)
    model = make(mined_negatives=mined, query_id="viewer_id")
    with pytest.raises(ValueError, match="`viewer_id`, the query's id, must be given"):
        model.task_inputs(batch, training=True)
    callback = IndexNegatives(None, queries=None, candidates=None)
    callback.set_model(make())
    with pytest.raises(ValueError, match="must have `mined_negatives`"):
        callback.on_train_begin()


def test_uniform_draws_need_the_size_of_their_catalogue(batch):
    extra = {
        "item_id": tf.constant([5, 6]),
        "candidate_sampling_probability": [0.1, 0.2],
    }
    with pytest.raises(ValueError, match=r"tasks.Retrieval\(num_items=...\)"):
        make().compute_loss(batch | {"extra_candidates": extra})


def test_all_sources_train_together(batch):
    task = tasks.Retrieval(
        temperature=0.2,
        correction="corrected_logq",
        remove_accidental_hits=True,
        num_hard_negatives=3,
        num_items=NUM_ITEMS,
        queue=layers.CandidateQueue(6, 5),
    )
    model = make(task=task, mined_negatives=layers.MinedNegatives(NUM_USERS + 1, 1))
    model.mined_negatives.assign(tf.constant([1]), tf.constant([[3]]))
    extra = {
        "item_id": tf.constant([5, 6]),
        "candidate_sampling_probability": tf.constant([0.1, 0.2]),
    }
    features = batch | {"extra_candidates": extra}
    model.compile(tf.keras.optimizers.Adam(0.05))
    dataset = tf.data.Dataset.from_tensors(features)
    losses = model.fit(dataset, epochs=8, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    query, candidate = model(batch)
    own = tf.reduce_sum(query * candidate, axis=1)
    assert float(tf.reduce_mean(own)) > 0.5


class OfWords(tf.keras.layers.Layer):
    def __init__(self, feature):
        super().__init__()
        self.feature = feature
        self.words = tf.keras.layers.StringLookup(vocabulary=["a", "b", "c", "d"])
        self.table = tf.keras.layers.Embedding(5, 3)

    def call(self, features):
        return self.table(self.words(features[self.feature]))


@pytest.mark.parametrize("eagerly", [True, False])
def test_ids_may_be_text(eagerly):
    model = models.TwoTower(OfWords("user_id"), OfWords("item_id"))
    model.compile("sgd", run_eagerly=eagerly)
    batch = {
        "user_id": tf.constant(["a", "c", "d"]),
        "item_id": tf.constant(["b", "a", "d"]),
    }
    assert np.isfinite(model.compute_loss(batch))
    assert "negative_embeddings" not in model.task_inputs(batch)
    batch["negative_items"] = tf.constant([["c", "", "b"], ["d", "a", ""], [""] * 3])
    inputs = model.task_inputs(batch)
    np.testing.assert_array_equal(
        inputs["negative_mask"], [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    )
    expected = model.candidate_tower({"item_id": tf.constant(["c"])})[0]
    np.testing.assert_allclose(inputs["negative_embeddings"][0, 0], expected, rtol=1e-5)
    model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    batch["negative_items"] = tf.constant([[1], [2], [3]])
    with pytest.raises(
        ValueError, match=r"`negative_items` must be.*string. Got int32"
    ):
        model.task_inputs(batch)
