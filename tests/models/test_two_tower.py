import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tfrs_models import layers, metrics, models, tasks, towers
from tfrs_models.data import Feature, mixed_negatives

NUM_USERS, NUM_ITEMS = 12, 9


@pytest.fixture
def data():
    """Users like items of their own third, and one user is unknown."""
    rng = np.random.default_rng(0)
    users = rng.integers(1, NUM_USERS + 1, size=70)
    items = (users % 3) * 3 + rng.integers(3, size=70) + 1
    counts = np.bincount(items, minlength=NUM_ITEMS + 1)
    users[5] = 0
    return {
        "user_id": users,
        "item_id": items,
        "age": rng.normal(size=70).astype("float32"),
        "genres": np.stack([(items - 1) // 3 + 1, 0 * items], axis=1),
        "candidate_sampling_probability": (counts / 70).astype("float32")[items],
    }


def batches(data, batch=16):
    return tf.data.Dataset.from_tensor_slices(data).batch(batch)  # the last has 6 rows


def catalogue():
    ids = np.arange(1, NUM_ITEMS + 1)
    genres = np.stack([(ids - 1) // 3 + 1, 0 * ids], axis=1)
    values = {"item_id": ids, "genres": genres}
    return tf.data.Dataset.from_tensor_slices(values).batch(4)


def make(seed=1, *, dim=6, corpus=False, **options):
    tf.keras.utils.set_random_seed(seed)
    user = towers.FeatureTower(
        [Feature("user_id", "id", NUM_USERS), Feature("age", "number")],
        dim,
        id_dropout=0.1,
    )
    item = towers.FeatureTower(
        [Feature("item_id", "id", NUM_ITEMS), Feature("genres", "bag", 3)],
        dim,
        hidden_units=[8],
    )
    model = models.TwoTower(user, item, **options)
    if corpus:
        model.task.factorized_metrics = metrics.FactorizedTopK(
            model.embed_candidates(catalogue()), ks=[1, 3], metrics=["mrr"]
        )
    return model


def fitted(data, *, run_eagerly=True, **options):
    model = make(**options)
    model.compile(tf.keras.optimizers.Adam(0.02), run_eagerly=run_eagerly)
    model.fit(batches(data), verbose=0)
    return model


def assert_same(model, other, data):
    for ours, theirs in zip(model(data), other(data), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_it_learns_what_users_like(data):
    model = make(corpus=True)
    model.compile(tf.keras.optimizers.Adam(0.02))
    before = model.evaluate(batches(data), verbose=0, return_dict=True)
    model.fit(batches(data), epochs=15, verbose=0)
    after = model.evaluate(batches(data), verbose=0, return_dict=True)
    top_3 = "factorized_top_k/top_3_categorical_accuracy"
    assert before[top_3] < 0.7
    assert after[top_3] > 0.9  # three items each, one user unknown
    assert after["loss"] < before["loss"]


def test_the_defaults_are_unit_norm_temperature_logq_and_no_accidental_hits(data):
    model = make(temperature=0.3)
    rows = {name: value[:10] for name, value in data.items()}
    query, candidate = (side.numpy() for side in model(rows))
    np.testing.assert_allclose(np.linalg.norm(query, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(candidate, axis=1), 1, rtol=1e-5)
    expected = oracles.retrieval_loss(
        query,
        candidate,
        temperature=0.3,
        probability=rows["candidate_sampling_probability"],
        ids=rows["item_id"],
        remove_hits=True,
    )
    np.testing.assert_allclose(model.compute_loss(rows), expected, rtol=1e-5)


def test_weights_and_known_items_of_the_features_reach_the_task(data):
    rng = np.random.default_rng(3)
    model = make(corpus=True)
    rows = {name: value[:10] for name, value in data.items()}
    known = [rng.integers(1, NUM_ITEMS + 1, size=n % 4).tolist() for n in range(10)]
    rows["sample_weight"] = rng.uniform(size=10).astype("float32")
    rows["known_items"] = tf.ragged.constant(known, dtype=tf.int64)
    query, candidate = (side.numpy() for side in model(rows))
    expected = oracles.retrieval_loss(
        query,
        candidate,
        weights=rows["sample_weight"],
        temperature=0.2,
        probability=rows["candidate_sampling_probability"],
        ids=rows["item_id"],
        remove_hits=True,
        known=known,
    )
    np.testing.assert_allclose(model.compute_loss(rows), expected, rtol=1e-5)
    embeddings = np.concatenate([e for _, e in model.embed_candidates(catalogue())])
    above, tied, _ = oracles.ranks(
        oracles.scores(query, embeddings),
        rows["item_id"] - 1,
        [[i - 1 for i in row] for row in known],
    )
    places = zip(above, tied, strict=True)
    hits = [oracles.expected("hits", a, t, k=3) for a, t in places]
    corpus = model.task.factorized_metrics[0]
    np.testing.assert_allclose(
        corpus.result()[1], np.average(hits, weights=rows["sample_weight"]), rtol=1e-5
    )


def test_the_loss_per_example_is_a_mean_over_examples_not_batches(data):
    model = make()
    model.compile("sgd", run_eagerly=True)
    results = model.evaluate(batches(data), verbose=0, return_dict=True)
    losses = [float(model.compute_loss(batch)) for batch in batches(data)]
    assert results["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert results["loss_per_example"] == pytest.approx(sum(losses) / 70, rel=1e-5)


def test_corpus_metrics_are_reported_for_validation_only(data):
    model = make(corpus=True)
    model.compile("adam", run_eagerly=True)
    history = model.fit(batches(data), validation_data=batches(data), verbose=0).history
    assert not any("factorized" in name for name in history if "val" not in name)
    assert {
        "val_factorized_top_k/top_1_categorical_accuracy",
        "val_factorized_top_k/top_3_categorical_accuracy",
        "val_factorized_top_k/mrr",
    } <= history.keys()


def test_graph_and_eager_training_agree(data):
    weights = []
    for eagerly in (True, False):
        model = make()
        model.query_tower.tower.id_dropout = 0.0  # the random numbers would differ
        model.compile(tf.keras.optimizers.SGD(0.1), run_eagerly=eagerly)
        model.fit(batches(data), verbose=0)
        weights.append(model.get_weights())
    for eager, graph in zip(*weights, strict=True):
        np.testing.assert_allclose(eager, graph, rtol=1e-3, atol=1e-5)


def test_the_towers_of_the_model_are_ready_to_be_indexed(data):
    model = make()
    index = layers.BruteForce(model.query_tower, k=NUM_ITEMS)
    features = next(iter(catalogue().unbatch().batch(NUM_ITEMS)))
    index.index(model.candidate_tower(features), features["item_id"])
    scores, ids = index(data)
    queries, _ = model(data)
    ids_of_rows = features["item_id"].numpy().tolist()
    rows = np.concatenate([e for _, e in model.embed_candidates(catalogue())])
    candidates = dict(zip(ids_of_rows, rows, strict=True))
    for row in range(70):
        own = [float(candidates[int(i)] @ queries[row].numpy()) for i in ids[row]]
        np.testing.assert_allclose(scores[row], own, atol=1e-5)
        assert own == sorted(own, reverse=True)


@pytest.mark.parametrize("unit_norm", [True, False])
def test_the_names_of_before_say_which_tower_to_take(unit_norm):
    model = make(unit_norm=unit_norm)
    for side in ("query", "candidate"):
        message = f"`{side}_model` is now `{side}_tower`"
        with pytest.raises(AttributeError, match=message):
            getattr(model, f"{side}_model")
    with pytest.raises(AttributeError, match="TwoTower has no attribute `tower`"):
        _ = model.tower


@pytest.mark.parametrize("batch", [1, 7, 20, 100])
def test_batches_of_every_size_train_and_evaluate(data, batch):
    model = make(corpus=True)
    model.compile("adam", run_eagerly=True)
    part = batches({name: value[:20] for name, value in data.items()}, batch).take(4)
    results = model.fit(part, validation_data=part, verbose=0).history
    assert all(np.isfinite(values).all() for values in results.values())


def test_the_same_seed_gives_the_same_weights(data):
    first, second = (fitted(data, seed=7, run_eagerly=False) for _ in range(2))
    third = fitted(data, seed=8)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(first.get_weights()[0], third.get_weights()[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"unit_norm": False, "temperature": 0.7, "name": "mine"},
        {"task": tasks.Retrieval(temperature=0.5, num_hard_negatives=3)},
    ],
)
def test_the_config_makes_an_equal_model(data, options):
    model = make(**options)
    copy = models.TwoTower.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    model(data), copy(data)
    copy.set_weights(model.get_weights())
    assert_same(model, copy, data)
    np.testing.assert_allclose(copy.compute_loss(data), model.compute_loss(data))


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_saved_weights_come_back(data, tmp_path, suffix):
    model, other = fitted(data), make(seed=2)
    other(data)
    model.save_weights(str(tmp_path / f"weights{suffix}"))
    other.load_weights(str(tmp_path / f"weights{suffix}"))
    assert_same(model, other, data)


@pytest.mark.parametrize("corpus", [False, True])
def test_a_saved_model_answers_the_same_and_trains_on(data, tmp_path, corpus):
    model = fitted(data, corpus=corpus)
    model.save(tmp_path / "model")
    loaded = tf.keras.models.load_model(tmp_path / "model")
    assert isinstance(loaded, models.TwoTower)
    loaded.run_eagerly = corpus
    assert_same(model, loaded, data)
    plain = tf.saved_model.load(str(tmp_path / "model"))
    tensors = {name: tf.constant(value) for name, value in data.items()}
    for ours, theirs in zip(model(data), plain(tensors, training=False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    before = loaded.evaluate(batches(data), verbose=0, return_dict=True)["loss"]
    loaded.fit(batches(data), epochs=3, verbose=0)
    after = loaded.evaluate(batches(data), verbose=0, return_dict=True)["loss"]
    assert after < before


def test_a_checkpoint_resumes_where_it_stopped(data, tmp_path):
    model = fitted(data)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    path = checkpoint.save(str(tmp_path / "checkpoint"))
    other = make(seed=3)
    other.compile(tf.keras.optimizers.Adam(0.5), run_eagerly=True)
    other.fit(batches(data), verbose=0)
    tf.train.Checkpoint(model=other, optimizer=other.optimizer).restore(path)
    assert_same(model, other, data)
    assert int(other.optimizer.iterations) == int(model.optimizer.iterations) == 5


def test_embedded_candidates_follow_the_weights():
    model = make()
    candidates = model.embed_candidates(catalogue())
    features = {
        k: np.concatenate([b[k] for b in catalogue()]) for k in ("item_id", "genres")
    }
    for _ in range(2):
        ids, embeddings = (
            np.concatenate(parts) for parts in zip(*candidates, strict=True)
        )
        np.testing.assert_array_equal(ids, features["item_id"])
        np.testing.assert_allclose(
            embeddings, model.candidate_tower(features), rtol=1e-5
        )
        for weight in model.trainable_weights:
            weight.assign(weight + 0.1)


@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
def test_mixed_precision_learns_too(data, mixed_policy):
    model = make(corpus=True)
    in_graph = mixed_policy == "mixed_float16"  # the one whose losses are scaled
    model.compile(tf.keras.optimizers.Adam(0.1), run_eagerly=not in_graph)
    model.fit(batches(data), epochs=4, verbose=0)
    results = model.evaluate(batches(data), verbose=0, return_dict=True)
    assert results["factorized_top_k/top_3_categorical_accuracy"] > 0.9
    copy = models.TwoTower.from_config(model.get_config())
    copy(data)
    copy.set_weights(model.get_weights())
    assert_same(model, copy, data)


@pytest.mark.parametrize("name", ["user_id", "item_id", "age", "genres"])
def test_a_missing_feature_is_named(data, name):
    del data[name]
    model = make()
    model.compile("adam")
    with pytest.raises(ValueError, match=f"Feature `{name}`.* missing"):
        model.fit(batches(data), verbose=0)


def test_a_feature_that_is_not_finite_is_named(data):
    data["age"][20] = np.nan
    model = make()
    model(data)
    before = model.get_weights()
    model.compile("adam")
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Feature `age` is not finite"
    ):
        model.fit(batches(data, 70), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_tower_may_be_any_layer(data):
    class Constant(tf.keras.layers.Layer):
        def call(self, features, training=False):
            del training
            return tf.ones([tf.shape(features["item_id"])[0], 3])

    model = models.TwoTower(Constant(), Constant())
    model.compile("sgd", run_eagerly=True)
    results = model.evaluate(batches(data), verbose=0, return_dict=True)
    assert np.isfinite(results["loss"])


def mixed(data, per_batch=5, batch=16, **options):
    """Batches with uniform items of the catalogue behind them."""
    ids = np.arange(NUM_ITEMS + 1)
    genres = np.stack([(ids - 1) // 3 + 1, 0 * ids], axis=1)
    items = {"item_id": ids, "genres": genres}
    return mixed_negatives(batches(data, batch), items, per_batch, seed=1, **options)


def with_catalogue():
    """A task that knows what the extra candidates are drawn from."""
    return tasks.Retrieval(
        temperature=0.2, remove_accidental_hits=True, num_items=NUM_ITEMS
    )


def shares(data):
    return np.bincount(data["item_id"], minlength=NUM_ITEMS + 1) / 70


def test_extra_candidates_are_rows_behind_those_of_the_batch(data):
    model = make(task=with_catalogue())
    batch = next(iter(mixed(data, candidate_probabilities=shares(data))))
    extra = batch["extra_candidates"]
    inputs = model.task_inputs(batch)
    ids = np.concatenate([batch["item_id"], extra["item_id"]])
    np.testing.assert_array_equal(inputs["candidate_ids"], ids)
    probability = np.maximum(shares(data), shares(data)[1:].min())[ids]
    np.testing.assert_allclose(inputs["candidate_sampling_probability"], probability)
    everything = {
        "item_id": ids,
        "genres": np.concatenate([batch["genres"], extra["genres"]]),
    }
    embedded = model.candidate_tower(everything)
    np.testing.assert_allclose(inputs["candidate_embeddings"], embedded, rtol=1e-5)
    expected = oracles.retrieval_loss(
        model(batch)[0].numpy(),
        embedded.numpy(),
        temperature=0.2,
        ids=ids,
        probability=15 * probability + 5 / NUM_ITEMS,
        remove_hits=True,
    )
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-4)


def test_eager_training_takes_mixed_negatives_too(data):
    model = make(corpus=True, task=with_catalogue())
    model.compile(tf.keras.optimizers.Adam(0.02), run_eagerly=True)
    dataset = mixed(data, candidate_probabilities=shares(data))
    losses = model.fit(dataset, epochs=4, verbose=0).history["loss_per_example"]
    assert losses[-1] < losses[0]


def test_it_trains_with_mixed_negatives(data):
    model = make(corpus=True, task=with_catalogue())
    model.compile(tf.keras.optimizers.Adam(0.02))
    dataset = mixed(data, candidate_probabilities=shares(data))
    model.fit(dataset, epochs=15, verbose=0)
    results = model.evaluate(batches(data), verbose=0, return_dict=True)
    assert results["factorized_top_k/top_3_categorical_accuracy"] > 0.9


def test_extra_candidates_push_away_what_the_batch_never_shows(data):
    rows = {name: value[data["item_id"] != 9] for name, value in data.items()}

    def score_of_the_unseen(dataset):
        tf.keras.utils.set_random_seed(1)
        model = models.TwoTower(
            towers.FeatureTower([Feature("user_id", "id", NUM_USERS)], 6),
            towers.FeatureTower([Feature("item_id", "id", NUM_ITEMS)], 6),
            task=with_catalogue(),
        )
        model.compile(tf.keras.optimizers.Adam(0.02))
        model.fit(dataset, epochs=10, verbose=0)
        query, _ = model(rows)
        unseen = model.candidate_tower({"item_id": tf.constant([9])})
        return float(tf.reduce_mean(query @ tf.transpose(unseen)))

    with_extra = mixed(rows, 20, candidate_probabilities=shares(rows))
    assert score_of_the_unseen(with_extra) < score_of_the_unseen(batches(rows)) - 0.1


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("item_id", "`extra_candidates/item_id`, .* missing"),
        ("candidate_sampling_probability", "`candidate_probabilities`.*Got"),
    ],
)
def test_an_incomplete_extra_candidate_is_named(data, drop, message):
    batch = next(iter(mixed(data, candidate_probabilities=shares(data))))
    del batch["extra_candidates"][drop]
    with pytest.raises(ValueError, match=message):
        make(task=with_catalogue()).compute_loss(batch)


def test_whether_embeddings_are_scaled_is_true_or_false():
    with pytest.raises(ValueError, match="`unit_norm` must be True or False. Got 'no'"):
        make(unit_norm="no")


def test_the_estimator_gives_the_probabilities_that_the_features_do_not(data):
    estimator = layers.FrequencyEstimator(1000, 2, 0.5)
    model = make(frequency_estimator=estimator, task=with_catalogue())
    batch = next(iter(mixed(data)))
    given = model.task_inputs(batch | batch["extra_candidates"])  # has the shares
    assert given["candidate_sampling_probability"].shape == [5 + 16]
    del batch["candidate_sampling_probability"]
    inputs = model.task_inputs(batch, training=True)
    ids = batch["item_id"].numpy()
    counts = np.bincount(ids, minlength=NUM_ITEMS + 1)
    expected = np.concatenate([ids, batch["extra_candidates"]["item_id"]])
    expected = np.where(counts > 0, counts / 16, 1 / 17)[expected]
    np.testing.assert_allclose(
        inputs["candidate_sampling_probability"], expected, rtol=1e-5
    )
    again = model.task_inputs(batch)["candidate_sampling_probability"]
    np.testing.assert_array_equal(again, inputs["candidate_sampling_probability"])


def test_with_the_estimator_it_learns_from_a_zipf_stream_what_counts_teach():
    rng = np.random.default_rng(0)
    num_items = 60
    items = np.arange(1, num_items + 1)
    popularity = 1 / items
    users = rng.integers(1, 5, size=12_000)
    chances = np.where(items % 4 == np.arange(5)[:, None] % 4, 6.0, 1.0) * popularity
    chances /= chances.sum(axis=1, keepdims=True)
    ids = np.array([rng.choice(items, p=chances[user]) for user in users])
    counts = np.bincount(ids, minlength=num_items + 1) / len(ids)
    rows = {"user_id": users, "item_id": ids}
    scores = {}
    for how in ("counted", "estimated", "uncorrected"):
        tf.keras.utils.set_random_seed(0)
        model = models.TwoTower(
            towers.FeatureTower([Feature("user_id", "id", 4)], 16),
            towers.FeatureTower([Feature("item_id", "id", num_items)], 16),
            frequency_estimator=(
                layers.FrequencyEstimator(5000, 3, 0.02) if how == "estimated" else None
            ),
        )
        model.compile(tf.keras.optimizers.Adam(0.02))
        features = dict(rows)
        if how == "counted":
            features["candidate_sampling_probability"] = counts[ids].astype("float32")
        dataset = tf.data.Dataset.from_tensor_slices(features).batch(256)
        model.fit(dataset, epochs=4, verbose=0)
        query = model.query_tower({"user_id": np.arange(1, 5)})
        scores[how] = query @ tf.transpose(model.candidate_tower({"item_id": items}))
        if how == "estimated":
            found = model.frequency_estimator(tf.constant(items[:10]))
            np.testing.assert_allclose(found, counts[1:11], rtol=0.3)
    flat = {how: score.numpy().reshape(-1) for how, score in scores.items()}
    np.testing.assert_allclose(flat["estimated"], flat["counted"], atol=0.2)
    liked = np.log(chances[1:].reshape(-1))
    agreement = {how: np.corrcoef(score, liked)[0, 1] for how, score in flat.items()}
    assert agreement["estimated"] > agreement["uncorrected"] + 0.1
