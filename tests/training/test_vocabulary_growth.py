"""Rows of tables and of optimizer slots follow their ids to other vocabularies."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.training import LazyAdam, load_rows

DIM = 3
OLD = {"item_id": list("abcde"), "tag": list("xyz"), "user_id": ["u", "v"]}
NEW = {
    "item_id": list("dgacfbe"),
    "tag": list("wzxy"),
    "user_id": ["w", "v", "k", "u"],
}
KEPT = {  # row of the new table -> row of the old one, by hand
    "item_id": {0: 0, 1: 4, 3: 1, 4: 3, 6: 2, 7: 5},
    "tag": {0: None, 2: 3, 3: 1, 4: 2},  # row 0 of a bag is padding, read by no one
    "user_id": {0: 0, 2: 2, 4: 1},
}


def optimizers():
    return {
        "adam": tf.keras.optimizers.Adam(0.05),
        "lazy adam": LazyAdam(0.05),
        "momentum": tf.keras.optimizers.SGD(0.05, momentum=0.9),
        "amsgrad": tf.keras.optimizers.Adam(0.05, amsgrad=True),
    }


def build(names, optimizer=None):
    tf.keras.utils.set_random_seed(len(names["item_id"]))
    features = [
        tm.data.Feature("item_id", "id", len(names["item_id"])),
        tm.data.Feature("tag", "bag", len(names["tag"])),
        tm.data.Feature("year", "number", mean=3.0, scale=2.0),
    ]
    num_items, num_tags = len(names["item_id"]), len(names["tag"])
    rng = np.random.default_rng(num_items)
    table = {
        "item_id": np.arange(num_items + 1),
        "tag": rng.integers(0, num_tags + 1, size=(num_items + 1, 2)),
        "year": rng.normal(size=num_items + 1).astype("float32"),
    }
    items = tm.towers.FeatureLookup(tm.towers.FeatureTower(features, DIM), table)
    users = tm.towers.UserId(len(names["user_id"]) + 1, DIM)
    model = tm.models.TwoTower(users, items)
    if optimizer is not None:
        model.compile(optimizer)
    model.compute_loss(batch([1, 2], [1, 2]))
    return model


def batch(users, items):
    return {"user_id": np.array(users), "item_id": np.array(items)}


def tables(model):
    """Name of a vocabulary -> variable, by attributes alone."""
    found = {v.name.split(":")[0]: v for v in model.trainable_variables}
    users = next(v for name, v in found.items() if name.endswith("table"))
    return {"item_id": found["item_id"], "tag": found["tag"], "user_id": users}


def slots(model):
    """Name of a vocabulary -> its slots, by the order of the variables."""
    position = {v.ref(): i for i, v in enumerate(model.trainable_variables)}
    names = ("_momentums", "_velocities", "_velocity_hats", "momentums")
    lists = [getattr(model.optimizer, name, []) for name in names]
    return {
        name: [some[position[table.ref()]].numpy() for some in lists if len(some)]
        for name, table in tables(model).items()
    }


def trained(optimizer):
    model = build(OLD, optimizer)
    model.run_eagerly = True  # three steps: no graph is worth its time
    rows = batch([1, 2, 2, 0, 1], [1, 5, 3, 2, 4])
    model.fit(tf.data.Dataset.from_tensors(rows).repeat(3), verbose=0)
    return model


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *((name, "model") for name in optimizers()),
        *(("adam", form) for form in ("weights", "checkpoint", "beside")),
    ],
)
def test_old_rows_and_their_slots_are_the_same_bits_wherever_they_go(
    name, form, tmp_path
):
    old = trained(optimizers()[name])
    state = old
    if form == "weights":
        state = tmp_path / "weights"
        old.save_weights(state)
    elif form == "checkpoint":
        state = tf.train.Checkpoint(model=old).write(str(tmp_path / "state"))
    elif form == "beside":
        parts = tf.train.Checkpoint(model=old, optimizer=old.optimizer)
        state = parts.write(str(tmp_path / "state"))
    new = build(NEW, optimizers()[name])
    changes = load_rows(new, state, old=OLD, new=NEW)
    assert changes["item_id"] == (5, 2, 0)
    assert changes["user_id"] == (2, 2, 0)
    then, now = tables(old), tables(new)
    then_slots, now_slots = slots(old), slots(new)
    for vocabulary, rows in KEPT.items():
        for row, before in rows.items():
            if before is None:
                continue
            assert np.array_equal(
                now[vocabulary].numpy()[row], then[vocabulary].numpy()[before]
            )
            for a, b in zip(now_slots[vocabulary], then_slots[vocabulary], strict=True):
                assert np.array_equal(a[row], b[before])
        added = sorted({*range(1, len(NEW[vocabulary]) + 1)} - rows.keys())
        first = then[vocabulary].numpy()[0] if vocabulary != "tag" else np.zeros(DIM)
        for row in added:
            assert np.array_equal(now[vocabulary].numpy()[row], first)
            assert not any(slot[row].any() for slot in now_slots[vocabulary])
    assert any(slot.any() for slot in then_slots["item_id"])  # there was something
    assert int(new.optimizer.iterations) == int(old.optimizer.iterations) == 3


def test_the_rate_of_the_training_that_goes_on_is_its_own():
    old = trained(tf.keras.optimizers.Adam(0.05))
    new = build(NEW, tf.keras.optimizers.Adam(0.001))
    load_rows(new, old, old=OLD, new=NEW)
    assert float(new.optimizer.learning_rate) == pytest.approx(0.001)


def test_the_data_of_items_are_those_of_the_new_model():
    old, new = build(OLD), build(NEW)
    lookup = new.candidate_tower.tower
    before = [v.numpy() for v in lookup.non_trainable_variables]
    load_rows(new, old, old=OLD, new=NEW)
    for a, b in zip(before, lookup.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_ids_that_are_gone_are_named_and_dropped_only_on_request():
    fewer = NEW | {"item_id": list("dgacfb")}
    old, new = build(OLD), build(fewer)
    before = [v.numpy() for v in new.weights]
    with pytest.raises(ValueError, match="`item_id` without 1 of 5: 'e'"):
        load_rows(new, old, old=OLD, new=fewer)
    for a, b in zip(before, new.weights, strict=True):  # nothing was loaded
        np.testing.assert_array_equal(a, b)
    changes = load_rows(new, old, old=OLD, new=fewer, drop_gone=True)
    assert changes["item_id"] == (4, 2, 1)
    then, now = tables(old)["item_id"], tables(new)["item_id"]
    np.testing.assert_array_equal(now.numpy()[1], then.numpy()[4])


def test_a_variable_that_no_layer_knows_the_ids_of_is_named():
    class Biases(tm.Model):
        def __init__(self, size):
            super().__init__()
            self.bias = self.add_weight("bias", (size,))

        def compute_loss(self, features, training=False):
            del training
            return tf.reduce_mean(tf.gather(self.bias, features["item_id"]))

    old, new = Biases(6), Biases(8)
    with pytest.raises(ValueError, match=r"`bias` has the shape \(6,\) .* \(8,\)"):
        load_rows(new, old, old=OLD, new=NEW)


def test_a_state_of_another_structure_is_refused():
    items = [tm.data.Feature("item_id", "id", 5)]
    old, new = (
        tm.models.TwoTower(
            tm.towers.UserId(3, DIM), tm.towers.FeatureTower(items, DIM, **options)
        )
        for options in ({}, {"hidden_units": [2]})
    )
    for model in (old, new):
        model.compute_loss(batch([1, 2], [1, 2]))
    with pytest.raises(ValueError, match="It lacks .*kernel"):
        load_rows(new, old, old=OLD, new=OLD)


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="prefix of a checkpoint"):
        load_rows(build(NEW), tmp_path / "nothing", old=OLD, new=NEW)


def test_a_vocabulary_shorter_than_its_table_is_refused():
    wrong = OLD | {"item_id": list("ab")}
    with pytest.raises(ValueError, match=r"`old` must name the 5 rows .* of 2"):
        load_rows(build(NEW), build(OLD), old=wrong, new=NEW)


@pytest.mark.parametrize("moved", [False, True])
def test_hashes_of_numbers_follow_only_numbers_that_stay(moved):
    def model():
        items = tm.towers.FeatureTower([tm.data.Feature("item_id", "id", 5)], DIM)
        model = tm.models.TwoTower(tm.towers.DeepHash(DIM, num_hashes=4), items)
        model.compute_loss(batch([1, 2], [1, 2]))
        return model

    old, new = model(), model()
    now = {"user_id": ["v", "u"] if moved else ["u", "v", "w"]}
    now["item_id"] = OLD["item_id"]
    if moved:
        with pytest.raises(ValueError, match="reads the number of a `user_id`"):
            load_rows(new, old, old=OLD, new=now)
        return
    load_rows(new, old, old=OLD, new=now)
    users = {"user_id": np.array([1, 2])}
    np.testing.assert_array_equal(new.query_tower(users), old.query_tower(users))


@pytest.mark.parametrize("moved", [False, True])
def test_state_that_names_items_by_number_begins_anew_if_numbers_changed(moved):
    def model():
        items = tm.towers.FeatureTower([tm.data.Feature("item_id", "id", 5)], DIM)
        task = tm.tasks.Retrieval(queue=tm.layers.CandidateQueue(4, DIM))
        model = tm.models.TwoTower(
            tm.towers.UserId(3, DIM),
            items,
            task=task,
            frequency_estimator=tm.layers.FrequencyEstimator(16),
        )
        model.compute_loss(batch([1, 2], [1, 2]), training=True)
        return model

    old, new = model(), model()
    for _ in range(2):
        old.compute_loss(batch([1, 2], [3, 4]), training=True)
    fresh = [v.numpy() for v in new.frequency_estimator.variables]
    now = OLD | {"item_id": list("baced") if moved else list("abcde")}
    load_rows(new, old, old=OLD, new=now)
    expected = (
        fresh if moved else [v.numpy() for v in old.frequency_estimator.variables]
    )
    for a, b in zip(expected, new.frequency_estimator.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    queued = [v.numpy() for v in new.task.queue.variables]
    same = [
        np.array_equal(a, b)
        for a, b in zip(queued, old.task.queue.variables, strict=True)
    ]
    assert all(same) is not moved


def test_loss_scaling_keeps_its_scale_and_its_slots():
    def scaled(scale):
        inner = tf.keras.optimizers.Adam(0.05)
        return tf.keras.mixed_precision.LossScaleOptimizer(inner, initial_scale=scale)

    old = trained(scaled(8.0))
    new = build(NEW, scaled(2.0))
    load_rows(new, old, old=OLD, new=NEW)
    assert float(new.optimizer.loss_scale) == 8.0
    then = old.optimizer.inner_optimizer
    now = new.optimizer.inner_optimizer
    assert int(now.iterations) == int(then.iterations)


def test_declared_rows_are_of_variables_of_the_layer():
    model = build(OLD)
    owned = {v.ref() for v in model.weights}
    declared = [
        rows
        for layer in model.submodules
        if hasattr(layer, "vocabulary_rows")
        for rows in layer.vocabulary_rows()
    ]
    assert {rows.variable.ref() for rows in declared} <= owned
    assert {rows.vocabulary for rows in declared} == {"item_id", "tag", "user_id"}
