"""The ranker against the original's numbers, and what users expect of it."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.layers import MultiGateExperts, ProgressiveLayered
from tfrs_models.models import MultiTaskRanker
from tfrs_models.tasks import MultiTask
from tfrs_models.towers import (
    Cohort,
    DeepHash,
    MixtureOfRepresentations,
    PositionBias,
    UserId,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
RNG = np.random.default_rng(0)
TOWERS = {
    "lookup": lambda: UserId(30, 8),
    "cohort_softmax": lambda: Cohort(12, 8),
    "cohort_top1": lambda: Cohort(12, 8, top_k=1),
    "mor_softmax": lambda: MixtureOfRepresentations([UserId(30, 8), Cohort(12, 8)]),
    "dhe_stack": lambda: DeepHash(8, num_hashes=9),
}


def features_of(rows=12, num_tasks=3, labels=True):
    rng = np.random.default_rng(rows)
    features = {
        "user_id": rng.integers(100, size=rows),
        "item_id": rng.integers(100, size=rows),
        "user_features": rng.normal(size=(rows, 5)).astype("float32"),
        "item_features": rng.normal(size=(rows, 4)).astype("float32"),
        "cross_features": rng.normal(size=(rows, 7)).astype("float32"),
        "position": rng.integers(8, size=rows),
    }
    if labels:
        features["labels"] = rng.integers(-1, 2, size=(rows, num_tasks))
    return features


def make(tower=None, **options):
    options = {
        "num_tasks": 3,
        "item_id_hash_size": 20,
        "item_id_embedding_dim": 6,
        "user_value_weights": [1.0, 2.0, 0.5],
    } | options
    return MultiTaskRanker(tower or UserId(30, 8), **options)


@pytest.mark.parametrize("case", TOWERS)
def test_the_originals_weights_give_the_originals_numbers(case):
    arrays = np.load(GOLDEN / f"user_towers_{case}.npz")
    kinds = {"w": {}, "in": {}}
    for name in arrays:
        kind, _, rest = name.partition("/")
        kinds.setdefault(kind, {})[rest] = arrays[name]
    tower = TOWERS[case]()
    model = make(tower)
    assert model.load_torch_state_dict(kinds["w"]) == []
    features = kinds["in"]
    if case == "dhe_stack":  # the original's hash is a placeholder
        tower.encode = lambda _: tf.constant(features["hash_code"])
    if "mid" in kinds and "cohort_affinity" in kinds["mid"] and case != "mor_softmax":
        np.testing.assert_allclose(
            tower.affinity(features), kinds["mid"]["cohort_affinity"], atol=1e-5
        )
    wanted = kinds["out"]
    np.testing.assert_allclose(tower(features), wanted["user_embedding"], atol=1e-5)
    np.testing.assert_allclose(model(features), wanted["logits"], atol=1e-5)
    loss = model.compute_loss(features)
    assert float(loss) == pytest.approx(float(wanted["loss_sum"]), rel=1e-5)


def test_variables_of_ours_are_listed_and_stay():
    arrays = np.load(GOLDEN / "user_towers_lookup.npz")
    weights = {name[2:]: arrays[name] for name in arrays if name.startswith("w/")}
    model = make(UserId(30, 8, id_dropout=0.1), position_bias=PositionBias(5, 3))
    names = model.load_torch_state_dict(weights)
    assert sorted(name.split("/")[-1] for name in names) == [
        "position_bias:0",
        "unknown:0",
    ]
    model.position_bias.table.assign(np.ones([5, 3]))
    model.load_torch_state_dict(weights)
    np.testing.assert_array_equal(model.position_bias.table, np.ones([5, 3]))


def test_an_array_of_another_size_is_named():
    arrays = np.load(GOLDEN / "user_towers_lookup.npz")
    weights = {name[2:]: arrays[name] for name in arrays if name.startswith("w/")}
    weights["task_arch.weight"] = weights["task_arch.weight"][:, :-1]
    with pytest.raises(ValueError, match=r"`task_arch.weight` must be \(156, 3\) here"):
        make().load_torch_state_dict(weights)


def test_the_answer_is_probabilities_by_name_and_their_weighted_sum():
    task = MultiTask(["click", "like", "buy"])
    values = {"buy": 0.5, "click": 1.0, "like": 2.0}
    model = make(task=task, user_value_weights=values)
    features = features_of(labels=False)
    del features["position"]
    answer = model.rank(features)
    assert list(answer) == ["click", "like", "buy", "score"]
    logits = model(features).numpy().astype("float64")
    p = 1 / (1 + np.exp(-logits))
    for place, name in enumerate(["click", "like", "buy"]):
        np.testing.assert_allclose(answer[name], p[:, place], rtol=1e-5)
    score = [1 * row[0] + 2 * row[1] + 0.5 * row[2] for row in p]
    np.testing.assert_allclose(answer["score"], score, rtol=1e-5)
    dataset = tf.data.Dataset.from_tensor_slices(features).batch(5)
    predicted = model.predict(dataset, verbose=0)
    np.testing.assert_allclose(predicted["score"], score, rtol=1e-5)


def test_positions_count_for_logged_rows_and_not_at_serving():
    model = make(position_bias=PositionBias(4, 3))
    features = features_of()
    served = model(features).numpy()
    table = RNG.normal(size=(4, 3)).astype("float32")
    model.position_bias.table.assign(table)
    np.testing.assert_array_equal(model(features), served)
    logged = served + table[np.minimum(features["position"], 3)]
    np.testing.assert_allclose(model(features, training=True), logged, rtol=1e-5)
    plain = make()
    plain(features)
    expected = plain.task(features["labels"], logged)
    for training in (False, True):
        loss = model.compute_loss(features, training=training)
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_rows_weigh_as_they_say():
    model = make()
    features = features_of()
    weight = np.arange(12) % 3 / 2
    loss = model.compute_loss(features | {"sample_weight": weight.astype("float32")})
    rows = [
        w * float(model.compute_loss({k: v[i : i + 1] for k, v in features.items()}))
        for i, w in enumerate(weight)
    ]
    assert float(loss) == pytest.approx(sum(rows), rel=1e-4)


def test_labels_that_are_nan_were_not_observed_and_train():
    model = make()
    features = features_of()
    labels = features["labels"]
    features["labels"] = np.where(labels == -1, np.nan, labels).astype("float32")
    model.compile(tf.keras.optimizers.Adam(0.01))
    dataset = tf.data.Dataset.from_tensor_slices(features).batch(12)
    losses = model.fit(dataset, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
    features["user_features"][3, 1] = np.nan
    dataset = tf.data.Dataset.from_tensor_slices(features).batch(12)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`user_features` is not"):
        model.fit(dataset, verbose=0)


def test_hidden_layers_lie_before_the_logits():
    model = make(hidden_units=[9, 5])
    model(features_of())
    assert model.heads[0].units == (9, 5, 3)
    shapes = [layer.kernel.shape.as_list() for layer in model.heads[0].stack]
    assert shapes == [[8 + 8 + 6 + 6 + 128, 9], [9, 5], [5, 3]]


TRUNKS = {
    "mmoe": lambda: MultiGateExperts(3, num_experts=4, units=[8]),
    "ple": lambda: ProgressiveLayered(
        3, num_shared=2, num_specific=2, units=[8], num_levels=2
    ),
}


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("hidden_units", [(), (6,)])
def test_experts_give_each_task_a_head_of_its_own(trunk, hidden_units):
    tf.keras.utils.set_random_seed(1)
    model = make(trunk=TRUNKS[trunk](), hidden_units=hidden_units)
    features = features_of()
    inputs = []
    model.trunk.call, call = (
        lambda x, **_: inputs.append(x) or call(x),
        model.trunk.call,
    )
    logits = model(features).numpy()
    streams = call(inputs[-1])
    assert inputs[-1].shape == (12, 8 + 8 + 6 + 6 + 128)
    for task, (head, stream) in enumerate(zip(model.heads, streams, strict=True)):
        np.testing.assert_allclose(head(stream)[:, 0], logits[:, task], rtol=1e-4)
    model.compile(tf.keras.optimizers.Adam(0.01), run_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices(features).batch(12)
    losses = model.fit(dataset, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    with pytest.raises(ValueError, match="`trunk` and `hidden_units` must not be"):
        model.load_torch_state_dict({})


def test_ids_may_be_text():
    features = features_of()
    features["user_id"] = np.array([f"user {i}" for i in range(12)])
    features["item_id"] = np.array([f"item {i}" for i in range(12)])
    for tower in (UserId(50, 8), DeepHash(8, num_hashes=16)):
        assert make(tower)(features).shape == (12, 3)


def position_biased_clicks(seed):
    """Clicks = relevance x examination; the list was ordered by something else too."""
    rng = np.random.default_rng(seed)
    num_lists, size = 1500, 8
    taste = rng.normal(size=(num_lists, size))
    promotion = rng.normal(size=(num_lists, size))
    order = np.argsort(-(taste + 3 * promotion), axis=1)
    position = np.argsort(order, axis=1)
    relevance = 1 / (1 + np.exp(-2 * taste))
    examination = 1 / (1 + position)
    click = rng.uniform(size=relevance.shape) < relevance * examination
    flat = num_lists * size
    features = {
        "user_id": np.zeros(flat, "int64"),
        "item_id": np.zeros(flat, "int64"),
        "user_features": np.zeros([flat, 1], "float32"),
        "item_features": np.stack([taste, promotion], -1).reshape(flat, 2),
        "cross_features": np.zeros([flat, 1]),
        "position": position.ravel(),
        "labels": click.reshape(flat, 1).astype("int64"),
    }
    floats = ("item_features", "cross_features")
    return features | {k: features[k].astype("float32") for k in floats}, relevance


def test_the_debiased_ranker_orders_by_relevance_and_the_biased_one_less():
    tf.keras.utils.set_random_seed(0)
    features, relevance = position_biased_clicks(0)
    dataset = tf.data.Dataset.from_tensor_slices(features).shuffle(12_000, seed=0)
    share = {}
    for bias in (None, PositionBias(8, 1)):
        model = MultiTaskRanker(
            UserId(1, 2),
            num_tasks=1,
            item_id_hash_size=1,
            item_id_embedding_dim=2,
            user_value_weights=[1.0],
            position_bias=bias,
        )
        model.compile(tf.keras.optimizers.Adam(0.01))
        model.fit(dataset.batch(256), epochs=6, verbose=0)
        score = model.rank(features)["score"].numpy().reshape(relevance.shape)
        in_order = score[:, :, None] > score[:, None, :]
        better = relevance[:, :, None] > relevance[:, None, :]
        share[bias is not None] = in_order[better].mean()
    assert share[True] > 0.85
    assert share[False] < share[True] - 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_features": np.ones([12, 6])}, "`user_features` must have width 5"),
        ({"item_features": np.ones([12, 1])}, "`item_features` must have width 4"),
        ({"cross_features": np.ones([12, 1])}, "`cross_features` must have width 7"),
        ({"item_id": np.ones(12)}, "`item_id` must be integers or strings"),
        ({"user_id": np.ones([12, 1], int)}, r"`user_id` must be \[batch\]"),
        ({"labels": np.ones([12, 2])}, r"`labels` must be \[batch, 3\]"),
        ({"labels": None}, "`labels` is missing"),
        ({"cross_features": None}, "`cross_features` is missing"),
    ],
)
def test_features_that_do_not_fit_are_named(change, message):
    model = make()
    model(features_of())
    features = {k: v for k, v in (features_of() | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        model.compute_loss(features)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_tasks": 0}, "`num_tasks` must be at least 1. Got 0"),
        ({"task": MultiTask(2)}, "`num_tasks` must be that of `task`, 2. Got 3"),
        ({"user_value_weights": [1.0]}, "`user_value_weights` must have one value for"),
        (
            {"user_value_weights": {"x": 1.0}},
            r"`user_value_weights` must name.*\['x'\]",
        ),
        ({"task": MultiTask(["a", "score", "b"])}, "No task must be called `score`"),
        ({"position_bias": PositionBias(3, 2)}, "`position_bias` must have .* Got 2"),
        (
            {"trunk": MultiGateExperts(2, num_experts=3, units=[4])},
            "`trunk` must have an output for each of the 3 tasks. Got 2",
        ),
        ({"cross_features_dim": 0}, "`cross_features_dim` must be at least 1"),
        ({"item_id_hash_size": 0}, "`num_buckets` and `embedding_dim` must be"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_logged_rows_without_a_position_are_named_in_the_loss():
    model = make(position_bias=PositionBias(4, 3))
    features = features_of()
    del features["position"]
    model(features, training=True)
    with pytest.raises(ValueError, match="`position` is missing"):
        model.compute_loss(features)


def test_a_table_without_item_features_trains():
    rows = features_of() | {"item_features": np.zeros([12, 0], "float32")}
    model = make()
    model.compile(tf.keras.optimizers.SGD(0.1), run_eagerly=True)
    history = model.fit(tf.data.Dataset.from_tensors(rows), epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
