"""Pairing searches, and batches of the pairs."""

import numpy as np
import pytest
import tensorflow as tf

from tests.click_searches import (
    ITEM_SET,
    ITEMS,
    VECTORS,
    clicks_on_three_items,
    model_of,
    random_search,
    search_of,
    sgd,
)
from tests.golden_cases import cases, fails
from tfrs_models.data.clickstream import (
    FineTuningInput,
    ItemSet,
    click_batches,
    cycle_to_equal_length,
    pair_inputs,
    stream_batches,
)
from tfrs_models.data.clickstream.batches import stream_pairs


def names(pairs):
    return [[side and side.query for side in pair] for pair in pairs]


@cases("cycle_to_equal_length")
def test_golden_cycles(case):
    found = cycle_to_equal_length(case["inputs"]["a"], case["inputs"]["b"])
    assert list(found) == [case["expected"]["a"], case["expected"]["b"]]


@cases("pair_inputs")
def test_golden_pairs(case):
    inputs = dict(case["inputs"])
    searches = [search_of(spec) for spec in inputs.pop("inputs")]
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
        search_of({"query": f"{kind}{n}", "events": events, "results": ["a", "b"]})
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


def test_a_stream_is_the_same_batches_as_the_table():
    inputs = clicks_on_three_items()
    stream = stream_batches(lambda: iter(inputs), ITEM_SET, 5, seed=3)
    assert stream.options().autotune.enabled is False
    table = click_batches(list(stream_pairs(inputs)), ITEM_SET, 5, seed=3)
    for _ in range(2):
        found = list(stream)
        assert len(found) == len(table)
        for ours, theirs in zip(found, table, strict=True):
            for name in ("items", "objects", "clicked", "ranks"):
                assert ours[name].to_list() == theirs[name].to_list()
                other = ours["irrelevant"][name].to_list()
                assert other == theirs["irrelevant"][name].to_list()
    shuffled = stream_batches(
        lambda: iter(inputs), ITEM_SET, 5, shuffle_buffer=4, seed=3
    )
    rows = [r for batch in shuffled for r in batch["items"].to_list()]
    ordered = [r for batch in table for r in batch["items"].to_list()]
    assert rows != ordered
    assert sorted(rows) == sorted(ordered)
    model = model_of()
    model.compile(sgd(), run_eagerly=True)
    history = model.fit(shuffled.take(1), epochs=2, verbose=0).history
    assert min(history["num_pairs"]) > 0


def test_an_unknown_item_is_named():
    stranger = FineTuningInput(np.ones(3), ["x"], ["x", "i1"], {"x": 0.1, "i1": 0.1})
    with pytest.raises(IndexError, match="Item 'x' is not among the 12 items"):
        click_batches([(stranger, None)], ItemSet(ITEMS, VECTORS), 1)


def test_only_the_same_seed_gives_the_same_pairs():
    def order(seed):
        return names(pair_inputs(several(40, 30), randomize=True, seed=seed))

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(None) != order(None)


def drawn(dataset):
    """Orders of pairs and of draws in one epoch, of both kinds of searches."""
    found = []
    for batch in dataset:
        for side in (batch, batch["irrelevant"]):
            found.append((side["items"].to_list(), side["draw_order"].to_list()))
    return found


def both_kinds(count=12):
    rng = np.random.default_rng(5)
    return [random_search(rng, relevant=n % 2 == 0) for n in range(count)]


def table_of(seed):
    pairs = pair_inputs(both_kinds())
    return click_batches(pairs, ItemSet(ITEMS, VECTORS), 4, shuffle=True, seed=seed)


def stream_of(seed):
    inputs = [clicks for clicks in both_kinds() for _ in range(3)]
    return stream_batches(
        lambda: iter(inputs), ItemSet(ITEMS), 4, shuffle_buffer=5, seed=seed
    )


@pytest.mark.parametrize("dataset_of", [table_of, stream_of])
def test_a_seed_decides_about_the_order_and_the_draws(dataset_of):
    def epochs(seed):
        dataset = dataset_of(seed)
        return drawn(dataset), drawn(dataset)

    tf.random.set_seed(0)
    first, second = epochs(1)
    assert first != second  # another order in each epoch
    tf.random.set_seed(0)
    assert epochs(1) == (first, second)
    tf.random.set_seed(0)
    other, _ = epochs(2)
    for kind in (0, 1):  # items, draws
        assert [row[kind] for row in other] != [row[kind] for row in first]
    unseeded = []
    for seed in (1, 2):
        tf.random.set_seed(seed)
        unseeded.append(epochs(None)[0])
    for kind in (0, 1):
        assert [row[kind] for row in unseeded[0]] != [row[kind] for row in unseeded[1]]


def test_without_shuffling_only_the_draws_change():
    inputs = [
        FineTuningInput(n, [ITEMS[n]], ITEMS, dict.fromkeys(ITEMS, 0.5))
        for n in range(5)
    ]
    pairs = [(search, search) for search in inputs]
    dataset = click_batches(pairs, ItemSet(ITEMS), 2, seed=1)
    orders = []
    for _ in range(2):
        batches = list(dataset)
        assert [q for b in batches for q in b["query"].numpy()] == list(range(5))
        orders.append([row for b in batches for row in b["draw_order"].to_list()])
        (last,) = (b for b in batches if b["items"].nrows() == 1)
        other = last["irrelevant"]["draw_order"].to_list()
        assert other != last["draw_order"].to_list()  # a draw of its own
    assert orders[0] != orders[1]


def test_queries_become_what_the_tower_takes_in_both_ways_and_of_both_sides():
    inputs = several(3, 2)

    def query_features(queries):
        return {"name": np.array([f"<{query}>" for query in queries])}

    table = click_batches(
        pair_inputs(inputs), ItemSet("ab"), 9, query_features=query_features
    )
    stream = stream_batches(
        lambda: reversed(inputs), ItemSet("ab"), 9, query_features=query_features
    )
    for dataset, clicked in ((table, "012"), (stream, "210")):
        (batch,) = dataset
        expected = [f"<r{n}>".encode() for n in clicked]
        assert batch["query"]["name"].numpy().tolist() == expected
        assert batch["irrelevant"]["query"]["name"].numpy()[0] == b"<i0>"


def test_a_stream_without_a_click_or_with_an_empty_batch_is_named():
    with pytest.raises(ValueError, match="`inputs` must have a search with a click"):
        stream_batches(lambda: several(0, 3), ItemSet("ab"), 4)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1. Got 0"):
        stream_batches(lambda: several(2, 0), ItemSet("ab"), 0)
    with pytest.raises(ValueError, match="`pairs` must have a search with a click"):
        click_batches([], ItemSet("ab"), 4)


@pytest.mark.parametrize("is_stream", [False, True])
def test_draws_of_an_unshuffled_order_follow_the_seed(is_stream):
    search = FineTuningInput(0, [ITEMS[0]], ITEMS, dict.fromkeys(ITEMS, 0.5))

    def draws(seed):
        tf.random.set_seed(0)
        items = ItemSet(ITEMS)
        if is_stream:
            dataset = stream_batches(lambda: [search] * 3, items, 2, seed=seed)
        else:
            dataset = click_batches([(search, None)] * 3, items, 2, seed=seed)
        return [row for batch in dataset for row in batch["draw_order"].to_list()]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
