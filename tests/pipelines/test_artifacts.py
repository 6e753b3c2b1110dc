"""What a run writes, on disks that are full or cannot be written to."""

import contextlib
import dataclasses
import os
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import retrieval
from pipelines.benchmarks import results
from pipelines.compare import read_run
from pipelines.parts.all_users import recommend_to_file
from pipelines.parts.artifacts import (
    hashes_of,
    prepare_folder,
    read_json,
    write_json,
    write_text,
)
from pipelines.parts.checkpoints import Checkpoints, Origin
from pipelines.parts.command import command
from pipelines.parts.rank_files import NAME, read_ranks, write_lists, write_ranks
from pipelines.parts.trials import run_trials, stored_trials

KILOBYTES = 192
WHOLE = (KILOBYTES + 16) * 1024  # bytes that do not fit


@dataclasses.dataclass(frozen=True)
class Config:
    """A command without flags."""


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={KILOBYTES}k,nr_inodes=200"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def numbers(size):
    """As many bytes, which no compression makes fewer."""
    return np.random.default_rng(0).integers(2**62, size=size // 8)


class Weights(tf.Module):
    """A model of a size in bytes."""

    def __init__(self, size):
        super().__init__()
        self.values = tf.Variable(numbers(size))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "x")])
    def first(self, x):
        return {"y": x + self.values[0]}


def checkpoint(folder, size):
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False)])
    model.build([None, max(size // 4, 1)])
    data = {"items": {"size": 2, "sha256": "ab"}}
    words = {"item_id": np.array(["a"])}
    origin = Origin("run", retrieval.Config(), data, words)
    Checkpoints(folder / "checkpoint").save(model, origin)


def ranks(folder, size):
    found = numbers(max(size, 80))
    ones = np.ones(len(found), np.int64)
    table = tm.metrics.RankTable(found, ones, found + 1, ones > 0)
    keys = {"user_id": ones.astype(str), "item_id": ones.astype(str)}
    keys |= {"timestamp": found}
    write_ranks(folder / "ranks.parquet", {"model": table}, keys, run="run")


def lists(folder, size):
    rows = numbers(max(size, 80)).reshape(-1, 2) % 3000
    keys = {"item_id": rows[:, 0].astype(str).astype(object)}
    write_lists(folder, rows, keys, np.arange(3000).astype(str), run="run")


def recommendations(folder, size):
    users = folder.parent / "users.txt"
    users.write_text("\n".join(map(str, numbers(max(size, 160)))))

    def answer(batch):
        texts = np.array(batch, "S")[:, None].astype(object)
        scores = np.ones([len(batch), 1], np.float32)
        known = np.ones(len(batch), bool)
        return {"item_id": texts, "title": texts, "score": scores, "known_user": known}

    output = folder / f"all-{size}.parquet"
    recommend_to_file(answer, users, output, k=1, users_at_once=1000, made_with={})


def trials(folder, size):
    path = folder / "trials.db"
    names = [f"{name:0100}" for name in range(1 + size // 100)]
    with stored_trials(path):
        run_trials(
            path,
            lambda trial: {"rate": trial.suggest_float("rate", 0.0, 1.0)},
            lambda flags, _: flags["rate"],
            trials=1,
            seed=1,
            given={"rate": 0.5},
            of={"names": names} if size else {},
        )


# Writer of the old, small file and of a new one that does not fit.
WRITERS = {
    "metrics.json": lambda folder, size: write_json(
        folder / "metrics.json", {"values": "x" * size}
    ),
    "report.html": lambda folder, size: write_text(
        folder / "report.html", "x" * (size + 1)
    ),
    "checkpoint": checkpoint,
    "export": lambda folder, size: tm.serving.export(
        model := Weights(size + 8),
        folder / "export",
        signatures={"serving_default": model.first},
        samples={},
    ),
    "ranks.parquet": ranks,
    "lists.parquet": lists,
    "rows.npz": lambda folder, size: results.write_rows(
        folder / "rows.npz", {"values": numbers(size + 8)}
    ),
    "server": lambda folder, size: tm.serving.write_server_config(
        folder / "server",
        {"model": tm.serving.ServedModel(base_path="/m" + "x" * size)},
    ),
    "all-": recommendations,
    "trials.db": trials,
}


def contents(folder):
    """Bytes of each file; what an unfinished table has of parts goes on later."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".parts" not in str(path)
    }


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_with_the_path_and_the_old_files_stay(disk, name):
    write = WRITERS[name]
    if name != "trials.db":  # it appends to its file
        write(disk, 0)
    before = contents(disk)
    main = command(lambda _: write(disk, WHOLE))
    with pytest.raises(SystemExit, match="No space left|is full") as ended:
        main(Config())
    assert f"{disk}/" in str(ended.value)
    assert "\n" not in str(ended.value)
    if name != "trials.db":
        assert contents(disk) == before


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"trials.db"}))
def test_a_read_only_folder_is_one_line_with_the_path(disk, name):
    WRITERS[name](disk, 0)
    before = contents(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    main = command(lambda _: WRITERS[name](disk, 8))
    with pytest.raises(SystemExit, match="Read-only file system") as ended:
        main(Config())
    assert f"{disk}/" in str(ended.value)
    assert "\n" not in str(ended.value)
    assert contents(disk) == before
    with pytest.raises(SystemExit, match="`--output` must be a folder that can be"):
        prepare_folder(disk)


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"trials.db"}))
@pytest.mark.parametrize("call", ["os.rename", "os.replace", "os.fsync"])
def test_a_run_that_ends_in_a_system_call_leaves_whole_files(
    tmp_path, monkeypatch, name, call
):
    """At each of its calls in turn, until all of them succeed."""
    folder = tmp_path / "output"
    folder.mkdir()
    write = WRITERS[name]
    write(folder, 0)
    before = contents(folder)
    real = getattr(os, call.removeprefix("os."))
    for fatal in range(40):
        calls = []

        def dies(*arguments, fatal=fatal, calls=calls, **options):
            calls.append(arguments)
            if len(calls) > fatal:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        monkeypatch.setattr(call, dies)
        with contextlib.suppress(KeyboardInterrupt):
            write(folder, 8)
        monkeypatch.undo()
        after = contents(folder)
        if len(calls) <= fatal:
            return
        is_unchanged = all(after.get(path) == old for path, old in before.items())
        whole = {path for path in after if ".unfinished" not in str(path)}
        assert is_unchanged or whole >= {*before}  # the old ones, or new ones
    pytest.fail("it never ends")


def test_an_edited_file_of_values_is_refused(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"config": {"seed": 1}, "loss": 0.1 + 0.2, "none": float("nan")})
    assert read_json(path, ("config",), "Run it again")["loss"] == 0.1 + 0.2
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(SystemExit, match="metrics.json is not as it was written: it w"):
        read_json(path, ("config",), "Run it again")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_file_of_ranks_is_named(tmp_path, share):
    ranks(tmp_path, 4000)
    path = tmp_path / "ranks.parquet"
    write_json(
        tmp_path / "metrics.json",
        {"config": {}, "run": "run", "files": hashes_of(tmp_path, NAME)},
    )
    assert read_run(tmp_path).ranks.run == "run"
    whole = path.read_bytes()
    place = int(share * len(whole))
    flipped = bytearray(whole)
    flipped[place] ^= 1
    for damaged in (whole[:place], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(SystemExit, match=f"^{path} is "):
            read_run(tmp_path)
    path.write_bytes(whole[:place])
    with pytest.raises(SystemExit, match=f"{path} is damaged or holds no ranks"):
        read_ranks(path)  # of a run that did not say the hash


def test_a_damaged_file_of_a_seed_is_named(tmp_path):
    path = tmp_path / "rows.npz"
    results.write_rows(path, {"a": np.arange(9)})
    assert results.read_rows(path)["a"].tolist() == [*range(9)]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SystemExit, match=f"{path} is damaged: .* Remove it"):
        results.read_rows(path)


@pytest.mark.parametrize("content", [b"", b"no database" * 99, None])
def test_a_damaged_file_of_trials_is_named(tmp_path, content):
    path = tmp_path / "trials.db"
    trials(tmp_path, 0)
    if content == b"":  # a file that SQLite begins anew
        path.write_bytes(content)
        trials(tmp_path, 0)
        return
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(SystemExit, match=f"The trials in {path} cannot be read") as end:
        trials(tmp_path, 0)
    assert "\n" not in str(end.value)
