import dataclasses
import time

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfrs_models import data

SPLITS = ("train", "validation", "test")


@pytest.fixture
def tiny(ratings, catalogue):
    return data.from_frame(
        ratings,
        item_frame=catalogue,
        title_column="title",
        year_column="year",
        bag_columns=("genres",),
        repeats="leave-out",
    )


def items_of(interactions, user, splits):
    return sorted(
        {
            int(item)
            for split in splits
            for of, item in zip(
                interactions.splits[split]["user_id"],
                interactions.splits[split]["item_id"],
                strict=True,
            )
            if of == user
        }
    )


@pytest.mark.parametrize(
    ("split", "earlier"),
    [
        ("train", ()),
        ("validation", ("train",)),
        ("test", ("train", "validation")),
        ("serving", SPLITS),
    ],
)
def test_known_items_are_those_of_the_splits_before(tiny, split, earlier):
    known = tiny.known_items(split)
    assert known.dtype == tf.int64
    assert known.shape[0] == tiny.num_users + 1
    expected = [items_of(tiny, user, earlier) for user in range(tiny.num_users + 1)]
    assert known.to_list() == expected
    assert known.to_list()[0] == []


def test_a_user_without_a_train_row_is_unknown_to_towers_and_has_a_past(ratings):
    late = ratings[:3].assign(user_id="fay", timestamp=10**7)
    first = ratings[:1].assign(user_id="zoe", timestamp=10**7 - 1)
    frame = pd.concat([ratings, late, first])
    both = 3 / len(frame)
    found = data.from_frame(
        frame, split="global_time", test_fraction=both, validation_fraction=both
    )
    # In validation before test, although the ids sort the other way.
    assert found.vocabularies["user_id"][found.num_train_users :].tolist() == [
        "zoe",
        "fay",
    ]
    zoe, fay = found.num_users - 1, found.num_users
    assert found.splits["test"]["user_id"].tolist() == [fay] * 3
    assert next(iter(found.batches("test", 9)))["user_id"].numpy().tolist() == [0] * 3
    assert found.summary.audit.cold_users == 1
    assert len(found.known_items("test").to_list()[zoe]) == 1
    assert found.known_items("test").to_list()[fay] == []
    assert len(set(found.known_items("serving").to_list()[fay])) == 3
    assert found.known_items("serving").to_list()[0] == []


@pytest.mark.parametrize("split", SPLITS)
def test_batches_join_each_row_with_its_user_and_item(tiny, split):
    columns = tiny.splits[split]
    row = 0
    for batch in tiny.batches(split, 3):
        known = batch.pop("known_items", None)
        assert (known is None) == (split == "train")
        for i in range(len(batch["user_id"])):
            user, item = columns["user_id"][row], columns["item_id"][row]
            for name in ("user_id", "item_id", "rating", "timestamp"):
                assert batch[name][i] == columns[name][row]
            for name, column in tiny.items.items():
                np.testing.assert_array_equal(batch[name][i], column[item])
            assert batch["candidate_sampling_probability"][i] > 0
            if known is not None:
                expected = items_of(tiny, user, SPLITS[: SPLITS.index(split)])
                assert known[i].numpy().tolist() == expected
            row += 1
    assert row == len(columns["user_id"])


def test_probabilities_of_train_rows_are_their_shares(tiny):
    items = tiny.splits["train"]["item_id"]
    (batch,) = tiny.batches("train", 1000)
    shares = [np.mean(items == item) for item in items]
    np.testing.assert_allclose(batch["candidate_sampling_probability"], shares)
    np.testing.assert_allclose(tiny.candidate_probabilities.sum(), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("split", "earlier"),
    [("validation", SPLITS[:1]), ("test", SPLITS[:2]), ("serving", SPLITS)],
)
def test_popularity_counts_the_rows_before_a_split(tiny, split, earlier):
    counts = np.zeros(tiny.num_items + 1)
    for name in earlier:
        for item in tiny.splits[name]["item_id"]:
            counts[item] += 1
    np.testing.assert_allclose(tiny.popularity(split), counts / counts.sum(), rtol=1e-6)


def test_no_item_is_popular_before_the_first_row(tiny):
    with pytest.raises(ValueError, match="at least one row"):
        tiny.popularity("train")


def test_known_items_in_train_are_all_train_items_of_the_user(tiny):
    (batch,) = tiny.batches("train", 1000, known_items=True)
    expected = [items_of(tiny, user, ["train"]) for user in batch["user_id"].numpy()]
    assert batch["known_items"].to_list() == expected


def test_known_items_can_be_left_out(tiny):
    assert "known_items" not in tiny.batches("test", 2, known_items=False).element_spec


@pytest.mark.parametrize("split", SPLITS)
def test_the_rows_one_by_one_are_the_rows_of_the_batches(tiny, split):
    rows = list(getattr(tiny, split).as_numpy_iterator())
    found = [(row["user_id"], row["item_id"], row["year"]) for row in rows]
    columns = tiny.splits[split]
    years = tiny.items["year"][columns["item_id"]]
    assert found == list(
        zip(columns["user_id"], columns["item_id"], years, strict=True)
    )


def test_candidates_are_the_catalogue_without_the_unknown_item(tiny):
    rows = list(tiny.candidates.as_numpy_iterator())
    assert tiny.candidates.options().autotune.enabled is False
    batches = list(tiny.candidate_batches(3).as_numpy_iterator())
    assert [len(batch["item_id"]) for batch in batches] == [3, 3, 3, 1]
    for name, column in tiny.items.items():
        np.testing.assert_array_equal([row[name] for row in rows], column[1:])
        joined = np.concatenate([batch[name] for batch in batches])
        np.testing.assert_array_equal(joined, column[1:])


def test_a_shuffled_epoch_has_the_same_rows(tiny):
    def rows(shuffle):
        (batch,) = tiny.batches("train", 1000, shuffle=shuffle, seed=1)
        return list(
            zip(
                batch["user_id"].numpy(),
                batch["item_id"].numpy(),
                batch["timestamp"].numpy(),
                strict=True,
            )
        )

    assert rows(True) != rows(False)
    assert sorted(rows(True)) == sorted(rows(False))


def test_a_seed_repeats_its_order_and_another_has_another(tiny):
    orders = [
        [row["item_id"] for row in tiny.batches("train", 4, shuffle=True, seed=seed)]
        for seed in (1, 1, 2)
    ]
    orders = [np.concatenate(order).tolist() for order in orders]
    assert orders[0] == orders[1] != orders[2]


def test_a_shorter_last_batch_can_be_dropped(tiny):
    num_rows = len(tiny.splits["train"]["user_id"])
    size = next(size for size in range(2, num_rows) if num_rows % size)
    whole = tiny.batches("train", size, drop_remainder=True)
    assert [len(batch["user_id"]) for batch in whole] == [size] * (num_rows // size)
    assert whole.element_spec["user_id"].shape == [size]
    assert len(tiny.batches("train", size)) == len(whole) + 1


def test_a_batch_can_be_taken_inside_a_graph(tiny):
    @tf.function
    def longest():
        return tf.reduce_max(tiny.known_items("test").row_lengths())

    expected = int(longest())
    assert expected == max(map(len, tiny.known_items("test").to_list()))


@pytest.mark.parametrize("method", ["batches", "known_items", "popularity"])
def test_an_unknown_split_is_refused(tiny, method):
    arguments = ("dev", 3) if method == "batches" else ("dev",)
    with pytest.raises(ValueError, match=r"`split` must be one of \('train', .*'dev'"):
        getattr(tiny, method)(*arguments)


def test_an_epoch_of_the_default_data_takes_a_fraction_of_a_second(latest_small):
    dataset = latest_small.batches("train", 2048, shuffle=True, seed=1)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        rows = sum(len(batch["user_id"]) for batch in dataset)
        seconds.append(time.perf_counter() - start)
    assert rows == len(latest_small.splits["train"]["user_id"])
    # Row by row it takes several seconds; this way 0.1.
    assert min(seconds) < 1


def test_other_rows_have_other_known_items(tiny):
    before = tiny.known_items("test").to_list()
    empty = {name: column[:0] for name, column in tiny.splits["validation"].items()}
    changed = dataclasses.replace(tiny, splits=tiny.splits | {"validation": empty})
    expected = changed.known_items("validation").to_list()
    assert changed.known_items("test").to_list() == expected != before
    assert tiny.known_items("test").to_list() == before


def test_batches_of_some_rows_are_those_rows_with_all_that_their_users_have(tiny):
    rows = np.array([3, 0])
    found = next(iter(tiny.batches("train", 9, rows=rows, known_items=True)))
    train = tiny.splits["train"]
    for name in ("user_id", "item_id"):
        np.testing.assert_array_equal(found[name], train[name][rows])
    everything = tiny.known_items("validation").to_list()
    assert found["known_items"].to_list() == [
        everything[user] for user in train["user_id"][rows]
    ]
