"""Confidences, rankers, aggregators and pairs against golden cases and definitions."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.golden_cases import assert_close, cases, fails
from tfrs_models.data import clickstream

RNG = np.random.default_rng(0)


@cases("dummy_confidences")
def test_golden_dummy_confidences(case):
    found = clickstream.dummy_confidences(**case["inputs"])
    assert_close(found, case["expected"]["confidences"])


@cases("windowed_confidences")
def test_golden_windowed_confidences(case):
    if fails(case):
        with pytest.raises(ValueError, match="`window_size` must be"):
            clickstream.windowed_confidences(**case["inputs"])
        return
    found = clickstream.windowed_confidences(**case["inputs"])
    assert_close(found, case["expected"]["confidences"])


def windowed(ranks, events, window, floor=None):
    """The definition, in loops."""
    n, half, trust = len(ranks), window // 2, []
    for i in range(n):
        near = range(max(0, i - half), min(n, i + half + 1))
        m = sum(ranks[j] for j in near) / len(near) + 1e-9
        p = sum(events[j] for j in near) / len(near)
        s = abs(ranks[i] - m) / (m if floor is None else max(abs(m), floor))
        p = p if events[i] else 1 - p  # how far the neighbours say the same
        c = (1 - s) * p + s * (1 - p)
        trust.append(c * (math.exp(-3 * (i + 1) / n - 0.3) + 0.25))
    low, high = min(trust, default=0), max(trust, default=0)
    return [(u - low) / (high - low + 1e-9) for u in trust]


@pytest.mark.parametrize(("window", "floor"), [(2, None), (3, None), (7, 0.3)])
def test_windowed_confidences_of_a_batch_are_those_of_each_session(window, floor):
    lengths = [5, 0, 1, 12, 3]
    ranks = [RNG.uniform(0.1, 1, n).astype("float32") for n in lengths]
    events = [RNG.integers(2, size=n) for n in lengths]
    found = clickstream.windowed_confidences(
        tf.ragged.constant([list(map(float, r)) for r in ranks], dtype=tf.float32),
        tf.ragged.constant([e.tolist() for e in events], dtype=tf.int32),
        window,
        rank_floor=floor,
    )
    for row, (r, e) in enumerate(zip(ranks, events, strict=True)):
        np.testing.assert_allclose(found[row], windowed(r, e, window, floor), atol=1e-5)


@pytest.mark.parametrize("window", [1, 0, 2.5, True])
def test_a_window_of_one_is_refused(window):
    with pytest.raises(ValueError, match="`window_size` must be a whole number"):
        clickstream.windowed_confidences([0.1, 0.2], [0, 1], window)


def test_confidences_have_no_gradient():
    ranks = tf.constant([0.3, 0.6, 0.2])
    with tf.GradientTape() as tape:
        tape.watch(ranks)
        value = clickstream.windowed_confidences(ranks, [0, 1, 0])
    assert tape.gradient(value, ranks) is None


@cases("aggregate_ranks")
def test_golden_aggregates(case):
    assert_close(
        clickstream.aggregate_ranks(**case["inputs"]), case["expected"]["value"]
    )


def test_an_unknown_aggregator_is_named():
    with pytest.raises(ValueError, match="`mode` must be one of .*Got 'sum'"):
        clickstream.aggregate_ranks([1.0], "sum")
    with pytest.raises(ValueError, match="`mode` must be 'max' or 'min'"):
        clickstream.differentiable_extreme([1.0], 3.0, "mean")


@cases("aggregate_clicks")
def test_golden_clicks(case):
    found = clickstream.aggregate_clicks(**case["inputs"])
    assert found == case["expected"]["clicks"]


@cases("differentiable_extreme")
def test_golden_soft_extremes(case):
    found = clickstream.differentiable_extreme(**case["inputs"])
    assert_close(found, case["expected"]["value"])


@cases("soft_indicator")
def test_golden_soft_indicators(case):
    found = clickstream.soft_indicator(**case["inputs"])
    assert_close(found, case["expected"]["weights"])


@cases("differentiable_mean_small_values")
def test_golden_means_of_small_values(case):
    found = clickstream.differentiable_mean_small_values(**case["inputs"])
    assert_close(found, case["expected"]["value"])


@cases("cosine_rank")
def test_golden_cosines(case):
    assert_close(clickstream.cosine_rank(**case["inputs"]), case["expected"]["ranks"])


@pytest.mark.parametrize("rank", [clickstream.cosine_rank, clickstream.euclidean_rank])
def test_vectors_of_zeros_have_a_gradient_that_is_finite(rank):
    query, items = tf.zeros([1, 3]), tf.zeros([2, 3])
    with tf.GradientTape() as tape:
        tape.watch([query, items])
        value = rank(query, items)
    for slope in tape.gradient(value, [query, items]):
        assert np.isfinite(slope).all()


def features(columns):
    return clickstream.make_features(**columns)


def assert_features(found, expected):
    for name, values in expected.items():
        assert_close(getattr(found, name), values)
        assert getattr(found, name).dtype == tf.float32


@cases("clamp_diff")
def test_golden_clamping(case):
    lo, hi = case["inputs"]["min"], case["inputs"]["max"]
    found = clickstream.clamp_diff(features(case["inputs"]["features"]), lo, hi)
    assert_features(found, case["expected"])


@pytest.mark.parametrize(
    ("lo", "hi", "message"),
    [
        (-0.1, 1, "`min_abs_difference_threshold` must not be negative"),
        (0, 0, "`max_abs_difference_threshold` must be above 0"),
        (0.5, 0.5, "must be below `max_abs_difference_threshold`.* Got 0.5 and 0.5"),
    ],
)
def test_thresholds_that_cross_are_refused(lo, hi, message):
    with pytest.raises(ValueError, match=message):
        clickstream.clamp_diff(clickstream.FineTuningFeatures(), lo, hi)


def test_without_ranks_there_is_nothing_to_clamp():
    f = features({"negative_ranks": [0.3], "target": [1.0]})
    assert clickstream.clamp_diff(f, 0.0, 0.1) is f


@cases("concat_features")
def test_golden_concatenation(case):
    a, b = (case["inputs"][side] and features(case["inputs"][side]) for side in "ab")
    assert_features(clickstream.concat_features(a, b), case["expected"])


def test_what_is_absent_takes_nothing_away():
    """Our own semantics: the original loses the left side."""
    some = features({"positive_ranks": [0.5], "negative_ranks": [0.1]})
    nothing = clickstream.FineTuningFeatures()
    for a, b in ((some, None), (None, some), (some, nothing), (nothing, some)):
        assert clickstream.concat_features(a, b) is some
    assert clickstream.concat_features(None, nothing) == nothing


@cases("make_features")
def test_golden_features(case):
    if fails(case):
        with pytest.raises(ValueError, match="must be"):
            features(case["inputs"])
        return
    assert_features(features(case["inputs"]), case["expected"])


@pytest.mark.parametrize("values", [["a"], object(), [True, False]])
def test_columns_that_are_no_numbers_are_a_type_error(values):
    with pytest.raises(TypeError, match="`target` must be numbers"):
        clickstream.make_features(target=values)


@cases("use_positive_from")
def test_golden_positives_of_another_search(case):
    found = clickstream.use_positive_from(
        features(case["inputs"]["irrelevant"]),
        features(case["inputs"]["not_irrelevant"]),
    )
    assert_features(found, case["expected"])
