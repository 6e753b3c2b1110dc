"""The scores of POIs by past visits against loops, and what a user relies on."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.models.automtn.automtn_data import make
from tfrs_models.models.automtn import PastVisits
from tfrs_models.models.automtn.past_visits import read_past

DAY = 86_400
RNG = np.random.default_rng(0)
NUM_POIS = 11


def weighted(half_lives=(0.5, 3.0)):
    layer = PastVisits(half_lives)
    layer.value.assign(RNG.normal(size=layer.value.shape))
    return layer


def oracle(past, age, last, half_lives, value):
    """Visit by visit: shares no code and no constant with the layer."""
    scores = np.zeros(NUM_POIS)
    for poi in set(past) - {0}:
        counts = np.zeros(len(half_lives) + 7)
        for i, (visit, seconds) in enumerate(zip(past, age, strict=True)):
            if visit != poi:
                continue
            days = seconds / 86_400
            hour = math.exp(8 * (math.cos(2 * math.pi * days) - 1))
            week = math.exp(4 * (math.cos(2 * math.pi * days / 7) - 1))
            week_old = 0.5 ** (days / 7)
            follows = i > 0 and past[i - 1] == last > 0
            counts += [
                1,
                *(0.5 ** (days / half_life) for half_life in half_lives),
                *(hour, hour * week_old, hour * week),
                *(np.array([1, week_old, hour]) * follows),
            ]
        logs = [math.log(1 + 100 * count) for count in counts]
        scores[poi - 1] = np.dot(value[:-1], logs) + value[-1] * (poi == last)
    return scores


@pytest.mark.parametrize("width", [1, 9])
def test_the_score_is_a_weighted_sum_of_logarithms_of_counts(width):
    past = RNG.integers(0, 5, size=(6, width))
    past[2] = 0  # a user without a visit
    age = np.sort(RNG.uniform(0, 40 * DAY, size=past.shape))[:, ::-1]
    last = np.array([1, 2, 3, 0, 4, 9])
    layer = weighted()
    found = layer(past, age, last).of_all(NUM_POIS)
    for row in range(len(past)):
        expected = oracle(
            past[row], age[row], last[row], [0.5, 3.0], layer.value.numpy()
        )
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4)


def test_new_users_and_padding_score_nothing_and_other_rows_do_not_matter():
    layer = weighted()
    past, age = np.array([[4, 2, 4]]), np.array([[9.0, 5.0, 1.0]]) * DAY
    alone = layer(past, age, [4]).of_all(NUM_POIS)
    padded = np.array([[0, 0, 4, 2, 4, 0], [7, 4, 2, 2, 2, 9]])
    ages = np.array([[3, 3, 9, 5, 1, 3], [9, 8, 7, 6, 5, 4]]) * float(DAY)
    found = layer(padded, ages, [4, 2]).of_all(NUM_POIS)
    np.testing.assert_allclose(found[0], alone[0], rtol=1e-5)
    nobody = layer(np.zeros([2, 0], int), np.zeros([2, 0]), [4, 2])
    assert not nobody.of_all(NUM_POIS).numpy().any()
    assert nobody.of_all(NUM_POIS).shape == (2, NUM_POIS)


def test_before_training_more_and_newer_visits_score_more():
    layer = PastVisits()
    past = np.array([[1, 1, 2, 3]])
    age = np.array([[50.3, 40.3, 30.3, 2.3]]) * DAY
    scores = layer(past, age, [0]).of_all(NUM_POIS)[0].numpy()
    assert scores[0] > scores[1] > 0
    assert scores[2] > scores[1]


def batch(**changes):
    """Two users; the past of the first ends where the trace ends."""
    return {
        "user_id": np.array([2, 0]),
        "poi_id": np.array([[3, 9, 1], [0, 4, 4]]),
        "category_id": np.array([[1, 2, 4], [0, 1, 1]]),
        "hour": np.array([[8, 12, 0], [0, 1, 2]]),
        "weekday": np.array([[0, 1, 6], [0, 5, 5]]),
        "past_poi_id": np.array([[2, 3, 9, 1], [0, 0, 4, 4]]),
        "past_timestamp": np.array([[1, 2, 3, 4], [0, 0, 5, 6]]) * 3600,
        "timestamp": np.array([5, 9]) * 3600,
        "request_hour": np.array([7, -1]),
        "request_weekday": np.array([-1, 3]),
        "next_poi_id": np.array([2, 4]),
        "next_category_id": np.array([1, 1]),
    } | changes


def test_a_request_without_a_time_is_one_at_the_newest_visit():
    found = read_past(
        batch(timestamp=np.array([0, 2 * 3600])), [0, 0], num_pois=NUM_POIS
    )
    np.testing.assert_array_equal(found.gap, [0, 0])
    np.testing.assert_array_equal(found.age / 3600, [[3, 2, 1, 0], [0, 0, 1, 0]])
    later = read_past(batch(), [0, 0], num_pois=NUM_POIS)
    np.testing.assert_array_equal(later.gap / 3600, [1, 3])
    empty = batch(past_poi_id=np.zeros([2, 4], int))
    np.testing.assert_array_equal(read_past(empty, [0, 0], num_pois=9).gap, [0, 0])


@pytest.fixture(scope="module")
def model():
    made = make(seq_len=3, past_visits=weighted(), request_time=True)
    made(batch())  # makes all weights
    rng = np.random.default_rng(3)
    for weight in made.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    return made


def test_the_model_adds_the_scores_of_visits_and_of_the_request(model):
    """What is left without them are the scores of the paper."""
    plain = make(seq_len=3)
    plain(batch())
    own = [*model.past_visits.weights, *model.request.weights]
    kept = [w for w in model.weights if all(w is not other for other in own)]
    for weight, value in zip(plain.weights, kept, strict=True):
        weight.assign(value)
    data = batch()
    past = model.past_visits(
        data["past_poi_id"],
        np.array([[4, 3, 2, 1], [0, 0, 4, 3]]) * 3600.0,
        np.array([1, 4]),
    )
    request = model.request(data, np.array([1.0, 3.0], "float32") * 3600)
    expected = plain(data)[0] + past.of_all(11)
    expected += request @ tf.transpose(model.pois.ids)
    found, categories = model(data)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(categories, plain(data)[1], rtol=1e-5, atol=1e-6)


def test_the_blocked_loss_has_the_gradients_of_a_plain_softmax(model, monkeypatch):
    monkeypatch.setattr(
        "tfrs_models.models.automtn.poi_scores._STEP_SCORES", 3 * NUM_POIS
    )  # one row at once
    data = batch()

    def plain():
        scores, categories = model(data, training=True)
        return tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits([1, 3], scores)
        ) + tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits([0, 0], categories)
        )

    weights = [model.past_visits.value, *model.request.weights, model.pois.ids]
    found = []
    for loss_of in (lambda: model.compute_loss(data, training=True), plain):
        with tf.GradientTape() as tape:
            loss = loss_of()
        gradients = tape.gradient(loss, weights)
        found.append([loss, *map(tf.convert_to_tensor, gradients)])
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)
    assert np.abs(found[0][1]).max() > 1e-2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"past_poi_id": np.array([[1, 99], [1, 1]])}, "`past_poi_id` must hold ids"),
        ({"past_poi_id": np.array([1, 2])}, "`past_poi_id` must have rank 2"),
        ({"past_poi_id": np.ones([3, 4], int)}, "`past_poi_id` must have a row for"),
        ({"past_timestamp": np.ones([2, 3], int)}, "a time for each of `past_poi_id`"),
        ({"timestamp": np.ones(3, int)}, "`timestamp` must have a time for each trace"),
        ({"timestamp": np.array([1, 1_700_000_000_000])}, "must be seconds since 1970"),
        ({"timestamp": np.array([1.0, np.nan])}, "`timestamp` must hold integers"),
        ({"past_timestamp": -np.ones([2, 4], int)}, "`past_timestamp` must be seconds"),
        ({"request_hour": np.array([3, 24])}, "`request_hour` must be from 0 to 23"),
        ({"request_weekday": np.ones(3, int)}, "`request_weekday` must have a value"),
    ],
)
def test_wrong_features_name_themselves(model, changes, message):
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        model(batch(**changes))


@pytest.mark.parametrize("name", ["past_poi_id", "timestamp", "request_hour"])
def test_a_missing_feature_is_named(model, name):
    data = batch()
    del data[name]
    with pytest.raises(ValueError, match=f"Feature `{name}` is missing"):
        model(data)


@pytest.mark.parametrize("half_lives", [[0.0], [1.0, -1.0], [math.nan], [math.inf]])
def test_half_lives_are_positive(half_lives):
    with pytest.raises(ValueError, match="`half_lives` must be positive"):
        PastVisits(half_lives)


def test_weights_of_the_original_are_for_a_model_without_the_additions(model):
    with pytest.raises(ValueError, match="`past_visits` must be None and"):
        model.load_torch_state_dict({})
