"""Times, kinds and weights of a history, against loops over plain numbers."""

import datetime
import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data import Feature
from tfrs_models.towers import FeatureTower
from tfrs_models.towers.sequence.history_context import (
    HistoryContext,
    gap_buckets,
    latest,
)
from tfrs_models.towers.sequence.history_tower import HistoryTower

DIM = 3
START = 1_500_000_000


class Sums(HistoryTower):
    """Embeds a prefix as the sum of its items, and does nothing else."""

    def __init__(self, item_tower, **kwargs):
        super().__init__(item_tower, **kwargs)
        self.add_context(DIM)

    def encode(self, embeddings, mask, training):  # noqa: ARG002
        return tf.cumsum(tf.where(mask[:, :, None], embeddings, 0), axis=1)


def make(**options):
    tower = Sums(FeatureTower([Feature("item_id", "id", 9)], DIM), **options)
    rng = np.random.default_rng(2)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    return tower, {
        w.name.split("/")[-1].split(":")[0]: w.numpy() for w in tower.weights
    }


def clock(seconds):
    local = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return local.hour, local.weekday()


ROWS = np.array([[3, 0, 4, 1, 5, 9], [0, 2, 6, 0, 0, 0], [7, 8, 0, 0, 0, 0]])
TIMES = START + np.array(
    [
        [0, 9, 7, 7, 90_000, 9_000_030],
        [0, 3_000, 86_399, 0, 0, 0],
        [5, 5, 0, 0, 0, 0],
    ]
)
REQUESTS = START + np.array([9_000_031, 86_399 + 3_601, -START])
OFFSETS = np.array([-18_000, 34_200, 0])
EVENTS = np.array([[1, 2, 3, 0, 7, 2], [2, 1, 3, 1, 1, 1], [3, 3, 0, 0, 0, 0]])
WEIGHTS = np.array(
    [[0.5, 9, 2, 0, 1, 30], [7, 1, 4, 8, 8, 8], [1, 2, 0, 0, 0, 0]], "float32"
)


def expected_row(named, row, *, event=True, weight=True, query_time=True, clocks=True):
    total, previous = np.zeros(DIM), None
    for item, time, kind, size in zip(
        ROWS[row], TIMES[row], EVENTS[row], WEIGHTS[row], strict=True
    ):
        if item == 0:
            continue
        total += named["item_id"][item]
        if previous is not None:
            total += named["gap_vectors"][int(math.log2(1 + time - previous))]
        if clocks:
            hour, weekday = clock(time + OFFSETS[row])
            total += named["hour_vectors"][hour] + named["weekday_vectors"][weekday]
        if event:
            total += named["event_vectors"][kind if kind <= 3 else 0]
        if weight:
            total += np.log(1 + size) * named["weight_vector"][0]
        previous = time
    if query_time:
        request = max(REQUESTS[row], previous)
        gap = int(math.log2(1 + request - previous))
        total *= 1 + named["request_gap_scales"][gap]
        total += named["request_gap_vectors"][gap]
        if clocks:
            hour, weekday = clock(request + OFFSETS[row])
            total += named["request_hour_vectors"][hour]
            total += named["request_weekday_vectors"][weekday]
    return total


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"event": False, "weight": False},
        {"clocks": False, "event": False},
        {"query_time": False, "weight": False},
    ],
)
def test_declared_features_add_the_vectors_of_the_definition(options):
    event = Feature("kinds", "id", 3) if options.get("event", True) else None
    clocks = options.get("clocks", True)
    tower, named = make(
        timestamp="times",
        query_time="now" if options.get("query_time", True) else None,
        clock=clocks,
        utc_offset="offset" if clocks else None,
        event=event,
        weight="sizes" if options.get("weight", True) else None,
    )
    features = {"history": ROWS, "times": TIMES, "now": REQUESTS, "offset": OFFSETS}
    features |= {"kinds": EVENTS, "sizes": WEIGHTS}
    found = tower(features)
    unknown = np.array([*OFFSETS[:2], np.nan], "float32")
    np.testing.assert_array_equal(found, tower(features | {"offset": unknown}))
    expected = [expected_row(named, row, **options) for row in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_times_without_an_offset_are_those_of_greenwich():
    days = np.arange(0, 20 * 365, 11) * 86_400 + np.arange(0, 20 * 365, 11) * 3_571
    hours, weekdays = HistoryContext("times", clock=True).clock_of(
        {}, tf.constant(days[:, None])
    )
    found = list(zip(hours.numpy()[:, 0], weekdays.numpy()[:, 0], strict=True))
    assert found == [clock(seconds) for seconds in days]


def test_gaps_double_from_bucket_to_bucket():
    gaps = [-5, 0, 1, 2, 3, 6, 7, 2**20 - 2, 2**20 - 1, 2**31 - 1, 2**40]
    found = gap_buckets(tf.constant([gaps], tf.int64))
    assert found.numpy().tolist() == [[0, 0, 1, 1, 2, 2, 3, 19, 20, 31, 31]]


def test_the_latest_time_is_the_largest_of_those_that_a_position_sees():
    rng = np.random.default_rng(0)
    times = rng.integers(1, 99, size=(4, 5))
    seen = rng.random((4, 3, 5)) < 0.4
    found = latest(tf.constant(times), tf.constant(seen)).numpy()
    for row, position in np.ndindex(4, 3):
        of_position = [
            t for t, s in zip(times[row], seen[row, position], strict=True) if s
        ]
        assert found[row, position] == max(of_position, default=0)


def test_a_config_holds_what_is_declared_and_nothing_else():
    plain, _ = make()
    names = {"timestamp", "query_time", "clock", "utc_offset", "event", "weight"}
    assert not names & plain.get_config().keys()
    tower, _ = make(timestamp="times", event=Feature("kinds", "id", 3))
    copy = Sums.from_config(tower.get_config())
    assert copy.context == tower.context
    assert names & tower.get_config().keys() == {"timestamp", "event"}
