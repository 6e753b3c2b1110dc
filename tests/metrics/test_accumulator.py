import pytest

from tests.golden_cases import cases
from tfrs_models.metrics import metrics_accumulator


@cases("metrics_accumulator")
def test_golden_accumulators(case):
    inputs = case["inputs"]
    accumulate = metrics_accumulator(
        inputs["name"],
        **{
            kind: inputs.get(f"calc_{kind}", False)
            for kind in ("mean", "sliding", "min", "max")
        },
        window=inputs["window_size"],
    )
    for value, expected in zip(
        inputs["values"], case["expected"]["steps"], strict=True
    ):
        assert accumulate(inputs["name"], value) == pytest.approx(expected)


def test_what_is_not_asked_for_is_not_said_and_other_names_count_for_nothing():
    accumulate = metrics_accumulator("loss", min=True)
    assert accumulate("other", 1.0) == {}
    assert accumulate("loss", 3.0) == {"loss": 3.0, "min_loss": 3.0}
    assert accumulate("loss", 4) == {"loss": 4.0, "min_loss": 3.0}


@pytest.mark.parametrize("window", [1, 2.5])
def test_a_window_of_one_is_refused(window):
    with pytest.raises(ValueError, match="`window` must be a whole number above 1"):
        metrics_accumulator("loss", window=window)


def test_two_accumulators_know_nothing_of_each_other():
    one, other = (
        metrics_accumulator("loss", mean=True, sliding=True, max=True, window=2)
        for _ in range(2)
    )
    for value in (5.0, 1.0, 2.0):
        found = one("loss", value)
    assert found == {
        "loss": 2.0,
        "mean_loss": pytest.approx(8 / 3),
        "sliding_loss": 1.5,
        "max_loss": 5.0,
    }
    assert other("loss", -1.0)["max_loss"] == -1.0
