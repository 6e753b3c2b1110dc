"""Rows whose user had the item before: counts, the rule, and what it forbids."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfrs_models import data
from tfrs_models.metrics import rank_scores, rank_table

USERS, ITEMS, HAD = 100, 40, 3


def log(num_repeats, *, rows=4, of=USERS, seed=5):
    """A log in which `num_repeats` of the test rows are items that the user had.

    All other rows are new to the user. Every third of the new test rows is item 0, and
    no other row is, so that item 0 is the honest answer to them.
    """
    rng = np.random.default_rng(seed)
    rows_of = []
    for user in range(of):
        items = 1 + rng.permutation(ITEMS - 1)[:rows]
        if user < num_repeats:
            items[-1] = items[rng.integers(HAD - 1)]  # not of validation
        elif user % 3:
            items[-1] = 0
        rows_of += [(user, item, time) for time, item in enumerate(items)]
    frame = pd.DataFrame(rows_of, columns=["user_id", "item_id", "timestamp"])
    # Another user makes item 0 a train item.
    more = pd.DataFrame([(of, i, i) for i in (0, 1, 2, 3)], columns=frame.columns)
    return pd.concat([frame, more])


def read(num_repeats, **options):
    return data.from_frame(log(num_repeats), split="leave_last_out", **options)


def test_the_rows_that_repeat_are_those_of_a_loop():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(6, size=120),
            "item_id": rng.integers(15, size=120),
            "timestamp": rng.integers(50, size=120),
        }
    )
    for split in ("random", "global_time", "per_user_time"):
        read = data.from_frame(frame, split=split, validation_fraction=0.2)
        had = set()
        for name, rows in read.splits.items():
            pairs = list(zip(rows["user_id"], rows["item_id"], strict=True))
            expected = [pair in had and pair[0] > 0 for pair in pairs]
            assert data.repeated_rows(read, name).tolist() == expected
            assert data.repeat_share(read, name) == pytest.approx(np.mean(expected))
            had |= set(pairs)


def test_rows_of_unknown_users_do_not_repeat_and_no_row_has_no_share():
    read_ = read(0, validation_fraction=0.1)
    columns = {"user_id": np.zeros(2, int), "item_id": np.array([1, 1])}
    splits = read_.splits | {"validation": columns, "test": columns}
    unknown = dataclasses.replace(read_, splits=splits)
    assert not data.repeated_rows(unknown, "test").any()
    empty = {name: column[:0] for name, column in columns.items()}
    none = dataclasses.replace(unknown, splits=splits | {"test": empty})
    assert data.repeat_share(none, "test") == 0
    assert data.with_repeats(none).repeats == "leave-out"
    with pytest.raises(ValueError, match="`split` must be one of .*Got 'serving'"):
        data.repeated_rows(read_, "serving")


@pytest.mark.parametrize(
    ("num_repeats", "requested", "rule", "words"),
    [
        (5, "auto", "leave-out", "not more than 5% of a split: known items are excl"),
        (6, "auto", "allow", "more than 5% of a split: recommending again is part"),
        (6, "leave-out", "leave-out", "as requested: known items are excluded"),
        (0, "allow", "allow", "as requested: recommending again is part of the task"),
    ],
)
def test_more_than_a_twentieth_of_repeats_makes_them_part_of_the_task(
    num_repeats, requested, rule, words
):
    read_ = read(num_repeats, repeats=requested)
    test = len(read_.splits["test"]["user_id"])
    assert (read_.repeats, test) == (rule, USERS + 1)
    assert words in str(read_.summary.repeats)
    assert f"{num_repeats} of 101 test rows" in str(read_.summary.repeats)
    text = " ".join(str(read_).split())
    assert f"again {read_.summary.repeats}" in text


def test_another_rule_is_refused():
    with pytest.raises(ValueError, match=r"`repeats` must be one of .*Got 'never'"):
        read(0, repeats="never")


def test_exclusions_and_batches_follow_the_rule_and_known_items_do_not():
    leave_out, allow = (read(10, repeats=rule) for rule in ("leave-out", "allow"))
    for split in ("validation", "test", "serving"):
        known = leave_out.known_items(split).to_list()
        assert sum(map(len, known)) >= 2 * USERS
        assert leave_out.exclusions(split).to_list() == known
        assert allow.known_items(split).to_list() == known
        assert allow.exclusions(split).to_list() == [[]] * len(known)
    for read_ in (leave_out, allow):
        (batch,) = read_.batches("test", 1000)
        expected = tf.gather(read_.exclusions("test"), batch["user_id"])
        assert batch["known_items"].to_list() == expected.to_list()
        (batch,) = read_.batches("test", 1000, known_items=True)
        known = tf.gather(read_.known_items("test"), batch["user_id"])
        assert batch["known_items"].to_list() == known.to_list()
        assert "known_items" not in read_.batches("train", 10).element_spec


def scorers(read_):
    """A scorer that says 'the user had it' and nothing else, and an honest one."""
    had = np.zeros((read_.num_users + 1, read_.num_items), "float32")
    known = read_.known_items("test")
    had[known.value_rowids().numpy(), known.values.numpy() - 1] = 1
    # The honest one knows what new rows are about, and puts it above all others.
    honest = np.zeros_like(had)
    honest[:, np.flatnonzero(read_.vocabularies["item_id"] == "0")] = 1
    return had, honest


def values(scores, read_):
    """NDCG@10 of the test rows by the data's rule, by both ways to rank."""
    by_scores = rank_scores(
        lambda users, _: scores[users],
        read_.splits["test"],
        exclusions=read_.exclusions("test"),
    )
    one_hot = np.eye(read_.num_items, dtype="float32")
    ids = np.arange(1, read_.num_items + 1)
    by_table = rank_table(
        lambda rows: tf.gather(scores, rows["user_id"]),
        tf.data.Dataset.from_tensors((ids, one_hot)),
        read_.batches("test", 64),
    )
    for name in ("above", "tied", "num_candidates", "found", "hidden"):
        np.testing.assert_array_equal(getattr(by_scores, name), getattr(by_table, name))
    return by_table


def test_a_scorer_that_knows_what_the_user_had_and_nothing_else_gains_nothing():
    read_ = read(52, repeats="leave-out")
    had, honest = scorers(read_)
    by_had, by_honest = values(had, read_), values(honest, read_)
    repeats = data.repeated_rows(read_, "test")
    assert repeats.sum() == 52
    for table in (by_had, by_honest):
        np.testing.assert_array_equal(table.hidden, repeats)
        assert not table.values("ndcg_at_10")[repeats].any()
    kept = by_had.take(~by_had.hidden)
    assert len(kept) == 49
    # Without the hidden rows it scores all candidates alike, as chance does.
    np.testing.assert_allclose(
        kept.values("ndcg_at_10"), kept.chance().values("ndcg_at_10")
    )
    gain = by_honest.values("ndcg_at_10") - by_had.values("ndcg_at_10")
    assert gain.mean() > 0.2


def test_where_repeats_are_allowed_nothing_is_hidden_and_they_compete():
    read_ = read(52)
    assert read_.repeats == "allow"
    had, _ = scorers(read_)
    table = values(had, read_)
    assert table.found.all()
    assert not table.hidden.any()
    repeats = data.repeated_rows(read_, "test")
    # One of the three items that the user had, all of which score alike.
    assert (table.tied[repeats] == HAD - 1).all()
    np.testing.assert_allclose(
        table.values("hit_rate_at_1")[repeats], 1 / HAD, rtol=1e-6
    )


def test_a_user_with_repeats_only_and_a_k_above_the_new_items():
    frame = pd.DataFrame({"user_id": list("aaaaabbb"), "item_id": list("pqppqppq")})
    read_ = data.from_frame(
        frame.assign(timestamp=range(8)), split="leave_last_out", repeats="leave-out"
    )
    had, honest = scorers(read_)
    table = values(honest, read_)
    assert table.hidden.tolist() == [True, False]
    assert table.values("hit_rate_at_50").tolist() == [0, 1]  # one item is left
    assert table.num_candidates.tolist() == [0, 0]
    assert len(values(had, read_).take(~table.hidden)) == 1
