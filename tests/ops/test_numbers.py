"""What a whole number, a number and a choice are."""

import math

import numpy as np
import pytest

from tfrs_models.data.clickstream import FineTuningParams
from tfrs_models.data.kuaisar import Options
from tfrs_models.models.unisar.unisar import checked_options
from tfrs_models.ops.numbers import real_number, true_or_false, whole_number


@pytest.mark.parametrize("value", [2.0, "2", True, None, math.nan, np.float32(3)])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match="`k` must be a whole number from 1. Got"):
        whole_number("k", value, least=1)


def test_whole_numbers_of_numpy_are_welcome():
    assert whole_number("k", np.int16(7), least=1) == 7
    with pytest.raises(ValueError, match="`k` must be at least 1. Got 0"):
        whole_number("k", 0, least=1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "`rate` must be above 0 and at most 1. Got nan"),
        (0, "`rate` must be above 0 and at most 1. Got 0"),
        (1.5, "`rate` must be above 0 and at most 1. Got 1.5"),
        (math.inf, "`rate` must be finite and above 0"),
        ("0.5", "`rate` must be a number and above 0"),
        (True, "`rate` must be a number and above 0"),
        (None, "`rate` must be a number and above 0"),
    ],
)
def test_what_is_no_number_in_range_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        real_number("rate", value, above=0, most=1)
    assert real_number("rate", np.float32(0.5), above=0, most=1) == 0.5
    with pytest.raises(ValueError, match="`shift` must be finite. Got"):
        real_number("shift", math.nan)


@pytest.mark.parametrize("value", ["no", 0, 1, None, "True"])
def test_words_and_numbers_are_no_choice(value):
    with pytest.raises(ValueError, match="`flag` must be True or False. Got"):
        true_or_false("flag", value)
    assert true_or_false("flag", np.array([True])[0]) is True


UNISAR = {
    **dict.fromkeys(("num_users", "num_items", "num_words", "seq_len"), 3),
    **dict.fromkeys(("num_sessions", "embedding_dim", "width", "num_layers"), 2),
    **dict.fromkeys(("num_heads", "num_shared", "num_specific"), 1),
    **dict.fromkeys(("search_weight", "pair_weight", "transition_weight", "l2"), 0.1),
    **dict.fromkeys(("pair_temperature", "transition_temperature", "dropout"), 0.1),
    **dict.fromkeys(("expert_units", "tower_units", "head_units"), (4,)),
    **dict.fromkeys(("item_categories", "user_categories")),
    "caption_length": 0,
    "encoders": ("across",),
    "log_temperature": True,
    "decay_unused_rows": False,
}
OWNERS = {
    "FineTuningParams": (lambda **options: FineTuningParams(**options), {}),
    "kuaisar.Options": (lambda **options: Options(**options), {}),
    "UniSAR": (lambda **options: checked_options(UNISAR | options), UNISAR),
}


def wrong_values(value):
    """Values that are not of the kind of a good one."""
    if isinstance(value, bool):
        return ["no", 1, None]
    if isinstance(value, int):
        return [2.5, True, "3", math.nan, -1]
    if isinstance(value, float):
        return [math.inf, math.nan, "0.5", True, -1.0]
    return []


@pytest.mark.parametrize("owner", OWNERS)
def test_every_option_of_a_run_refuses_what_is_of_another_kind(owner):
    make, options = OWNERS[owner]
    tried = 0
    for name, value in (options or vars(make())).items():
        for wrong in wrong_values(value):
            with pytest.raises(ValueError, match=f"`{name}` must be"):
                make(**{name: wrong})
            tried += 1
    assert tried > 30
