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
