import collections
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.click_searches import random_searches, search_of, short_search
from tests.golden_cases import cases, fails
from tfrs_models.data.clickstream import (
    FineTuningInput,
    downsample_not_events,
    remove_results,
)
from tfrs_models.data.clickstream.fine_tuning_input import (
    part_items,
    split_into_parts,
    unclicked_objects,
)

PARTS = {"o1:0": "o1", "o1:1": "o1", "o2:0": "o2"}


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
        short_search(**arguments)


def test_of_parts_whole_objects_are_removed_with_their_importance():
    found = short_search(
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
    assert short_search(["c", "a"], event_types=[5.0, 7.0]).event_types == [7.0, 5.0]
    twice = short_search(["b", "b"], event_types=[5.0, 7.0])
    assert (twice.events, twice.event_types) == (["b"], [7.0])
    assert remove_results(twice, ["c"]).event_types == [7.0]


def test_ids_of_objects_and_of_parts_are_brought_to_strings_too():
    found = short_search(
        [1], [1, 2, 3], ranks={1: 1, 2: 2, 3: 3}, part_to_object={1: 10, 2: 10, 3: 11}
    )
    assert found.object_of("2") == "10"
    assert remove_results(found, [10]).results == ["3"]
    _, parts_of = part_items({7: "one two"}, str.split)
    assert parts_of == {"7": ["7:0", "7:1"]}
    (cut,) = split_into_parts(
        [short_search([1], [1, 2], ranks={1: 1, 2: 2})], {1: [8, 9]}
    )
    assert cut.results == ["8", "9", "2"]
    assert cut.events == ["8", "9"]


def test_parts_inherit_and_nothing_is_forgotten():
    parts, parts_of = part_items({"a": "one two", "b": "three"}, str.split)
    assert parts == {"a:0": "one", "a:1": "two", "b:0": "three"}
    (found,) = split_into_parts(
        [short_search(events=["a"], event_types=[2.0, 1.0, 1.0], timestamp=9)], parts_of
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


@cases("downsample_not_events")
def test_golden_downsampling_takes_whole_groups_and_so_many(case):
    inputs = dict(case["inputs"])
    factor = inputs.pop("factor")
    search = FineTuningInput("q", **inputs)
    groups = unclicked_objects(search)
    expected = case["expected"]
    assert list(groups) == expected["candidate_groups"]
    for seed in range(5):
        found = downsample_not_events(search, factor, seed)
        owners = list(dict.fromkeys(search.object_of(part) for part in found))
        assert len(owners) == expected["num_groups"]
        assert sorted(found) == sorted(p for owner in owners for p in groups[owner])
        assert found == [r for r in search.results if r in set(found)]
    first = expected["candidate_groups"][: expected["num_groups"]]
    parts = [part for group in first for part in groups[group]]
    assert parts == expected["ids_if_first_groups_selected"]


def test_every_object_is_drawn_as_often_and_none_twice():
    results = list("abcdefg")
    search = search_of({"query": "q", "events": ["d"], "results": results})
    counts = collections.Counter()
    for seed in range(3000):
        found = downsample_not_events(search, 0.5, seed)
        assert len(set(found)) == len(found) == 3
        counts.update(found)
    assert set(counts) == set("abcefg")
    assert max(abs(n - 1500) for n in counts.values()) < 4.5 * math.sqrt(750)


def test_an_object_with_a_clicked_part_is_no_negative():
    search = FineTuningInput(
        "q",
        ["o:0"],
        ["o:0", "o:1", "p"],
        dict.fromkeys(["o:0", "o:1", "p"], 0.1),
        part_to_object={"o:0": "o", "o:1": "o"},
    )
    assert downsample_not_events(search, 1.0) == ["p"]
    assert downsample_not_events(search, 0.5) == []
    assert downsample_not_events(search, 0.5, min_groups=1) == ["p"]


@pytest.mark.parametrize("factor", [-0.1, 1.1])
def test_a_factor_out_of_range_is_named(factor):
    with pytest.raises(ValueError, match=r"`factor` must be in \[0, 1\]"):
        downsample_not_events(random_searches(1)[0], factor)


def test_only_the_same_seed_draws_the_same_negatives():
    names = [f"i{n}" for n in range(40)]
    search = search_of({"query": "q", "events": names[:1], "results": names})

    def draw(rng):
        return downsample_not_events(search, 0.5, rng)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert draw(None) != draw(None)
    generator = np.random.default_rng(1)
    assert draw(generator) == draw(1)
    assert draw(generator) != draw(1)  # the generator has moved on
