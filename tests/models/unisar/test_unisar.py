"""What users of UniSAR rely on."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.unisar import unisar_batches as batches
from tests.models.unisar.unisar_batches import (
    change,
    example,
    gradients,
    make,
    scores,
)
from tfrs_models.models import UniSAR
from tfrs_models.training import LazyAdam

TASKS = ("recommendation", "search")


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def calls(model):
    """The model, eagerly and in one graph that serves every test."""
    return {"eager": model, "graph": tf.function(model, reduce_retracing=True)}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (
            {
                "num_users": 22_700,
                "num_items": 673_415,
                "num_words": 394_911,
                "caption_length": 50,
                "item_categories": {"first_level": 38, "second_level": 297},
                "user_categories": {"feat1": 8, "feat2": 3, "search": 7, "rec": 4},
            },
            35_478_021,
        ),
        ({"num_users": 68_223, "num_items": 61_935, "num_words": 1_865}, 4_762_117),
    ],
    ids=["KuaiSAR", "Amazon"],
)
def test_there_are_as_many_parameters_as_the_original_uses(sizes, expected):
    with tf.Graph().as_default():  # no variable takes memory
        model = UniSAR(**sizes)
        shapes = [v.shape.as_list() for v in model.trainable_variables]
    assert sum(np.prod(shape) for shape in shapes) == expected


def test_what_padding_holds_has_no_influence(model):
    features = batches.batch()
    rng = np.random.default_rng(5)
    changed = {"random": features["random"]}
    for task in TASKS:
        part = dict(features[task])
        events = part["item_history_time"] > 0
        searches = part["session_time"] > 0
        junk = rng.integers(1, batches.ITEMS, size=part["item_history"].shape)
        part["item_history"] = np.where(events, part["item_history"], junk)
        for name, largest in (("session_items", 23), ("session_query", 19)):
            junk = rng.integers(1, largest, size=part[name].shape)
            part[name] = np.where(searches[..., None], part[name], junk)
        changed[task] = part
    for task in TASKS:
        np.testing.assert_array_equal(
            scores(model, changed[task], task), scores(model, features[task], task)
        )
    loss = model.compute_loss(features)
    np.testing.assert_array_equal(model.compute_loss(changed), loss)


def test_more_room_for_histories_changes_nothing(model):
    larger = make(seq_len=7, num_sessions=9)
    for ours, theirs in zip(larger.weights, model.weights, strict=True):
        value = theirs.numpy()
        if ours.shape != theirs.shape:  # positions: the old ones come first
            value = np.concatenate([value, np.ones([*ours.shape])[len(value) :]])
        ours.assign(value)
    features = example(search=True)
    padded = {
        name: np.pad(value, [(0, 0), (0, extra)] + [(0, 0)] * (value.ndim - 2))
        for name, value in features.items()
        for extra in [2 if "item_history" in name else 5 if "session" in name else 0]
        if value.ndim > 1
    } | {"user_id": features["user_id"]}
    expected = scores(model, features)
    for given in (features, padded):
        np.testing.assert_allclose(
            scores(larger, given), expected, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("task", TASKS)
def test_a_candidates_score_has_nothing_to_do_with_the_others(model, task):
    features = example(5, 6, search=True)
    expected = scores(model, features, task)
    items, order = features["item_id"], np.array([3, 0, 5, 1, 4, 2])
    found = scores(model, change(features, "item_id", items[:, order]), task)
    np.testing.assert_allclose(found, expected[:, order], rtol=1e-5, atol=1e-6)
    for column in range(6):
        one = change(features, "item_id", items[:, column : column + 1])
        np.testing.assert_allclose(
            scores(model, one, task),
            expected[:, column : column + 1],
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize("task", TASKS)
def test_a_users_scores_have_nothing_to_do_with_other_users(model, task):
    features = example(5, 3, search=True)
    expected = scores(model, features, task)
    for rows in ([4, 2, 0, 1, 3], [2]):
        part = {name: value[rows] for name, value in features.items()}
        np.testing.assert_allclose(
            scores(model, part, task), expected[rows], rtol=1e-5, atol=1e-6
        )


def test_words_are_the_same_in_captions_and_queries():
    network = make().network
    words = np.array([[1, 2, 0, 0, 0, 0]])
    network.item_encoder.set_attributes(
        {"caption": np.repeat(words, 24, 0), "genre": np.zeros(24, int)}
    )
    before = network.item_encoder(np.array([4])), network.query_encoder(words)
    table = network.query_encoder.table
    table.scatter_add(tf.IndexedSlices(tf.ones([1, 4]), [2]))
    after = network.item_encoder(np.array([4])), network.query_encoder(words)
    for old, new in zip(before, after, strict=True):
        assert np.abs(new - old).max() > 1e-3


def test_padding_is_zero_and_its_rows_learn_nothing(model):
    np.testing.assert_array_equal(model.network.item_encoder(np.array([0])), 0)
    encoder = model.network.item_encoder
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(encoder(np.array([0, 3, 5])) ** 2)
    tables = [encoder._tables["id"], encoder._tables["genre"]]
    for gradient in map(tf.convert_to_tensor, tape.gradient(loss, tables)):
        np.testing.assert_array_equal(gradient[0], 0)


def test_each_service_trains_its_own_experts_and_both_train_what_they_share():
    model = make(pair_weight=0.0, transition_weight=0.0, search_weight=0.5)
    features = batches.batch()
    own = {task: f"{task}_head" for task in TASKS}
    parts = {}
    for task in TASKS:
        with tf.GradientTape() as tape:
            loss = model.compute_loss({task: features[task]})
        found = tape.gradient(loss, model.trainable_variables)
        parts[task] = [
            None if g is None else tf.convert_to_tensor(g).numpy() for g in found
        ]
        names = {
            v.name
            for v, g in zip(model.trainable_variables, found, strict=True)
            if g is None
        }
        (other,) = set(TASKS) - {task}
        assert any(own[other] in name for name in names)
        assert not any(own[task] in name for name in names)
    joint = gradients(model, features)
    for one, two, both in zip(*parts.values(), joint.values(), strict=True):
        total = (0 if one is None else one) + (0 if two is None else two)
        np.testing.assert_allclose(both, total, rtol=1e-4, atol=1e-7)


def test_the_searchs_loss_counts_as_much_as_it_should():
    features = batches.batch()
    found = {}
    for weight in (0.0, 0.5, 2.0):
        found[weight] = float(make(search_weight=weight).compute_loss(features))
    slope = (found[0.5] - found[0.0]) / 0.5
    assert found[2.0] == pytest.approx(found[0.0] + 2 * slope, rel=1e-4)


def test_eager_and_graph_agree_on_batches_of_any_size(model, calls):
    for rows in (4, 1, 3, 0):
        features = {"search": example(rows, search=True)}
        tensors = tf.nest.map_structure(tf.constant, features)
        np.testing.assert_allclose(
            calls["graph"](tensors)["search"],
            model(features)["search"],
            rtol=1e-5,
            atol=1e-6,
        )


def test_fit_trains_both_services_and_evaluates_both():
    model = make()
    model.compile(LazyAdam(0.01), run_eagerly=True)
    train = tf.data.Dataset.from_tensors(batches.batch()).repeat(3)
    validation = tf.data.Dataset.from_tensors(
        {"recommendation": example(4, 9), "search": example(3, 9, search=True)}
    )
    callbacks = [
        tf.keras.callbacks.ReduceLROnPlateau("val_ndcg_at_5", mode="max"),
        tf.keras.callbacks.EarlyStopping(
            "val_ndcg_at_5", mode="max", patience=5, restore_best_weights=True
        ),
    ]
    history = model.fit(
        train, validation_data=validation, epochs=3, callbacks=callbacks, verbose=0
    ).history
    assert history["loss"][-1] < history["loss"][0]
    both = [history[f"val_{task}/ndcg_at_5"] for task in TASKS]
    np.testing.assert_allclose(history["val_ndcg_at_5"], np.mean(both, axis=0))
    assert {f"val_{t}/hit_rate_at_{k}" for t in TASKS for k in (1, 50)} <= set(history)
    assert not any("ndcg" in name for name in history if not name.startswith("val_"))


@pytest.mark.parametrize("task", TASKS)
def test_ranks_among_all_items_are_those_of_all_scores(model, task):
    features = example(3, 1, search=True)
    everything = np.repeat(np.arange(1, batches.ITEMS + 1)[None], 3, axis=0)
    logits = scores(model, change(features, "item_id", everything), task)
    own = int(features["item_id"][2, 0])  # in row 2 the exclusions hide the positive
    excluded = tf.ragged.constant([[1, 2], [], [5, own]], tf.int64)
    ranks = model.corpus_ranks(features, task, exclusions=excluded, block_size=7)
    for row, positive in enumerate(features["item_id"][:, 0]):
        left_out = set(excluded[row].numpy())
        assert ranks.hidden[row] == (positive in left_out)
        assert ranks.found[row] == (positive not in left_out)
        others = [
            logits[row, item - 1]
            for item in range(1, batches.ITEMS + 1)
            if item != positive and item not in left_out
        ]
        above = np.sum(others > logits[row, positive - 1])
        assert ranks.above[row] == (0 if positive in left_out else above)
        assert ranks.num_candidates[row] == len(others)


def test_a_task_that_there_is_not_is_named(model):
    message = r"`task` must be one of \['recommendation', 'search'\]. Got 'rec'"
    with pytest.raises(ValueError, match=message):
        model.corpus_ranks(example(2), "rec")


def test_a_positive_that_is_padding_is_named(model):
    features = example(3, 4, search=True)
    features["item_id"][1, 0] = 0
    features = tf.nest.map_structure(tf.constant, features)
    message = "Feature `item_id` must have the positive in column 0, not padding"

    def ranks(batch):
        return model.corpus_ranks(batch["search"], "search").above

    for call in (model.compute_loss, ranks, tf.function(ranks)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            call({"search": features})
    assert model.search(features)["item_id"].shape == [3, 4]  # has no positive


def test_recommending_sorts_and_puts_padding_last(model):
    features = example(4, 5)
    features["item_id"][1, 2:] = 0
    answer = model.recommend(features)
    logits = scores(model, features, "recommendation")
    for row in range(4):
        real = features["item_id"][row] > 0
        order = np.argsort(-logits[row][real], kind="stable")
        items = features["item_id"][row][real][order]
        np.testing.assert_array_equal(answer["item_id"][row][: real.sum()], items)
    np.testing.assert_array_equal(answer["item_id"][1, 2:], 0)


@pytest.mark.parametrize("how", ["eager", "graph"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_id", batches.USERS),
        ("item_history", batches.ITEMS + 1),
        ("session_items", batches.ITEMS + 1),
        ("session_query", batches.WORDS + 1),
        ("item_id", -1),
        ("query", batches.WORDS + 1),
        ("session_time", -3),
    ],
)
def test_ids_that_there_are_not_are_named(calls, name, value, how):
    features = example(3, search=True)
    features[name][(1,) + (0,) * (features[name].ndim - 1)] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Feature `{name}` must"):
        calls[how]({"search": tf.nest.map_structure(tf.constant, features)})


def out_of_order(kind):
    """A batch whose second row breaks the order of a history."""
    features = example(3, search=True)
    items = "item_history", "item_history_time"
    searches = "session_query", "session_items", "session_time"
    features["item_history"][1] = [4, 5, 6, 7, 0]
    features["item_history_time"][1] = [10, 20, 20, 40, 0]
    features["session_time"][1] = [15, 15, 30, 0]
    if kind == "reversed items":
        rows, order = items, [3, 2, 1, 0, 4]
    elif kind == "padding before items":
        rows, order = items, [4, 0, 1, 2, 3]
    elif kind == "reversed searches":
        rows, order = searches, [2, 1, 0, 3]
    elif kind == "padding between searches":
        rows, order = searches, [0, 1, 3, 2]
    else:  # no item, whatever its time
        rows, order = (), []
        features["item_history"][1, 1] = 0
    for name in rows:
        features[name][1] = features[name][1][order]
    return features


@pytest.mark.parametrize("how", ["eager", "graph"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("reversed items", "item_history_time"),
        ("padding before items", "item_history_time"),
        ("no item between items", "item_history_time"),
        ("reversed searches", "session_time"),
        ("padding between searches", "session_time"),
    ],
)
def test_a_history_out_of_order_is_named(calls, kind, name, how):
    features = tf.nest.map_structure(tf.constant, out_of_order(kind))
    message = f"Feature `{name}` must not go back, and padding must come last"
    for task in TASKS:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            calls[how]({task: features})


def test_events_of_the_same_time_and_what_padding_holds_are_in_order(model):
    features = example(3, search=True)
    features["item_history_time"][1] = [20, 20, 20, 0, 0]
    features["item_history"][1] = [4, 4, 5, 6, 7]
    features["session_time"][1] = [7, 7, 0, 0]
    assert np.isfinite(scores(model, features)).all()
    features["item_history"][1, 3:] = 0
    features["item_history_time"][1, 3:] = [9, 3]  # of no item
    assert np.isfinite(scores(model, features)).all()


@pytest.mark.parametrize("name", sorted(example(search=True)))
def test_a_missing_feature_is_named(model, name):
    features = example(search=True)
    del features[name]
    with pytest.raises(ValueError, match=f"Feature `{name}` is missing"):
        model({"search": features})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("user_id", np.zeros(6), "`user_id` must hold integers. Got float64"),
        ("item_history", np.zeros(6, int), "`item_history` must have rank 2"),
        (
            "item_history_time",
            np.zeros([6, 3], int),
            "a value for each slot of `item_h",
        ),
        (
            "session_items",
            np.zeros([6, 3, 2], int),
            "a value for each slot of `session",
        ),
        ("session_time", np.zeros([6, 3], int), "`session_time` must have a value"),
    ],
)
def test_a_feature_of_another_form_is_named(model, name, value, message):
    with pytest.raises(ValueError, match=message):
        model({"search": change(example(search=True), name, value)})


def test_a_history_that_is_too_long_is_named(model):
    long = np.ones([6, batches.LENGTH + 1], int)
    features = example() | {"item_history": long, "item_history_time": long}
    with pytest.raises(ValueError, match="`item_history` must have at most 5 slots"):
        model({"recommendation": features})


def test_training_needs_both_services_and_what_was_drawn(model):
    for name in ("recommendation", "search", "random"):
        features = batches.batch()
        del features[name]
        with pytest.raises(ValueError, match=f"Feature `{name}` is missing"):
            model.compute_loss(features, training=True)
    with pytest.raises(ValueError, match="an example for one of"):
        model({"recommend": example()})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search_weight": -1.0}, "`search_weight` must be at least 0. Got -1.0"),
        ({"encoders": ["past"]}, r"`encoders` must be among .* Got \['past'\]"),
        ({"pair_temperature": 0.0}, "`pair_temperature` must be above 0. Got 0.0"),
        ({"num_heads": 3}, "`num_heads` must be at least 1 and divide"),
        (
            {"encoders": "across"},
            "`encoders` must be a sequence of names. Got 'across'",
        ),
        ({"expert_units": []}, "`expert_units` must have a layer. Got \\[\\]"),
        (
            {"tower_units": [4, 0]},
            r"`tower_units` must be at least 1 each. Got \[4, 0\]",
        ),
        ({"l2": float("nan")}, "`l2` must be at least 0. Got nan"),
        *(
            ({name: 0}, f"`{name}` must be at least 1. Got 0")
            for name in (
                "num_users",
                "num_items",
                "num_words",
                "seq_len",
                "num_sessions",
                "embedding_dim",
                "width",
                "num_layers",
                "num_shared",
                "num_specific",
            )
        ),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        UniSAR(**batches.SIZES | options)


@pytest.mark.parametrize("left_out", ["across", "recommendation", "search"])
def test_an_encoder_that_is_left_out_says_nothing(left_out):
    encoders = [n for n in ("across", "recommendation", "search") if n != left_out]
    model = make(encoders=encoders)
    features = batches.batch()
    network = model.network
    state = network.encode(network.read(features["search"], "search"))
    silent = {
        "across": state.transitions.search_to_recommendation,
        "recommendation": state.transitions.within_recommendation,
        "search": state.transitions.within_search,
    }
    for name, values in silent.items():
        assert np.any(values) == (name != left_out)
    found = gradients(model, features)
    assert all(g is not None and np.isfinite(g).all() for g in found.values())
    with pytest.raises(ValueError, match="`encoders` must be all of"):
        model.load_torch_state_dict({})


def test_gradients_of_a_graph_are_those_of_eager(model):
    features = tf.nest.map_structure(tf.constant, batches.batch())
    expected = gradients(model, features)
    found = tf.function(lambda given: gradients(model, given))(features)
    for name, gradient in expected.items():
        np.testing.assert_allclose(
            found[name], gradient, rtol=1e-3, atol=1e-6, err_msg=name
        )
