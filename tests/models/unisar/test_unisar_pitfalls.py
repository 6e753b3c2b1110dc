"""Where the original fails: each of these would fail with it."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.unisar import unisar_batches as batches
from tests.models.unisar.unisar_batches import (
    example,
    gradients,
    loss_and_gradients,
    make,
    scores,
)
from tfrs_models.models import UniSAR
from tfrs_models.training import LazyAdam

HISTORY = ("item_history", "item_history_time")
SEARCHES = ("session_query", "session_items", "session_time")


def without(features, names, rows=slice(None)):
    features = {name: value.copy() for name, value in features.items()}
    for name in names:
        features[name][rows] = 0
    return features


@pytest.fixture(scope="module")
def model():
    """For tests that leave its weights as they are."""
    return make()


@pytest.mark.parametrize("names", [HISTORY, SEARCHES, HISTORY + SEARCHES])
@pytest.mark.parametrize("rows", [slice(1, 2), slice(None)])
def test_users_of_one_service_or_of_none_have_scores_losses_and_gradients(
    model, names, rows
):
    features = batches.batch()
    for task in ("recommendation", "search"):
        features[task] = without(features[task], names, rows)
        assert np.isfinite(scores(model, features[task], task)).all()
    loss, found = loss_and_gradients(model, features)
    assert np.isfinite(loss)
    for name, gradient in found.items():
        assert gradient is None or np.isfinite(gradient).all(), name


def test_a_batch_of_one_user_trains():
    model = make()
    features = batches.batch(rows=1, searches=1)
    loss, found = loss_and_gradients(model, features)
    assert np.isfinite(loss)
    for name, gradient in found.items():
        assert gradient is None or np.isfinite(gradient).all(), name
    # Nobody to be told from.
    assert model._means["recommendation_transition_loss"].result() == 0


def test_searches_without_clicks_give_no_pairs_and_no_error():
    model = make()
    features = batches.batch()
    for task in ("recommendation", "search"):
        features[task]["session_items"][:] = 0
    loss, found = loss_and_gradients(model, features)
    assert np.isfinite(loss)
    assert model._means["search_pair_loss"].result() == 0
    assert all(g is None or np.isfinite(g).all() for g in found.values())


def test_a_query_without_words_is_the_bias():
    encoder = make().network.query_encoder
    bias = np.arange(8) / 8
    encoder._project.bias.assign(bias)
    np.testing.assert_allclose(encoder(np.zeros([1, 4], int))[0], np.tanh(bias), 1e-5)


def test_there_is_no_item_that_is_none(model):
    assert model.network.item_encoder._tables["id"].shape[0] == batches.ITEMS + 1
    features = batches.batch()
    features["random"]["item_id"][0] = batches.ITEMS + 1  # the original's mask
    with pytest.raises(tf.errors.InvalidArgumentError, match="`item_id` must hold"):
        model.compute_loss(features)


def test_every_parameter_learns(model):
    found = gradients(model, batches.batch())
    assert all(gradient is not None for gradient in found.values())
    assert not [name for name, gradient in found.items() if not np.any(gradient)]


def test_ranks_are_right_where_probabilities_are_all_one():
    model = make()
    features = example(6, 8, search=True)
    logit = model.network.logits["search"]
    plain = scores(model, features)
    logit.bias.assign([40.0])
    assert np.all(tf.sigmoid(scores(model, features)) == 1)
    logit.kernel.assign(logit.kernel * 1000)  # or rounding would make ties
    scaled = scores(model, features)
    np.testing.assert_array_equal(np.argsort(-scaled), np.argsort(-plain))
    answer = model.search(features)["item_id"].numpy()
    wanted = np.take_along_axis(features["item_id"], np.argsort(-plain), axis=1)
    np.testing.assert_array_equal(answer, wanted)
    model.compute_loss({"search": features})
    first = np.mean(np.argmax(plain, axis=1) == 0)
    assert first not in (0, 1)
    assert model.ranked["search"].result()["search/hit_rate_at_1"] == first


@pytest.mark.parametrize("names", [HISTORY, SEARCHES])
def test_users_of_one_service_are_not_told_from_others(model, names):
    everyone = without(example(6), names, rows=slice(2, 4))
    others = {name: np.delete(v, [2, 3], axis=0) for name, v in everyone.items()}
    mean = model._means["recommendation_transition_loss"]
    found = []
    for features in (everyone, others):
        mean.reset_state()
        model.compute_loss({"recommendation": features})
        found.append(float(mean.result()))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("part", ["transitions", "experts", "heads"])
def test_training_drops_in_every_part(part):
    network = make(dropout=0.5).network
    drops = {
        name: [layer for layer in whole.submodules if "dropout" in layer.name]
        for name, whole in (
            ("transitions", network.transitions),
            ("experts", network.experts),
            ("heads", network.heads["search"]),
        )
    }
    features = example(search=True)
    read = network.read(features, "search")
    candidates = network.item_vectors(read.item_id)

    def differ(training):
        logits = []
        for _ in range(2):
            state = network.encode(read, training)
            logits.append(network.score(state, candidates, "search", training))
        return np.any(logits[0] != logits[1])

    for layer in (layer for layers in drops.values() for layer in layers):
        assert layer.rate == 0.5
        layer.rate = 0.0
    assert not differ(training=True)
    for layer in drops[part]:
        layer.rate = 0.5
    assert differ(training=True)
    assert not differ(training=False)


def test_positions_and_pooling_start_at_the_scale_of_their_matrices():
    network = UniSAR(num_users=2, num_items=2, num_words=2).network
    matrices = [*network.transitions._positions.values()]
    assert [table.shape[0] for table in matrices] == [60, 30, 30]
    for matrix in matrices + [layer.kernel for layer in network.pooling.values()]:
        scale = np.sqrt(2 / sum(matrix.shape))
        assert np.std(matrix) == pytest.approx(scale, rel=0.06), matrix.name


def test_the_loss_of_a_sure_mistake_is_finite_and_has_a_gradient():
    model = make(pair_weight=0.0, transition_weight=0.0)
    bias = model.network.logits["recommendation"].bias
    bias.assign([-300.0])
    features = {"recommendation": example(2, 1)}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(features)
    assert float(loss) == pytest.approx(300, rel=0.01)
    assert float(tape.gradient(loss, bias)[0]) == pytest.approx(-1)


def test_a_table_decays_whatever_its_category_is_called():
    sizes = {"num_users": 5, "num_items": 6, "num_words": 7, "width": 8}
    names = ("bias_group", "beta", "genre")
    model = UniSAR(**sizes, l2=0.5, item_categories=dict.fromkeys(names, 3))
    model.compile(tf.keras.optimizers.SGD(1.0))
    tables = [v for v in model.trainable_variables if v.shape[:1] == [3]]
    before = [table.numpy() for table in tables]
    model.apply_gradients(
        [tf.zeros_like(v) for v in model.trainable_variables], model.trainable_variables
    )
    assert len(tables) == 3
    for table, values in zip(tables, before, strict=True):
        np.testing.assert_allclose(table, values / 2, rtol=1e-5, err_msg=table.name)


def test_temperatures_stay_above_zero_and_do_not_decay():
    model = make(l2=10.0)
    contrasts = model.objective.layers_by_name.values()
    before = [float(layer.temperature) for layer in contrasts]
    model.compile(tf.keras.optimizers.SGD(0.01))
    variables = model.trainable_variables
    model.apply_gradients([tf.zeros_like(v) for v in variables], variables)
    assert [float(layer.temperature) for layer in contrasts] == before
    norms = [v for v in variables if "gamma" in v.name]
    assert norms
    for norm in norms:
        np.testing.assert_array_equal(norm, 1)
    for layer in contrasts:
        layer.temperature_weight.assign_sub(5.0)
        assert float(layer.temperature) > 0
    raw = make(log_temperature=False)
    assert float(raw.objective.layers_by_name["pairs"].temperature) == 0.5


@pytest.mark.parametrize("unused_rows", [False, True])
def test_rows_that_a_batch_does_not_have_stay_or_decay(unused_rows):
    model = make(l2=0.1, decay_unused_rows=unused_rows)
    model.compile(LazyAdam(0.01))
    features = batches.batch()
    tables = {
        "users": model.network.user_encoder._tables["id"],
        "items": model.network.item_encoder._tables["id"],
        "words": model.network.query_encoder.table,
    }
    absent = np.array([5, 11])
    for part in features.values():
        for name, values in part.items():
            if "time" not in name:
                values[np.isin(values, absent)] = 3
    captions = model.network.item_encoder._attributes["caption"]
    captions.assign(tf.where((captions == 5) | (captions == 11), 2, captions))
    before = {name: table.numpy() for name, table in tables.items()}
    model.train_step(features)
    for name, table in tables.items():
        rows = absent[absent < table.shape[0]]
        moved = np.abs(table.numpy() - before[name])[rows].max(axis=1)
        assert np.all((moved > 1e-3) == unused_rows), name
    assert np.abs(tables["items"].numpy() - before["items"])[3].max() > 1e-3


def test_gradients_of_tables_are_sparse_until_they_are_applied():
    model = make()
    received = {}

    class Watched(LazyAdam):
        def update_step(self, gradient, variable):
            received[variable.name] = type(gradient)
            super().update_step(gradient, variable)

    model.compile(Watched(0.01))
    model.train_step(batches.batch())
    tables = ["words", "id_table", "genre_table", "age_table"]
    for table in tables:
        kinds = {kind for name, kind in received.items() if table in name}
        assert kinds == {tf.IndexedSlices}, table


def test_a_row_decays_once_however_often_it_occurs():
    model = make(l2=0.1, pair_weight=0.0, transition_weight=0.0)
    model.compile(tf.keras.optimizers.SGD(1.0))
    table = model.network.user_encoder._tables["id"]
    before = table.numpy()
    rows = tf.constant([4, 4, 2])
    zeros = tf.IndexedSlices(tf.zeros([3, 4]), rows, tf.constant(table.shape))
    model.apply_gradients([zeros], [table])
    expected = before.copy()
    expected[[2, 4]] *= 0.9
    np.testing.assert_allclose(table, expected, rtol=1e-5)


@pytest.mark.parametrize("file", ["model.weights.h5", "model.h5", "model"])
def test_what_is_known_of_items_and_users_is_in_the_weights(file, tmp_path):
    model = make()
    features = example(search=True)
    expected = scores(model, features)
    model.save_weights(str(tmp_path / file))
    options = {key: v for key, v in model.get_config().items() if key != "name"}
    other = type(model)(**options)
    other.load_weights(str(tmp_path / file))
    np.testing.assert_allclose(scores(other, features), expected, rtol=1e-5)
    assert not {"caption", "genre"} & {v.name for v in model.trainable_variables}


def test_a_search_that_the_model_never_saw_counts_at_once(model):
    features = example(search=True)
    before = scores(model, features)
    features["session_query"][:, 0] = [1, 2, 3, 4, 5, 6]
    assert np.all(np.abs(scores(model, features) - before).max(axis=1) > 0)


def test_the_query_decides_in_search_and_only_there(model):
    features = example(search=True)
    other = features | {"query": np.ones_like(features["query"])}
    assert np.abs(scores(model, other) - scores(model, features)).max() > 1e-5
    np.testing.assert_array_equal(
        scores(model, other, "recommendation"),
        scores(model, features, "recommendation"),
    )
