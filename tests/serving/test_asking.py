"""Requests by lists of Python, against the signatures."""

import numpy as np
import pytest

from tests.serving.live_requests import ask as ask_signature


@pytest.fixture(scope="module")
def module(live_recommender):
    return live_recommender


def assert_same(answer, expected):
    is_item = expected["item_id"] != b""
    assert answer["item_id"] == [i.decode() for i in expected["item_id"][is_item]]
    assert answer["title"] == [t.decode() for t in expected["title"][is_item]]
    np.testing.assert_allclose(answer["score"], expected["score"][is_item], rtol=1e-6)


def test_histories_of_any_length_are_padded(module):
    users, histories = ["u1", "", "nobody"], [["i1"], [], ["i2", "unheard of", "i3"]]
    times = [[5], [], [7, 8, 0]]
    answers = module.ask(
        users,
        history=histories,
        history_time=times,
        time=[9, 0, 11],
        append=[True, False, False],
        exclude_seen=False,
        k=[3, 4, 5],
        exclusions=[["i4"], [], ["i5", "i6"]],
        filters={"kind": ["long"]},
    )
    for row, answer in enumerate(answers):
        expected = ask_signature(
            module,
            users[row],
            histories[row],
            times[row],
            time=[9, 0, 11][row],
            append=row == 0,
            k=row + 3,
            exclusions=[["i4"], [""], ["i5", "i6"]][row],
            kind=["long"],
        )
        assert_same(answer, expected)
        assert answer["personal"] is bool(expected["personal"])
        assert answer["num_unknown"] == expected["num_unknown"]


def test_one_value_is_one_request_and_the_rest_is_what_the_module_recommends(
    module,
):
    (answer,) = module.ask("u1", k=4)
    seen = {item for one in module.ask("u1", k=4, exclude_seen=False) for item in one}
    assert seen == {"item_id", "title", "score", "known_user"}
    assert_same(answer, ask_signature(module, "u1", k=4, exclude_seen=True))
    (visitor,) = module.ask(history=["i1", "i2"], k=4)
    assert_same(
        visitor, ask_signature(module, "", ["i1", "i2"], k=4, exclude_seen=True)
    )
    (similar,) = module.ask(similar_to=["i1"], k=2)
    assert len(similar["item_id"]) == 2
    (among,) = module.ask("nobody", allowed=["i1", "i2"], k=4)
    assert {*among["item_id"]} == {"i1", "i2"}
    assert module.ask([], k=3) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": ["i1"], "allowed": ["i2"]}, "must have one of `history`"),
        ({"user_id": "u1", "similar_to": ["i1"]}, "`similar_to` must come without"),
        ({"history_time": [3]}, "`history_time` must come with `history`"),
        (
            {"history": ["i1"], "history_time": [3, 4]},
            "`history_time` must have a time",
        ),
        ({"user_id": ["u1", "u2"], "k": [1, 2, 3]}, "`k` must have a value for each"),
        (
            {"user_id": ["u1"], "history": [["i1"]] * 2},
            "`history` must have a list for",
        ),
        ({"history": "i1"}, "`history` must be a list. Got the text"),
        (
            {"filters": {"color": ["red"]}},
            r"`filters` must be by attributes.*\['kind'\]",
        ),
    ],
)
def test_what_contradicts_itself_is_named(module, changes, message):
    with pytest.raises(ValueError, match=message):
        module.ask(**changes)
