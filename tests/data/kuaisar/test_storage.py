"""Pickles of UniSAR's layout and records: what goes in comes out, and nothing else."""

import dataclasses
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data.kuaisar.pickle_files import change
from tfrs_models.data import kuaisar
from tfrs_models.models import UniSAR

OLD_PANDAS = Path(__file__).parents[2] / "golden" / "rec_test_pandas_1_5.pkl"


@pytest.fixture(scope="module")
def records(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "records"
    kuaisar.write_records(data, folder, shard_rows=10)
    return folder


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


def test_a_frame_pickled_by_an_old_pandas_is_read(pickles):
    (pickles / "dataset/rec_test.pkl").write_bytes(OLD_PANDAS.read_bytes())
    columns = kuaisar.load(pickles).samples["recommendation"]["test"]
    assert columns["user_id"].tolist() == [0, 5, 9, 10, 12, 33]
    assert columns["item_id"].tolist() == [95, 63, 17, 62, 135, 59]
    assert columns["num_items"].tolist() == [6] * 6
    assert columns["negatives"].shape == (6, 99)
    assert columns["negatives"][0, :5].tolist() == [143, 109, 90, 29, 151]


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


def test_data_without_attributes_is_kept_and_makes_a_model_without(data, tmp_path):
    bare = dataclasses.replace(data, users={}, items={})
    kuaisar.write_pickles(bare, tmp_path / "pickles")
    kuaisar.write_records(bare, tmp_path / "records")
    sizes = {"num_users": data.num_users, "num_items": data.num_items}
    sizes |= {"num_words": bare.num_words, "embedding_dim": 4, "width": 8}
    expected = UniSAR(**sizes).count_params()
    for kind in ("pickles", "records"):
        found = kuaisar.load(tmp_path / kind)
        assert_same(found, bare)
        assert found.num_items == data.num_items
        model = UniSAR.from_attributes(items=found.items, users=found.users, **sizes)
        assert model.count_params() == expected


@pytest.mark.parametrize("splits", [("train", "validation", "test"), ("test",)])
def test_a_task_without_samples_comes_back_without(data, tmp_path, splits):
    """A log whose searches have no clicks, or whose searches end early."""
    search = {
        split: {n: v[:0] for n, v in columns.items()} if split in splits else columns
        for split, columns in data.samples["search"].items()
    }
    samples = {**data.samples, "search": search}
    without = dataclasses.replace(data, samples=samples)
    for kind in ("pickles", "records"):
        getattr(kuaisar, f"write_{kind}")(without, tmp_path / kind)
        found = kuaisar.load(tmp_path / kind)
        for split, columns in search.items():
            sizes = {len(v) for v in found.samples["search"][split].values()}
            assert sizes == {len(columns["user_id"])}
        assert_same_columns(
            found.samples["recommendation"]["test"],
            data.samples["recommendation"]["test"],
        )


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


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
@pytest.mark.parametrize(
    "pattern",
    [
        "manifest.json",
        "hashes.json",
        "users/*/users-train*-00000-*",
        "search/*/*train*",
        "items/*/features.json",
        "queries/*/dataset_info.json",
    ],
)
def test_a_damaged_file_of_records_is_named(records, tmp_path, pattern, damage):
    folder = shutil.copytree(records, tmp_path / "records")
    path = min(folder.glob(pattern))
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
        if path.name == "hashes.json":  # as those of earlier versions
            assert kuaisar.load(folder).num_users
            return
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 2
    contents = {"cut": whole[: len(whole) // 2], "flipped": flipped, "empty": b""}
    if damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises((ValueError, FileNotFoundError), match=path.name) as error:
        kuaisar.load(folder)
    assert "\n" not in str(error.value)


def test_records_that_are_not_finished_are_not_there(data, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        kuaisar.write_records(data, tmp_path / "records")
    monkeypatch.undo()
    assert not os.listdir(tmp_path)
    kuaisar.write_records(data, tmp_path / "records")
    assert kuaisar.load(tmp_path / "records").num_users == data.num_users
