import pytest
import tensorflow as tf

from tests.golden_cases import assert_close, cases, fails
from tfrs_models.data import clickstream


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
