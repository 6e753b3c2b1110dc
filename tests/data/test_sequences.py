import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from tfrs_models import data as tm_data
from tfrs_models.data.sequences import histories, training_windows


def make(split="per_user_time", rows=60, **options):
    """Interactions with repeats and tied times, in no order."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "user_id": rng.choice(["ann", "bob", "cy", "dee", "eve"], rows),
            "item_id": rng.choice(list("pqrstuvwx"), rows),
            "timestamp": rng.integers(1000, 1012, rows),
        }
    )
    return tm_data.from_frame(frame, split=split, **options)


def timeline(data):
    """All rows as (user, time, place in the table, item, split, row), by time."""
    rows = []
    for split in ("train", "validation", "test"):
        part = data.splits[split]
        for row, (user, item, time) in enumerate(
            zip(part["user_id"], part["item_id"], part["timestamp"], strict=True)
        ):
            place = part["tie_order"][row] if "tie_order" in part else len(rows)
            rows.append((user, time, place, item, split, row))
    return sorted(rows)


def padded(items, length):
    items = list(items)[-length:]
    return items + [0] * (length - len(items))


@pytest.mark.parametrize("length", [1, 4, 30])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("kind", ["per_user_time", "leave_last_out", "random"])
def test_a_history_is_what_the_user_had_before(kind, split, length):
    data = make(kind)
    found = histories(data, split, length)
    rows = timeline(data)
    for place, (user, _, _, _, part, row) in enumerate(rows):
        if part == split:
            before = [item for other, *_, item, _, _ in rows[:place] if other == user]
            assert found[row].tolist() == padded(before, length)
    assert found.dtype == np.int64
    assert found.shape == (len(data.splits[split]["user_id"]), length)


def test_no_change_of_a_later_row_changes_an_earlier_history():
    data = make()
    before = {s: histories(data, s, 6) for s in data.splits}
    rng = np.random.default_rng(0)
    for now in range(1000, 1013):
        splits = {}
        for name, columns in data.splits.items():
            later = columns["timestamp"] >= now
            item = columns["item_id"].copy()
            item[later] = rng.integers(1, data.num_items + 1, later.sum())
            time = columns["timestamp"].copy()
            time[later] = now + rng.permutation(later.sum())
            splits[name] = columns | {"item_id": item, "timestamp": time}
        altered = dataclasses.replace(data, splits=splits)
        for name, columns in data.splits.items():
            earlier = columns["timestamp"] < now
            np.testing.assert_array_equal(
                histories(altered, name, 6)[earlier], before[name][earlier]
            )


def test_equal_times_keep_the_order_of_a_table_that_is_the_truth():
    frame = pd.DataFrame({"item_id": list("abcdef"), "user_id": 1, "timestamp": 7})
    data = tm_data.from_frame(frame, split="leave_last_out", ties="file")
    names = data.vocabularies["item_id"]
    history = histories(data, "test", 9)[0]
    assert [names[i - 1] for i in history if i] == list("abcde")
    history = histories(data, "validation", 3)[0]
    assert [names[i - 1] for i in history if i] == list("bcd")


@pytest.mark.parametrize("split", ["train", "validation", "test", "serving"])
def test_the_table_holds_what_each_user_has_before_a_split(split):
    data = make()
    table = tm_data.history_table(data, split, 5)
    splits = ["train", "validation", "test"]
    before = splits if split == "serving" else splits[: splits.index(split)]
    for user in range(data.num_users + 1):
        items = [r[3] for r in timeline(data) if r[0] == user and r[4] in before]
        assert table[user].tolist() == padded(items if user else [], 5)


def test_the_unknown_user_has_no_history():
    """Different new users share the index 0: one must not get the other's items."""
    data = make("global_time", rows=25, validation_fraction=0.3, test_fraction=0.3)
    test = data.splits["test"]["user_id"]
    test[:] = 0  # as if nobody of them was in train
    assert not histories(data, "test", 5).any()
    assert not tm_data.history_table(data, "serving", 5)[0].any()


def test_batches_of_held_out_rows_carry_their_history():
    data = tm_data.with_histories(make(), 4)
    batch = next(iter(data.batches("test", 100)))
    np.testing.assert_array_equal(batch["history"], histories(data, "test", 4))
    times = histories(data, "test", 4, column="timestamp")
    np.testing.assert_array_equal(batch["history_timestamp"], times)
    assert {"known_items", "candidate_sampling_probability"} <= batch.keys()
    assert "history" not in data.batches("train", 4).element_spec


@pytest.mark.parametrize(("length", "stride"), [(4, None), (4, 1), (4, 3), (50, 7)])
def test_windows_have_every_item_but_the_first_as_a_target_once(length, stride):
    data = make(rows=90)
    windows = training_windows(data, length, stride=stride)
    sequences = {}
    for user, *_, item, split, _ in timeline(data):
        if split == "train":
            sequences.setdefault(user, []).append(item)
    found = {user: [] for user in sequences}
    for user, history, target in zip(
        windows.user_id, windows.history, windows.item_id, strict=True
    ):
        real = int((history > 0).sum())
        assert (history[:real] > 0).all()
        assert not history[real:].any()
        assert not target[real:].any()
        sequence = sequences[user]
        starts = [
            start
            for start in range(len(sequence))
            if sequence[start : start + real] == history[:real].tolist()
            and all(
                t in (0, n)
                for t, n in zip(
                    target[:real], sequence[start + 1 : start + real + 1], strict=False
                )
            )
        ]
        assert starts
        context = int((target[:real] == 0).sum())
        assert not target[:context].any()
        assert (target[context:real] > 0).all()
        if real == length and context:
            assert real - context <= (stride or length)
        found[user].append((context, target[context:real].tolist()))
    for user, sequence in sequences.items():
        parts = [targets for _, targets in reversed(found[user])]
        assert list(itertools.chain(*parts)) == sequence[1:]


def test_every_item_of_a_history_has_its_time():
    data = make(rows=90)
    time_of = {}  # by the items of a user up to a row: no other row has these
    before = {}
    for user, time, _, item, _, _ in timeline(data):
        before[user] = (*before.get(user, ()), item)
        time_of[user, before[user]] = time

    def times(user, items):
        return [time_of[user, items[: end + 1]] for end in range(len(items))]

    for split in ("train", "validation", "test"):
        rows = data.splits[split]
        items = histories(data, split, 30)
        found = histories(data, split, 30, column="timestamp")
        for user, history, stamps in zip(rows["user_id"], items, found, strict=True):
            real = tuple(history[history > 0])
            assert stamps.tolist() == padded(times(user, real), 30)
    table = tm_data.history_table(data, "serving", 30, column="timestamp")
    for user in range(1, data.num_users + 1):
        assert table[user].tolist() == padded(times(user, before[user]), 30)
    windows = training_windows(data, 30)
    for user, history, stamps in zip(*windows[:3], strict=True):
        real = tuple(history[history > 0])
        assert stamps.tolist() == padded(times(user, real), 30)


def test_windows_that_overlap_give_targets_a_past():
    frame = pd.DataFrame(
        {"user_id": 1, "item_id": np.arange(13), "timestamp": np.arange(13)}
    )
    data = tm_data.from_frame(frame, split="leave_last_out")
    names = np.concatenate([[-1], data.vocabularies["item_id"].astype(int)])
    _, history, _, target, *_ = training_windows(data, 4, stride=2)
    # items 0 to 10 are train; -1 is padding
    assert names[history].tolist() == [
        [6, 7, 8, 9],
        [4, 5, 6, 7],
        [2, 3, 4, 5],
        [0, 1, 2, 3],
    ]
    assert names[target].tolist() == [
        [-1, -1, 9, 10],
        [-1, -1, 7, 8],
        [-1, -1, 5, 6],
        [1, 2, 3, 4],
    ]


@pytest.mark.parametrize(("length", "stride"), [(4, 2), (50, 7)])
def test_every_target_of_a_window_has_its_own_time(length, stride):
    data = make(rows=90)
    train = {}  # (user, number of earlier rows) -> item and time
    for user, time, _, item, split, _ in timeline(data):
        if split == "train":
            train.setdefault(user, []).append((item, time))
    windows = training_windows(data, length, stride=stride)
    counts = dict.fromkeys(train, 0)  # targets from the newest back
    for row, user in enumerate(windows.user_id):
        for position in range(length)[::-1]:
            target, time = (
                windows.item_id[row, position],
                windows.timestamp[row, position],
            )
            if target == 0:
                assert time == 0
                continue
            counts[user] += 1
            assert train[user][-counts[user]] == (target, time)
    assert counts == {user: len(rows) - 1 for user, rows in train.items()}


def test_a_window_up_to_a_target_does_not_depend_on_later_rows():
    """Of the rows of a user, or of others, after the target, nothing reaches it."""
    data = make(rows=90)
    before = training_windows(data, 5, stride=2)
    rng = np.random.default_rng(0)
    for now in range(1000, 1013):
        train = data.splits["train"]
        later = train["timestamp"] > now
        item, time = train["item_id"].copy(), train["timestamp"].copy()
        item[later] = rng.integers(1, data.num_items + 1, later.sum())
        time[later] += 3
        changed = train | {"item_id": item, "timestamp": time}
        changed["timestamp_us"] = time * 10**6
        altered = dataclasses.replace(data, splits=data.splits | {"train": changed})
        after = training_windows(altered, 5, stride=2)
        for old, new in zip(
            zip(*before[:5], strict=True), zip(*after[:5], strict=True), strict=True
        ):
            targets = np.flatnonzero((old[3] > 0) & (old[4] <= now))
            if len(targets):
                until = targets[-1] + 1
                assert old[0] == new[0]
                for a, b in zip(old[1:], new[1:], strict=True):
                    np.testing.assert_array_equal(a[:until], b[:until])


def test_window_batches_have_what_the_task_needs():
    data = make()
    batches = tm_data.window_batches(data, 3, length=4, stride=2, seed=1)
    known = data.known_items("validation").to_list()
    rows = []
    for batch in batches:
        ids = batch["item_id"].numpy()
        np.testing.assert_allclose(
            batch["candidate_sampling_probability"].numpy()[ids > 0],
            data.candidate_probabilities[ids[ids > 0]],
        )
        assert (batch["candidate_sampling_probability"].numpy() > 0).all()
        assert ((batch["timestamp"].numpy() > 0) == (ids > 0)).all()
        for row, user in enumerate(batch["user_id"].numpy()):
            assert batch["known_items"][row].numpy().tolist() == known[user]
        rows += batch["history"].numpy().tolist()
    windows = training_windows(data, 4, stride=2)
    assert sorted(rows) == sorted(windows.history.tolist())
    again = [b["history"].numpy().tolist() for b in batches]
    assert list(itertools.chain(*again)) != rows  # another order
    orders = [
        [
            row
            for batch in tm_data.window_batches(data, 3, length=4, stride=2, seed=seed)
            for row in batch["history"].numpy().tolist()
        ]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: histories(d, "test", 0), "`length` must be at least 1"),
        (lambda d: histories(d, "serving", 3), "`split` must be one of"),
        (lambda d: tm_data.history_table(d, "dev", 3), "`split` must be one of"),
        (lambda d: tm_data.with_histories(d, -1), "`length` must be.*Got -1"),
        (
            lambda d: training_windows(d, 3, stride=4),
            "`stride` must be from 1 to `length`. Got 4",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(make())


def test_data_without_times_has_no_histories():
    frame = pd.DataFrame({"user_id": [1, 1, 2, 2] * 5, "item_id": np.arange(20)})
    data = tm_data.from_frame(frame, split="random")
    with pytest.raises(ValueError, match="`data` must have timestamps"):
        tm_data.with_histories(data, 3)


def test_data_without_a_second_row_has_nothing_to_predict():
    frame = pd.DataFrame({"user_id": np.arange(8), "item_id": 1, "timestamp": 1})
    data = tm_data.from_frame(frame, split="global_time")
    with pytest.raises(ValueError, match="a user with two train rows"):
        tm_data.window_batches(data, 2, length=3)


def test_histories_added_again_replace_the_first():
    data = make()
    expected = tm_data.with_histories(data, 3).splits["test"]["history"]
    found = tm_data.with_histories(tm_data.with_histories(data, 6), 3)
    np.testing.assert_array_equal(found.splits["test"]["history"], expected)


def with_events():
    """Events whose kind and weight tell which row of the table each is."""
    frame = pd.DataFrame(
        {
            "user_id": list("abbabababbaab"),
            "item_id": list("pqrspqqrspprs"),
            "timestamp": np.arange(13) * 7 + 100,
            "kind": ["view", "cart", "view", "buy", "view", "cart"] * 2 + ["buy"],
            "plays": np.arange(13) + 0.5,
        }
    )
    options = {"event_column": "kind", "weight_column": "plays"}
    return frame, tm_data.from_frame(frame, split="leave_last_out", **options)


def test_kinds_and_weights_of_events_go_with_their_items():
    frame, data = with_events()
    kinds = np.array(["", *data.vocabularies["event"]])
    assert set(kinds[1:]) == {"view", "cart", "buy"}
    names = data.vocabularies["user_id"]

    def rows(user):
        return frame[frame.user_id == user]

    windows = next(iter(tm_data.window_batches(data, 9, length=6, sample_weight=True)))
    windows = {
        name: values.numpy() for name, values in windows.items() if "kn" not in name
    }
    mean = data.splits["train"]["weight"].mean()
    for row, user in enumerate(windows["user_id"]):
        train = rows(names[user - 1])[:-2]
        count = len(train) - 1
        assert (windows["history"][row] > 0).sum() == count
        assert (
            kinds[windows["history_event"][row, :count]].tolist()
            == train.kind.tolist()[:-1]
        )
        assert (
            windows["history_weight"][row, :count].tolist() == train.plays.tolist()[:-1]
        )
        np.testing.assert_allclose(
            windows["sample_weight"][row, :count] * mean, train.plays[1:], rtol=1e-6
        )
        for name in ("history_event", "history_weight", "sample_weight"):
            assert not windows[name][row, count:].any()
    batch = next(iter(tm_data.with_histories(data, 4).batches("test", 9)))
    tables = {
        column: tm_data.history_table(data, "serving", 9, column=column)
        for column in ("event", "weight")
    }
    assert tables["weight"].dtype == batch["history_weight"].numpy().dtype == np.float32
    assert tables["event"].dtype == batch["history_event"].numpy().dtype == np.int64
    for row, user in enumerate(batch["user_id"].numpy()):
        before = rows(names[user - 1])[:-1][-4:]
        assert kinds[batch["history_event"][row]].tolist() == before.kind.tolist()
        assert batch["history_weight"][row].numpy().tolist() == before.plays.tolist()
        every = rows(names[user - 1])
        assert tables["weight"][user, : len(every)].tolist() == every.plays.tolist()
        assert (
            kinds[tables["event"][user, : len(every)]].tolist() == every.kind.tolist()
        )
    assert "history_event" not in tm_data.with_histories(make(), 4).splits["test"]


def test_rows_of_training_count_by_their_weights():
    _, data = with_events()
    batch = next(iter(data.batches("train", 99, sample_weight=True)))
    weights = data.splits["train"]["weight"]
    np.testing.assert_allclose(batch["sample_weight"], weights / weights.mean())
    assert "sample_weight" not in data.batches("train", 99).element_spec
    for call in (
        lambda: make().batches("train", 9, sample_weight=True),
        lambda: tm_data.window_batches(make(), 9, length=3, sample_weight=True),
    ):
        with pytest.raises(ValueError, match="`sample_weight` needs.*`weight_column`"):
            call()


def test_times_in_milliseconds_are_refused():
    data = make()
    train = data.splits["train"]
    late = train | {"timestamp": train["timestamp"] + 1_500_000_000_000}
    data = dataclasses.replace(data, splits=data.splits | {"train": late})
    for call in (
        lambda: tm_data.with_histories(data, 3),
        lambda: tm_data.history_table(data, "serving", 3),
        lambda: training_windows(data, 3),
    ):
        with pytest.raises(
            ValueError, match="`timestamp` of `data` must be in seconds"
        ):
            call()


def test_batches_of_some_windows_are_those_windows():
    data = make()
    windows = training_windows(data, 4)
    rows = np.array([2, 0])
    found = next(iter(tm_data.window_batches(data, 9, length=4, seed=1, rows=rows)))
    expected = {tuple(windows.history[row]) for row in rows}
    assert {tuple(row) for row in found["history"].numpy()} == expected
    assert len(found["history"]) == 2
