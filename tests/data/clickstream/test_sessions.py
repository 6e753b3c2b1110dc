import datetime
import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from tfrs_models.data.clickstream import read_sessions, session_to_input


def session(number):
    return {
        "session_id": str(number),
        "search_query": f"query {number}",
        "created_at": number,
        "search_results": [{"object_id": f"i{k}", "rank": 1 / k} for k in (1, 2, 3)],
        "events": [{"object_id": "i2"}],
    }


@pytest.fixture
def broken(tmp_path):
    """Lines 2, 4 and 5 cannot be used."""
    twice = session(5) | {"search_results": [{"object_id": "x"}] * 2}
    lines = [json.dumps(session(1)), '{"search_query"', json.dumps(session(3))]
    lines += ["[]", json.dumps(twice), json.dumps(session(6))]
    path = tmp_path / "sessions.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_malformed_line_is_counted_with_its_number_and_the_rest_is_read(broken):
    reader = read_sessions(broken)
    for _ in range(2):  # as often as it is asked
        assert [s.query for s in reader] == ["query 1", "query 3", "query 6"]
        assert (reader.num_read, reader.num_skipped) == (3, 3)
    numbers = ("line 2: ", "line 4: A session must be", "line 5: `results` must be")
    for problem, words in zip(reader.problems, numbers, strict=True):
        assert words in problem
    assert "3 sessions read, 3 skipped" in str(reader)


def test_a_strict_reader_stops_at_the_first_one(broken):
    reader = iter(read_sessions(broken, strict=True))
    assert next(reader).query == "query 1"
    with pytest.raises(ValueError, match="sessions.jsonl, line 2: "):
        next(reader)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (session(2) | {"events": [{"object_id": "i2", "meta": "x"}]}, "`meta` of an"),
        (
            session(2) | {"search_results": [{"object_id": "i2", "rank": 10**400}]},
            "too large",
        ),
        ("[" * 200_000, "recursion"),
    ],
)
def test_no_line_keeps_the_others_from_being_read(tmp_path, line, words):
    path = tmp_path / "sessions.jsonl"
    line = line if isinstance(line, str) else json.dumps(line)
    path.write_text("\n".join([json.dumps(session(1)), line, json.dumps(session(3))]))
    reader = read_sessions(path)
    assert [s.query for s in reader] == ["query 1", "query 3"]
    (problem,) = reader.problems
    assert "line 2: " in problem
    assert words in problem


def test_blank_lines_are_no_sessions_but_they_are_counted_as_lines(tmp_path):
    path = tmp_path / "sessions.jsonl"
    path.write_bytes(
        b"\n".join([json.dumps(session(1)).encode(), b"\r", b"", b"{", b""])
    )
    reader = read_sessions(path)
    assert [s.query for s in reader] == ["query 1"]
    (problem,) = reader.problems
    assert "line 4: " in problem


def test_an_importance_that_is_null_in_a_parquet_file_is_one(tmp_path):
    path = tmp_path / "sessions.parquet"
    metas = [{"importance": 2.0, "source": None}, {"source": "web"}]
    events = [[{"object_id": "i2", "meta": meta}] for meta in metas]
    pd.DataFrame([session(1) | {"events": e} for e in events]).to_parquet(path)
    found = [s.event_types for s in read_sessions(path, strict=True)]
    assert found == [[1.0, 2.0, 1.0], [1.0, 1.0, 1.0]]


def test_parquet_says_the_same_as_json_lines(tmp_path):
    path = tmp_path / "sessions.parquet"
    pd.DataFrame([session(number) for number in range(2100)]).to_parquet(path)
    found = list(read_sessions(path))
    expected = list(read_sessions(session(number) for number in range(2100)))
    assert len(found) == len(expected) == 2100
    for ours, theirs in zip(found, expected, strict=True):
        for name in ("query", "results", "events", "ranks", "timestamp"):
            assert getattr(ours, name) == getattr(theirs, name)


def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path):
    path = tmp_path / "sessions.jsonl"
    peaks = []
    for count in (200, 6000):
        path.write_text("".join(json.dumps(session(n)) + "\n" for n in range(count)))
        tracemalloc.start()
        assert sum(1 for _ in read_sessions(path)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 50_000


def test_files_that_are_not_there_or_of_another_kind_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none.jsonl"):
        read_sessions(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"file that ends in .* Got 'a.xlsx'"):
        read_sessions("a.xlsx")


SESSION = {
    "session_id": "s",
    "search_query": "shoes",
    "created_at": 5,
    "search_results": [
        {"object_id": "a", "rank": 0.9},
        {"object_id": "b", "rank": None, "meta": None},
        {"object_id": "c"},
    ],
    "events": [
        {"object_id": "c", "meta": {"importance": 2.0}},
        {"object_id": "c", "meta": None},
        {"object_id": "not shown"},
    ],
}


def test_a_session_becomes_an_input_whose_ranks_are_those_of_its_results():
    found = session_to_input(SESSION)
    assert found.query == "shoes"
    assert found.results == ["a", "b", "c"]
    assert found.events == ["c"]
    assert found.ranks == {"a": 0.9, "b": None, "c": None}
    assert found.event_types == [1.0, 1.0, 2.0]
    assert found.timestamp == 5


def test_a_click_on_an_id_that_is_once_a_number_and_once_a_string_is_not_lost():
    shown = [{"object_id": 318, "rank": 0.9}, {"object_id": "b", "rank": 0.1}]
    events = [{"object_id": "318", "meta": {"importance": 3.0}}]
    found = session_to_input(SESSION | {"search_results": shown, "events": events})
    assert found.events == ["318"]
    assert found.ranks == {"318": 0.9, "b": 0.1}
    assert found.event_types == [3.0, 1.0]


@pytest.mark.parametrize("name", [318, 318.0, np.float64(318), b"318", "318"])
def test_an_id_is_the_same_text_whatever_its_type(name):
    shown = [{"object_id": name}, {"object_id": "b"}]
    found = session_to_input(SESSION | {"search_results": shown, "events": shown[:1]})
    assert found.results == ["318", "b"]
    assert found.events == ["318"]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (None, None),
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000.25, 1_700_000_000.25),
        (datetime.datetime(2023, 11, 14, 22, 13, 20), 1_700_000_000),
    ],
)
def test_a_session_is_of_a_second(moment, expected):
    assert session_to_input(SESSION | {"created_at": moment}).timestamp == expected


@pytest.mark.parametrize("events", [[], None])
def test_a_session_without_events_is_irrelevant(events):
    assert session_to_input(SESSION | {"events": events}).is_irrelevant


@pytest.mark.parametrize(
    ("session", "message"),
    [
        ({"search_query": None}, r"must have the fields.*Missing: \['search_query'\]"),
        ({"search_results": "abc"}, "`search_results` of a session must be a list"),
        *(
            ({"created_at": moment}, "`created_at` of a session must be seconds")
            for moment in [1_700_000_000_000, -1, float("nan"), 1e300, "2024", True]
        ),
        (
            {"search_results": [{"object_id": " "}, {"object_id": "b"}]},
            "`object_id` of `search_results` must not be empty",
        ),
        (
            {"search_results": [{"object_id": 2.0**53}, {"object_id": "b"}]},
            "An id must be a text or a whole number",
        ),
        ({"events": [{"id": 3}]}, "Each of `events` must have `object_id`. Got"),
        (
            {"search_results": [{"object_id": "a"}] * 2, "events": []},
            "`results` must be unique",
        ),
    ],
)
def test_a_session_that_cannot_be_used_says_why(session, message):
    with pytest.raises(ValueError, match=message):
        session_to_input(SESSION | session)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("share", [0, 0.2, 0.6])
def test_a_parquet_file_that_is_cut_off_is_named(tmp_path, strict, share):
    path = tmp_path / "log.parquet"
    results = [{"object_id": str(n), "rank": 0.5} for n in range(5)]
    session = {"search_query": "q", "search_results": results, "events": []}
    pd.DataFrame([session] * 9).to_parquet(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=f"{path} must be a whole Parquet file") as cut:
        list(read_sessions(path, strict=strict))
    assert "\n" not in str(cut.value)
