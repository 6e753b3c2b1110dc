"""Ranking and click probability from the same towers."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.feature import Feature
from tfrs_models.layers import FactorizationMachine
from tfrs_models.losses import regression_compatible_loss
from tfrs_models.models import JointRankingCTR
from tfrs_models.towers import FeatureLookup, FeatureTower, UserId

USER = [Feature("user_id", "id", 8), Feature("age", "number", mean=30, scale=10)]
ITEM = [Feature("item_id", "id", 9), Feature("genres", "bag", 3)]
BATCH, SIZE, DIM = 24, 5, 4
RNG = np.random.default_rng(0)


def lists(batch=BATCH):
    rng = np.random.default_rng(batch)
    data = {
        "user_id": rng.integers(9, size=batch),
        "age": rng.normal(30, 10, size=batch).astype("float32"),
        "item_id": rng.integers(11, size=(batch, SIZE)),
        "genres": rng.integers(4, size=(batch, SIZE, 2)),
        "request_id": np.array([f"request {row}" for row in range(batch)]),
    }
    labels = (data["user_id"][:, None] + data["item_id"]) % 3 == 0
    length = rng.integers(SIZE + 1, size=(batch, 1))  # some lists are empty
    length[0] = SIZE
    padded = np.arange(SIZE) >= length
    return data | {"labels": np.where(padded, -1, labels).astype("float32")}


DATA = lists()


@tf.keras.utils.register_keras_serializable("tests")
def list_softmax(labels, scores):
    """A listwise softmax; 0 without a positive label."""
    valid = labels >= 0
    labels = tf.where(valid, labels, 0.0)
    logs = tf.nn.log_softmax(tf.where(valid, scores, -1e9), axis=1)
    total = -tf.reduce_sum(labels * tf.where(valid, logs, 0.0), axis=1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(labels, axis=1))


@tf.keras.utils.register_keras_serializable("tests")
class ListSoftmax(tf.keras.losses.Loss):
    def call(self, labels, scores):
        return list_softmax(labels, scores)


def make(**options):
    if not options.get("calibrated"):
        options = {"list_loss": list_softmax} | options
    return JointRankingCTR(FeatureTower(USER, DIM), FeatureTower(ITEM, DIM), **options)


def randomise(model, data=DATA):
    rng = np.random.default_rng(5)
    model(data)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    return model


def towers(model, data=DATA):
    """The embeddings of users `[batch, dim]` and items `[batch, list_size, dim]`."""
    user = model.user_tower(data).numpy()
    items = [
        model.item_tower({f.name: data[f.name][:, place] for f in ITEM}).numpy()
        for place in range(SIZE)
    ]
    return user, np.stack(items, axis=1)


def outputs(model, data=DATA):
    """Score and logit of every place, one by one."""
    users, items = towers(model, data)
    score, logit = np.zeros(items.shape[:2]), np.zeros(items.shape[:2])
    for row, place in np.ndindex(*items.shape[:2]):
        user, item = users[row], items[row, place]
        x = np.concatenate([user, item, user * item])
        *hidden, last = model.ctr_layers.stack
        for layer in hidden:
            x = np.maximum(x @ layer.kernel.numpy() + layer.bias.numpy(), 0)
        logit[row, place] = (x @ last.kernel.numpy() + last.bias.numpy())[0]
        score[row, place] = user @ item
    if model.calibrated:
        score = logit = score + logit
    return score, logit


def loops(model, data=DATA, weight=None):
    """Total loss, and the shares of ranking and clicks in it."""
    score, logit = outputs(model, data)
    ranking = clicks = 0.0
    for row, labels in enumerate(data["labels"]):
        valid = np.flatnonzero(labels >= 0)
        positives = [j for j in valid if labels[j] > 0]
        w = 1.0 if weight is None else weight[row]
        strength = np.exp(score[row])
        if model.calibrated:
            strength = 1 / (1 + np.exp(-score[row]))
        for j in positives:
            share = strength[j] / sum(strength[k] for k in valid)
            ranking -= w * math.log(share) / len(positives)
        for j in valid:
            sign = 1 if labels[j] > 0 else -1
            loss = math.log1p(math.exp(-sign * logit[row, j]))
            clicks += w * loss / len(valid)
    return model.alpha * ranking + (1 - model.alpha) * clicks, ranking, clicks


def batches(data=DATA, size=8):
    return tf.data.Dataset.from_tensor_slices(data).batch(size)


def fit(model, dataset=None, epochs=30, *, run_eagerly=False):
    model.compile(tf.keras.optimizers.Adam(0.02), run_eagerly=run_eagerly)
    return model.fit(dataset or batches(), epochs=epochs, verbose=0).history


kinds = pytest.mark.parametrize("calibrated", [False, True])


@kinds
@pytest.mark.parametrize("hidden_units", [(), (6, 3)])
def test_scores_are_products_and_logits_dense_layers_of_both_and_their_product(
    calibrated, hidden_units
):
    model = randomise(make(calibrated=calibrated, hidden_units=hidden_units))
    for found, expected in zip(model(DATA), outputs(model), strict=True):
        assert found.shape == (BATCH, SIZE)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@kinds
@pytest.mark.parametrize("alpha", [0.5, 0.0, 1.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_weighted_sum_of_both_over_the_lists(
    calibrated, alpha, weighted
):
    model = randomise(make(calibrated=calibrated, alpha=alpha))
    weight = RNG.uniform(size=BATCH).astype("float32") if weighted else None
    features = DATA | ({"sample_weight": weight} if weighted else {})
    loss = model.compute_loss(features)
    assert loss.dtype == tf.float32
    total, ranking, clicks = loops(model, weight=weight)
    assert float(loss) == pytest.approx(total, rel=1e-4)
    figures = {metric.name: float(metric.result()) for metric in model.metrics}
    some = np.any(DATA["labels"] >= 0, axis=1).sum()
    assert 0 < some < BATCH
    assert figures["loss_per_example"] == pytest.approx(total / some, rel=1e-4)
    assert figures["ranking_loss"] == pytest.approx(ranking / some, rel=1e-4)
    assert figures["ctr_loss"] == pytest.approx(clicks / some, rel=1e-4)


@kinds
def test_log_loss_and_auc_are_over_the_items_that_were_shown(calibrated):
    model = randomise(make(calibrated=calibrated))
    model.compute_loss(DATA)
    valid = DATA["labels"] >= 0
    labels, logits = DATA["labels"][valid], outputs(model)[1][valid]
    log_loss = np.mean(np.log1p(np.exp(np.where(labels == 1, -logits, logits))))
    above = logits[labels == 1][:, None] > logits[labels == 0]
    figures = {metric.name: float(metric.result()) for metric in model.metrics}
    assert figures["ctr/log_loss"] == pytest.approx(log_loss, rel=1e-4)
    assert figures["ctr/auc"] == pytest.approx(above.mean(), abs=0.01)
    assert "ctr/calibration_error" in figures


def test_a_keras_loss_is_taken_as_its_function_is():
    models = [randomise(make(list_loss=loss)) for loss in (list_softmax, ListSoftmax())]
    losses = [float(model.compute_loss(DATA)) for model in models]
    assert losses[0] == losses[1]


def test_graded_labels_reach_the_ranking_loss_and_are_clicks_to_the_other():
    grades = np.where(DATA["labels"] > 0, 3.0, DATA["labels"]).astype("float32")
    seen = []

    def spy(labels, scores):
        seen.append(labels.numpy())
        return list_softmax(labels, scores)

    model = randomise(make(list_loss=spy, alpha=0.0))
    plain = float(model.compute_loss(DATA))
    assert float(model.compute_loss(DATA | {"labels": grades})) == plain
    np.testing.assert_array_equal(seen[-1], grades)


def test_clicks_of_their_own_are_what_is_predicted_and_labels_what_is_ordered():
    model = randomise(make())
    clicks = (RNG.uniform(size=DATA["labels"].shape) > 0.5).astype("float32")
    given = DATA | {"clicks": clicks}
    _, ranking, _ = loops(model)
    valid = DATA["labels"] >= 0
    _, _, ctr = loops(model, DATA | {"labels": np.where(valid, clicks, -1)})
    expected = model.alpha * ranking + (1 - model.alpha) * ctr
    assert float(model.compute_loss(given)) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="`clicks` must have"):
        model.compute_loss(given | {"clicks": clicks[:, :2]})


@kinds
def test_a_mask_pads_as_a_label_of_minus_one_does_and_padding_has_no_influence(
    calibrated,
):
    model = randomise(make(calibrated=calibrated))
    expected = float(model.compute_loss(DATA))
    mask = DATA["labels"] >= 0
    other = DATA | {"mask": mask, "labels": np.where(mask, DATA["labels"], 1)}
    other["item_id"] = np.where(mask, DATA["item_id"], 7)
    assert float(model.compute_loss(other)) == pytest.approx(expected, rel=1e-5)


def test_a_list_loss_sees_no_score_of_padding():
    seen = []

    def spy(labels, scores):
        seen.append((labels.numpy(), scores.numpy()))
        return list_softmax(labels, scores)

    model = randomise(make(list_loss=spy))
    model.compute_loss(DATA)
    (labels, scores), padded = seen[-1], DATA["labels"] < 0
    np.testing.assert_array_equal(labels, DATA["labels"])
    np.testing.assert_array_equal(scores == 0, padded)


@kinds
def test_empty_lists_cost_nothing_and_have_finite_gradients(calibrated):
    model = randomise(make(calibrated=calibrated))
    empty = DATA | {"labels": np.full([BATCH, SIZE], -1)}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(empty)
    assert float(loss) == 0
    for slope in tape.gradient(loss, model.trainable_weights):
        if slope is not None:
            np.testing.assert_array_equal(tf.convert_to_tensor(slope), 0)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_both_parts_train_the_towers_that_they_share(alpha):
    model = randomise(make(alpha=alpha))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(DATA)
    weights = [*model.user_tower.trainable_weights, *model.item_tower.trainable_weights]
    for slope in tape.gradient(loss, weights):
        assert np.abs(tf.convert_to_tensor(slope)).max() > 1e-3


def test_an_interaction_of_fields_of_both_sides_is_part_of_the_score():
    machine = FactorizationMachine([USER[0], *ITEM], 3)
    model = randomise(make(interaction=machine))
    score, logit = model(DATA)
    plain, clicks = outputs(model)
    np.testing.assert_allclose(logit, clicks, rtol=1e-4, atol=1e-4)
    for place in range(SIZE):
        fields = {f.name: DATA[f.name][:, place] for f in ITEM}
        expected = plain[:, place] + machine(fields | {"user_id": DATA["user_id"]})
        np.testing.assert_allclose(score[:, place], expected, rtol=1e-4, atol=1e-4)


@kinds
def test_the_answer_is_probabilities_and_scores_with_padding_last(calibrated):
    model = randomise(make(calibrated=calibrated))
    served = {k: v for k, v in DATA.items() if k not in ("labels", "request_id")}
    answer = model.rank(served)
    score, logit = outputs(model)
    assert list(answer) == ["ctr", "score"]
    np.testing.assert_allclose(answer["ctr"], 1 / (1 + np.exp(-logit)), rtol=1e-3)
    np.testing.assert_allclose(answer["score"], score, rtol=1e-3, atol=1e-4)
    mask = DATA["labels"] >= 0
    predicted = model.predict(batches(served | {"mask": mask}), verbose=0)
    assert (predicted["ctr"][~mask] == 0).all()
    np.testing.assert_allclose(predicted["score"][mask], score[mask], atol=1e-4)
    order = np.argsort(-predicted["score"], axis=1, kind="stable")
    length = mask.sum(axis=1)
    for row in range(BATCH):
        assert set(order[row, : length[row]]) == set(np.flatnonzero(mask[row]))


@kinds
def test_it_learns_to_rank_and_to_predict(calibrated):
    tf.keras.utils.set_random_seed(1)
    model = make(calibrated=calibrated)
    history = fit(model)
    for name in ("loss_per_example", "ranking_loss", "ctr_loss"):
        assert history[name][-1] < 0.7 * history[name][0]
    figures = model.evaluate(batches(), verbose=0, return_dict=True)
    assert figures["ctr/auc"] > 0.9
    score, labels = model(DATA)[0].numpy(), DATA["labels"]
    pairs = (labels[:, :, None] == 1) & (labels[:, None, :] == 0)
    assert (score[:, :, None] > score[:, None, :])[pairs].mean() > 0.9


def test_calibrated_scores_rank_and_stay_probabilities():
    """A softmax of the scores moves them away from the rates; its rival does not."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0.05, 0.95, 9)
    data = {
        "user_id": np.ones(2000, int),
        "age": np.full(2000, 40.0, "float32"),
        "item_id": rng.integers(1, 10, size=(2000, SIZE)),
        "genres": np.zeros((2000, SIZE, 1), int),
    }
    chance = rates[data["item_id"] - 1]
    clicks = rng.uniform(size=chance.shape) < chance
    data["labels"] = clicks.astype("float32")
    error = {}
    for name in ("calibrated", "softmax"):
        tf.keras.utils.set_random_seed(0)
        model = make(calibrated=True, hidden_units=())
        if name == "softmax":
            model.list_loss = list_softmax
        fit(model, batches(data, 200), epochs=20)
        ctr = model.rank(data)["ctr"].numpy()
        error[name] = np.abs(ctr - chance).mean()
    assert error["calibrated"] < 0.02
    assert error["softmax"] > 3 * error["calibrated"]


@kinds
@pytest.mark.parametrize("size", [1, 7])
def test_batches_may_have_any_size(calibrated, size):
    part = batches(size=size).take(5)
    history = fit(make(calibrated=calibrated), part, epochs=1, run_eagerly=True)
    assert np.isfinite(history["loss"]).all()


@kinds
@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
@pytest.mark.usefixtures("mixed_policy")
def test_it_learns_in_mixed_precision(calibrated):
    tf.keras.utils.set_random_seed(1)
    model = make(calibrated=calibrated)
    losses = fit(model, epochs=6, run_eagerly=True)["loss_per_example"]
    assert losses[-1] < 0.9 * losses[0]
    assert {output.dtype for output in model(DATA)} == {tf.float32}


@pytest.mark.parametrize(
    "options",
    [{}, {"list_loss": ListSoftmax()}, {"calibrated": True, "alpha": 0.2}],
    ids=["function", "Keras loss", "calibrated"],
)
def test_it_comes_back_from_its_config_and_its_weights(options, tmp_path):
    model = randomise(make(interaction=FactorizationMachine(ITEM, 3), **options))
    config = json.loads(json.dumps(tf.keras.utils.serialize_keras_object(model)))
    other = tf.keras.utils.deserialize_keras_object(config)
    other(DATA)
    model.save_weights(tmp_path / "weights.h5")
    other.load_weights(tmp_path / "weights.h5")
    expected = float(model.compute_loss(DATA))
    assert float(other.compute_loss(DATA)) == pytest.approx(expected, rel=1e-6)


@kinds
def test_lists_of_any_length_are_served_from_a_saved_model(calibrated, tmp_path):
    model = randomise(make(calibrated=calibrated))
    names = [feature.name for feature in [*USER, *ITEM]]
    spec = {
        name: tf.TensorSpec(
            [None, None, 2][: np.ndim(DATA[name])], tf.as_dtype(DATA[name].dtype), name
        )
        for name in names
    }
    model.serve = tf.function(model.rank, input_signature=[spec])
    tf.saved_model.save(model, tmp_path, signatures=model.serve)
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for batch, size in ((3, 2), (1, SIZE), (2, 0)):
        part = {
            name: DATA[name][:batch, :size]
            if np.ndim(DATA[name]) > 1
            else DATA[name][:batch]
            for name in names
        }
        answer = serve(**{name: tf.constant(value) for name, value in part.items()})
        expected = outputs(model)[0][:batch, :size]
        np.testing.assert_allclose(answer["score"], expected, rtol=1e-3, atol=1e-4)


def test_towers_of_any_kind_are_taken_with_the_names_of_the_lists():
    table = {"item_id": np.arange(10), "genres": RNG.integers(4, size=(10, 2))}
    items = FeatureLookup(FeatureTower(ITEM, DIM), table)
    model = JointRankingCTR(
        UserId(9, DIM), items, list_loss=list_softmax, item_features=["item_id"]
    )
    score, _ = model(DATA)
    assert score.shape == (BATCH, SIZE)
    with pytest.raises(ValueError, match="`item_features` must name.*Got none"):
        JointRankingCTR(UserId(9, DIM), items, list_loss=list_softmax)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "Feature `labels` is missing"),
        ({"item_id": None}, "Feature `item_id` is missing"),
        ({"age": None}, "Feature `age` is missing"),
        ({"item_id": np.ones(BATCH, int)}, r"`item_id` of the items must be \[batch"),
        ({"genres": np.ones([BATCH, 3, 2], int)}, r"`genres` must have the batch and"),
        ({"labels": np.ones([BATCH, 3])}, r"`labels` must have the batch and list"),
        ({"labels": np.ones(BATCH)}, r"`labels` must have the batch and list"),
        ({"mask": np.ones([BATCH, 3])}, r"`mask` must have the batch and list size"),
    ],
)
def test_features_that_do_not_fit_are_named(change, message):
    features = {k: v for k, v in (DATA | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        make().compute_loss(features)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -0.1}, r"`alpha` must be in \[0, 1\]. Got -0.1"),
        ({"alpha": 1.01}, r"`alpha` must be in \[0, 1\]. Got 1.01"),
        ({"alpha": math.nan}, r"`alpha` must be in \[0, 1\]. Got nan"),
        (
            {"calibrated": True, "list_loss": list_softmax},
            "`list_loss` must be None where `calibrated` is True",
        ),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_towers_and_losses_that_do_not_fit_are_named():
    wide = FeatureTower(ITEM, DIM + 1)
    model = JointRankingCTR(FeatureTower(USER, DIM), wide, list_loss=list_softmax)
    with pytest.raises(ValueError, match=r"must have the same width.*4\).*5\)"):
        model(DATA)
    model = make(list_loss=lambda labels, scores: tf.reduce_sum(labels * scores))
    with pytest.raises(ValueError, match=r"`list_loss` must return.*\(\)"):
        model.compute_loss(DATA)


def test_the_calibrated_loss_is_the_public_one():
    model = randomise(make(calibrated=True, alpha=1.0))
    expected = regression_compatible_loss(
        tf.constant(DATA["labels"]), tf.constant(outputs(model)[0])
    )
    found = float(model.compute_loss(DATA))
    assert found == pytest.approx(float(tf.reduce_sum(expected)), rel=1e-4)


@pytest.mark.parametrize("label", [-2.0, -0.5, np.nan])
def test_labels_that_are_neither_grades_nor_padding_are_refused(label):
    labels = DATA["labels"].astype("float32")
    labels[0, 0] = label
    with pytest.raises(tf.errors.InvalidArgumentError, match="`labels` must be 0 or"):
        make().compute_loss(DATA | {"labels": labels})
