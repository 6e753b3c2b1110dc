"""Files are there whole or as they were, whoever ends the process and when."""

import errno
import json
import os
import subprocess
import sys
import textwrap

import pytest

from tfrs_models._files import is_changed, sealed, written_whole

# What a writer calls after its last byte.
CALLS = ["os.open", "os.fsync", "os.replace"]
PROGRAM = """
    import os, sys
    import importlib.util

    spec = importlib.util.spec_from_file_location("files", sys.argv[1])
    files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(files)
    place, path = sys.argv[2:]
    real = getattr(os, place)

    def die(*arguments, **options):
        if place != "open" or "unfinished" in str(arguments[0]):
            os._exit(9)
        return real(*arguments, **options)

    setattr(os, place, die)
    with files.written_whole(path) as unfinished:
        open(unfinished, "w").write("new")
"""


@pytest.mark.parametrize("place", ["open", "fsync", "replace"])
def test_a_killed_writer_leaves_the_old_file_and_the_next_one_cleans_up(
    tmp_path, place
):
    path = tmp_path / "report.html"
    path.write_text("old")
    source = sys.modules[written_whole.__module__].__file__
    # The file alone: TensorFlow, which it does not need, takes seconds to import.
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), source, place, path]
    ended = subprocess.run([*map(str, command)], check=False)
    assert ended.returncode == 9
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 1 + (place != "open")
    with written_whole(path) as unfinished:
        unfinished.write_text("newer")
    assert path.read_text() == "newer"
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.parametrize("place", CALLS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_an_error_of_the_system_names_the_file_and_leaves_the_old_one(
    tmp_path, monkeypatch, place, code
):
    path = tmp_path / "metrics.json"
    path.write_text("old")
    real = getattr(os, place.removeprefix("os."))

    def fails(*arguments, **options):
        if place == "os.open" and "unfinished" not in str(arguments[0]):
            return real(*arguments, **options)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(place, fails)
    with pytest.raises(OSError, match="metrics") as failed, written_whole(path) as new:
        new.write_text("new")
    monkeypatch.undo()
    assert failed.value.errno == code
    assert failed.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as failed, written_whole(tmp_path / "a"):
        (tmp_path / "b").read_bytes()
    assert failed.value.filename == str(tmp_path / "b")


def test_a_file_that_another_process_is_writing_is_left_alone(tmp_path):
    path = tmp_path / "a.json"
    with written_whole(path) as first:
        os.rename(first, tmp_path / ".unfinished-1-a.json")  # that of another process
        with written_whole(path) as second:
            second.write_text("second")
        assert (tmp_path / ".unfinished-1-a.json").exists()
        first.write_text("first")
    assert path.read_text() == "first"


@pytest.mark.parametrize("values", [{}, {"a": 1.5, "ü": [None, {"b": "\ud800"}]}])
def test_any_change_of_a_sealed_object_is_seen(values):
    made = json.loads(json.dumps(sealed(values)))
    assert not is_changed(made)
    assert not is_changed(dict(reversed(made.items())))  # the order says nothing
    assert is_changed({**made, "more": 1})
    assert is_changed({**made, "sha256": "0" * 64})
    for name in values:
        assert is_changed({k: v for k, v in made.items() if k != name})


def test_an_object_without_a_hash_is_that_of_an_earlier_version():
    assert not is_changed({"a": 1})
