"""DeepFM and DCN: what they compute, and what users expect of both."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models.feature import Feature
from tfrs_models.models import DCN, DeepFM
from tfrs_models.serving import Ranker
from tfrs_models.tasks import MultiTask, Regression

FIELDS = [
    Feature("user_id", "id", 12),
    Feature("item_id", "id", 9),
    Feature("genres", "bag", 4),
    Feature("year", "number", mean=1990.0, scale=12.5),
]
ROWS = 90
RNG = np.random.default_rng(0)
DATA = {
    "user_id": RNG.integers(13, size=ROWS),
    "item_id": RNG.integers(11, size=ROWS),
    "genres": RNG.integers(5, size=(ROWS, 3)),
    "year": RNG.normal(1990, 12.5, size=ROWS).astype("float32"),
    "request_id": np.array([f"request {row}" for row in range(ROWS)]),
}
DATA["like"] = ((DATA["user_id"] + DATA["item_id"]) % 2).astype("float32")
DATA["rating"] = (3.5 + DATA["like"] + (DATA["year"] - 1990) / 25).astype("float32")
MODELS = {
    "deep fm": lambda **options: DeepFM(FIELDS, 4, **options),
    "dcn": lambda **options: DCN(FIELDS, 4, **options),
    "low rank dcn": lambda **options: DCN(FIELDS, 4, projection_dim=3, **options),
}
every = pytest.mark.parametrize("kind", ["deep fm", "dcn"])
TASKS = {
    "like": lambda: None,
    "rating": lambda: Regression("rating", mean=4.0),
}
both_tasks = pytest.mark.parametrize("label", TASKS)


def make(kind, label="like", **options):
    return MODELS[kind](label=label, task=TASKS[label](), **options)


def batches(size=30, **change):
    return tf.data.Dataset.from_tensor_slices(DATA | change).batch(size)


def fit(model, dataset=None, epochs=15, *, run_eagerly=True):
    """Eagerly where it is a few steps: a graph costs more than they do."""
    model.compile(tf.keras.optimizers.Adam(0.01), run_eagerly=run_eagerly)
    return model.fit(dataset or batches(), epochs=epochs, verbose=0).history


def randomise(model):
    rng = np.random.default_rng(5)
    model(DATA)
    model.set_weights(
        [rng.normal(scale=0.5, size=w.shape) for w in model.get_weights()]
    )


def dense(layer, x, *, relu):
    kernel, bias = layer.get_weights()
    x = x @ kernel + bias
    return np.maximum(x, 0) if relu else x


def test_deep_fm_is_the_machine_plus_dense_layers_on_its_embeddings():
    model = make("deep fm", hidden_units=[7, 5])
    randomise(model)
    fields = {field.name: DATA[field.name] for field in FIELDS}
    logit, embeddings = (t.numpy() for t in model.machine.with_embeddings(fields))
    x = embeddings.reshape(ROWS, -1)
    for layer in model.deep.stack:
        x = dense(layer, x, relu=True)
    x = dense(model.head, x, relu=False)
    np.testing.assert_allclose(model(DATA), logit + x[:, 0], rtol=1e-4, atol=1e-5)
    assert sum(w.shape.rank == 2 for w in model.trainable_weights) == 1 + 3


@pytest.mark.parametrize("kind", ["dcn", "low rank dcn"])
def test_dcn_is_the_papers_cross_beside_dense_layers(kind):
    model = make(kind, hidden_units=[7], num_cross_layers=3)
    randomise(model)
    fields = {field.name: DATA[field.name] for field in FIELDS}
    start = model.embedding(fields).numpy().reshape(ROWS, -1)
    x = start
    for cross in model.cross_layers:
        assert isinstance(cross, tfrs.layers.dcn.Cross)
        *low, kernel, bias = cross.get_weights()
        product = (x @ low[0] if low else x) @ kernel + bias
        x = start * product + x
    deep = dense(model.deep.stack[0], start, relu=True)
    logit = dense(model.head, np.concatenate([x, deep], axis=1), relu=False)
    np.testing.assert_allclose(model(DATA), logit[:, 0], rtol=1e-3, atol=1e-4)


@every
def test_dense_layers_drop_in_training_only(kind):
    model = make(kind, dropout=0.5)
    calm = model(DATA)
    np.testing.assert_array_equal(model(DATA), calm)
    assert np.any(model(DATA, training=True) != calm)


def test_upstreams_cross_comes_back_from_its_config_and_a_saved_model(tmp_path):
    inputs = tf.constant(RNG.normal(size=(3, 8)).astype("float32"))
    cross = tfrs.layers.dcn.Cross(projection_dim=2, diag_scale=0.1)
    module = tf.Module()
    module.cross = cross
    expected = cross(inputs, 2 * inputs)
    config = tf.keras.utils.serialize_keras_object(cross)
    copy = tf.keras.utils.deserialize_keras_object(config)
    copy(inputs)
    copy.set_weights(cross.get_weights())
    np.testing.assert_allclose(copy(inputs, 2 * inputs), expected, rtol=1e-6)
    module.serve = tf.function(lambda x: cross(x, 2 * x))
    module.serve(inputs)
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(loaded.serve(inputs), expected, rtol=1e-6)


@every
def test_likes_are_learned_with_their_probabilities(kind):
    tf.keras.utils.set_random_seed(1)
    model = make(kind)
    losses = fit(model, epochs=40, run_eagerly=False)["loss_per_example"]
    assert losses[-1] < 0.1 * losses[0]
    figures = model.evaluate(batches(), verbose=0, return_dict=True)
    assert figures["like/auc"] > 0.99
    answer = model.predict(batches(), verbose=0)
    assert list(answer) == ["like", "score"]
    p = 1 / (1 + np.exp(-answer["score"].astype("float64")))
    np.testing.assert_allclose(answer["like"], p, rtol=1e-4, atol=1e-6)
    losses = -np.log(np.where(DATA["like"] == 1, p, 1 - p))
    assert figures["like/log_loss"] == pytest.approx(losses.mean(), rel=1e-3)
    assert figures["loss_per_example"] == pytest.approx(losses.mean(), rel=1e-3)


@every
def test_ratings_are_learned_and_their_error_is_reported(kind):
    tf.keras.utils.set_random_seed(1)
    model = make(kind, "rating")
    model.compile(run_eagerly=True)
    before = model.evaluate(batches(), verbose=0, return_dict=True)["rating/rmse"]
    fit(model, epochs=40, run_eagerly=False)
    figures = model.evaluate(batches(), verbose=0, return_dict=True)
    assert figures["rating/rmse"] < 0.3 * before
    rating = model.predict(batches(), verbose=0)["rating"]
    rmse = np.sqrt(np.mean((rating - DATA["rating"]) ** 2))
    assert figures["rating/rmse"] == pytest.approx(rmse, rel=1e-3)


@every
@both_tasks
def test_labels_that_are_nan_and_rows_of_weight_zero_teach_nothing(kind, label):
    weights = []
    gone = RNG.uniform(size=ROWS) < 0.5
    for change in (
        {label: np.where(gone, np.nan, DATA[label]).astype("float32")},
        {"sample_weight": (~gone).astype("float32")},
    ):
        tf.keras.utils.set_random_seed(3)
        model = make(kind, label)
        fit(model, batches(**change), epochs=2)
        weights.append(model.get_weights())
    for left, right in zip(*weights, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)


@every
@pytest.mark.parametrize("size", [1, 17])
def test_batches_may_have_any_size(kind, size):
    part = batches(size).take(6)
    assert np.isfinite(fit(make(kind), part, epochs=1)["loss"]).all()


@every
def test_the_same_seed_trains_the_same_model(kind):
    losses = []
    for _ in range(2):
        tf.keras.utils.set_random_seed(7)
        losses.append(fit(make(kind, dropout=0.3), epochs=2)["loss"])
    assert losses[0] == losses[1]


@every
@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
@pytest.mark.usefixtures("mixed_policy")
def test_it_learns_in_mixed_precision(kind):
    tf.keras.utils.set_random_seed(1)
    model = make(kind)
    losses = fit(model, batches(15), epochs=5)["loss_per_example"]
    assert losses[-1] < 0.9 * losses[0]
    assert model(DATA).dtype == tf.float32


@pytest.mark.parametrize(
    ("kind", "label"), [("deep fm", "rating"), ("low rank dcn", "like")]
)
def test_weights_are_saved_and_the_whole_model_too(kind, label, tmp_path):
    model, other = make(kind, label), make(kind, label)
    randomise(model)
    expected = model(DATA)
    other(DATA)
    model.save_weights(tmp_path / "weights.h5")
    other.load_weights(tmp_path / "weights.h5")
    np.testing.assert_allclose(other(DATA), expected, rtol=1e-5)
    served = {field.name: DATA[field.name] for field in FIELDS}
    ranker = Ranker(model, served, unknown_id=0)
    tf.saved_model.save(ranker, tmp_path, signatures=ranker.rank)
    answer = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](
        **{name: tf.constant(value[:3]) for name, value in served.items()}
    )
    np.testing.assert_allclose(answer["score"], expected[:3], rtol=1e-5)
    assert set(answer) == {label, "score"}


@every
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genres": None}, "Feature `genres` is missing"),
        ({"like": None}, "Feature `like`, the label, is missing"),
        ({"like": np.ones([ROWS, 1])}, r"`like`, the label, must be \[batch\]"),
        ({"item_id": np.ones(ROWS)}, "`item_id`, a id, must hold integer indices"),
    ],
)
def test_features_that_do_not_fit_are_named(kind, change, message):
    features = {k: v for k, v in (DATA | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        make(kind).compute_loss(features)


@every
def test_a_number_that_is_not_finite_names_its_row_before_a_weight_changes(kind):
    year = DATA["year"].copy()
    year[41] = np.nan  # row 11 of the second batch
    model = make(kind)
    model(DATA)
    model.compile(tf.keras.optimizers.SGD(1.0))
    dataset = batches(year=year).skip(1)
    before = [weight.numpy() for weight in model.trainable_weights]
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"(?s)`year` is not finite.*Rows\W+11\D"
    ):
        model.fit(dataset, verbose=0)
    for left, right in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(left, right)


@every
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "year"}, "`label` must be neither one of `fields`.*Got `year`"),
        ({"label": "score"}, "`label` must be neither.*Got `score`"),
        ({"task": MultiTask(["a", "b"])}, r"`task` must have one task. Got \['a', 'b'"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\)"),
        ({"hidden_units": [0]}, "`units` must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        MODELS[kind](**{"label": "like"} | options)


@pytest.mark.parametrize("options", [{"num_cross_layers": 0}, {"projection_dim": 0}])
def test_sizes_of_the_cross_layers_are_at_least_one(options):
    with pytest.raises(ValueError, match="`num_cross_layers` and `projection_dim`"):
        DCN(FIELDS, 4, label="like", **options)
