"""UniSAR learns what there is to learn, and only with the view that it takes."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.unisar import unisar_batches as batches
from tfrs_models.data.synthetic import make_search_and_recommendation
from tfrs_models.models import UniSAR
from tfrs_models.training import LazyAdam


@pytest.mark.slow
def test_a_few_rows_are_learned_by_heart():
    features = batches.batch(rows=32, searches=8)
    rng = np.random.default_rng(3)
    for task in ("recommendation", "search"):  # no item is both right and wrong
        items = np.tile(np.arange(1, batches.ITEMS + 1), [32, 1])
        candidates = rng.permuted(items, axis=1)[:, :4]
        features[task]["item_id"] = candidates[: len(features[task]["user_id"])]
    model = batches.make(pair_weight=0.0, transition_weight=0.0, l2=0.0, width=16)
    model.compile(LazyAdam(0.01))
    data = tf.data.Dataset.from_tensors(features).repeat(300)
    model.fit(data, verbose=0)
    model.reset_metrics()
    model.compute_loss(features)
    for task in ("recommendation", "search"):
        assert model._means[f"{task}_click_loss"].result() < 0.05


@pytest.mark.slow
def test_the_order_of_both_services_is_learned_by_the_encoder_across_alone():
    data = make_search_and_recommendation(0)
    lengths = {"item_history_length": 10, "session_history_length": 4}
    found = {}
    for across in (True, False):
        tf.keras.utils.set_random_seed(0)
        model = UniSAR.from_attributes(
            items=data.items,
            users=data.users,
            num_users=data.num_users,
            num_items=data.num_items,
            num_words=data.num_words,
            seq_len=10,
            num_sessions=4,
            embedding_dim=16,
            width=32,
            dropout=0.0,
            l2=0.0,
            transition_weight=0.0,
            encoders=("across",) * across + ("recommendation", "search"),
        )
        model.compile(tf.keras.optimizers.Adam(3e-3))
        train = data.training_batches(256, num_random=64, seed=0, **lengths)
        model.fit(train, epochs=8, verbose=0)
        test = data.evaluation_batches("test", 512, **lengths)
        figures = model.evaluate(test, verbose=0, return_dict=True)
        found[across] = figures["recommendation/ndcg_at_5"]
    assert found[True] > 0.4  # chance is 0.03
    assert found[False] < 0.2  # that of the items which come after a search
