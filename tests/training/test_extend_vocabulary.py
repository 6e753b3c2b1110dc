"""A grown model answers as before, and goes on with the optimizer's state."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm


def frame_of(num_rows):
    """A log whose first rows name fewer users, items and kinds than all rows do."""
    rng = np.random.default_rng(7)
    users, items = rng.integers(0, np.arange(3, 63)), rng.integers(0, np.arange(2, 62))
    frame = pd.DataFrame(
        {
            "user_id": [f"u{u}" for u in users],
            "item_id": [f"i{i}" for i in items],
            "kind": [f"k{i % 9}" for i in items],
            "event": [("view", "cart", "buy")[i % 3] for i in range(60)],
            "timestamp": np.arange(60) * 86_400 + 1_600_000_000,
        }
    )
    return frame.head(num_rows)


def data_of(num_rows):
    data = tm.data.from_frame(
        frame_of(num_rows),
        split="global_time",
        validation_fraction=0.0,
        test_fraction=4 / num_rows,
        item_category_columns=["kind"],
        event_column="event",
        repeats="allow",
    )
    return tm.data.with_histories(data, 4)


@pytest.fixture(scope="module")
def grown():
    old, new = data_of(30), data_of(60)
    tf.keras.utils.set_random_seed(1)
    items = tm.towers.FeatureTower(old.item_features, 4)
    lookup = tm.towers.FeatureLookup(items, old.items)
    kinds = tm.data.Feature("history_event", "id", len(old.vocabularies["event"]))
    tower = tm.towers.GRU4Rec(lookup, 4, event=kinds)
    then = tm.data.trend_table(old, "train")
    model = tm.models.NextItem(
        tower,
        num_trends=then.num_trends,
        trend_table=then,
        corpus_size=old.num_train_items,
    )
    model.compile(tf.keras.optimizers.Adam(0.05))
    batches = tm.data.window_batches(old, 8, length=4, first_items=True, seed=1)
    model.fit(batches, epochs=2, verbose=0)
    extended = tm.training.extend_vocabulary(
        model,
        new,
        vocabularies=old.vocabularies,
        trend_table=tm.data.trend_table(new, "train"),
    )
    return old, new, model, extended


def in_terms_of(old, new, ids):
    """Indices of `new` as indices of `old`, 0 for what it has no row of."""
    row = {name: i for i, name in enumerate(old.vocabularies["item_id"], 1)}
    names = ["", *new.vocabularies["item_id"]]
    return np.array([row.get(names[i], 0) for i in ids])


def test_every_item_has_the_embedding_that_the_old_model_had_for_it(grown):
    old, new, model, extended = grown
    known = np.array(
        [n in old.vocabularies["item_id"] for n in new.vocabularies["item_id"]]
    )
    assert 0 < known.sum() < new.num_items  # some are new
    ids = np.arange(1, new.num_items + 1)[known]
    then = model.candidate_tower.tower({"item_id": in_terms_of(old, new, ids)})
    now = extended.candidate_tower.tower({"item_id": ids})
    np.testing.assert_array_equal(now, then)


def test_a_new_item_starts_at_what_its_features_say_of_it(grown):
    old, new, model, extended = grown
    kinds = [*old.vocabularies["kind"]]
    names = new.vocabularies["item_id"]
    for row in (n for n in range(1, new.num_items + 1)):
        kind = new.vocabularies["kind"][new.items["kind"][row] - 1]
        if names[row - 1] in old.vocabularies["item_id"] or kind not in kinds:
            continue
        features = {"item_id": np.array([0]), "kind": np.array([kinds.index(kind) + 1])}
        tower = model.candidate_tower.tower.tower.tower  # before the lookup
        expected = tower(features)
        found = extended.candidate_tower.tower.tower({"item_id": np.array([row])})
        np.testing.assert_array_equal(found, expected)
        return
    raise AssertionError("no new item has a known kind")


def test_histories_have_the_embedding_that_they_had(grown):
    old, new, model, extended = grown
    batch = next(iter(old.batches("test", 4)))
    names = ["", *old.vocabularies["item_id"]]
    row = {"": 0} | {n: i for i, n in enumerate(new.vocabularies["item_id"], 1)}
    kind = {"": 0} | {n: i for i, n in enumerate(new.vocabularies["event"], 1)}
    kinds = ["", *old.vocabularies["event"]]
    moved = dict(batch)
    moved["history"] = np.vectorize(lambda i: row[names[i]])(batch["history"])
    moved["history_event"] = np.vectorize(lambda i: kind[kinds[i]])(
        batch["history_event"]
    )
    np.testing.assert_array_equal(extended.query_tower(moved), model.query_tower(batch))


def test_it_trains_on_the_new_data_with_the_steps_so_far(grown):
    _, new, model, extended = grown
    steps = int(model.optimizer.iterations)
    assert int(extended.optimizer.iterations) == steps > 0
    batches = tm.data.window_batches(new, 8, length=4, first_items=True, seed=1)
    losses = extended.fit(batches, epochs=1, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert int(extended.optimizer.iterations) == steps + len(batches)
    assert extended.corpus_size == new.num_train_items


def test_a_model_that_has_seen_nothing_is_refused(grown):
    old, new, *_ = grown
    items = tm.towers.FeatureTower(old.item_features, 4)
    model = tm.models.TwoTower(tm.towers.UserId(9, 4), items)
    with pytest.raises(ValueError, match="`model` must have seen a batch"):
        tm.training.extend_vocabulary(model, new, vocabularies=old.vocabularies)


def test_a_feature_that_the_data_lack_is_named():
    old = data_of(30)
    model = tm.models.TwoTower(
        tm.towers.UserId(9, 4), tm.towers.FeatureTower(old.item_features, 4)
    )
    model(next(iter(old.batches("test", 4))))
    other = tm.data.from_frame(frame_of(60).drop(columns="kind"), split="global_time")
    with pytest.raises(ValueError, match="must have the feature `kind`"):
        tm.training.extend_vocabulary(model, other, vocabularies=old.vocabularies)


def test_a_table_of_users_grows_with_them():
    old, new = data_of(30), data_of(60)
    model = tm.models.TwoTower(
        tm.towers.UserId(old.num_train_users + 1, 4),
        tm.towers.FeatureTower(old.item_features, 4),
    )
    model(next(iter(old.batches("test", 4))))
    extended = tm.training.extend_vocabulary(model, new, vocabularies=old.vocabularies)
    everybody = new.vocabularies["user_id"][: new.num_train_users]
    then = [*old.vocabularies["user_id"][: old.num_train_users]]
    rows = np.array([then.index(n) + 1 if n in then else 0 for n in everybody])
    np.testing.assert_array_equal(
        extended.query_tower({"user_id": np.arange(1, len(everybody) + 1)}),
        model.query_tower({"user_id": rows}),
    )
