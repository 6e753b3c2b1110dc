import numpy as np
import pytest
import tensorflow as tf

from tests.click_searches import (
    ITEM_SET,
    ITEMS,
    VECTORS,
    TableOfVectors,
    batches,
    clicks_on_three_items,
    golden_extractor,
    item_set,
    model_of,
    pairs_of,
    random_search,
    sgd,
    towers,
)
from tests.golden_cases import assert_close, cases
from tfrs_models.data.clickstream import (
    FineTuningInput,
    ItemSet,
    click_batches,
    fill_ranks,
    pair_inputs,
)
from tfrs_models.layers import FeaturesExtractor
from tfrs_models.losses import prob_margin_ranking_loss
from tfrs_models.models import (
    FineTuningModel,
    NextItem,
    TwoTower,
    fine_tuning_train_step,
)
from tfrs_models.ops.clickstream.packing import pack_pairs
from tfrs_models.towers import (
    FeatureLookup,
    RecencyPooling,
    freeze_first_layers,
)
from tfrs_models.towers.hashed_text import HashedText
from tfrs_models.training import AccumulateMetrics, step_decay_schedule


@cases("fine_tuning_train_step")
def test_golden_train_steps(case):
    inputs, expected = case["inputs"], case["expected"]
    items = item_set(inputs)
    extractor = golden_extractor(inputs, negative_downsampling_factor=1.0)
    dense = extractor.item_tower
    extractor.item_tower = TableOfVectors(items.features, dense)
    model = FineTuningModel(extractor, margin=inputs["margin"])
    model.compile(
        tf.keras.optimizers.SGD(
            inputs["query_lr"], weight_decay=inputs["query_weight_decay"]
        ),
        item_optimizer=tf.keras.optimizers.SGD(
            inputs["items_lr"], weight_decay=inputs["items_weight_decay"]
        ),
    )
    batch = pack_pairs(pairs_of(inputs), items)
    step = fine_tuning_train_step(model, batch)
    found = {
        "loss": step.loss,
        "query_kernel_grad": step.query_gradients[0],
        "item_kernel_grad": step.item_gradients[0],
        "new_query_kernel": extractor.query_tower.kernel,
        "new_item_kernel": dense.kernel,
        "loss_after": model.compute_loss(batch),
    }
    assert expected.keys() <= found.keys() | {"features"}
    for name, value in expected.items():
        if name in found:
            assert_close(found[name], value)


def test_training_puts_what_was_clicked_first():
    model = model_of()
    model.compile(sgd(4.0))
    data = batches(batch_size=12, shuffle=True, seed=1)
    before = model.evaluate(data, return_dict=True, verbose=0)
    history = model.fit(data, epochs=10, verbose=0).history
    after = model.evaluate(data, return_dict=True, verbose=0)
    assert after["pair_accuracy"] > 0.95 > before["pair_accuracy"]
    assert after["not_irrelevant_dist_shift"] > before["not_irrelevant_dist_shift"]
    assert after["mean_gap"] > before["mean_gap"]
    assert history["loss_per_pair"][-1] < history["loss_per_pair"][0]
    # Searches without a click are not looked at in training, and are in evaluation.
    assert "irrelevant_dist_shift" not in history
    assert after["irrelevant_dist_shift"] != 0


def test_figures_of_an_epoch_are_means_over_all_of_its_pairs():
    model = model_of(options={"max_abs_difference_threshold": 0.8}, margin=0.1)
    model.compile(sgd(), run_eagerly=True)
    found = model.evaluate(batches(batch_size=5), return_dict=True, verbose=0)
    (whole,) = batches(batch_size=99)
    extraction = model.extractor.extract(whole)
    p, n, t, *_ = (column.numpy() for column in extraction.formed)
    assert found["pair_accuracy"] == pytest.approx(np.mean(t * (p - n) > 0), rel=1e-5)
    assert found["mean_gap"] == pytest.approx(np.mean(p - n), rel=1e-4)
    kept = np.sum(np.abs(p - n) < 0.8)
    assert found["mean_confidence"] == 1
    assert found["clamped_share"] == pytest.approx(1 - kept / len(p), rel=1e-5)
    assert 0 < found["clamped_share"] < 1
    loss = prob_margin_ranking_loss(extraction.features, 0.1)
    assert found["loss_per_pair"] == pytest.approx(float(loss), rel=1e-5)
    assert found["num_pairs"] == pytest.approx(kept / len(batches(batch_size=5)))


def bits(layer):
    return [weight.tobytes() for weight in layer.get_weights()]


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_frozen_layers_are_the_same_bit_for_bit_and_the_others_learn(run_eagerly):
    model = model_of((5, 6), num_fixed_layers=2)
    model.compile(
        tf.keras.optimizers.Adam(0.1, weight_decay=0.1),
        item_optimizer=tf.keras.optimizers.SGD(0.5, momentum=0.9, weight_decay=0.1),
        run_eagerly=run_eagerly,
    )
    before = {w.ref(): w.numpy().tobytes() for w in model.extractor.weights}
    model.fit(batches(), verbose=0)
    for tower in (model.query_tower, model.item_tower):
        learning = {weight.ref() for weight in tower.trainable_weights}
        shapes = [weight.shape for weight in tower.trainable_weights]
        assert shapes == [[6, 4], [4]]  # kernel and bias of the last layer
        assert len(tower.weights) == 7  # a table, and three layers
        for weight in tower.weights:
            same = weight.numpy().tobytes() == before[weight.ref()]
            assert same is (weight.ref() not in learning)


def normed():
    dense = tf.keras.layers.Dense
    return tf.keras.Sequential(
        [dense(5), tf.keras.layers.BatchNormalization(), dense(3)]
    )


def vector_clicks():
    rng = np.random.default_rng(0)
    pairs = [(random_search(rng), None) for _ in range(9)]
    return click_batches(pairs, ItemSet(ITEMS), 4)


@pytest.mark.parametrize("is_built", [True, False])
@pytest.mark.parametrize("way", ["eager", "graph", "step"])
def test_frozen_batch_normalization_keeps_its_moving_averages(way, is_built):
    query, item = normed(), normed()
    model = FineTuningModel(
        FeaturesExtractor(query, TableOfVectors(VECTORS, item)), num_fixed_layers=2
    )
    model.compile(sgd(), item_optimizer=sgd(), run_eagerly=way == "eager")
    if is_built:
        for tower, optimizer in (
            (query, model.optimizer),
            (item, model.item_optimizer),
        ):
            tower.build((None, VECTORS.shape[1]))
            optimizer.build(tower.layers[-1].trainable_variables)
        model.item_tower({"item_id": [0]})
    if way == "step":
        fine_tuning_train_step(model, next(iter(vector_clicks())))
    else:
        model.fit(vector_clicks(), epochs=2, verbose=0)
    for tower in (query, item):
        norm = tower.layers[1]
        np.testing.assert_array_equal(norm.moving_mean, 0)
        np.testing.assert_array_equal(norm.moving_variance, 1)
        assert len(tower.trainable_variables) == 2


def test_the_single_step_knows_regularisers_as_fit_does():
    batch = next(iter(vector_clicks()))
    found = []
    for step in (fine_tuning_train_step, FineTuningModel.train_step):
        tf.keras.utils.set_random_seed(0)
        query = tf.keras.layers.Dense(3, kernel_regularizer="l2")
        item = TableOfVectors(VECTORS, tf.keras.layers.Dense(3))
        model = FineTuningModel(FeaturesExtractor(query, item))
        model.compile(sgd(1.0))
        model(batch)
        before = query.kernel.numpy()
        step(model, batch)
        found.append(query.kernel.numpy() - before)
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-7)
    assert np.abs(found[0]).max() > 1e-3


def test_the_loss_of_the_single_step_is_that_of_the_pairs_without_regularisers():
    batch = next(iter(vector_clicks()))
    query = tf.keras.layers.Dense(3, kernel_regularizer="l2")
    item = TableOfVectors(VECTORS, tf.keras.layers.Dense(3))
    extractor = FeaturesExtractor(query, item, negative_downsampling_factor=1.0)
    model = FineTuningModel(extractor)
    model.compile(sgd())
    expected = float(model.compute_loss(batch))
    assert sum(map(float, model.losses)) > 0
    loss = fine_tuning_train_step(model, batch).loss
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fixed", [0, 1])
def test_the_batch_that_makes_frozen_weights_costs_once(fixed):
    batch = next(iter(vector_clicks()))
    first = tf.keras.layers.Dense(3, activity_regularizer="l2")
    query = tf.keras.Sequential([first, tf.keras.layers.Dense(3)])
    item = tf.keras.Sequential([tf.keras.layers.Dense(3), tf.keras.layers.Dense(3)])
    extractor = FeaturesExtractor(query, TableOfVectors(VECTORS, item))
    model = FineTuningModel(extractor, num_fixed_layers=fixed)
    model.compile(sgd())
    costs = []
    for _ in range(2):  # the first makes the weights
        model.reset_metrics()
        costs.append(float(model.test_step(batch)["regularization_loss"]))
    assert costs[0] == pytest.approx(costs[1])
    assert costs[0] > 0


def test_without_fixed_layers_everything_learns():
    model = model_of((5,))
    model.compile(sgd(), run_eagerly=True)
    before = list(map(bits, (model.query_tower, model.item_tower)))
    model.fit(batches(), verbose=0)
    for tower, old in zip((model.query_tower, model.item_tower), before, strict=True):
        assert all(now != then for now, then in zip(bits(tower), old, strict=True))


def test_layers_of_keras_are_frozen_in_their_order_with_the_embeddings():
    tower = tf.keras.Sequential(
        [
            tf.keras.layers.Embedding(9, 3),
            tf.keras.layers.GlobalAveragePooling1D(),
            *(tf.keras.layers.Dense(4) for _ in range(3)),
        ]
    )
    with pytest.raises(ValueError, match="must have its weights before"):
        freeze_first_layers(tf.keras.layers.Dense(3), 1)
    tower(tf.zeros([2, 2], tf.int32))
    freeze_first_layers(tower, 0)
    assert len(tower.trainable_variables) == 7
    with pytest.raises(ValueError, match="Got 3, and 3 layers"):
        freeze_first_layers(tower, 3)
    freeze_first_layers(tower, 2)
    assert [layer.trainable for layer in tower.layers] == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_a_tower_of_tables_only_has_no_layer_to_freeze():
    model = model_of(num_fixed_layers=1)
    with pytest.raises(ValueError, match="Got 1, and 0 layers in 'feature_tower"):
        model(next(iter(batches())))


def test_frozen_tables_come_back_into_a_tower_that_is_not_frozen(tmp_path):
    model = model_of((5, 6), num_fixed_layers=1)
    batch = next(iter(batches()))
    expected = model(batch)
    model.save_weights(str(tmp_path / "weights"))
    other = model_of((5, 6), seed=9, num_fixed_layers=1)
    other(batch)
    other.load_weights(str(tmp_path / "weights"))
    for ours, theirs in zip(other(batch), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_each_tower_has_its_optimizer_and_a_shared_one_that_of_the_items():
    model = model_of()
    model.compile(sgd(0.0), item_optimizer=sgd(1.0), run_eagerly=True)
    before = list(map(bits, (model.query_tower, model.item_tower)))
    model.fit(batches(), verbose=0)
    assert bits(model.query_tower) == before[0]
    assert bits(model.item_tower) != before[1]

    text = HashedText(4, num_buckets=50)
    names = np.array([f"film {name}" for name in ITEMS])
    inputs = [
        FineTuningInput(f"films of {s.query['user_id']}", s.events, s.results, s.ranks)
        for s in clicks_on_three_items()
    ]
    (batch,) = click_batches(pair_inputs(inputs), ItemSet(ITEMS), 99)

    class Shared(tf.keras.layers.Layer):
        """Rows of items are looked up as text; queries are text already."""

        def __init__(self):
            super().__init__()
            self.tower = text

        def call(self, values):
            if isinstance(values, dict):
                values = tf.gather(tf.constant(names), values["item_id"])
            return self.tower(values)

    shared = FineTuningModel(FeaturesExtractor(Shared()))
    assert shared.extractor.is_shared
    shared.compile(sgd(0.0), item_optimizer=sgd(1.0), run_eagerly=True)
    before = bits(text)
    step = fine_tuning_train_step(shared, batch)
    assert all(now != then for now, then in zip(bits(text), before, strict=True))
    assert len(step.query_gradients) == len(step.item_gradients)


@pytest.mark.parametrize("scaled", [0, 1, "policy"])
def test_two_optimizers_are_refused_where_the_loss_is_scaled(scaled):
    optimizers = [sgd(), sgd()]
    policy = tf.keras.mixed_precision.global_policy()
    if scaled != "policy":
        wrap = tf.keras.mixed_precision.LossScaleOptimizer
        optimizers[scaled] = wrap(optimizers[scaled])
    else:
        tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = model_of()
        with pytest.raises(ValueError, match="`item_optimizer`.*Use `mixed_bfloat16`"):
            model.compile(optimizers[0], item_optimizer=optimizers[1])
        model.compile(sgd())
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)


def test_both_optimizers_are_in_the_checkpoint(tmp_path):
    def compiled(seed):
        model = model_of(seed=seed)
        model.compile(
            tf.keras.optimizers.Adam(0.1),
            item_optimizer=tf.keras.optimizers.Adam(0.2),
            run_eagerly=True,
        )
        return model

    one, other = compiled(0), compiled(1)
    one.fit(batches(), verbose=0)
    path = tf.train.Checkpoint(model=one).save(str(tmp_path / "checkpoint"))
    other.fit(batches().take(1), verbose=0)
    tf.train.Checkpoint(model=other).restore(path).assert_consumed()
    for name in ("optimizer", "item_optimizer"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert int(theirs.iterations) == int(mine.iterations) == 3
        for a, b in zip(mine.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(a, b)
    for model in (one, other):
        model.fit(batches(seed=5).take(1), verbose=0)
    for a, b in zip(one.trainable_weights, other.trainable_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_keras_file_has_both_optimizers_and_training_goes_on_from_it(tmp_path):
    model = model_of((5,))
    model.compile(
        tf.keras.optimizers.Adam(0.1),
        item_optimizer=tf.keras.optimizers.Adam(0.2),
        run_eagerly=True,
    )
    model.fit(batches(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    for copy in (loaded, model):
        copy.fit(batches(seed=5).take(1), verbose=0)
    assert int(loaded.item_optimizer.iterations) == 4
    for a, b in zip(loaded.trainable_weights, model.trainable_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@cases("step_decay_schedule")
def test_golden_schedules(case):
    inputs = dict(case["inputs"])
    steps = inputs.pop("steps")
    schedule = step_decay_schedule(**inputs)
    assert_close([schedule(step) for step in range(steps)], case["expected"]["lr"])


def test_the_learning_rate_really_falls_and_both_optimizers_step():
    model = model_of()
    model.compile(
        sgd(step_decay_schedule(0.1, 2, 0.5)),
        item_optimizer=sgd(step_decay_schedule(0.4, 2, 0.5)),
        run_eagerly=True,
    )
    rates = []
    read = tf.keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_: rates.append(
            [float(o.learning_rate) for o in (model.optimizer, model.item_optimizer)]
        )
    )
    model.fit(batches(), epochs=2, callbacks=[read], verbose=0)
    expected = [0.5 ** (step // 2) for step in range(6)]
    np.testing.assert_allclose(rates, np.outer(expected, [0.1, 0.4]), rtol=1e-6)
    assert step_decay_schedule(0.3, None) == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "`initial_lr` must be above 0"),
        ((0.1, 0), "`step_size` must be at least 1, or None"),
        ((0.1, 5, 1.5), r"`gamma` must be in \(0, 1\]"),
    ],
)
def test_schedules_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        step_decay_schedule(*arguments)


@pytest.mark.slow
def test_early_stopping_stops_and_keeps_the_best_weights():
    model = model_of()
    model.compile(sgd(30.0))
    stop = tf.keras.callbacks.EarlyStopping(
        "val_loss_per_pair", patience=2, restore_best_weights=True
    )
    accumulate = AccumulateMetrics(["val_loss_per_pair"], window=2)
    validation = batches(clicks_on_three_items(7))
    history = model.fit(
        batches(),
        validation_data=validation,
        epochs=60,
        callbacks=[accumulate, stop],
        verbose=0,
    ).history
    values = history["val_loss_per_pair"]
    assert len(values) < 60
    assert len(values) == int(np.argmin(values)) + 3
    kept = model.evaluate(validation, return_dict=True, verbose=0)
    assert kept["loss_per_pair"] == pytest.approx(min(values), rel=1e-5)
    assert history["min_val_loss_per_pair"][-1] == min(values)
    assert history["sliding_val_loss_per_pair"][-1] == np.mean(values[-2:])
    assert history["mean_val_loss_per_pair"][-1] == pytest.approx(np.mean(values))


def test_eager_and_graph_train_alike():
    weights = []
    for run_eagerly in (True, False):
        model = model_of(options={"not_irrelevant_only": False})
        model.compile(sgd(), item_optimizer=sgd(), run_eagerly=run_eagerly)
        model.fit(batches(shuffle=True, seed=2), epochs=2, verbose=0)
        weights.append(model.trainable_weights)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_searches_without_a_click_are_reported_where_training_reads_them():
    for skipped in (True, False):
        model = model_of(options={"not_irrelevant_only": skipped})
        for training in (True, False):
            names = {m.name for m in model.reported_metrics(training=training)}
            assert ("irrelevant_dist_shift" in names) is not (skipped and training)


def test_a_pair_is_trusted_as_far_as_its_less_certain_half():
    model = model_of(options={"confidence_calculator": "windowed"})
    (batch,) = batches(batch_size=99)
    model.compute_loss(batch)
    pairs = model.extractor.extract(batch).features
    positive, negative = pairs.positive_confidences, pairs.negative_confidences
    trust = np.minimum(positive, negative)
    assert trust.mean() < np.maximum(positive, negative).mean()  # they differ
    found = {metric.name: float(metric.result()) for metric in model.metrics}
    assert found["mean_confidence"] == pytest.approx(trust.mean(), rel=1e-5)


def test_every_option_comes_back_from_the_config():
    options = {"margin": 0.2, "adjust": "cosine", "num_fixed_layers": 1}
    model = model_of((5,), fine_small_difference=True, **options)
    again = FineTuningModel.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert again.fine_small_difference
    for name, value in options.items():
        assert getattr(again, name) == value


def test_a_two_tower_model_is_fine_tuned_in_its_own_towers():
    users, items = towers()
    two_tower = TwoTower(users, items)
    item_tower = FeatureLookup(two_tower.candidate_tower, {"item_id": np.arange(13)})
    extractor = FeaturesExtractor(two_tower.query_tower, item_tower)
    inputs = [
        FineTuningInput(s.query, s.events, s.results, dict.fromkeys(s.results))
        for s in clicks_on_three_items()
    ]
    filled = fill_ranks(inputs, ITEM_SET, extractor, batch_size=7)
    model = FineTuningModel(extractor)
    model.compile(sgd(2.0), run_eagerly=True)
    data = batches(filled)
    figures = model.evaluate(data, return_dict=True, verbose=0)
    assert figures["not_irrelevant_dist_shift"] == pytest.approx(0, abs=1e-6)
    model.fit(data, epochs=2, verbose=0)
    figures = model.evaluate(data, return_dict=True, verbose=0)
    assert figures["not_irrelevant_dist_shift"] > 0
    user, item = two_tower({"user_id": np.array([2]), "item_id": np.array([5])})
    ranks = extractor.ranks(
        pack_pairs(
            [(FineTuningInput({"user_id": 2}, [], ["i4"], {"i4": 0.0}), None)], ITEM_SET
        )
    )
    cosine = float(tf.reduce_sum(user * item))
    assert ranks.to_list() == [[pytest.approx(cosine, rel=1e-5)]]


def test_towers_that_share_their_items_come_back_from_a_file_sharing_them(tmp_path):
    items = FeatureLookup(towers()[1], {"item_id": np.arange(13)})
    next_item = NextItem(RecencyPooling(items, 4))
    extractor = FeaturesExtractor(next_item.query_tower, next_item.candidate_tower)
    model = FineTuningModel(extractor)
    rng = np.random.default_rng(0)
    inputs = [
        FineTuningInput(
            {"history": rng.integers(13, size=5)}, s.events, s.results, s.ranks
        )
        for s in clicks_on_three_items()
    ]
    data = batches(inputs)
    model.compile(sgd(), item_optimizer=sgd(), run_eagerly=True)
    model.fit(data.take(1), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    batch = next(iter(data))
    for ours, theirs in zip(loaded(batch), model(batch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert loaded.query_tower.tower.item_tower is loaded.item_tower.tower
    assert len(loaded.trainable_variables) == len(model.trainable_variables)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": 0.0}, "`margin` must be finite and above 0"),
        ({"adjust": "dot"}, "`adjust` must be one of"),
        ({"num_fixed_layers": -1}, "`num_fixed_layers` must be at least 0. Got -1"),
    ],
)
def test_options_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        model_of(**arguments)


def test_a_loss_with_the_fine_term_is_the_function():
    model = model_of(fine_small_difference=True, margin=0.2, adjust="cosine")
    (batch,) = batches(batch_size=99)
    expected = prob_margin_ranking_loss(model(batch), 0.2, "cosine", True)
    assert float(model.compute_loss(batch)) == pytest.approx(float(expected), rel=1e-6)


def test_searches_by_vectors_train_too():
    rng = np.random.default_rng(0)
    pairs = [(random_search(rng), random_search(rng, relevant=False)) for _ in range(9)]
    tower = tf.keras.layers.Dense(4)
    extractor = FeaturesExtractor(
        tower, TableOfVectors(VECTORS, tf.keras.layers.Dense(4))
    )
    model = FineTuningModel(extractor)
    model.compile(sgd(), run_eagerly=True)
    data = click_batches(pairs, ItemSet(ITEMS), 4)
    history = model.fit(data, epochs=1, validation_data=data, verbose=0).history
    assert np.isfinite(history["val_loss_per_pair"]).all()


@pytest.mark.parametrize("way", ["call", "loss", "step", "single step"])
def test_towers_drop_in_training_only(way):
    batch = next(iter(vector_clicks()))

    def run(rate, training):
        tf.keras.utils.set_random_seed(1)
        query, item = (
            tf.keras.Sequential([tf.keras.layers.Dense(8), tf.keras.layers.Dropout(r)])
            for r in (rate, 0.0)
        )
        model = FineTuningModel(
            FeaturesExtractor(
                query, TableOfVectors(VECTORS, item), negative_downsampling_factor=1.0
            )
        )
        if way == "call":
            return model(batch, training=training).positive_ranks
        if way == "loss":
            return model.compute_loss(batch, training=training)
        model.compile(sgd())
        if way == "single step" and training:
            return fine_tuning_train_step(model, batch).loss
        step = model.train_step if training else model.test_step
        return step(batch)["loss_per_pair"]

    np.testing.assert_allclose(run(0.5, False), run(0.0, False), rtol=1e-6)
    assert np.abs(run(0.5, True) - run(0.0, True)).max() > 1e-3


def test_a_model_of_distances_reports_shifts_above_zero_where_they_fall():
    shown = {"a": 2.0, "b": 2.0}
    search = FineTuningInput(np.array([1.0, 0.0]), ["a"], ["a", "b"], shown)
    other = FineTuningInput(np.array([1.0, 0.0]), [], ["b"], {"b": 1.5})
    vectors = np.array([[1.0, 1.0], [1.0, 3.0]], "float32")  # 1 and 3 away
    linear = tf.keras.layers.Activation("linear")
    model = FineTuningModel(
        FeaturesExtractor(
            linear,
            TableOfVectors(vectors, linear),
            ranker="euclidean",
            is_similarity=False,
            max_abs_difference_threshold=9.0,
        )
    )
    model.compile(sgd(), run_eagerly=True)
    data = click_batches([(search, other)], ItemSet(["a", "b"]), 1)
    found = model.evaluate(data, return_dict=True, verbose=0)
    assert found["not_irrelevant_dist_shift"] == pytest.approx(1.0)
    assert found["irrelevant_dist_shift"] == pytest.approx(1.5)
    assert found["mean_gap"] == pytest.approx(2.0)
    assert found["pair_accuracy"] == 1
    assert model.evaluate(data, return_dict=True, verbose=0) == found


def test_every_option_of_the_loss_reaches_it():
    (batch,) = batches(batch_size=99)
    options = {"margin": 0.2, "adjust": "cosine", "fine_small_difference": True}
    losses = set()
    for left_out in (None, *options):
        given = {name: v for name, v in options.items() if name != left_out}
        model = model_of(**given)
        loss = float(model.compute_loss(batch))
        given = {"margin": 0.05} | given
        expected = prob_margin_ranking_loss(model(batch), **given)
        assert loss == pytest.approx(float(expected), rel=1e-6)
        losses.add(round(loss, 6))
    assert len(losses) == 4
