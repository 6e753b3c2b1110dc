import datetime
import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data import Feature
from tfrs_models.towers import FeatureTower, RecencyPooling


def make(**options):
    items = FeatureTower([Feature("item_id", "id", 9)], 4)
    tower = RecencyPooling(items, 4, **options)
    rng = np.random.default_rng(2)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    return tower


def loops(row, table, projections, log_scales, half_lives, *, times=None, powers=None):
    """The definition for one history, item by item."""
    times = [0] * len(row) if times is None else times
    powers = [0.0] * len(half_lives) if powers is None else powers
    query = np.zeros(table.shape[1])
    items = [pair for pair in zip(row, times, strict=True) if pair[0]]
    for projection, log_scale, half_life, power in zip(
        projections, log_scales, half_lives, powers, strict=True
    ):
        total, mass = np.zeros(table.shape[1]), 0.0
        for age, (item, time) in enumerate(reversed(items)):
            if half_life == 0:
                weight = 1.0 if age == 0 else 0.0
            else:
                weight = 1.0 if math.isinf(half_life) else 0.5 ** (age / half_life)
            weight /= (1 + (items[-1][1] - time) / 60) ** power
            total += weight * table[item] / np.linalg.norm(table[item])
            mass += weight
        query += math.exp(log_scale) * projection @ total / math.sqrt(mass)
    return query


@pytest.mark.parametrize(
    "half_lives", [(0.0, 4.0, 16.0, 64.0, math.inf), (2.5,), (0.0,), (math.inf, 1.0)]
)
def test_the_history_is_added_up_at_every_rate_of_forgetting(half_lives):
    tower = make(half_lives=half_lives)
    named = {w.name.split("/")[-1].split(":")[0]: w.numpy() for w in tower.weights}
    rows = [[3, 1, 4, 1, 5, 9], [2, 6, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0]]
    expected = [
        loops(
            row, named["item_id"], named["projections"], named["log_scales"], half_lives
        )
        for row in rows
    ]
    output = tower({"history": tf.constant(rows)})
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_an_item_had_earlier_counts_less_by_a_power_of_the_minutes_since():
    half_lives = (0.0, 4.0, math.inf)
    tower = make(half_lives=half_lives, timestamp="times")
    named = {w.name.split("/")[-1].split(":")[0]: w.numpy() for w in tower.weights}
    rows = [[3, 1, 4, 1, 5, 9], [2, 6, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0]]
    start = 1_500_000_000  # float32 would round it to two minutes
    times = [
        [0, 7, 7, 5_000, 90_000, 90_030],
        [0, 3_000_000, 0, 0, 0, 0],
        [5] + [0] * 5,
    ]
    expected = [
        loops(
            row,
            named["item_id"],
            named["projections"],
            named["log_scales"],
            half_lives,
            times=when,
            powers=named["powers"],
        )
        for row, when in zip(rows, times, strict=True)
    ]
    output = tower({"history": tf.constant(rows), "times": tf.constant(times) + start})
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_all_that_is_declared_changes_the_weights_by_the_definition():
    half_lives = (0.0, 4.0, math.inf)
    tower = make(
        half_lives=half_lives,
        timestamp="times",
        query_time="now",
        clock=True,
        utc_offset="offset",
        event=Feature("kinds", "id", 2),
        weight="sizes",
    )
    named = {w.name.split("/")[-1].split(":")[0]: w.numpy() for w in tower.weights}
    start = 1_500_000_000
    rows = np.array([[3, 1, 0, 4, 5], [2, 6, 0, 0, 0], [0, 7, 0, 0, 0]])
    times = start + np.array([[0, 7, 9, 5_000, 90_000], [5, 5, 0, 0, 0], [9] * 5])
    now = np.array([start + 90_000 + 3_601, 0, start + 86_400 * 5])
    offset = np.array([7_200, 0, -3_600])
    kinds = np.array([[1, 2, 1, 0, 9], [2, 2, 0, 0, 0], [1] * 5])
    sizes = np.array([[1, 0, 5, 3, 0.5], [2, 9, 0, 0, 0], [4] * 5], "float32")

    def clock(seconds):
        local = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
        return local.hour, local.weekday()

    expected = []
    for row in range(3):
        places = [i for i in range(5) if rows[row, i]]
        request = max(now[row], *times[row, places])
        hour, weekday = clock(request + offset[row])
        query = named["hours"][hour] + named["weekdays"][weekday]
        for k, half_life in enumerate(half_lives):
            total, mass = np.zeros(4), 0.0
            for age, i in enumerate(reversed(places)):
                weight = 0.5 ** (age / half_life) if half_life else float(age == 0)
                gap = (request - times[row, i]) / 60
                weight /= (1 + gap) ** named["powers"][k]
                hour_then, weekday_then = clock(times[row, i] + offset[row])
                log = named["hour_factors"][k, (hour - hour_then) % 24]
                log += named["weekday_factors"][k, (weekday - weekday_then) % 7]
                kind = kinds[row, i] if kinds[row, i] <= 2 else 0
                log += named["event_factors"][k, kind]
                weight *= (
                    math.exp(log) * (1 + sizes[row, i]) ** named["weight_powers"][k]
                )
                item = named["item_id"][rows[row, i]]
                total += weight * (item / np.linalg.norm(item) + named["events"][kind])
                mass += weight
            scale = math.exp(named["log_scales"][k])
            query += scale * named["projections"][k] @ total / math.sqrt(mass)
        expected.append(query)
    features = {"history": rows, "times": times, "now": now, "offset": offset}
    output = tower(features | {"kinds": kinds, "sizes": sizes})
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-4)


def test_gradients_of_what_training_learns_are_those_of_the_definition():
    """Also of a half-life of 0, whose weight of an item to come would be infinite."""
    tower = make(half_lives=(0.0, 4.0, math.inf), timestamp="times", dropout=0.0)
    features = {
        "history": tf.constant([[3, 1, 0, 4, 5], [0, 2, 6, 2, 0]]),
        "times": tf.constant([[0, 70, 7, 5_000, 90_000], [0, 20, 900, 905, 0]]),
    }
    towards = np.random.default_rng(0).normal(size=(2, 5, 4))

    def loss():
        output = tower(features, training=True, return_sequences=True)
        return tf.reduce_sum(output * towards)

    with tf.GradientTape() as tape:
        found = loss()
    slopes = tape.gradient(found, tower.trainable_weights)
    for weight, slope in zip(tower.trainable_weights, slopes, strict=True):
        slope = tf.convert_to_tensor(slope).numpy()
        assert np.isfinite(slope).all(), weight.name
        before, step = weight.numpy(), 1e-2
        for index in [(0,) * before.ndim, tuple(size - 1 for size in before.shape)]:
            change = np.zeros_like(before)
            change[index] = step
            ends = []
            for sign in (1, -1):
                weight.assign(before + sign * change)
                ends.append(float(loss()))
            weight.assign(before)
            difference = (ends[0] - ends[1]) / (2 * step)
            assert slope[index] == pytest.approx(difference, rel=0.02, abs=0.02)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({}, "`times`, the times of the history, is missing"),
        ({"times": np.ones([1, 2])}, "whole seconds.*float64"),
        ({"times": np.ones([1, 3], "int64")}, r"one for each item.*shape \(1, 3\)"),
    ],
)
def test_wrong_times_are_named(times, message):
    tower = make(timestamp="times")
    with pytest.raises(ValueError, match=message):
        tower({"history": tf.constant([[1, 2]]), **times})


def test_it_starts_as_the_mean_over_the_scales():
    items = FeatureTower([Feature("item_id", "id", 9)], 4)
    output = RecencyPooling(items, 4)({"history": tf.constant([[5]])})
    expected = tf.math.l2_normalize(items({"item_id": np.array([5])}), axis=-1)
    np.testing.assert_allclose(output, expected, rtol=1e-5)


def test_training_drops_components_of_the_items():
    tower = make(dropout=0.5)
    features = {"history": tf.constant([[1, 2, 3]])}
    calm = tower(features)
    np.testing.assert_array_equal(tower(features), calm)
    assert not np.allclose(tower(features, training=True), calm)


@pytest.mark.parametrize("mixed_policy", ["mixed_float16"], indirect=True)
@pytest.mark.usefixtures("mixed_policy")
def test_decays_are_exact_under_mixed_precision():
    """2^(-1/64) is 0.98926 in float16: over 3,000 items an error of a percent."""
    tower = make(half_lives=(1024.0,))
    long = np.tile([3, 1, 4, 1, 5, 9], 500)
    named = {w.name.split("/")[-1].split(":")[0]: w.numpy() for w in tower.weights}
    table = named["item_id"].astype("float16").astype("float64")
    expected = loops(long, table, named["projections"], named["log_scales"], (1024.0,))
    output = tower({"history": tf.constant([long])})
    assert output.dtype == tf.float32
    np.testing.assert_allclose(output[0], expected, rtol=2e-3)
