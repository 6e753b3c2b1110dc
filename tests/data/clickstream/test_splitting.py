import math

import numpy as np
import pytest

from tests.click_searches import random_searches, search_of
from tests.golden_cases import cases, fails
from tfrs_models.data.clickstream import split_inputs


@cases("split_inputs")
def test_golden_splits(case):
    inputs = dict(case["inputs"])
    searches = [search_of(spec) for spec in inputs.pop("inputs")]
    if fails(case):
        with pytest.raises(ValueError, match="must"):
            split_inputs(searches, **inputs)
        return
    split = split_inputs(searches, **inputs)
    for name in ("train", "test"):
        found = sorted(search.query for search in getattr(split, name))
        assert found == case["expected"][name]


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
            inputs.append(
                search_of({"query": number, "events": events, "results": results})
            )
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
    train, test = split_inputs([search_of(spec), search_of(spec)], random_state=0)
    assert len(train) == len(test) == 1
    with pytest.raises(ValueError, match="Got 1 of 1 searches with one: 1 to train"):
        split_inputs([search_of(spec)], random_state=0)


def test_items_for_testing_may_be_given_as_numbers():
    inputs = [
        search_of({"query": q, "events": r[:1], "results": r})
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
    inputs = [search_of({"query": q, "results": r, "events": e}) for q, r, e in spec]
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


def test_no_seed_is_another_split_each_time():
    inputs = random_searches(200)
    splits = [split_inputs(inputs, 0.3).test for _ in range(2)]
    assert [s.query for s in splits[0]] != [s.query for s in splits[1]]


def test_without_shuffling_the_last_ids_are_for_testing():
    inputs = random_searches(200)
    split = split_inputs(inputs, 0.1, shuffle=False, random_state=0)
    held_out = set(sorted(f"i{n}" for n in range(30))[-3:])
    mostly = {
        s.query for s in inputs if sum(r in held_out for r in s.results) > len(s) / 2
    }
    assert mostly
    assert mostly <= {s.query for s in split.test}


def test_searches_that_are_moved_are_drawn_by_the_seed():
    inputs = random_searches(200)

    def moved(seed):  # no search shows mostly the one item for testing
        split = split_inputs(inputs, 0.3, random_state=seed, test_item_ids=["i0"])
        return [s.query for s in split.test]

    assert len(moved(1)) == 60
    assert moved(1) == moved(1)
    assert moved(1) != moved(2)
    assert moved(None) != moved(None)
