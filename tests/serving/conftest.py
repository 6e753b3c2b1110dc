import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm

LENGTH = 5  # of a history
START = 1_500_000_000


@pytest.fixture(scope="session")
def interactions():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(8, size=90)],
            "item_id": [f"i{n}" for n in rng.zipf(1.5, size=90) % 12],
            "timestamp": np.arange(90),
        }
    ).drop_duplicates(["user_id", "item_id"])
    return tm.data.from_frame(frame)


@pytest.fixture(scope="session")
def recommender(interactions):
    tf.keras.utils.set_random_seed(0)
    model = tm.models.TwoTower(
        tm.towers.FeatureTower(interactions.user_features, 4),
        tm.towers.FeatureTower(interactions.item_features, 4),
    )
    ids, embeddings = zip(
        *model.embed_candidates(interactions.candidate_batches()), strict=True
    )
    kinds = {"kind": np.resize(["short", "long", "long"], interactions.num_items)}
    index = tm.layers.BruteForce().index(
        tf.concat(embeddings, axis=0), tf.concat(ids, axis=0), attributes=kinds
    )
    return tm.serving.Recommender(
        model.query_tower,
        index,
        user_ids=interactions.vocabularies["user_id"],
        user_features=interactions.users,
        item_ids=interactions.vocabularies["item_id"],
        titles=interactions.titles,
        known_items=interactions.known_items("serving"),
        candidate_probabilities=interactions.candidate_probabilities,
        exclude_seen=False,
        attribute_values={"kind": ["short", "long"]},
    )


@pytest.fixture(scope="session")
def exported(recommender, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export")
    return tm.serving.export(
        recommender, directory, signatures={"serving_default": recommender.recommend}
    )


@pytest.fixture(scope="session")
def dated():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(6, size=80)],
            "item_id": [f"i{n}" for n in rng.zipf(1.4, size=80) % 14],
            "timestamp": START + np.sort(rng.integers(10**6, size=80)),
        }
    ).drop_duplicates(["user_id", "item_id"])
    interactions = tm.data.from_frame(
        frame, split="leave_last_out", repeats="leave-out"
    )
    return tm.data.with_histories(interactions, LENGTH)


def histories(data):
    columns = {"history": "item_id", "history_timestamp": "timestamp"}
    return {
        name: tm.data.history_table(data, "test", LENGTH, column=column)
        for name, column in columns.items()
    }


@pytest.fixture(scope="session")
def live_recommender(dated):
    """A recommender of a history model, as it is before the test rows."""
    tf.keras.utils.set_random_seed(0)
    items = tm.towers.FeatureLookup(
        tm.towers.FeatureTower(dated.item_features, 4), dated.items
    )
    tower = tm.towers.RecencyPooling(items, 4, timestamp="history_timestamp")
    model = tm.models.NextItem(tower)
    model(next(iter(dated.batches("test", 2))))
    powers = next(w for w in tower.trainable_weights if "powers" in w.name)
    powers.assign([0.3, 0.2, 0.1, 0.5, 0.4])
    size = dated.num_items
    index = tm.layers.BruteForce().index(
        items({"item_id": tf.range(1, size + 1)}),
        np.arange(1, size + 1),
        attributes={"kind": np.resize(["short", "long"], size)},
    )
    return tm.serving.Recommender(
        tower,
        index,
        user_ids=dated.vocabularies["user_id"],
        user_features=histories(dated),
        item_ids=dated.vocabularies["item_id"],
        titles=dated.titles,
        known_items=dated.known_items("test"),
        candidate_probabilities=dated.popularity("test"),
        explain=True,
    )
