import contextlib
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import recommend
from pipelines.parts.all_users import recommend_to_file

COLUMNS = ["user_id", "rank", "item_id", "title", "score"]

pytestmark = pytest.mark.usefixtures("loaded_once")


def made_up(users):
    """Items of a user by the number in the id; user n has n % 4 of at most 3."""
    shape = (len(users), 3)
    answer = {
        "item_id": np.full(shape, b"", object),
        "title": np.full(shape, b"", object),
        "score": np.full(shape, -np.inf, np.float32),
        "known_user": np.array([not user.startswith("new") for user in users]),
    }
    for row, user in enumerate(users):
        number = int(user.strip("newus"))
        for column in range(number % 4):
            answer["item_id"][row, column] = f"i{number}{column}".encode()
            answer["title"][row, column] = f'Ü "{number}", {column}'.encode()
            answer["score"][row, column] = 1 / (number + column + 1)
    return answer


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users.txt"
    names = [f"u{n}" if n % 5 else f"new{n}" for n in range(1, 24)]
    path.write_text("\n".join([*names, "", ""]), encoding="utf-8")
    return path


def write(users, output, answer=made_up, **changed):
    options = {"k": 3, "users_at_once": 2, "rows_of_a_part": 14, "made_with": {"m": 1}}
    return recommend_to_file(answer, users, output, **(options | changed))


def test_a_table_has_a_row_for_each_user_and_item_in_their_order(users, tmp_path):
    expected = []
    for user in users.read_text().split():
        number = int(user.strip("newus"))
        for column in range(number % 4):
            score = np.float32(1 / (number + column + 1))
            title = f'Ü "{number}", {column}'
            expected.append((user, column + 1, f"i{number}{column}", title, score))
    said = write(users, tmp_path / "r.parquet")
    write(users, tmp_path / "r.csv")
    found = pd.read_parquet(tmp_path / "r.parquet")
    assert [*found.columns] == COLUMNS
    assert [*found.itertuples(index=False, name=None)] == expected
    written = pd.read_csv(tmp_path / "r.csv", dtype={"score": np.float32})
    pd.testing.assert_frame_equal(written, found, check_dtype=False)
    assert f"{len(expected)} rows of 23 users. 4 of them are unknown" in said
    assert not [*tmp_path.glob("*.parts")]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("stop", [2, 4, 7, 12])
def test_an_interrupted_run_goes_on_and_its_bytes_are_those_of_a_whole_run(
    users, tmp_path, suffix, stop
):
    output, asked = tmp_path / f"r.{suffix}", []

    def stopping(batch):
        if len(asked) == stop:
            raise KeyboardInterrupt
        asked.append(batch)
        return made_up(batch)

    with pytest.raises(KeyboardInterrupt):
        write(users, output, stopping)
    assert not output.exists()
    parts = len([*output.with_name(f"{output.name}.parts").glob("part-*")])
    again = []
    write(users, output, lambda batch: again.append(batch) or made_up(batch))
    assert parts == (stop - 1) // 2  # of two requests each; the first tries
    assert len(again) == 12 - 2 * parts + (not parts)
    write(users, tmp_path / f"whole.{suffix}")
    assert output.read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()


@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_a_damaged_part_is_made_again(users, tmp_path, capsys, share):
    output, asked = tmp_path / "r.csv", []

    def stopping(batch):
        asked.append(batch)
        if len(asked) > 8:
            raise KeyboardInterrupt
        return made_up(batch)

    with pytest.raises(KeyboardInterrupt):
        write(users, output, stopping)
    [part, *_] = sorted((tmp_path / "r.csv.parts").glob("part-*"))
    part.write_bytes(part.read_bytes()[: int(share * part.stat().st_size)])
    write(users, output)
    assert f"{part} is damaged, and is made again" in capsys.readouterr().out
    write(users, tmp_path / "whole.csv")
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_part_of_another_run_is_refused(users, tmp_path):
    def stopping(batch, asked=[]):  # noqa: B006  of both runs
        asked.append(batch)
        if len(asked) % 9 == 8:
            raise KeyboardInterrupt
        return made_up(batch)

    for name, made_with in (("a.csv", {"m": 1}), ("b.csv", {"m": 2})):
        with pytest.raises(KeyboardInterrupt):
            write(users, tmp_path / name, stopping, made_with=made_with)
    first = "a.csv.parts/part-000000.parquet"
    other = (tmp_path / "b.csv.parts" / "part-000000.parquet").read_bytes()
    (tmp_path / first).write_bytes(other)
    with pytest.raises(SystemExit, match=f"must not mix two runs.*{first} is of anoth"):
        write(users, tmp_path / "a.csv")


def test_a_run_that_ended_while_it_removed_its_parts_is_finished(users, tmp_path):
    output, parts = tmp_path / "r.csv", tmp_path / "r.csv.parts"
    calls = []

    def stopping(batch):
        calls.append(batch)
        if len(calls) > 6:
            raise KeyboardInterrupt
        return made_up(batch)

    with pytest.raises(KeyboardInterrupt):
        write(users, output, stopping)
    about = (parts / "about.json").read_bytes()
    write(users, output)
    before = output.read_bytes()
    parts.mkdir()
    (parts / "about.json").write_bytes(about)
    write(users, output)
    assert output.read_bytes() == before
    assert not parts.exists()


@pytest.mark.parametrize(
    "changed", [{"made_with": {"m": 2}}, {"rows_of_a_part": 7}, {"users": "u3\n"}]
)
@pytest.mark.parametrize("is_finished", [True, False])
def test_two_runs_are_not_mixed(users, tmp_path, changed, is_finished):
    output = tmp_path / "r.parquet"
    calls = []

    def stopping(batch):
        calls.append(batch)
        if len(calls) > 6 and not is_finished:
            raise KeyboardInterrupt
        return made_up(batch)

    with contextlib.suppress(KeyboardInterrupt):
        write(users, output, stopping)
    changed = dict(changed)
    if text := changed.pop("users", None):
        users.write_text(text)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match="`--output` must not mix two runs.* was "):
        write(users, output, **changed)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_finished_table_is_not_computed_again(users, tmp_path):
    write(users, tmp_path / "r.parquet")
    before = (tmp_path / "r.parquet").stat().st_mtime_ns
    assert "complete already" in write(users, tmp_path / "r.parquet", None)
    assert (tmp_path / "r.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
def test_a_file_of_something_else_is_not_replaced(users, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(SystemExit, match="`--output` must not exist"):
        write(users, tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model of three users and four items; the first user has seen two."""
    tower = tf.keras.layers.Lambda(lambda features: features["taste"])
    items = np.float32([[1, 0], [0, 1], [0.5, 0.1], [0.2, 0.9]])
    index = tm.layers.BruteForce().index(items, np.arange(1, 5))
    recommender = tm.serving.Recommender(
        tower,
        index,
        user_ids=["zoë", "ann", "bob"],
        user_features={"taste": np.float32([[0, 0], [1, 2], [3, 0.5], [0.1, 1]])},
        item_ids=["w", "x", "y", "z"],
        titles=["", "Alien", "Brazil", "Clue, the", "Dune"],
        known_items=tf.ragged.constant([[], [2, 4], [1], []], dtype=tf.int64),
        candidate_probabilities=[0, 0.4, 0.3, 0.2, 0.1],
    )
    return tm.serving.export(recommender, tmp_path_factory.mktemp("model") / "export")


def test_all_users_get_what_each_of_them_gets(exported, tmp_path, capsys):
    output = tmp_path / "r.parquet"
    config = recommend.Config(
        all=True, model=exported.parent, output=output, k=4, batch_size=2
    )
    assert recommend.main(config) is None
    assert "11 rows of 3 users" not in capsys.readouterr().err
    found = pd.read_parquet(output)
    assert [*dict.fromkeys(found["user_id"])] == ["zoë", "ann", "bob"]
    rows = []
    for user in ("zoë", "ann", "bob"):
        one = recommend.Config(user=(user,), model=exported, k=4, json=True)
        recommend.main(one)
        rows += [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for name in ("known_user", "personal"):
        assert [row.pop(name) for row in rows] == [True] * len(found)
    pd.testing.assert_frame_equal(pd.DataFrame(rows), found, check_dtype=False)
    assert [*found.loc[found["user_id"] == "zoë", "item_id"]] == ["w", "y"]  # unseen


def test_an_unknown_user_is_told_apart_in_json(exported, capsys):
    config = recommend.Config(user=("bob", "eve"), model=exported, k=1, json=True)
    recommend.main(config)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["user_id"], line["known_user"]) for line in lines] == [
        ("bob", True),
        ("eve", False),
    ]
    assert lines[1]["title"] == "Alien"  # the most popular


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "`--user` must name a user"),
        ({"all": True, "user": ("1",)}, "`--all` must not come with --user"),
        ({"all": True, "users": "u"}, "`--all` must not come with --users"),
        ({"all": True}, "`--output` must be a path that ends in .parquet or .csv"),
        ({"all": True, "output": "r.txt"}, "`--output` must be .* Got r.txt"),
        ({"user": ("1",), "output": "r.csv"}, "`--output` must come with --all"),
        (
            {"all": True, "output": "r.csv", "json": True},
            "`--all` must not come with --json",
        ),
        ({"all": True, "output": "r.csv", "batch_size": 0}, "`--batch-size` must be"),
        ({"all": True, "output": "/dev/null/r.csv"}, "`--output` must be a file in a"),
        ({"all": True, "output": "r.csv", "k": 5}, "`-k` is more than the model has"),
        ({"users": "none.txt", "output": "r.csv"}, "`--users` must be a text file"),
        ({"users": "empty", "output": "r.csv"}, "`--users` must have an id on a line"),
    ],
)
def test_wrong_flags_are_refused_in_a_line(exported, tmp_path, flags, message):
    (tmp_path / "empty").write_text("\n")
    paths = {k: tmp_path / v for k, v in flags.items() if k in ("output", "users")}
    config = recommend.Config(**({"k": 2} | flags | {"model": exported} | paths))
    with pytest.raises(SystemExit, match=message.replace("Got ", ".*")) as end:
        recommend.main(config)
    assert "\n" not in str(end.value)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A model whose query is its newest item, which has an own direction.

    The items of one pair, w and x or y and z, are alike.
    """
    items = np.float32([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.8]])
    table = np.concatenate([np.zeros((1, 2), np.float32), items])

    def newest(features):
        history = features["history"]  # padded at its end, with holes for reasons
        positions = tf.range(tf.shape(history)[1]) * tf.cast(history > 0, tf.int32)
        last = tf.reduce_max(positions, axis=1)
        return tf.gather(table, tf.gather(history, last, batch_dims=1))

    tower = tf.keras.layers.Lambda(newest)
    index = tm.layers.BruteForce().index(
        items, np.arange(1, 5), attributes={"kind": np.array(["p", "q", "p", "q"])}
    )
    recommender = tm.serving.Recommender(
        tower,
        index,
        user_ids=["ann", "bob"],
        user_features={
            "history": np.int64([[0, 0], [1, 0], [1, 3]]),
            "history_timestamp": np.int64([[0, 0], [50, 0], [50, 60]]),
        },
        item_ids=["w", "x", "y", "z,z"],
        titles=["", "Alien", "Brazil", "Clue", "Dune"],
        known_items=tf.ragged.constant([[], [1], [1, 3]], dtype=tf.int64),
        candidate_probabilities=[0, 0.1, 0.4, 0.3, 0.2],
        explain=True,
    )
    return tm.serving.export(recommender, tmp_path_factory.mktemp("live") / "export")


@pytest.mark.parametrize(
    ("flags", "items"),
    [
        ({"history": "w"}, ["x", "z,z", "y"]),
        ({"history": "w, y"}, ["z,z", "x"]),  # the newest counts, both are seen
        ({"history": 'w,"z,z"'}, ["y", "x"]),
        ({"history": "w", "exclude": "x"}, ["z,z", "y"]),
        ({"history": "w", "filter": ("kind=p",)}, ["y"]),
        ({"history": "w", "filter": ("kind=p", "kind=q")}, ["x", "z,z", "y"]),
        ({"history": "w", "exclude_seen": "no"}, ["w", "x", "z,z", "y"]),
        ({"history": "y", "user": ("ann",)}, ["z,z", "x"]),  # and w, which ann has
        ({"history": "y", "history_time": "1970-01-01T00:00:40", "user": ("ann",)}, 0),
        ({"user": ("ann",), "exclude": "z,z,x"}, ["z,z", "y"]),
        ({"user": ("ann",), "filter": ("kind=q",)}, ["x", "z,z"]),
        ({"similar_to": "y"}, ["z,z", "x", "w"]),
        ({"similar_to": "y", "filter": ("kind=p",)}, ["w"]),
        ({"time": "2020-05-01"}, ["x", "y", "z,z", "w"]),  # of nobody: popular
        ({"user": ("ann",), "why": True}, ["x", "z,z", "y"]),
    ],
)
def test_a_request_is_answered_by_the_signature_of_its_flags(
    live, capsys, flags, items
):
    if not items:  # an append that is older than the known past adds nothing
        flags, items = flags | {"append": True}, ["x", "z,z"]
    recommend.main(recommend.Config(model=live, k=4, json=True, **flags))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["item_id"] for line in lines] == items
    assert ("user_id" in lines[0]) == ("similar_to" not in flags)


def test_an_answer_names_the_items_that_it_is_owed_to(live, capsys):
    flags = {"model": live, "k": 1, "why": True, "history": "y,w"}
    recommend.main(recommend.Config(**flags, json=True))
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["item_id"] == "x"
    assert line["why"] == [{"item_id": "w", "share": 1.0}]  # only the newest counts
    recommend.main(recommend.Config(**flags))
    assert "owed to w (100%)" in capsys.readouterr().out


def test_a_visitor_is_told_what_the_answer_rests_on(live, capsys):
    for flags in ({"history": "w,mystery"}, {"history": "nothing"}):
        recommend.main(recommend.Config(model=live, k=1, **flags))
    out, err = capsys.readouterr()
    assert "A visitor: by the history" in out
    assert "A visitor: the most popular items" in out
    assert err.count("1 ids of --history are unknown to the model") == 2
    config = recommend.Config(model=live, user=("ann",), filter=("kind=r",))
    recommend.main(dataclasses.replace(config, k=1))
    assert "User ann\n  no item is left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"history": ""}, "`--history` must not be empty"),
        ({"history": "a,,b"}, "`--history` must be ids of items.* none empty"),
        ({"similar_to": ","}, "`--similar-to` must be ids of items"),
        (
            {"history": "a", "time": "yesterday"},
            "`--time` must be ISO dates or seconds",
        ),
        ({"history": "a", "time": "nan"}, "`--time` must be ISO dates or seconds"),
        ({"history": "a", "time": "1700000000000"}, "which are milliseconds?"),
        ({"history": "a", "time": "-5"}, "`--time` must be a time after 1970"),
        ({"history": "a", "history_time": "5,6"}, "2 times for 1 items"),
        ({"history": "a,b", "history_time": "6,5"}, "`--history-time` must not fall"),
        ({"user": ("u",), "history_time": "5"}, "must come with --history"),
        ({"history": "a", "append": True}, "`--append` must come with --user"),
        ({"history": "a", "user": ("u", "v")}, "`--user` must name one user with"),
        ({"similar_to": "a", "user": ("u",)}, "`--user` must not come with --similar"),
        ({"similar_to": "a", "history": "b"}, "`--history` must not come with --sim"),
        ({"filter": ("kind=p",)}, "`--user` must name a user"),
        ({"user": ("u",), "filter": ("kind",)}, "`--filter` must be ATTRIBUTE=VALUE"),
        ({"user": ("u",), "filter": ("x=p",)}, r"`--filter` must be of one of \['ki"),
        ({"history": "w", "k": 5}, "`-k` is more than the model has items"),
        ({"all": True, "history": "w"}, "`--all` must not come with --history"),
    ],
)
def test_a_wrong_request_is_refused_in_a_line(live, flags, message):
    with pytest.raises(SystemExit, match=message) as end:
        recommend.main(recommend.Config(**({"model": live, "k": 1} | flags)))
    assert "\n" not in str(end.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"history": "w"}, "`--history` needs the signature `history`"),
        ({"user": ("ann",), "time": "2020-05-01"}, "`--time` needs the signature"),
        ({"user": ("ann",), "why": True}, "`--why` needs the signature `explain`"),
    ],
)
def test_an_export_without_a_signature_is_named(exported, flags, message):
    with pytest.raises(SystemExit, match=message):
        recommend.main(recommend.Config(model=exported, **flags))
