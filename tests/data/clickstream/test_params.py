import pytest

from tests.golden_cases import cases, fails
from tfrs_models.data.clickstream import (
    ExamplesType,
    FineTuningParams,
    fine_tuning_params,
)


@cases("fine_tuning_params")
def test_golden_parameters(case):
    if fails(case):
        with pytest.raises(ValueError, match="must be"):
            fine_tuning_params(case["inputs"])
        return
    found = fine_tuning_params(case["inputs"])
    assert found.text == case["expected"]["text"]
    assert found.id == case["expected"]["id"]
    assert [t.value for t in found.examples_order] == case["expected"]["examples_order"]


@pytest.mark.parametrize("given", ["1,4", (1, 4), [1, 4], [ExamplesType(1), "4"]])
def test_an_order_is_read_from_text_and_sequences(given):
    order = FineTuningParams(examples_order=given).examples_order
    assert order == (ExamplesType.medium_all, ExamplesType.medium_positive)


@pytest.mark.parametrize("given", ["12", "", [], ["x"], [None], [1.5j]])
def test_an_order_of_unknown_codes_is_refused(given):
    with pytest.raises(ValueError, match="`examples_order` must"):
        FineTuningParams(examples_order=given)


def test_equal_parameters_have_one_id_and_others_another():
    assert FineTuningParams(margin=1).id == FineTuningParams(margin=1.0).id
    assert FineTuningParams(margin=0.1).id != FineTuningParams(margin=0.2).id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": 0.0}, "`margin` must be above 0. Got 0.0"),
        ({"num_fixed_layers": -1}, "`num_fixed_layers` must be at least 0. Got -1"),
        (
            {"negative_downsampling": 1.5},
            "`negative_downsampling` must be above 0 and at most 1. Got 1.5",
        ),
        (
            {"min_abs_difference_threshold": 0.5, "max_abs_difference_threshold": 0.2},
            "`min_abs_difference_threshold` must be below",
        ),
        ({"speed": 3}, r"`choice` must be of .* Got \['speed'\]"),
    ],
)
def test_what_no_run_could_use_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        fine_tuning_params(change)
