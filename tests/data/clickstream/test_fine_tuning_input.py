import datetime

import numpy as np
import pytest
import tensorflow as tf

from tests.golden_cases import cases, fails
from tfrs_models.data.clickstream import (
    FineTuningInput,
    ItemSet,
    known_results,
    part_items,
    ranking_data,
    remove_results,
    session_to_input,
    split_into_parts,
)

PARTS = {"o1:0": "o1", "o1:1": "o1", "o2:0": "o2"}


def search(events=("b",), results=("a", "b", "c"), **changes):
    ranks = {result: 0.5 - 0.1 * place for place, result in enumerate(results)}
    return FineTuningInput("q", events, results, **({"ranks": ranks} | changes))


def decoded(result):
    if isinstance(result, list):
        kind, *values = result
        return tuple(values) if kind == "tuple" else tf.constant(values[0])
    return result


@cases("fine_tuning_input")
def test_golden_inputs(case):
    inputs = case["inputs"] | {"results": list(map(decoded, case["inputs"]["results"]))}
    if fails(case):
        with pytest.raises(ValueError, match="must"):
            FineTuningInput(**inputs)
        return
    found = FineTuningInput(**inputs)
    expected = case["expected"]
    assert found.results == expected["results"]
    assert found.not_events == expected["not_events"]
    assert found.is_irrelevant == expected["is_irrelevant"]
    assert len(found) == expected["length"]


@cases("remove_results")
def test_golden_removals(case):
    inputs = dict(case["inputs"])
    ids = inputs.pop("ids")
    found = remove_results(FineTuningInput("q", **inputs), ids)
    for name, value in case["expected"].items():
        assert getattr(found, name) == value


def test_events_are_brought_to_strings_like_results_and_stand_in_their_order():
    found = FineTuningInput(
        "q",
        [np.int64(7), ("a", 3)],
        [("a", 1), tf.constant(7), tf.constant("b")],
        {"a": 0.1, 7: 0.2, "b": None},
        is_irrelevant=True,
    )
    assert found.events == ["a", "7"]
    assert not found.is_irrelevant
    assert not found.is_ranked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"results": ("a", "a", "b"), "ranks": {"a": 1.0, "b": 1.0}},
            r"`results` must be unique.* Got \['a'\]",
        ),
        ({"events": ("x",)}, r"`events` must be among the results.* Got \['x'\]"),
        ({"ranks": {"a": 1.0, "b": 1.0}}, r"`ranks` must have one entry.*\['c'\]"),
        (
            {"ranks": dict.fromkeys("abcd", 1.0)},
            r"`ranks` must have one entry.*too many: \['d'\]",
        ),
        ({"ranks": {"a": 1, "b": np.nan, "c": 1}}, "`ranks` must be finite.*'b'"),
        ({"event_types": [1.0, 2.0]}, "`event_types` must have a number.* Got 2"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        search(**arguments)


def test_of_parts_whole_objects_are_removed_with_their_importance():
    found = search(
        events=["o1:0", "o1:1"],
        results=list(PARTS),
        part_to_object=PARTS,
        event_types=[3.0, 3.0, 1.0],
    )
    rest = remove_results(found, ["o1", "o2:0"])
    assert rest.results == ["o2:0"]  # ids of parts are no ids of objects
    assert rest.is_irrelevant
    assert rest.part_to_object == {"o2:0": "o2"}
    assert rest.event_types == [1.0]


def test_importances_follow_their_events_when_these_are_brought_into_order():
    assert search(["c", "a"], event_types=[5.0, 7.0]).event_types == [7.0, 5.0]
    twice = search(["b", "b"], event_types=[5.0, 7.0])
    assert (twice.events, twice.event_types) == (["b"], [7.0])
    assert remove_results(twice, ["c"]).event_types == [7.0]


def test_ids_of_objects_and_of_parts_are_brought_to_strings_too():
    found = search(
        [1], [1, 2, 3], ranks={1: 1, 2: 2, 3: 3}, part_to_object={1: 10, 2: 10, 3: 11}
    )
    assert found.object_of("2") == "10"
    assert remove_results(found, [10]).results == ["3"]
    _, parts_of = part_items({7: "one two"}, str.split)
    assert parts_of == {"7": ["7:0", "7:1"]}
    (cut,) = split_into_parts([search([1], [1, 2], ranks={1: 1, 2: 2})], {1: [8, 9]})
    assert cut.results == ["8", "9", "2"]
    assert cut.events == ["8", "9"]


def test_results_that_are_no_items_leave_and_searches_of_one_result_too():
    inputs = [search(), search(results=("b", "y")), search(results=("b", "c", "x"))]
    found, removed = known_results(inputs, ["a", "b", "c"])
    assert [s.results for s in found] == [["a", "b", "c"], ["b", "c"]]
    assert removed == 2


def test_parts_inherit_and_nothing_is_forgotten():
    parts, parts_of = part_items({"a": "one two", "b": "three"}, str.split)
    assert parts == {"a:0": "one", "a:1": "two", "b:0": "three"}
    (found,) = split_into_parts(
        [search(events=["a"], event_types=[2.0, 1.0, 1.0], timestamp=9)], parts_of
    )
    assert found.query == "q"
    assert found.timestamp == 9
    assert found.results == ["a:0", "a:1", "b:0", "c"]
    assert found.events == ["a:0", "a:1"]
    assert found.ranks == {"a:0": 0.5, "a:1": 0.5, "b:0": 0.4, "c": 0.3}
    assert found.event_types == [2.0, 2.0, 1.0, 1.0]
    assert found.part_to_object == {"a:0": "a", "a:1": "a", "b:0": "b", "c": "c"}


def test_an_object_without_parts_is_named():
    with pytest.raises(ValueError, match="`splitter` must .* Got none of 'a'"):
        part_items({"a": ""}, str.split)


SESSION = {
    "session_id": "s",
    "search_query": "shoes",
    "created_at": 5,
    "search_results": [
        {"object_id": "a", "rank": 0.9},
        {"object_id": "b", "rank": None, "meta": None},
        {"object_id": "c"},
    ],
    "events": [
        {"object_id": "c", "meta": {"importance": 2.0}},
        {"object_id": "c", "meta": None},
        {"object_id": "not shown"},
    ],
}


def test_a_session_becomes_an_input_whose_ranks_are_those_of_its_results():
    found = session_to_input(SESSION)
    assert found.query == "shoes"
    assert found.results == ["a", "b", "c"]
    assert found.events == ["c"]
    assert found.ranks == {"a": 0.9, "b": None, "c": None}
    assert found.event_types == [1.0, 1.0, 2.0]
    assert found.timestamp == 5


def test_a_click_on_an_id_that_is_once_a_number_and_once_a_string_is_not_lost():
    shown = [{"object_id": 318, "rank": 0.9}, {"object_id": "b", "rank": 0.1}]
    events = [{"object_id": "318", "meta": {"importance": 3.0}}]
    found = session_to_input(SESSION | {"search_results": shown, "events": events})
    assert found.events == ["318"]
    assert found.ranks == {"318": 0.9, "b": 0.1}
    assert found.event_types == [3.0, 1.0]


@pytest.mark.parametrize("name", [318, 318.0, np.float64(318), b"318", "318"])
def test_an_id_is_the_same_text_whatever_its_type(name):
    shown = [{"object_id": name}, {"object_id": "b"}]
    found = session_to_input(SESSION | {"search_results": shown, "events": shown[:1]})
    assert found.results == ["318", "b"]
    assert found.events == ["318"]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (None, None),
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000.25, 1_700_000_000.25),
        (datetime.datetime(2023, 11, 14, 22, 13, 20), 1_700_000_000),
    ],
)
def test_a_session_is_of_a_second(moment, expected):
    assert session_to_input(SESSION | {"created_at": moment}).timestamp == expected


@pytest.mark.parametrize("events", [[], None])
def test_a_session_without_events_is_irrelevant(events):
    assert session_to_input(SESSION | {"events": events}).is_irrelevant


@pytest.mark.parametrize(
    ("session", "message"),
    [
        ({"search_query": None}, r"must have the fields.*Missing: \['search_query'\]"),
        ({"search_results": "abc"}, "`search_results` of a session must be a list"),
        *(
            ({"created_at": moment}, "`created_at` of a session must be seconds")
            for moment in [1_700_000_000_000, -1, float("nan"), 1e300, "2024", True]
        ),
        (
            {"search_results": [{"object_id": " "}, {"object_id": "b"}]},
            "`object_id` of `search_results` must not be empty",
        ),
        (
            {"search_results": [{"object_id": 2.0**53}, {"object_id": "b"}]},
            "An id must be a text or a whole number",
        ),
        ({"events": [{"id": 3}]}, "Each of `events` must have `object_id`. Got"),
        (
            {"search_results": [{"object_id": "a"}] * 2, "events": []},
            "`results` must be unique",
        ),
    ],
)
def test_a_session_that_cannot_be_used_says_why(session, message):
    with pytest.raises(ValueError, match=message):
        session_to_input(SESSION | session)


def test_an_id_may_own_several_rows_and_an_unknown_one_is_named():
    items = ItemSet(["a", "b", "a"], {"x": np.array([1, 2, 3])})
    assert items.rows(["b", "a"]) == [1, 0, 2]
    features, names = items.items_by_ids(["a", "b"])
    assert features["x"].tolist() == [1, 3, 2]
    assert names == ["a", "a", "b"]
    assert items.rows(["y"], ignore_missing=True) == []
    with pytest.raises(IndexError, match="Item 'y' is not among the 2 items"):
        items.rows(["y"])


def test_the_items_of_a_split_are_those_that_it_shows():
    items = ItemSet(["a", "b", "c", "d"], rows=[4, 3, 2, 1])
    train, test = [(search(), None)], [(search(results=("b", "d")), None)]
    data = ranking_data(train, test, items)
    assert data.items["train"].ids == ["a", "b", "c"]
    assert data.items["test"].rows(["d", "b"]) == [1, 3]
    with pytest.raises(ValueError, match="The test split must show a known item"):
        ranking_data(train, [], items)
