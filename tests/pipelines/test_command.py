"""How pipelines begin and end."""

import contextlib
import dataclasses
import os
import pathlib
import signal

import pytest

from pipelines import retrieval
from pipelines.parts import artifacts
from pipelines.parts.artifacts import write_text, written_whole
from pipelines.parts.command import command


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of nothing."""

    output: pathlib.Path


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    return Config(folder)


@pytest.fixture
def set_handler():
    """Sets handlers for one test."""
    before = {}

    def set_one(number, handler):
        before[number] = signal.signal(number, handler)

    yield set_one
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "by", "code"),
    [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)],
)
def test_a_stop_says_what_the_run_wrote_and_nothing_else(
    config, number, by, code, set_handler
):
    @command
    def main(config):
        write_text(config.output / "new.txt", "new")
        (config.output / ".unfinished-x").touch()
        os.kill(os.getpid(), number)

    # A shell starts what runs in the background with Ctrl-C ignored.
    set_handler(signal.SIGINT, signal.default_int_handler)
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit) as stopped:
        main(config)
    assert stopped.value.code == code
    line = f"Stopped by {by}. Kept of this run in {config.output}: new.txt."
    assert str(stopped.value).strip() == line
    now = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert now == handlers


def test_a_stop_before_anything_is_written_says_that_nothing_was_kept(config):
    @command
    def main(_):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match=r"Ctrl-C. Nothing of this run was kept\.$"):
        main(config)


def full_disk(*_, **__):
    raise OSError(28, "No space left on device", "metrics.json")


def no_memory(*_):
    raise MemoryError("Unable to allocate 9 TiB")


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (full_disk, "Cannot go on: No space left on device: metrics.json."),
        (no_memory, "Not enough memory or disk: Unable to allocate 9 TiB."),
    ],
)
def test_a_full_machine_ends_in_a_line(config, fails, words):
    with pytest.raises(SystemExit, match=words):
        command(fails)(config)


def test_a_file_is_there_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    artifacts.write_json(path, {"config": {}, "loss": float("nan")})
    before = path.read_text()
    assert '"loss": null' in before
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        artifacts.write_json(path, {"config": {"a": 1}})
    monkeypatch.undo()
    with contextlib.suppress(KeyboardInterrupt), written_whole(path) as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ["metrics.json"]
    artifacts.write_json(path, {"config": {"a": 1}})
    assert '"a": 1' in path.read_text()


@pytest.mark.parametrize(
    "text", ["", '{"config": ', "[]", "{}", '{"config": 3}', '{"config": {"a": 1}}']
)
def test_damaged_metrics_are_named(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(SystemExit, match=f"{tmp_path}/metrics.json "):
        artifacts.read_config(tmp_path, retrieval.Config)


def test_flags_come_back_as_they_were(tmp_path):
    config = retrieval.Config(seed=7, temperature=0.5, output=tmp_path)
    values = dataclasses.asdict(config)
    artifacts.write_json(tmp_path / "metrics.json", {"config": values})
    assert artifacts.read_config(tmp_path, retrieval.Config) == config
    values["embedding_dim"] = -2
    artifacts.write_json(tmp_path / "metrics.json", {"config": values})
    with pytest.raises(SystemExit, match="`--embedding-dim` must be at least 1"):
        artifacts.read_config(tmp_path, retrieval.Config)
