"""Words as the log and the pickles write them."""

import numpy as np
import pytest

from tfrs_models.data.kuaisar.parsing import parse_words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([3, 1], [3, 1]),
        ("[3, 1]", [3, 1]),
        ("(3, 1)", [3, 1]),
        (np.array([3, 1]), [3, 1]),
        (7, [7]),
        ("7", [7]),
        (7.0, [7]),
        ("", []),
        (None, []),
        (np.nan, []),
        ([], []),
    ],
)
def test_words_of_every_form_are_read(value, words):
    assert parse_words(value) == words


@pytest.mark.parametrize(
    "value",
    [
        "__import__('os').system('x')",
        "{3: 1}",
        "[[3]]",
        "[[1], [2, 3]]",
        [[1], [2, 3]],
        [1.5],
        ["a"],
        [True],
        -1,
        "[",
        "9" * 400,
        2**63,
        np.inf,
    ],
)
def test_words_that_are_none_are_refused(value):
    with pytest.raises(ValueError, match="Words must be a list of whole numbers"):
        parse_words(value)
