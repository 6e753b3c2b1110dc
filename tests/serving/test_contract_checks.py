import re

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.serving.contract_checks import differences

SCORES = np.array([[0.9, 0.5, 0.5, 0.1], [3.0, 2.0, 1.0, -np.inf]], "float32")
IDS = np.array([[b"a", b"b", b"c", b"d"], [b"e", b"f", b"g", b""]], object)


def answer(**changes):
    values = {
        "score": SCORES,
        "item_id": IDS,
        "known": np.array([True, False]),
        "count": np.array(3),
        "loss": np.array([np.nan, 1.0], "float32"),
    }
    return {**values, **changes}


def swapped(row, one, other):
    ids = IDS.copy()
    ids[row, [one, other]] = ids[row, [other, one]]
    return ids


def replaced(row, place, value):
    ids = IDS.copy()
    ids[row, place] = value
    return ids


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"score": SCORES * np.float32(1.00005)},
        {"item_id": swapped(0, 1, 2)},  # their scores tie
        {"item_id": replaced(0, 3, b"x")},  # x may tie with d beyond the fourth place
    ],
)
def test_rounding_and_ties_are_no_difference(changes):
    assert differences(answer(), answer(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"score": SCORES * 1.001},
            "`score` differs in 7 of 8.*0.9009.* instead of 0.8999",
        ),
        ({"score": SCORES[:, :3]}, r"`score` has the shape \(2, 3\) instead of \(2, 4"),
        (
            {"item_id": swapped(0, 0, 1)},
            r"`item_id` differs in 2 of 8.*first at \[0, 0",
        ),
        ({"item_id": replaced(0, 1, b"x")}, r"differs.*\[0, 1\]: b'x' instead of b'b'"),
        ({"item_id": replaced(1, 3, b"x")}, r"\[1, 3\]: b'x' instead of b''"),
        ({"known": np.array([True, True])}, r"`known` differs in 1 of 2.*\[1\]"),
        (
            {"count": np.array(4)},
            r"`count` differs in 1 of 1.*first at \[\]: 4 instead",
        ),
        ({"loss": np.array([0.0, 1.0])}, "`loss` differs in 1 of 2"),
        ({"more": IDS}, "`more` is there but not expected"),
    ],
)
def test_a_difference_is_named(changes, words):
    [line] = differences(answer(), answer(**changes))
    assert re.search(words, line)


def test_half_precision_is_close_not_equal():
    one, other = (tf.constant([x], tf.bfloat16).numpy() for x in (3e-5, 3.01e-5))
    assert differences({"y": one}, {"y": other}) == []
    assert len(differences({"y": one}, {"y": one + 1})) == 1


def test_a_missing_output_is_named():
    got = answer()
    del got["known"]
    assert "output `known` is expected" in differences(answer(), got)[0]


def test_without_scores_beside_them_ids_are_exact():
    expected, got = {"item_id": IDS}, {"item_id": swapped(0, 1, 2)}
    assert len(differences(expected, got)) == 1
