import json
import tracemalloc

import pandas as pd
import pytest

from tfrs_models.data.clickstream import read_sessions


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
    with pytest.raises(ValueError, match=r"must be a file that ends in .* Got 'a.csv'"):
        read_sessions("a.csv")
