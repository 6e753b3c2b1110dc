"""Pickles that are wrong: what, in which file, column and row."""

import os

import numpy as np
import pandas as pd
import pytest

from tests.data.kuaisar.pickle_files import change
from tfrs_models.data import kuaisar


def with_value(frame, name, value):
    values = frame[name].tolist()
    values[1] = value
    return frame.assign(**{name: pd.Series(values, frame.index, dtype=object)})


def shorten(value, *place):
    value.pop(*place)


class Trap:
    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(pickles):
    trap = pickles / "sprung"
    change(pickles / "vocab/user_vocab.pkl", lambda users: users | {0: Trap(trap)})
    with pytest.raises(ValueError, match=r"user_vocab.pkl: posix.mkdir is forbidden"):
        kuaisar.load(pickles)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        (
            "dataset/rec_val.pkl",
            lambda frame: frame.drop(columns="src_session_his"),
            r"rec_val.pkl must have the columns \['src_session_his'\]",
        ),
        (
            "dataset/rec_train.pkl",
            lambda frame: frame.assign(user_id=frame["user_id"] + 1000),
            "`user_id` of dataset/rec_train.pkl must be in user_vocab.pkl. Got 10",
        ),
        (
            "dataset/src_train.pkl",
            lambda frame: frame.assign(item_id=999),
            r"samples\['search'\]\['train'\]\['item_id'\]` must be from 1 to 2... "
            "Got 999 in row 0",
        ),
        (
            "dataset/src_train.pkl",
            lambda frame: frame.assign(rec_his=999),
            r"\['num_items'\]` must be from 0 to the length of the user's history",
        ),
        (
            "dataset/rec_test.pkl",
            lambda frame: shorten(frame["neg_items"].iloc[1]),
            r"`neg_items` of dataset/rec_test.pkl must be of one length",
        ),
        (
            "vocab/user_vocab.pkl",
            lambda users: users[4]["rec_his_ts"].reverse(),
            "`item_histories` must be in the order of time. User 4's go back at",
        ),
        (
            "vocab/user_vocab.pkl",
            lambda users: users[5]["src_session_his"].append(999),
            "'src_session_his' and 'src_session_his_ts' must be of one length. User 5",
        ),
        (
            "vocab/user_vocab.pkl",
            lambda users: shorten(users[5], "rec_his"),
            "must have 'rec_his' of every user. User 5 has",
        ),
        (
            "vocab/src_session_vocab_np.pkl",
            lambda tables: tables["pos_items"].__setitem__((3, 1), 999),
            r"`sessions\['pos_items'\]` must be from 0 to 2... Got 999 in row 3",
        ),
        (
            "vocab/item_vocab_np.pkl",
            lambda tables: tables["caption"].__setitem__((0, 0), 1),
            r"Row 0 of `items\['caption'\]` is padding",
        ),
        (
            "vocab/user_vocab.pkl",
            lambda users: users | {3: 7},
            "user_vocab.pkl must have a dict of every user. User 3 has 7",
        ),
        (
            "dataset/rec_train.pkl",
            lambda frame: frame.assign(timestamp=frame["timestamp"] - 10**10),
            r"\['num_items'\]` must count what came before the sample. Got",
        ),
        (
            "dataset/rec_test.pkl",
            lambda frame: with_value(
                frame, "neg_items", [int(frame["item_id"].iloc[1])] * 99
            ),
            r"\['negatives'\]` must be other items than the clicked one. Got",
        ),
        ("vocab/query_vocab.pkl", lambda _: {}, "must hold a list"),
        (
            "vocab/src_session_vocab_np.pkl",
            lambda tables: {"keyword": tables["keyword"]},
            r"src_session_vocab_np.pkl must have \['pos_items'\]",
        ),
        ("vocab/user_vocab_np.pkl", lambda _: {}, "must have a column. Got"),
        *(
            (
                "dataset/rec_train.pkl",
                lambda frame, name=name, value=value: with_value(frame, name, value),
                f"`{name}` of dataset/rec_train.pkl.* row 1",
            )
            for name, value in [
                ("item_id", 3.7),
                ("item_id", None),
                ("rec_his", 1.9),
                ("timestamp", np.nan),
                ("timestamp", "x"),
                ("timestamp", 1.7e15),  # microseconds
                ("neg_items", [10**30, 1, 2, 3]),
                ("neg_items", "[[1], [2, 3]]"),
            ]
        ),
        *(
            (
                "vocab/user_vocab.pkl",
                lambda users, value=value: users[4]["rec_his"].__setitem__(2, value),
                "`rec_his` of user 4 in vocab/user_vocab.pkl .* Got .* in row 2",
            )
            for value in [3.7, "3", None, 2**64]
        ),
        (
            "vocab/user_vocab.pkl",
            lambda users: users[4]["rec_his_ts"].__setitem__(2, np.nan),
            "`rec_his_ts` of user 4 in vocab/user_vocab.pkl .* Got nan in row 2",
        ),
        (
            "vocab/user_vocab.pkl",
            lambda users: users[4].__setitem__("rec_his", None),
            r"`rec_his` of user 4 in vocab/user_vocab.pkl must be of rank 1. Got \(\)",
        ),
        (
            "vocab/src_session_vocab_np.pkl",
            lambda tables: tables["pos_items"].__setitem__((3, 0), 2**32 + 3),
            "`pos_items` of vocab/src_session_vocab_np.pkl .* Got 4294967299 in row 3",
        ),
        *(
            (
                f"vocab/{file}",
                lambda tables, name=name: tables | {name: tables[name][:, 0]},
                f"`{name}` of vocab/{file} must be of rank 2",
            )
            for file, name in [
                ("src_session_vocab_np.pkl", "pos_items"),
                ("src_session_vocab_np.pkl", "keyword"),
                ("item_vocab_np.pkl", "caption"),
            ]
        ),
        (
            "vocab/item_vocab_np.pkl",
            lambda tables: tables | {"first_level_category_id": 3},
            "`first_level_category_id` of vocab/item_vocab_np.pkl must be of rank 1",
        ),
        (
            "vocab/user_vocab_np.pkl",
            lambda tables: tables["onehot_feat1"].__setitem__(5, -3),
            "`onehot_feat1` of vocab/user_vocab_np.pkl must .* from 0 .* -3 in row 5",
        ),
        (
            "dataset/src_train.pkl",
            lambda frame: with_value(frame, "keyword", [2**32 + 5]),
            "`keyword` of dataset/src_train.pkl, row 1: Words must be",
        ),
        (
            "vocab/query_vocab.pkl",
            lambda queries: queries.__setitem__(2, "exec('x')"),
            "vocab/query_vocab.pkl, row 2: Words must be",
        ),
    ],
)
def test_wrong_pickles_say_what_is_wrong_and_where(pickles, file, edit, message):
    change(pickles / file, edit)
    with pytest.raises(ValueError, match=message):
        kuaisar.load(pickles)


def test_a_missing_pickle_is_named(pickles):
    (pickles / "dataset/src_val.pkl").unlink()
    with pytest.raises(FileNotFoundError, match=r"must have dataset/src_val.pkl"):
        kuaisar.load(pickles)


def test_a_file_that_is_no_pickle_is_named(pickles):
    (pickles / "vocab/query_vocab.pkl").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"Cannot read .*query_vocab.pkl"):
        kuaisar.load(pickles)
