"""Pairing, splitting and downsampling."""

import collections
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.golden_cases import cases, fails
from tfrs_models.data.clickstream import (
    FineTuningInput,
    cycle_to_equal_length,
    downsample_not_events,
    pair_inputs,
    split_inputs,
    stream_pairs,
    unclicked_objects,
)
from tfrs_models.ops.clickstream.search_objects import draw_order


def made(spec):
    ranks = spec.get("ranks") or dict.fromkeys(spec["results"], 0.5)
    return FineTuningInput(**(spec | {"ranks": ranks}))


def names(pairs):
    return [[side and side.query for side in pair] for pair in pairs]


@cases("cycle_to_equal_length")
def test_golden_cycles(case):
    found = cycle_to_equal_length(case["inputs"]["a"], case["inputs"]["b"])
    assert list(found) == [case["expected"]["a"], case["expected"]["b"]]


@cases("pair_inputs")
def test_golden_pairs(case):
    inputs = dict(case["inputs"])
    searches = [made(spec) for spec in inputs.pop("inputs")]
    expected = case["expected"]
    if fails(case):
        with pytest.raises(ValueError, match="must have a search with a click"):
            pair_inputs(searches, **inputs)
        return
    found = pair_inputs(searches, **inputs)
    assert len(found) == expected["length"]
    if "pairs" in expected:
        assert names(found) == [list(pair) for pair in expected["pairs"]]
    for name in ("relevant_ids", "irrelevant_ids"):
        if name in expected:
            assert sorted(getattr(found, name)) == sorted(expected[name])


def several(clicked, unclicked):
    made_of = [("r", ["a"], clicked), ("i", [], unclicked)]
    return [
        made({"query": f"{kind}{n}", "events": events, "results": ["a", "b"]})
        for kind, events, count in made_of
        for n in range(count)
    ]


def test_both_sides_are_shuffled_independently_and_then_cut():
    inputs = several(40, 30)
    found = pair_inputs(inputs, randomize=True, inputs_count=25, seed=1)
    again = pair_inputs(inputs, randomize=True, inputs_count=25, seed=1)
    assert len(found) == 25
    assert names(found) == names(again) != names(pair_inputs(inputs))[:25]
    numbers = [[int(name[1:]) for name in pair] for pair in names(found)]
    assert any(a % 30 != b for a, b in numbers)


def test_searches_without_a_click_alone_cannot_be_paired():
    with pytest.raises(ValueError, match="must have a search with a click: none of 3"):
        pair_inputs(several(0, 3))


def test_nothing_gives_no_pairs_and_a_warning():
    with pytest.warns(UserWarning, match="no search to pair"):
        assert len(pair_inputs([])) == 0


def test_a_stream_is_paired_with_what_came_before():
    r0, r1, i0, i1 = several(2, 2)
    assert names(stream_pairs([r0, i0, i1, r1, r0])) == [
        ["r0", None],
        ["r1", "i1"],
        ["r0", "i1"],
    ]


@cases("split_inputs")
def test_golden_splits(case):
    inputs = dict(case["inputs"])
    searches = [made(spec) for spec in inputs.pop("inputs")]
    if fails(case):
        with pytest.raises(ValueError, match="must"):
            split_inputs(searches, **inputs)
        return
    split = split_inputs(searches, **inputs)
    for name in ("train", "test"):
        found = sorted(search.query for search in getattr(split, name))
        assert found == case["expected"][name]


def random_searches(count, seed=0, num_items=30):
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        results = [f"i{i}" for i in rng.permutation(num_items)[: rng.integers(2, 9)]]
        events = [r for r in results if rng.random() < 0.3]
        found.append(made({"query": number, "events": events, "results": results}))
    return found


@pytest.mark.parametrize("ratio", [0.1, 0.3])
def test_a_split_loses_no_search_and_tests_with_enough_of_them(ratio):
    inputs = random_searches(200)
    train, test = split_inputs(inputs, ratio, random_state=3)
    assert sorted(s.query for s in train + test) == list(range(200))
    assert len(test) >= math.floor(ratio * 200)
    again = split_inputs(inputs, ratio, random_state=3)
    assert [s.query for s in again.test] == [s.query for s in test]
    other = split_inputs(inputs, ratio, random_state=4)
    assert [s.query for s in other.test] != [s.query for s in test]


def test_without_shared_items_no_test_result_was_ever_trained_on():
    inputs = random_searches(200)
    train, test = split_inputs(inputs, 0.3, random_state=3, without_shared_items=True)
    shown = [{r for s in part for r in s.results} for part in (train, test)]
    assert shown[0]
    assert shown[1]
    assert not shown[0] & shown[1]
    assert min(len(s) for s in train + test) >= 2


def test_a_search_that_changes_sides_brings_no_shared_items():
    splits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        inputs = []
        for number in range(20):
            results = [str(i) for i in rng.choice(12, 6, replace=False)]
            events = results[:1] if rng.random() < 0.3 else []
            inputs.append(made({"query": number, "events": events, "results": results}))
        try:
            parts = split_inputs(
                inputs, 0.3, random_state=seed, without_shared_items=True
            )
        except ValueError:  # too few clicks are left
            continue
        splits += 1
        shown = [{r for s in part for r in s.results} for part in parts]
        assert not shown[0] & shown[1]
        assert all(any(s.events for s in part) for part in parts)
    assert splits > 50


def test_no_part_is_empty_as_long_as_two_searches_have_a_click():
    spec = {"query": "q", "events": ["a"], "results": list("abcdefgh")}
    train, test = split_inputs([made(spec), made(spec)], random_state=0)
    assert len(train) == len(test) == 1
    with pytest.raises(ValueError, match="Got 1 of 1 searches with one: 1 to train"):
        split_inputs([made(spec)], random_state=0)


def test_items_for_testing_may_be_given_as_numbers():
    inputs = [
        made({"query": q, "events": r[:1], "results": r})
        for q, r in {"a": [1, 2, 3], "b": [4, 5, 6], "c": [1, 2, 3]}.items()
    ]
    test = split_inputs(inputs, test_item_ids=[4, 5, 6]).test
    assert [s.query for s in test] == ["b"]


def test_only_train_searches_are_augmented_and_copies_follow():
    inputs = random_searches(50)
    train, test = split_inputs(
        inputs, random_state=1, augmenter=lambda found: list(reversed(found))
    )
    half = len(train) // 2
    assert [s.query for s in train[half:]] == [s.query for s in train[:half]][::-1]
    assert not {s.query for s in train} & {s.query for s in test}


def test_a_split_left_with_irrelevant_searches_takes_a_click_of_the_other_side():
    spec = [("r0", "ab", "a"), ("r1", "ac", "a"), ("i0", "xy", ""), ("i1", "xz", "")]
    inputs = [made({"query": q, "results": r, "events": e}) for q, r, e in spec]
    train, test = split_inputs(inputs, 0.4, test_item_ids=["x", "y", "z"])
    assert {s.query for s in test} == {"r0", "i0", "i1"}
    assert {s.query for s in train} == {"r1"}
    with pytest.raises(ValueError, match="one for testing. Got 1 of 3 searches"):
        split_inputs(inputs[1:], 0.4, test_item_ids=["x", "y", "z"])


@pytest.mark.parametrize("ratio", [0.0, 1.5, 1, "0.2"])
def test_a_ratio_out_of_range_is_named(ratio):
    with pytest.raises(ValueError, match="`test_size_ratio` must be a float"):
        split_inputs(random_searches(5), ratio)


def test_half_of_the_searches_for_testing_is_a_warning():
    with pytest.warns(UserWarning, match="less to train on"):
        split_inputs(random_searches(50), 0.6, random_state=0)


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
    search = made({"query": "q", "events": ["d"], "results": results})
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


def test_the_order_of_a_batch_is_a_random_order_of_the_objects_without_a_click():
    objects = tf.ragged.constant(
        [[0, 0, 1, 2, 2, 3], [], [0], [0, 1, 2]], dtype=tf.int32
    )
    clicked = tf.ragged.constant(
        [[False] * 2 + [True] + [False] * 3, [], [False], [True, False, True]]
    )
    seen = set()
    for seed in range(60):
        first, none, single, last = draw_order(objects, clicked, [seed, 1]).to_list()
        assert first[0] == first[1]
        assert first[3] == first[4]
        assert first[2] == 3  # the one with a click stands behind the others
        assert sorted({first[0], first[3], first[5]}) == [0, 1, 2]
        assert none == []
        assert single == [0]
        assert last[1] == 0
        seen.add((first[0], first[3], first[5]))
    assert len(seen) == 6


@pytest.mark.parametrize("factor", [-0.1, 1.1])
def test_a_factor_out_of_range_is_named(factor):
    with pytest.raises(ValueError, match=r"`factor` must be in \[0, 1\]"):
        downsample_not_events(random_searches(1)[0], factor)
