"""The converter against a log walked event by event."""

import ast
import itertools
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.data.kuaisar.raw_files import HOUR, START, write
from tfrs_models.data.kuaisar import Options
from tfrs_models.data.kuaisar.convert import convert, k_core


def walked(clicks, searches, ties):
    """(task, user, item, time) -> (clicks before, searches before) of each sample."""
    clicks = [*dict.fromkeys(row[:3] for row in clicks if row[3])]
    sessions = {}
    for user, session, time, _, item, count in searches:
        found = sessions.setdefault(session, (user, time, len(sessions), []))
        if count and item not in found[3]:
            found[3].append(item)
    samples = []
    users = {row[0] for row in clicks} & {row[0] for row in sessions.values()}
    for user in users:
        own = sorted((row for row in clicks if row[0] == user), key=lambda row: row[2])
        searched = sorted(
            (row for row in sessions.values() if row[0] == user),
            key=lambda row: (row[1], row[2]),
        )
        events = [(row[2], 0, n, row) for n, row in enumerate(own)]
        events += [(row[1], 1, n, row) for n, row in enumerate(searched)]
        events.sort(key=lambda event: event[:3])
        for place, (time, is_search, _, row) in enumerate(events):
            if ties == "strictly_earlier":
                before = [event for event in events if event[0] < time]
            else:
                before = events[:place]
            counts = [
                sum(event[1] == service for event in before) for service in (0, 1)
            ]
            for item in row[3] if is_search else [row[1]]:
                counted = list(counts)
                if is_search and ties == "in_order" and counts[0]:
                    counted[0] -= own[counts[0] - 1][1] == row[3][0]
                task = "search" if is_search else "recommendation"
                samples.append((task, user, item, time, *counted))
    return samples


def table(samples):
    columns = ["task", "user", "item", "time", "num_items", "num_sessions"]
    frame = pd.DataFrame(samples, columns=columns)
    return frame.sort_values(columns, ignore_index=True)


@pytest.mark.parametrize("ties", ["strictly_earlier", "in_order"])
@pytest.mark.parametrize("chunk_rows", [37, 250_000])
def test_what_came_before_a_sample_is_what_a_walk_through_the_log_has_met(
    log, ties, chunk_rows
):
    directory, clicks, searches = log
    options = Options(
        ties=ties,
        k_core=1,
        keep_empty_histories=True,
        min_samples=1,
        num_eval_negatives=9,
    )
    data = convert(directory, options, chunk_rows=chunk_rows)
    users = np.unique([row[0] for row in clicks if row[3]])
    items = np.unique(
        [row[1] for row in clicks if row[3]] + [row[4] for row in searches if row[5]]
    )
    found = [
        (task, users[u], items[i - 1], t, n, s)
        for task, splits in data.samples.items()
        for columns in splits.values()
        for u, i, t, n, s in zip(
            *(
                columns[name].tolist()
                for name in (
                    "user_id",
                    "item_id",
                    "timestamp",
                    "num_items",
                    "num_sessions",
                )
            ),
            strict=True,
        )
    ]
    pd.testing.assert_frame_equal(table(found), table(walked(clicks, searches, ties)))


@pytest.mark.parametrize("ties", ["strictly_earlier", "in_order"])
def test_negatives_are_neither_in_the_history_nor_clicked_in_the_same_search(log, ties):
    options = Options(
        ties=ties,
        k_core=1,
        keep_empty_histories=True,
        min_samples=1,
        num_eval_negatives=9,
        num_train_negatives=9,
    )
    data = convert(log[0], options)
    items, sessions = data.item_histories, data.session_histories
    for splits in data.samples.values():
        for columns in splits.values():
            for row, user in enumerate(columns["user_id"]):
                first = items.row_splits[user]
                own = slice(first, first + columns["num_items"][row])
                met = {*items.ids[own]}
                first = sessions.row_splits[user]
                own = slice(first, first + columns["num_sessions"][row])
                searched = [*sessions.ids[own]]
                if "search_session_id" in columns:
                    searched.append(columns["search_session_id"][row])
                met |= {*data.sessions["pos_items"][searched].ravel()}
                assert not met & {*columns["negatives"][row]}


def test_a_seed_repeats_its_negatives_and_another_draws_others(log):
    first, again, other = (
        convert(
            log[0], Options(k_core=1, num_eval_negatives=9, ties="in_order", seed=seed)
        ).samples["search"]["train"]
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first["negatives"], again["negatives"])
    np.testing.assert_array_equal(first["item_id"], other["item_id"])
    assert (first["negatives"] != other["negatives"]).any()


def test_negatives_are_drawn_by_popularity_or_evenly(log):
    found = {}
    for negatives in ("popularity", "uniform"):
        options = Options(k_core=1, num_eval_negatives=9, negatives=negatives)
        data = convert(log[0], options)
        clicked = np.concatenate(
            [data.item_histories.ids, data.sessions["pos_items"]], axis=None
        )
        clicks = np.bincount(clicked, minlength=data.num_items + 1)
        drawn = [c["negatives"] for s in data.samples.values() for c in s.values()]
        found[negatives] = np.mean([clicks[d].mean() for d in drawn])
    assert found["popularity"] > found["uniform"] + 0.5


def test_histories_sessions_and_captions_are_those_of_the_log(log):
    directory, clicks, searches = log
    options = Options(
        k_core=1, max_words=2, max_clicks=2, num_eval_negatives=9, ties="in_order"
    )
    data = convert(directory, options)
    users = np.unique([row[0] for row in clicks if row[3]])
    clicked = [*dict.fromkeys((row[0], row[2], row[1]) for row in clicks if row[3])]
    items = np.unique(
        [row[2] for row in clicked] + [row[4] for row in searches if row[5]]
    )
    words = {}
    for user, session, time, keyword, item, count in searches:
        found = words.setdefault(session, (user, time, ast.literal_eval(keyword), []))
        if count and item not in found[3]:
            found[3].append(item)
    in_file = set(pd.read_csv(directory / "item_features.csv")["item_id"])
    captions = {i: [i % 7, i % 5 + 10] if i in in_file else [] for i in items}
    known = sorted(
        {w for row in words.values() for w in row[2]}
        | {w for caption in captions.values() for w in caption}
    )
    for user, name in enumerate(users):
        own = slice(*data.item_histories.row_splits[user : user + 2])
        expected = sorted((r for r in clicked if r[0] == name), key=lambda r: r[1])
        np.testing.assert_array_equal(
            data.item_histories.times[own], [r[1] for r in expected]
        )
        np.testing.assert_array_equal(
            items[data.item_histories.ids[own] - 1], [r[2] for r in expected]
        )
    for session, (_, _, keyword, found) in enumerate(words.values(), start=1):
        row = [w for w in data.sessions["keyword"][session] if w]
        assert [known[w - 1] for w in row] == keyword[:2]
        row = [i for i in data.sessions["pos_items"][session] if i]
        assert [items[i - 1] for i in row] == found[:2]
    for number, item in enumerate(items, start=1):
        row = [known[w - 1] for w in data.items["caption"][number] if w]
        assert row == captions[item]
        category = data.items["second_level_category_id"][number]
        assert category == (item % 6 if item in in_file else 0)


def test_the_last_day_in_beijing_is_test_and_the_day_before_it_validation(log):
    data = convert(log[0], Options(k_core=1, num_eval_negatives=9))
    for splits in data.samples.values():
        days = [
            set(pd.to_datetime(columns["timestamp"] + 8 * HOUR, unit="ms").date)
            for columns in splits.values()
        ]
        assert max(days[0]) < min(days[1]) < min(days[2])
        assert [len(found) for found in days[1:]] == [1, 1]


def held_out_before(data, task):
    """Training samples whose user had a held-out click of either task before."""
    count = 0
    train = data.samples[task]["train"]
    for user, time in zip(train["user_id"], train["timestamp"], strict=True):
        count += any(
            (columns["timestamp"][columns["user_id"] == user] < time).any()
            for splits in data.samples.values()
            for name, columns in splits.items()
            if name != "train"
        )
    return count


def test_no_training_sample_knows_what_the_last_days_hold_out(tmp_path):
    clicks = [
        (user, 10 * user + n % 8, START + n * 12 * HOUR, 1)
        for user in (1, 2)
        for n in range(20)
    ]
    searches = [
        (user, 100 * user + n, START + n * 12 * HOUR + 1, "[3]", 10 * user + n % 8, 1)
        for user in (1, 2)
        for n in range(12)
    ]
    write(tmp_path, clicks, searches, [1, 2], range(10, 28))
    options = Options(k_core=1, num_eval_negatives=1, num_train_negatives=1)
    data = convert(tmp_path, options)
    for task in ("recommendation", "search"):  # whose last days are four days apart
        assert held_out_before(data, task) == 0
        assert data.manifest["training_after_held_out"][task] == 0
    assert len(data.samples["search"]["test"]["user_id"]) == 0


def test_the_manifest_says_how_much_of_training_knows_what_is_held_out(log):
    options = Options(split="leave_last_out", k_core=1, num_eval_negatives=9)
    data = convert(log[0], options)
    found = data.manifest["training_after_held_out"]
    assert found == {task: held_out_before(data, task) for task in data.samples}
    assert max(found.values()) > 0


def test_leave_last_out_tests_on_the_last_sample_of_a_user_in_each_task(log):
    options = Options(split="leave_last_out", k_core=1, num_eval_negatives=9)
    for splits in convert(log[0], options).samples.values():
        for user in np.unique(splits["train"]["user_id"]):
            times = [
                columns["timestamp"][columns["user_id"] == user]
                for columns in splits.values()
            ]
            assert [len(moments) for moments in times[1:]] == [1, 1]
            assert max(times[0]) <= times[1][0] <= times[2][0]


def write_sorted_by_id(directory, num_users=60):
    """Each user has four clicks, and a search with four, at each of four moments."""
    rng = np.random.default_rng(3)
    clicks, searches = [], []
    for user in range(num_users):
        for step in range(4):
            items = sorted(rng.choice(40, size=8, replace=False))
            time = START + step * HOUR
            clicks += [(user, item, time, 1) for item in items[:4]]
            session = (user * 4 + step, time + 1, "[3]")
            searches += [(user, *session, item, 1) for item in items[4:]]
    write(directory, clicks, searches, range(num_users), range(40))


@pytest.mark.parametrize(
    ("ties", "share"), [("in_order", 1), ("strictly_earlier", 0.25)]
)
def test_ids_do_not_decide_which_of_the_clicks_of_one_time_is_the_last(
    tmp_path, ties, share
):
    write_sorted_by_id(tmp_path)
    options = Options(split="leave_last_out", k_core=1, num_eval_negatives=1, ties=ties)
    data = convert(tmp_path, options)
    for service, splits in data.samples.items():
        tested, largest = splits["test"], {}
        for part in splits.values():
            for user, item, time in zip(
                part["user_id"], part["item_id"], part["timestamp"], strict=True
            ):
                largest[user, time] = max(item, largest.get((user, time), 0))
        found = [
            item == largest[user, time]
            for user, item, time in zip(
                tested["user_id"], tested["item_id"], tested["timestamp"], strict=True
            )
        ]
        # A quarter of 60 users, plus or minus four standard deviations.
        assert np.mean(found) == pytest.approx(share, abs=0.23), service


def test_after_filtering_users_and_items_have_k_interactions(log):
    data = convert(log[0], Options(k_core=9, num_eval_negatives=3))
    sizes = np.diff(data.item_histories.row_splits)
    owner = np.repeat(
        np.arange(data.num_users), np.diff(data.session_histories.row_splits)
    )
    session_owner = np.zeros(data.num_sessions + 1, int)
    session_owner[data.session_histories.ids] = owner
    clicked = data.sessions["pos_items"]
    by_user = sizes + np.bincount(
        session_owner, (clicked > 0).sum(axis=1), minlength=data.num_users
    )
    by_item = np.bincount(data.item_histories.ids, minlength=data.num_items + 1)
    by_item = by_item + np.bincount(clicked[clicked > 0], minlength=data.num_items + 1)
    assert by_user.min() >= 9
    assert by_item[1:].min() >= 9
    assert (
        data.num_items
        < convert(log[0], Options(k_core=1, num_eval_negatives=3)).num_items
    )


def test_samples_without_a_history_go_and_users_with_too_few_too(log):
    everything = Options(
        k_core=1, keep_empty_histories=True, min_samples=1, num_eval_negatives=9
    )
    full = convert(log[0], everything)
    data = convert(log[0], Options(k_core=1, min_samples=30, num_eval_negatives=9))
    for task, splits in data.samples.items():
        columns = [*splits.values()]
        counts = [c[name] for c in columns for name in ("num_items", "num_sessions")]
        assert min(count.min(initial=1) for count in counts) >= 1
        users = np.concatenate([c["user_id"] for c in columns])
        assert np.unique(users, return_counts=True)[1].min(initial=30) >= 30
        dropped = sum(data.manifest["dropped"][task].values())
        assert dropped + len(users) == sum(full.manifest["samples"][task].values())
        assert dropped > 0


def test_the_first_days_may_be_history_only(log):
    options = {"k_core": 1, "num_eval_negatives": 9, "min_samples": 1}
    everything, later = (
        convert(log[0], Options(history_days=days, **options)) for days in (0, 1)
    )
    for task, splits in later.samples.items():
        first = everything.samples[task]["train"]["timestamp"].min() + 8 * HOUR
        times = splits["train"]["timestamp"] + 8 * HOUR
        assert times.min() // (24 * HOUR) >= first // (24 * HOUR) + 1
        assert later.manifest["dropped"][task]["history_day"] > 0
        total = sum(later.manifest["dropped"][task].values())
        total += sum(later.manifest["samples"][task].values())
        assert total == sum(everything.manifest["dropped"][task].values()) + sum(
            everything.manifest["samples"][task].values()
        )
    np.testing.assert_array_equal(
        later.item_histories.ids, everything.item_histories.ids
    )


def test_the_k_core_is_what_a_loop_leaves():
    rng = np.random.default_rng(2)
    for k, _ in itertools.product([1, 2, 3, 5], range(5)):
        user, item = rng.integers(12, size=60), rng.integers(15, size=60)
        needed = rng.random(60) < 0.5
        rows = set(range(60))
        while True:
            bad = {
                r
                for r in rows
                if sum(user[r] == user[o] for o in rows) < k
                or sum(item[r] == item[o] for o in rows) < k
                or not any(needed[o] and user[r] == user[o] for o in rows)
            }
            if not bad:
                break
            rows -= bad
        np.testing.assert_array_equal(
            np.flatnonzero(k_core(user, item, k, needed)), sorted(rows)
        )


@pytest.mark.parametrize(("both_services", "num_users"), [(True, 3), (False, 4)])
def test_a_user_whose_clicks_in_the_recommender_are_filtered_out_is_of_one_service(
    tmp_path, both_services, num_users
):
    clicks = [
        (user, item, START + item, 1)
        for user in (1, 2, 3)
        for item in range(10, 18)
        if item != 10 + user  # the user's negative
    ]
    searches = [
        (user, 10 * user + place, START + 20 + place, "[3]", 10 + place, 1)
        for user in (1, 2, 3, 4)
        for place in range(5)
        if place != user
    ]
    rare = (4, 99, START, 1)
    write(tmp_path, [*clicks, rare], searches, [1, 2, 3, 4], range(10, 100))
    options = Options(
        k_core=3,
        both_services=both_services,
        split="leave_last_out",
        avoid="earlier",
        num_train_negatives=1,
        num_eval_negatives=1,
        min_samples=1,
    )
    data = convert(tmp_path, options)
    assert (data.num_users, data.num_items) == (num_users, 8)


@pytest.mark.parametrize("chunk_rows", [37, 250_000])
def test_a_click_that_the_log_repeats_is_one_sample(log, tmp_path, chunk_rows):
    directory, clicks, searches = log
    options = Options(k_core=1, num_eval_negatives=9)
    once = convert(directory, options)
    for path in directory.iterdir():
        shutil.copy(path, tmp_path)
    for file in ("rec_inter.csv", "src_inter.csv"):
        rows = pd.read_csv(tmp_path / file)
        pd.concat([rows, rows[::-1]]).to_csv(tmp_path / file, index=False)
    twice = convert(tmp_path, options, chunk_rows=chunk_rows)
    assert twice.manifest["samples"] == once.manifest["samples"]
    clicked = [row[:3] for row in clicks if row[3]]
    assert once.manifest["repeated"]["clicks"] == len(clicked) - len({*clicked})
    assert twice.manifest["repeated"]["clicks"] == 2 * len(clicked) - len({*clicked})
    clicked = [(row[1], row[4]) for row in searches if row[5]]
    repeated = len(clicked) - len({*clicked})
    assert once.manifest["repeated"]["search_clicks"] == repeated > 0
    for session, row in enumerate(twice.sessions["pos_items"]):
        found = row[row > 0]
        assert len({*found}) == len(found), session


def test_the_manifest_counts_rows_and_what_stands_out_of_order(log):
    directory, clicks, searches = log
    manifest = convert(directory, Options(k_core=1, num_eval_negatives=9)).manifest
    rows = {"rec_inter.csv": len(clicks), "src_inter.csv": len(searches)}
    assert manifest["rows"] == rows
    latest, behind = {}, 0
    for user, _, time in dict.fromkeys(row[:3] for row in clicks if row[3]):
        behind += time < latest.get(user, 0)
        latest[user] = max(time, latest.get(user, 0))
    assert manifest["out_of_order"]["clicks"] == behind > 0
    assert manifest["options"]["ties"] == "strictly_earlier"
