"""Pickles of UniSAR's layout and records: what goes in comes out, and nothing else."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfrs_models.data import kuaisar
from tfrs_models.data.kuaisar.words import parse_words

OLD_PANDAS = Path(__file__).parents[2] / "golden" / "rec_test_pandas_1_5.pkl"


def assert_same(found, expected):
    for name in ("users", "items", "sessions"):
        assert_same_columns(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.queries, expected.queries)
    for name in ("item_histories", "session_histories"):
        for pair in zip(getattr(found, name), getattr(expected, name), strict=True):
            np.testing.assert_array_equal(*pair)
    for task, splits in expected.samples.items():
        for split, columns in splits.items():
            assert_same_columns(found.samples[task][split], columns)


def assert_same_columns(found, expected):
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        assert found[name].dtype == column.dtype, name
        np.testing.assert_array_equal(found[name], column)


@pytest.fixture
def pickles(data, tmp_path):
    kuaisar.write_pickles(data, tmp_path)
    return tmp_path


def change(path, edit):
    """Applies `edit` to the value in a pickle; what it returns replaces the value."""
    value = pickle.loads(path.read_bytes())
    edited = edit(value)
    path.write_bytes(pickle.dumps(value if edited is None else edited))


def shorten(value, *place):
    value.pop(*place)


def test_the_eleven_pickles_hold_the_data(data, pickles):
    files = sorted(str(path.relative_to(pickles)) for path in pickles.rglob("*.pkl"))
    assert len(files) == 11
    assert_same(kuaisar.load(pickles), data)


def test_the_written_histories_are_the_three_of_the_layout(data, pickles):
    users = pickle.loads((pickles / "vocab/user_vocab.pkl").read_bytes())
    for user, row in users.items():
        own = slice(*data.session_histories.row_splits[user : user + 2])
        searched, times, queries = [], [], []
        for session, time in zip(
            data.session_histories.ids[own],
            data.session_histories.times[own],
            strict=True,
        ):
            clicked = [i for i in data.sessions["pos_items"][session] if i] or [0]
            searched += clicked
            times += [time] * len(clicked)
            queries += [[w for w in data.sessions["keyword"][session] if w]] * len(
                clicked
            )
        assert (row["src_his"], row["src_his_ts"]) == (searched, times)
        assert row["src_his_query"] == queries
        both = [
            (t, 0, i) for t, i in zip(row["rec_his_ts"], row["rec_his"], strict=True)
        ]
        both += [(t, 1, i) for t, i in zip(times, searched, strict=True)]
        both.sort(key=lambda event: event[:2])
        assert row["all_his"] == [event[2] for event in both]
        assert row["all_his_ts"] == sorted(row["all_his_ts"])
    frame = pickle.loads((pickles / "dataset/src_test.pkl").read_bytes())
    for row in frame.itertuples():
        clicks = [
            max(1, np.count_nonzero(data.sessions["pos_items"][session]))
            for session in users[row.user_id]["src_session_his"][: row.src_session_his]
        ]
        assert row.src_his == sum(clicks)
        assert row.all_his == row.rec_his + row.src_his


def test_words_may_be_lists_their_text_or_a_number(data, pickles):
    def as_published(frame):
        kinds = [str, list, lambda words: words[0] if len(words) == 1 else words]
        frame["keyword"] = [
            kinds[row % 3](words) for row, words in enumerate(frame["keyword"])
        ]
        frame["neg_items"] = frame["neg_items"].map(str)

    change(pickles / "dataset/src_train.pkl", as_published)
    change(pickles / "vocab/query_vocab.pkl", lambda q: [*map(str, q[:-1]), q[-1], []])
    assert_same(kuaisar.load(pickles), data)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([3, 1], [3, 1]),
        ("[3, 1]", [3, 1]),
        ("(3, 1)", [3, 1]),
        (np.array([3, 1]), [3, 1]),
        (7, [7]),
        ("7", [7]),
        (7.0, [7]),
        ("", []),
        (None, []),
        (np.nan, []),
        ([], []),
    ],
)
def test_words_of_every_form_are_read(value, words):
    assert parse_words(value) == words


@pytest.mark.parametrize(
    "value", ["__import__('os').system('x')", "{3: 1}", "[[3]]", [1.5], ["a"], -1, "["]
)
def test_words_that_are_none_are_refused(value):
    with pytest.raises(ValueError, match="Words must be a list of whole numbers"):
        parse_words(value)


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


def test_a_frame_pickled_by_an_old_pandas_is_read(pickles):
    frame = pickle.loads((pickles / "dataset/rec_test.pkl").read_bytes())
    (pickles / "dataset/rec_test.pkl").write_bytes(OLD_PANDAS.read_bytes())
    columns = kuaisar.load(pickles).samples["recommendation"]["test"]
    np.testing.assert_array_equal(columns["user_id"], frame["user_id"][:6])
    np.testing.assert_array_equal(columns["negatives"], [*frame["neg_items"][:6]])


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
        ("vocab/query_vocab.pkl", lambda _: {}, "must hold a list"),
        (
            "vocab/src_session_vocab_np.pkl",
            lambda tables: {"keyword": tables["keyword"]},
            r"src_session_vocab_np.pkl must have \['pos_items'\]",
        ),
        ("vocab/user_vocab_np.pkl", lambda _: {}, "must have a column. Got"),
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


def test_records_hold_the_data_and_tfds_loads_them(data, tmp_path):
    kuaisar.write_records(data, tmp_path, shard_rows=10)
    found = kuaisar.load(tmp_path)
    assert_same(found, data)
    assert found.manifest == data.manifest
    builder = tfds.builder_from_directory(tmp_path / "search" / "1.0.0")
    columns = data.samples["search"]["train"]
    size = len(columns["user_id"])
    assert builder.info.splits["train"].num_examples == size
    assert builder.info.splits["train"].num_shards == -(-size // 10) > 1
    rows = builder.as_dataset(
        split="train", read_config=tfds.ReadConfig(interleave_cycle_length=1)
    )
    for row, example in zip(range(3), rows, strict=False):
        assert example.keys() == columns.keys()
        for name, value in example.items():
            np.testing.assert_array_equal(value, columns[name][row])


def test_records_are_not_written_over_something(data, tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ValueError, match="`directory` must be empty"):
        kuaisar.write_records(data, tmp_path)


def test_raw_files_are_converted_and_other_directories_refused(raw_directory, tmp_path):
    options = kuaisar.Options(k_core=1, split="leave_last_out")
    assert kuaisar.load(raw_directory, options).manifest["options"]["k_core"] == 1
    with pytest.raises(FileNotFoundError, match=r"must have rec_inter.csv \(raw\)"):
        kuaisar.load(tmp_path)
    with pytest.raises(ValueError, match="`options` are for raw files"):
        kuaisar.load(tmp_path, options)
