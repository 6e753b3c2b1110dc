import dataclasses

import numpy as np
import pytest


def sample_rows(data, task, split):
    columns = data.samples[task][split]
    return [
        {name: column[row] for name, column in columns.items()}
        for row in range(len(columns["user_id"]))
    ]


def latest(histories, user, count, length):
    own = slice(*histories.row_splits[user : user + 2])
    ids, times = histories.ids[own][:count], histories.times[own][:count]
    padding = [0] * (length - min(count, length))
    return [*ids[-length:], *padding], [*times[-length:], *padding]


@pytest.mark.parametrize("task", ["recommendation", "search"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_batches_join_each_sample_with_the_latest_of_what_came_before(
    data, task, split
):
    batches = data.batches(
        task, split, 64, item_history_length=7, session_history_length=4
    )
    rows = iter(sample_rows(data, task, split))
    for batch in batches.as_numpy_iterator():
        for place, sample in zip(range(len(batch["user_id"])), rows, strict=False):
            found = {name: column[place] for name, column in batch.items()}
            user = sample["user_id"]
            items, times = latest(data.item_histories, user, sample["num_items"], 7)
            np.testing.assert_array_equal(found["item_history"], items)
            np.testing.assert_array_equal(found["item_history_time"], times)
            sessions, times = latest(
                data.session_histories, user, sample["num_sessions"], 4
            )
            np.testing.assert_array_equal(found["session_time"], times)
            for name, table in [("query", "keyword"), ("items", "pos_items")]:
                np.testing.assert_array_equal(
                    found[f"session_{name}"], data.sessions[table][sessions]
                )
            np.testing.assert_array_equal(
                found["item_id"], [sample["item_id"], *sample["negatives"]]
            )
            assert ("query" in found) == (task == "search")
            if task == "search":
                np.testing.assert_array_equal(found["query"], sample["query"])
    assert next(rows, None) is None


def test_an_epoch_shows_every_recommendation_once_and_searches_go_round(data):
    batches = data.training_batches(64, num_random=16, seed=1)
    epochs = [[*batches.as_numpy_iterator()] for _ in range(2)]
    sizes = {t: len(data.samples[t]["train"]["user_id"]) for t in data.samples}
    for epoch in epochs:
        shown = np.concatenate([b["recommendation"]["item_id"] for b in epoch])
        positives = data.samples["recommendation"]["train"]["item_id"]
        np.testing.assert_array_equal(np.sort(shown[:, 0]), np.sort(positives))
        searched = sum(len(b["search"]["user_id"]) for b in epoch)
        assert sizes["search"] <= searched < sizes["search"] + 2 * len(epoch)
    assert len(epochs[0]) == len(batches) == -(-sizes["recommendation"] // 64)
    first, second = (epoch[0]["recommendation"]["user_id"] for epoch in epochs)
    assert (first != second).any()
    again = next(data.training_batches(64, num_random=16, seed=1).as_numpy_iterator())
    for part, columns in again.items():
        for name, column in columns.items():
            np.testing.assert_array_equal(column, epochs[0][0][part][name])
    other = next(data.training_batches(64, num_random=16, seed=2).as_numpy_iterator())
    for part, columns in other.items():  # each stream takes the seed
        assert (columns["item_id"] != epochs[0][0][part]["item_id"]).any()


def test_a_seed_repeats_its_order_and_another_has_another(data):
    orders = [
        [
            row
            for batch in data.batches("search", "train", 64, shuffle=True, seed=seed)
            for row in batch["item_id"].numpy().tolist()
        ]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_an_evaluation_has_all_samples_of_both_services_and_no_padding(data):
    one = {name: column[:1] for name, column in data.samples["search"]["test"].items()}
    samples = {**data.samples, "search": {**data.samples["search"], "test": one}}
    data = dataclasses.replace(data, samples=samples)  # search ends first
    lengths = {"item_history_length": 3, "session_history_length": 2}
    batches = list(data.evaluation_batches("test", 3, **lengths).as_numpy_iterator())
    for service, splits in data.samples.items():
        found = np.concatenate([batch[service]["item_id"] for batch in batches])
        np.testing.assert_array_equal(found[:, 0], splits["test"]["item_id"])
        assert {b[service]["item_history"].shape[1] for b in batches} == {3}
        assert {b[service]["session_time"].shape[1] for b in batches} == {2}
    assert len(batches) == 2
    assert [len(batch["search"]["user_id"]) for batch in batches] == [1, 0]


def test_random_items_and_queries_are_uniform_over_what_there_is(data):
    batches = data.training_batches(8, num_random=3000, seed=2).as_numpy_iterator()
    draws = [batch["random"] for batch in batches]
    items = np.concatenate([draw["item_id"] for draw in draws])
    assert set(items) == set(range(1, data.num_items + 1))
    counts = np.bincount(items)[1:]
    expected = counts.mean()
    assert np.mean((counts - expected) ** 2) < 1.3 * expected  # as Poisson's
    queries = {tuple(row) for draw in draws for row in draw["query"]}
    assert queries == {tuple(row) for row in data.queries}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: data.batches("ads", "train", 4), "`service` must be one of"),
        (lambda data: data.batches("search", "val", 4), "`split` must be one of"),
        (lambda data: data.batches("search", "test", 0), "`batch_size` must be"),
        (lambda data: data.training_batches(0), "`batch_size` must be"),
        (lambda data: data.training_batches(4, num_random=0), "`num_random` must be"),
        (
            lambda data: data.batches("search", "test", 4, item_history_length=0),
            "`item_history_length` must be",
        ),
    ],
)
def test_wrong_arguments_are_named(data, call, message):
    with pytest.raises(ValueError, match=message):
        call(data)


def test_data_without_a_single_query_cannot_be_trained_on(data):
    silent = dataclasses.replace(data, queries=data.queries[:0])
    with pytest.raises(ValueError, match="`queries` must have a query to draw"):
        silent.training_batches(4)


def test_a_split_without_samples_is_refused(data):
    empty = {k: v[:0] for k, v in data.samples["search"]["test"].items()}
    samples = {**data.samples, "search": {**data.samples["search"], "test": empty}}
    without = type(data)(
        **{
            name: samples if name == "samples" else getattr(data, name)
            for name in data.__dataclass_fields__
        }
    )
    with pytest.raises(ValueError, match="`split` must have samples. Got 'test'"):
        without.batches("search", "test", 4)
