import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm


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
    )


@pytest.fixture(scope="session")
def exported(recommender, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export")
    return tm.serving.export(
        recommender, directory, signatures={"serving_default": recommender.recommend}
    )
