import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tests import oracles
from tfrs_models import data as tm_data
from tfrs_models import metrics, models, towers

LENGTH, DIM = 6, 4


@pytest.fixture(scope="module")
def data():
    """Every user goes around a circle of 12 items, from a start of their own."""
    rows = [
        {"user_id": user, "item_id": (user * 5 + step) % 12, "timestamp": step}
        for user in range(20)
        for step in range(8 + user % 5)
    ]
    frame = pd.DataFrame(rows)
    frame["group"] = (frame["item_id"] % 3).astype(str)
    interactions = tm_data.from_frame(
        frame, split="leave_last_out", item_category_columns=["group"]
    )
    return tm_data.with_histories(interactions, LENGTH)


def make(data, kind=towers.RecencyPooling, *, dim=DIM, corpus=False, **options):
    tf.keras.utils.set_random_seed(1)
    items = towers.FeatureTower(data.item_features, dim)
    items = towers.FeatureLookup(items, data.items)
    model = models.NextItem(kind(items, dim), **options)
    if corpus:
        model.task.factorized_metrics = metrics.FactorizedTopK(
            model.embed_candidates(data.candidate_batches()), ks=[1]
        )
    return model


def windows(data, batch_size=4, **options):
    options = {"length": LENGTH, "stride": 3, "seed": 0} | options
    return tm_data.window_batches(data, batch_size, **options)


def without_known(batch):
    return {name: value for name, value in batch.items() if name != "known_items"}


@pytest.mark.parametrize(
    ("kind", "epochs"),
    [(towers.RecencyPooling, None), (towers.GRU4Rec, 30), (towers.SASRec, None)],
)
def test_it_learns_what_comes_next(data, kind, epochs):
    model = make(data, kind, dim=16, corpus=True)
    if epochs is None:  # small batches, in a graph
        model.compile(tf.keras.optimizers.Adam(0.02))
        batches, epochs = windows(data), 20
    else:
        model.compile(tf.keras.optimizers.Adam(0.05), run_eagerly=True)
        batches = windows(data, 100)
    # Everybody has almost all items: masking those would leave no negatives.
    model.fit(batches.map(without_known), epochs=epochs, verbose=0)
    test = data.batches("test", 16, known_items=False)
    results = model.evaluate(test, verbose=0, return_dict=True)
    assert results["factorized_top_k/top_1_categorical_accuracy"] > 0.8


def test_the_loss_is_that_of_every_prefix_as_a_row_of_its_own(data):
    model = make(data, temperature=0.3)
    batch = next(iter(windows(data)))
    batch["sample_weight"] = tf.random.uniform(batch["item_id"].shape)
    known = batch["known_items"].to_list()
    queries, ids, probability, excluded, weights = [], [], [], [], []
    for row in range(4):
        for place in range(LENGTH):
            target = int(batch["item_id"][row, place])
            if not target:
                continue
            prefix = batch["history"][row : row + 1, : place + 1]
            queries.append(model.query_tower({"history": prefix})[0])
            ids.append(target)
            probability.append(
                float(batch["candidate_sampling_probability"][row, place])
            )
            excluded.append(known[row][::2])
            weights.append(float(batch["sample_weight"][row, place]))
    batch["known_items"] = tf.ragged.constant([k[::2] for k in known], dtype=tf.int64)
    expected = oracles.retrieval_loss(
        np.array(queries),
        model.candidate_tower({"item_id": tf.constant(ids)}).numpy(),
        weights=weights,
        temperature=0.3,
        probability=probability,
        ids=ids,
        remove_hits=True,
        known=excluded,
    )
    np.testing.assert_allclose(model.compute_loss(batch), expected, rtol=1e-4)


@pytest.mark.parametrize("with_known", [True, False])
def test_the_full_softmax_tells_each_position_from_all_items(data, with_known):
    size = data.num_train_items
    model = make(data, temperature=0.3, corpus_size=size)
    batch = next(iter(windows(data)))
    known = [row[::2] for row in batch["known_items"].to_list()]
    batch["known_items"] = tf.ragged.constant(known, dtype=tf.int64)
    if not with_known:
        batch = without_known(batch)
        known = [[]] * 4
    items = model.candidate_tower({"item_id": np.arange(size + 1)}).numpy()
    expected = 0.0
    for row, place in zip(*np.nonzero(batch["item_id"]), strict=True):
        prefix = batch["history"][row : row + 1, : place + 1]
        query = model.query_tower({"history": prefix}).numpy()[0]
        target = int(batch["item_id"][row, place])
        rivals = [i for i in range(1, size + 1) if i == target or i not in known[row]]
        scores = {i: float(query @ items[i]) / 0.3 for i in rivals}
        expected += np.log(sum(np.exp(list(scores.values())))) - scores[target]
    np.testing.assert_allclose(
        model.compute_loss(batch, training=False), expected, rtol=1e-4
    )


def test_a_positive_beyond_the_corpus_is_refused(data):
    model = make(data, corpus_size=3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`corpus_size` must be"):
        model.compute_loss(next(iter(windows(data))))


def test_windows_and_rows_of_one_item_give_the_same_loss(data):
    model = make(data)
    batch = without_known(next(iter(windows(data, 30))))
    one = {name: value[:, :1] for name, value in batch.items() if value.ndim == 2}
    one["item_id"] = tf.maximum(one["item_id"], 1)
    rows = {"history": one["history"]}
    rows |= {n: tf.squeeze(v, 1) for n, v in one.items() if n != "history"}
    np.testing.assert_allclose(
        model.compute_loss(one), model.compute_loss(rows), rtol=1e-5
    )


def test_history_and_candidates_share_one_table(data):
    model = make(data)
    model.compile("adam", run_eagerly=True)
    model.fit(windows(data).take(2), verbose=0)
    tables = [w for w in model.trainable_weights if "item_id" in w.name]
    assert len(tables) == 1
    assert model.candidate_tower.tower is model.query_tower.tower.item_tower


@pytest.mark.parametrize(
    "options", [{}, {"unit_norm": False, "temperature": 0.7}, {"corpus_size": 12}]
)
def test_the_config_makes_an_equal_model_that_still_shares(data, options):
    model = make(data, **options)
    copy = models.NextItem.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    query, candidate = (
        tower.tower if copy.unit_norm else tower
        for tower in (copy.query_tower, copy.candidate_tower)
    )
    assert candidate is query.item_tower
    rows = next(iter(data.batches("test", 9)))
    model(rows), copy(rows)
    copy.set_weights(model.get_weights())
    for ours, theirs in zip(model(rows), copy(rows), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("kind", [towers.RecencyPooling, towers.GRU4Rec, towers.SASRec])
def test_saved_weights_and_a_saved_model_answer_the_same(data, kind, tmp_path):
    model = make(data, kind)
    model.compile(tf.keras.optimizers.Adam(0.02), run_eagerly=True)
    model.fit(windows(data).take(2), verbose=0)
    rows = next(iter(data.batches("test", 9)))
    expected = model(rows)
    loaded = model
    if kind is towers.RecencyPooling:  # the contract saves the others as towers
        model.save(tmp_path / "model")
        loaded = tf.keras.models.load_model(tmp_path / "model")
    other = make(data, kind)
    other(rows)
    model.save_weights(str(tmp_path / "weights.h5"))
    other.load_weights(str(tmp_path / "weights.h5"))
    for answer in (loaded(rows), other(rows)):
        for ours, theirs in zip(answer, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batches_of_every_size_train(data, batch_size):
    model = make(data)
    model.compile("adam", run_eagerly=True)
    rows = windows(data, batch_size).take(4)
    history = model.fit(rows, epochs=2, verbose=0).history
    assert np.isfinite(history["loss_per_example"]).all()


@pytest.fixture(scope="module")
def replicated(data, strategy):
    """One model for both tests of replicas: one graph of its training."""
    with strategy.scope():
        model = make(data, corpus=True)
        model.compile(tf.keras.optimizers.Adam(0.02))
    return model


def test_two_replicas_train_and_evaluate(data, replicated):
    model = replicated
    history = model.fit(
        windows(data, 6).map(without_known),
        validation_data=data.batches("validation", 16, known_items=False),
        epochs=3,
        verbose=0,
    ).history
    assert history["loss_per_example"][-1] < history["loss_per_example"][0]
    alone = make(data, corpus=True)
    alone(next(iter(data.batches("test", 2))))
    alone.set_weights(model.get_weights())
    alone.compile(run_eagerly=True)
    test = data.batches("test", 16, known_items=False)
    one, two = (m.evaluate(test, verbose=0, return_dict=True) for m in (alone, model))
    key = "factorized_top_k/top_1_categorical_accuracy"
    assert one[key] == pytest.approx(two[key])


def test_a_candidate_tower_that_reads_more_than_the_id_needs_a_lookup(data):
    items = towers.FeatureTower(data.item_features, DIM)
    model = models.NextItem(towers.RecencyPooling(items, DIM))
    with pytest.raises(ValueError, match="Feature `group` is missing"):
        model.compute_loss(next(iter(windows(data))))


def test_a_query_tower_without_items_is_named():
    with pytest.raises(ValueError, match="`query_tower` must be one of"):
        models.NextItem(towers.UserId(7, 3))


def test_a_replica_without_a_window_does_not_spoil_the_mean(data, replicated):
    one = windows(data, 1).map(without_known).take(1)  # one of two gets nothing
    history = replicated.fit(one, epochs=2, verbose=0).history
    assert np.isfinite(history["loss_per_example"]).all()
