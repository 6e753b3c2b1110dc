"""The port of AutoMTN against golden arrays, loops and what a user relies on."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.dropouts import dropouts_that_drop
from tests.models.automtn.automtn_data import features, golden, make, ported
from tfrs_models import models
from tfrs_models.models import AutoMTN
from tfrs_models.models.automtn.poi_scores import Traces

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def arrays():
    return golden()


@pytest.fixture(scope="module")
def original(arrays):
    return ported(arrays)


@pytest.fixture
def batch(arrays):
    return features(arrays)


def spread(model, seed=1):
    """Weights drawn at random, larger than those of a new model: nothing cancels."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    return model


def softmax(x, axis=None):
    x = np.exp(x - x.max(axis=axis, keepdims=True))
    return x / x.sum(axis=axis, keepdims=True)


def cross_entropy(logits, labels):
    rows = zip(logits, labels, strict=True)
    return -sum(np.log(softmax(row)[label]) for row, label in rows)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_it_is_the_original_with_the_originals_weights(arrays, original, batch, mode):
    places, categories = original(batch, training=mode == "train")
    for ours, name in ((places, "poi"), (categories, "cat")):
        expected = arrays[f"pre_{name}_fixed_{mode}"]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    loss = original.compute_loss(batch, training=mode == "train")
    mean = arrays[f"ce_poi_fixed_{mode}"] + arrays[f"ce_cat_fixed_{mode}"]
    assert float(loss) == pytest.approx(3 * float(mean), rel=1e-4)


def test_the_closeness_is_the_originals(arrays, original):
    np.testing.assert_allclose(
        original.closeness(arrays["poi"]), arrays["interval"], rtol=1e-5
    )


@pytest.mark.parametrize("softmax_axis", [None, "time", "candidates"])
@pytest.mark.parametrize("distance_mode", ["multiply", "add"])
@pytest.mark.parametrize("near", [True, False])
def test_every_step_says_what_it_thinks_of_every_candidate(
    softmax_axis, distance_mode, near
):
    table, memory = RNG.normal(size=(7, 3)), RNG.normal(size=(2, 5, 3))
    closeness = RNG.random((2, 5, 7)) if near else None
    mask = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], bool)
    layer = models.automtn.AttentionPredictor(
        5, distance_mode=distance_mode, softmax=softmax_axis
    )
    layer.value.assign(RNG.normal(size=(5, 1)))
    layer.bias.assign([0.3])
    found = layer(table, memory, closeness, mask)
    value = layer.value.numpy()[:, 0]
    for row in range(2):
        scores = np.zeros((5, 7))
        for step in range(5):
            for place in range(7):
                scores[step, place] = table[place] @ memory[row, step]
                if near and distance_mode == "multiply":
                    scores[step, place] *= closeness[row, step, place]
                elif near:
                    scores[step, place] += closeness[row, step, place]
        real = scores[mask[row]]
        if softmax_axis is not None:
            real = softmax(real, axis=0 if softmax_axis == "time" else 1)
        expected = value[mask[row]] @ real + 0.3
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("softmax_axis", [None, "time", "candidates"])
@pytest.mark.parametrize("places", [1, 4, 1024])
def test_blocks_of_places_and_of_rows_change_nothing(
    batch, softmax_axis, places, monkeypatch
):
    monkeypatch.setattr("tfrs_models.models.automtn.poi_scores._POIS", places)
    monkeypatch.setattr(
        "tfrs_models.models.automtn.poi_scores._STEP_SCORES", 25 * 11 * 2
    )
    model = spread(make(closeness=_closeness(), softmax=softmax_axis))
    scores, categories = model(batch)
    trace = batch["poi_id"] - 1
    memory = _memory(model, batch)
    whole = model.predictor(model.pois.ids, memory, model.closeness(trace))
    np.testing.assert_allclose(scores, whole, rtol=1e-4, atol=1e-5)
    expected = cross_entropy(scores.numpy(), batch["next_poi_id"] - 1)
    expected += cross_entropy(categories.numpy(), batch["next_category_id"] - 1)
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-4)


def _closeness():
    return models.automtn.POICloseness(
        coordinates=np.random.default_rng(5).uniform(40, 40.2, size=(11, 2)), scale=9
    )


def _memory(model, batch):
    series = [
        layer(batch["user_id"], batch[name], batch["hour"], batch["weekday"])
        for layer, name in ((model.pois, "poi_id"), (model.categories, "category_id"))
    ]
    return model.stack(*series, tf.ones_like(batch["poi_id"], tf.bool))[0]


def test_gradients_of_the_blocked_loss_are_those_of_a_plain_softmax(batch):
    model = spread(make(closeness=_closeness(), category_weight=0.5))

    def plain():
        scores, categories = model(batch, training=True)
        losses = [
            tf.nn.sparse_softmax_cross_entropy_with_logits(batch[name] - 1, logits)
            for name, logits in (
                ("next_poi_id", scores),
                ("next_category_id", categories),
            )
        ]
        return tf.reduce_sum(losses[0]) + 0.5 * tf.reduce_sum(losses[1])

    found = []
    for loss_of in (lambda: model.compute_loss(batch, training=True), plain):
        with tf.GradientTape() as tape:
            loss = loss_of()
        gradients = tape.gradient(loss, model.trainable_weights)
        found.append([tf.convert_to_tensor(gradient) for gradient in gradients])
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)


def test_one_step_that_counts_scores_by_its_product_alone(batch):
    """Nothing is far, and only the last step has a weight."""
    model = spread(
        make(
            closeness=models.automtn.POICloseness(
                distances=np.zeros((11, 11)), scale=1.0
            )
        )
    )
    model.predictor.value.assign(np.eye(25)[:, -1:])
    last = _memory(model, batch)[:, -1]
    expected = last @ tf.transpose(model.pois.ids) + model.predictor.bias
    np.testing.assert_allclose(model(batch)[0], expected, rtol=1e-4, atol=1e-5)


def test_distances_matter_and_neighbours_in_the_batch_do_not(arrays, batch):
    model = ported(arrays)
    scores = model(batch)[0].numpy()
    alone = {name: values[:1] for name, values in batch.items()}
    np.testing.assert_allclose(model(alone)[0], scores[:1], rtol=1e-4, atol=1e-4)
    far = arrays["distance_matrix"].copy()
    far[arrays["poi"][0, -1]] += 3.0
    model.closeness.set_weights([far])
    assert np.abs(model(batch)[0] - scores)[0].max() > 1e-3


def test_renaming_places_renames_the_answers(arrays, batch):
    model, other = ported(arrays), ported(arrays)
    order = np.random.default_rng(3).permutation(11)  # new place -> old place
    new = np.argsort(order)
    other.pois.ids.assign(model.pois.ids.numpy()[order])
    matrix = arrays["distance_matrix"]
    other.closeness.set_weights([matrix[order][:, order]])
    renamed = batch | {"poi_id": new[batch["poi_id"] - 1] + 1}
    np.testing.assert_allclose(
        other(renamed)[0], model(batch)[0].numpy()[:, order], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("use_residual", [False, True])
def test_padding_changes_nothing_wherever_it_stands(use_residual):
    model = spread(make(use_residual=use_residual, closeness=_closeness()))
    bare = {
        "user_id": np.array([2]),
        "poi_id": np.array([[3, 9, 9, 1]]),
        "category_id": np.array([[1, 2, 2, 4]]),
        "hour": np.array([[8, 12, 23, 0]]),
        "weekday": np.array([[0, 1, 6, 6]]),
    }
    padded = {
        name: np.array(
            [[*v[0], 9, 9], [9, 9, *v[0]], [9, v[0][0], v[0][1], 9, *v[0][2:]]]
        )
        for name, v in bare.items()
        if v.ndim == 2
    } | {"user_id": np.array([2, 2, 2])}
    padded["poi_id"] = np.array(
        [[3, 9, 9, 1, 0, 0], [0, 0, 3, 9, 9, 1], [0, 3, 9, 0, 9, 1]]
    )
    for ours, expected in zip(model(padded), model(bare), strict=True):
        np.testing.assert_allclose(
            ours, np.tile(expected, [3, 1]), rtol=1e-4, atol=1e-5
        )
    empty = {**bare, "poi_id": np.zeros([1, 4], int), "user_id": np.array([0])}
    assert all(np.isfinite(values).all() for values in model(empty))


@pytest.mark.parametrize("softmax_axis", [None, "time", "candidates"])
def test_what_stands_at_padding_is_not_scored(softmax_axis, monkeypatch):
    monkeypatch.setattr("tfrs_models.models.automtn.poi_scores._POIS", 4)
    model = spread(make(closeness=_closeness(), softmax=softmax_axis))
    rng = np.random.default_rng(3)
    steps, width = model.seq_len, model.predictor.value.shape[0]
    mask = np.arange(steps) >= np.array([[0], [steps - 2], [steps - 1]])
    memory = rng.normal(size=(3, steps, model.pois.ids.shape[1])).astype("float32")
    visited = rng.integers(11, size=(3, steps))
    other = np.where(mask[..., None], memory, memory[::-1, ::-1])
    elsewhere = np.where(mask, visited, (visited + 3) % 11)
    positives, weight = tf.constant([2, 0, 7]), tf.constant([1.0, 2.0, 0.5])
    assert width == steps
    found = [
        (
            model._scores.all(trace),
            model._scores.cross_entropy(trace, positives, weight),
        )
        for trace in (Traces(memory, visited, mask), Traces(other, elsewhere, mask))
    ]
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("use_residual", [False, True])
def test_what_stands_at_padding_does_not_go_through_the_stack(use_residual):
    stack = models.automtn.CrossModalStack(
        4, num_heads=2, factor=1.5, use_residual=use_residual
    )
    rng = np.random.default_rng(3)
    mask = np.arange(7) >= np.array([[0], [4], [2]])
    series = rng.normal(size=(2, 3, 7, 4)).astype("float32")
    other = np.where(mask[..., None], series, series + rng.normal(size=series.shape))
    expected = stack(*series, mask)
    for ours, values in zip(
        stack(*other.astype("float32"), mask), expected, strict=True
    ):
        np.testing.assert_allclose(ours[mask], values[mask], rtol=1e-4, atol=1e-5)
    found, wanted = (stack.lags(s[0].astype("float32"), mask) for s in (other, series))
    np.testing.assert_allclose(found.correlation, wanted.correlation, atol=1e-5)


@pytest.mark.parametrize("use_residual", [False, True])
def test_every_dropout_drops_in_training_only(batch, use_residual):
    options = {"shared_lags": False, "use_residual": use_residual, "num_layers": 1}
    model = spread(make(dropout=0.5, **options))
    model(batch)
    found = dropouts_that_drop(model, functools.partial(model, batch))
    assert found == [True] * (5 if use_residual else 1)  # of the blocks, of the series


def test_categories_may_have_weights_of_the_steps_of_their_own():
    one, two = make(share_value=True), make(share_value=False)
    assert len(two.trainable_weights) == len(one.trainable_weights) + 2


def test_rows_of_weight_0_are_in_no_metric(batch):
    model = spread(make(metrics=["mrr"]))
    model.compile(run_eagerly=True)
    found = []
    for rows, weight in ((slice(0, 3), [1, 0, 3]), ([0, 2, 2, 2], [1, 1, 1, 1])):
        part = {name: values[rows] for name, values in batch.items()}
        part["sample_weight"] = np.array(weight, "float32")
        data = tf.data.Dataset.from_tensors(part)
        found.append(model.evaluate(data, verbose=0, return_dict=True))
    for name in ("poi/mrr", "category/hit_rate_at_1"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-5), name


def test_long_traces_count_by_their_newest_check_ins(batch):
    model = spread(make(seq_len=6))
    cut = {n: v[:, -6:] if v.ndim == 2 else v for n, v in batch.items()}
    for ours, expected in zip(model(batch), model(cut), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seq_len", [1, 2])
def test_traces_of_one_or_two_check_ins_are_welcome(batch, seq_len):
    model = make(seq_len=seq_len)
    assert np.isfinite(model.compute_loss(batch, training=True))


def test_rows_without_a_label_cost_nothing(batch):
    model = spread(make())
    batch["sample_weight"] = np.array([1.0, 2.0, 0.0], "float32")
    scores, categories = model(batch)
    none = batch | {
        "next_poi_id": np.array([4, 0, 7]),
        "next_category_id": np.array([0, 2, 1]),
    }
    expected = cross_entropy(scores.numpy()[:1], [3])
    expected += 2 * cross_entropy(categories.numpy()[1:2], [1])
    assert float(model.compute_loss(none)) == pytest.approx(expected, rel=1e-4)


def test_evaluation_ranks_the_next_place_among_all(batch):
    model = spread(make(metrics=["hit_rate_at_3", "mrr"]))
    model.compile(run_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(2)
    found = model.evaluate(dataset, verbose=0, return_dict=True)
    scores, categories = (values.numpy() for values in model(batch))
    ranks, own = [], []
    for row in range(3):
        place = batch["next_poi_id"][row] - 1
        ranks.append(1 + np.sum(scores[row] > scores[row, place]))
        own.append(categories[row].argmax() == batch["next_category_id"][row] - 1)
    assert found["poi/hit_rate_at_3"] == pytest.approx(np.mean(np.array(ranks) <= 3))
    assert found["poi/mrr"] == pytest.approx(np.mean(1 / np.array(ranks)), rel=1e-5)
    loss = float(model.compute_loss(batch)) / 3
    assert found["loss_per_example"] == pytest.approx(loss, rel=1e-5)
    assert found["category/hit_rate_at_1"] == pytest.approx(np.mean(own))


def test_the_answer_is_the_best_places_first(batch):
    model = spread(make(top_k=4))
    answer, (scores, categories) = model.rank(batch), model(batch)
    order = np.argsort(-scores.numpy(), axis=1)[:, :4]
    np.testing.assert_array_equal(answer["next_poi_id"], order + 1)
    np.testing.assert_allclose(
        answer["score"], np.take_along_axis(scores.numpy(), order, axis=1)
    )
    best = np.argmax(categories, axis=1) + 1
    np.testing.assert_array_equal(answer["next_category_id"], best)
    assert make(top_k=50).rank(batch)["score"].shape == (3, 11)


def test_training_learns_where_three_traces_go(batch):
    tf.keras.utils.set_random_seed(0)
    model = make(use_residual=True, closeness=_closeness(), num_layers=1)
    model.compile(tf.keras.optimizers.Adam(0.03))
    dataset = tf.data.Dataset.from_tensors(batch).repeat(30)
    model.fit(dataset, verbose=0)
    np.testing.assert_array_equal(
        model.rank(batch)["next_poi_id"][:, 0], batch["next_poi_id"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poi_id": None}, "Feature `poi_id` is missing"),
        ({"hour": np.zeros([3, 25])}, "Feature `hour` must be.*Got float64"),
        ({"weekday": np.array([1, 2, 3])}, r"Feature `weekday` must be \[batch, num_s"),
        (
            {"category_id": np.full([3, 25], 5)},
            "ids of `category_id` must be from 0 to 4",
        ),
        ({"poi_id": np.full([3, 25], 12)}, "ids of `poi_id` must be from 0 to 11"),
        ({"hour": np.full([3, 25], 24)}, "hours must be from 0 to 23"),
        ({"user_id": np.array([1, -1, 2])}, "user ids must be from 0 to 5"),
    ],
)
def test_a_feature_that_does_not_fit_is_named(original, batch, change, message):
    wrong = {k: v for k, v in (batch | change).items() if v is not None}
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        original(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_pois": 0}, "`num_ids` must be at least 1. Got 0"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Got 1.0"),
        ({"num_layers": -1}, "`num_layers` must not be negative. Got -1"),
        ({"category_weight": -1.0}, "`category_weight` must be finite, at least 0"),
        ({"seq_len": 0}, "`seq_len` must be at least 1. Got 0"),
        ({"top_k": 0}, "`top_k` at least 1. Got 1.0 and 0"),
        ({"distance_mode": "divide"}, "`distance_mode` must be 'multiply' or 'add'"),
        ({"softmax": "batch"}, "`softmax` must be None, 'time' or 'candidates'"),
        (
            {"closeness": models.automtn.POICloseness(distances=np.ones((3, 3)))},
            "`closeness` must be of the 11 POIs of the model. Got 3",
        ),
        (
            {"closeness": np.ones((11, 11))},
            "`closeness` must be a layer that has `num_pois`.*Got ndarray",
        ),
        (
            {"closeness": tf.keras.layers.Dense(11)},
            "`closeness` must be a layer that has `num_pois`.*Got Dense",
        ),
        ({"category_weight": np.inf}, "`category_weight` must be finite, at least 0"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    sizes = {"num_users": 5, "num_pois": 11, "num_categories": 4, "embedding_dim": 8}
    with pytest.raises(ValueError, match=message):
        AutoMTN(**(sizes | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_residual": True}, "`use_residual` must be False for the weights"),
        ({"share_value": False}, "`share_value` must be True for the weights"),
        ({"num_layers": 1}, r"Without a place here: \['cat_attention.1.key_proj"),
    ],
)
def test_a_model_that_is_not_the_originals_does_not_take_its_weights(
    arrays, options, message
):
    with pytest.raises(ValueError, match=message):
        ported(arrays, **options)


def test_lags_need_a_layer(batch):
    assert make().lags(batch).delays.shape == (3, 3)
    with pytest.raises(ValueError, match="`num_layers` must be 1 or more"):
        make(num_layers=0).lags(batch)
