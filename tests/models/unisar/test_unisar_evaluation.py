"""What an evaluation of UniSAR reports, and what its callbacks may do."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.unisar import unisar_batches as batches
from tests.models.unisar.unisar_batches import change, example, make, scores
from tfrs_models import serving
from tfrs_models.data.kuaisar.batches import side_by_side
from tfrs_models.training import LazyAdam

TASKS = ("recommendation", "search")


@pytest.fixture(scope="module")
def model():
    return make()


def evaluated(model, features):
    model.compile(run_eagerly=True)
    data = tf.data.Dataset.from_tensors(features)
    return model.evaluate(data, verbose=0, return_dict=True)


def test_metrics_are_those_of_sorted_scores(model):
    features = example(6, 9, search=True)
    logits = scores(model, features)
    found = evaluated(model, {"search": features})
    for k in (1, 5):
        hits, gains = [], []
        for positive, *others in logits:
            above = sum(other > positive for other in others)
            tied = sum(other == positive for other in others)
            places = range(above + 1, above + tied + 2)  # each equally likely
            hits.append(np.mean([place <= k for place in places]))
            gains.append(np.mean([(p <= k) / np.log2(p + 1) for p in places]))
        assert found[f"search/hit_rate_at_{k}"] == pytest.approx(np.mean(hits))
        assert found[f"search/ndcg_at_{k}"] == pytest.approx(np.mean(gains))
    assert found["ndcg_at_5"] == found["search/ndcg_at_5"]


def test_an_evaluation_looks_items_up_and_never_stale_ones():
    model = batches.make()
    model.compile(LazyAdam(0.05))
    features = batches.batch(rows=6, searches=6)
    examples = {task: features[task] for task in TASKS}

    def both_ways():
        data = tf.data.Dataset.from_tensors(examples)
        at_once = model.evaluate(data, verbose=0, return_dict=True)
        model.reset_metrics()
        one_by_one = model.test_step(examples)  # encodes what the batch has
        for name, value in at_once.items():
            np.testing.assert_allclose(value, one_by_one[name], rtol=1e-5)
        return at_once

    before = both_ways()
    for _ in range(3):
        model.train_step(features)
    assert before["loss"] != both_ways()["loss"]
    after = both_ways()["loss"]
    kept, found = model.network.item_vectors, []
    kept._is_filled = True  # nobody encodes
    kept._is_full.assign(True)
    kept._vectors.assign(tf.zeros_like(kept._vectors))
    for is_kept in (True, False):
        if not is_kept:
            with kept.stored():
                pass
        model.reset_metrics()
        batch = iter(tf.data.Dataset.from_tensors(examples))
        found.append(model.make_test_function()(batch)["loss"])
    assert abs(found[0] - after) > 1e-4  # it did look them up
    np.testing.assert_allclose(found[1], after, rtol=1e-5)


class Averaged(tf.keras.callbacks.Callback):
    """Evaluates other weights than are trained, and exports at the end of it."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_test_begin(self, *_):
        self.trained = self.model.get_weights()
        others = [v * 1.5 if v.dtype == "float32" else v for v in self.trained]
        self.model.set_weights(others)

    def on_test_end(self, *_):
        services = {"recommend": example(2, 3)}
        serving.export(serving.CandidateRanker(self.model, services), self.folder)
        self.model.set_weights(self.trained)


def test_callbacks_of_an_evaluation_may_change_weights_and_export(tmp_path):
    data = tf.data.Dataset.from_tensors({"recommendation": example(6, 9)})
    model = make(seed=3)
    model.compile(LazyAdam(0.05), run_eagerly=True)
    options = {"verbose": 0, "return_dict": True}
    with_callback = model.evaluate(data, callbacks=[Averaged(tmp_path)], **options)
    model.set_weights(
        [v * 1.5 if v.dtype == "float32" else v for v in model.get_weights()]
    )
    for name, value in model.evaluate(data, **options).items():
        assert with_callback[name] == pytest.approx(value, rel=1e-5), name
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    features = example(2, 3)
    answer = loaded.signatures["recommend"](
        **{name: tf.constant(value) for name, value in features.items()}
    )
    np.testing.assert_allclose(
        answer["score"], model.recommend(features)["score"], rtol=1e-4, atol=1e-5
    )


def test_an_evaluation_that_fails_keeps_nothing():
    model = batches.make()
    model.compile(LazyAdam(0.05), run_eagerly=True)
    features = batches.batch(rows=6, searches=6)
    data = tf.data.Dataset.from_tensors({task: features[task] for task in TASKS})

    class Fails(tf.keras.callbacks.Callback):
        def on_test_batch_end(self, *_):
            raise RuntimeError("by hand")

    before = model.evaluate(data, verbose=0, return_dict=True)
    with pytest.raises(RuntimeError, match="by hand"):
        model.evaluate(data, verbose=0, callbacks=[Fails()])
    model.train_step(features)
    model.reset_metrics()
    at_once = model.make_test_function()(iter(data))
    model.reset_metrics()
    one_by_one = model.test_step({task: features[task] for task in TASKS})
    np.testing.assert_allclose(at_once["loss"], one_by_one["loss"], rtol=1e-5)
    assert abs(at_once["loss"] - before["loss"]) > 1e-4


def test_losses_are_means_over_rows_however_they_are_batched():
    model = make(transition_weight=0.0)
    model.compile(LazyAdam(0.05), run_eagerly=True)
    few, many = example(4), example(10, search=True)
    found = []
    for size in (2, 4, 10):
        parts = {"recommendation": few, "search": many}
        parts = {
            task: tf.data.Dataset.from_tensor_slices(part).batch(size)
            for task, part in parts.items()
        }
        data = side_by_side(parts)
        found.append(model.evaluate(data, verbose=0, return_dict=True))
    logits = [scores(model, few, "recommendation"), scores(model, many)]
    # The cross-entropy by hand: the first candidate of each row is the clicked one.
    by_hand = [
        np.mean(
            [
                [np.log1p(np.exp(-s if i == 0 else s)) for i, s in enumerate(row)]
                for row in part
            ]
        )
        for part in logits
    ]
    for figures in found:
        assert figures["recommendation_click_loss"] == pytest.approx(
            by_hand[0], rel=1e-5
        )
        assert figures["search_click_loss"] == pytest.approx(by_hand[1], rel=1e-5)
        total = by_hand[0] + 0.1 * by_hand[1]
        assert figures["loss_per_example"] == pytest.approx(total, rel=1e-5)
        assert "search_pair_loss" not in figures


def test_padding_among_candidates_is_neither_in_the_loss_nor_in_the_metrics():
    model = make(transition_weight=0.0)
    features = example(6, 9)
    found = evaluated(model, {"recommendation": features})
    padded = np.concatenate([features["item_id"], np.zeros([6, 5], int)], axis=1)
    other = evaluated(model, {"recommendation": change(features, "item_id", padded)})
    for name, value in found.items():
        assert other[name] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize(
    ("candidates", "probability", "loss"), [(10, 0.5, np.log(2)), (5, 0.2, 0.5004)]
)
def test_a_model_that_scores_everything_alike_is_at_chance(
    candidates, probability, loss
):
    model = make()
    for layer in model.network.logits.values():
        layer.kernel.assign(tf.zeros_like(layer.kernel))
        layer.bias.assign([np.log(probability / (1 - probability))])
    found = evaluated(model, {"search": example(5, candidates, search=True)})
    assert found["search/hit_rate_at_1"] == pytest.approx(1 / candidates)
    assert found["search/hit_rate_at_5"] == pytest.approx(5 / candidates)
    assert found["search_click_loss"] == pytest.approx(loss, abs=1e-4)
