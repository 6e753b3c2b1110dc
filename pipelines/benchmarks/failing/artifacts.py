"""Artifacts of the package and the pipelines, as something to write and to read."""

import dataclasses
import functools
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

import tfrs_models as tm
from pipelines import retrieval
from pipelines.parts.all_users import recommend_to_file
from pipelines.parts.artifacts import read_json, write_json, write_text
from pipelines.parts.checkpoints import Checkpoints, Origin
from pipelines.parts.rank_files import read_ranks, write_lists, write_ranks
from pipelines.parts.trials import run_trials, stored_trials
from tfrs_models.data.synthetic import make_search_and_recommendation

_NUM_ROWS = 200


@dataclasses.dataclass(frozen=True)
class Artifact:
    """Files that are written together.

    An edition is a number that shows in the content: 1 is there before, 2 is written
    while a call fails.

    Args:
      name: name in the table.
      write: function of a folder and an edition.
      read: function from the folder to the edition of its files; 0 if there are none.
        It raises an error if they are damaged or mixed.
      has_old: whether edition 1 is written first.
      grows: whether edition 2 is edition 1 with more, in the same files.
    """

    name: str
    write: Callable[[Path, int], object]
    read: Callable[[Path], int]
    has_old: bool = True
    grows: bool = False


def _write_metrics(folder: Path, edition: int) -> None:
    values = {"edition": edition, "values": np.arange(5000).tolist()}
    write_json(folder / "metrics.json", values)


def _read_metrics(folder: Path) -> int:
    return read_json(folder / "metrics.json", ("edition", "values"), "")["edition"]


def _write_report(folder: Path, edition: int) -> None:
    lines = "<p>A line.</p>\n" * 5000
    write_text(folder / "report.html", f"<html>{edition}\n{lines}</html>\n")


def _read_report(folder: Path) -> int:
    text = (folder / "report.html").read_text(encoding="utf-8")
    if not text.endswith("</html>\n"):
        raise ValueError("report.html is torn")
    return int(text.removeprefix("<html>").partition("\n")[0])


def _keys() -> dict[str, np.ndarray]:
    names = np.array([f"{n}" for n in range(_NUM_ROWS)], object)
    return {"user_id": names, "item_id": names, "timestamp": np.arange(_NUM_ROWS)}


def _write_ranks(folder: Path, edition: int) -> None:
    numbers = np.arange(_NUM_ROWS)
    table = tm.metrics.RankTable(numbers, 0 * numbers, 9 + numbers, numbers < 150)
    write_ranks(folder / "ranks.parquet", {"model": table}, _keys(), run=str(edition))


def _read_ranks(folder: Path) -> int:
    ranks = read_ranks(folder / "ranks.parquet")
    np.testing.assert_array_equal(ranks.frame["above"], np.arange(_NUM_ROWS))
    return int(ranks.run)


def _write_lists(folder: Path, edition: int) -> None:
    lists = np.arange(_NUM_ROWS * 5).reshape(-1, 5) % 30 + 1
    ids = np.array([f"{edition}.{n}" for n in range(31)], object)
    write_lists(folder, lists, _keys(), ids, run=str(edition))


def _read_lists(folder: Path) -> int:
    pq.read_table(folder / "taken.parquet")
    lists = pq.read_table(folder / "lists.parquet").to_pandas()
    editions = {text.partition(".")[0] for text in lists["doc_id"]}
    if len(editions) != 1 or len(lists) != _NUM_ROWS * 5:
        raise ValueError(f"lists.parquet has {len(lists)} rows of {editions}")
    return int(editions.pop())


def _dense(value: float) -> tf.keras.Model:
    made = tf.keras.Sequential([tf.keras.layers.Dense(300, use_bias=False)])
    made.build([None, 20])
    made.set_weights([np.full([20, 300], value, np.float32)])
    return made


def _write_checkpoint(folder: Path, edition: int) -> None:
    words = {"item_id": np.array([f"item {n}" for n in range(2000)])}
    data = {"items": {"size": 2000, "sha256": "ab"}}
    origin = Origin(f"run {edition}", retrieval.Config(), data, words)
    checkpoints = Checkpoints(folder / "checkpoint")
    for _ in range(2 if edition == 1 else 1):  # so that an old one is removed
        checkpoints.save(_dense(edition), origin)


def _read_checkpoint(folder: Path) -> int:
    newest = Checkpoints(folder / "checkpoint").newest()
    model = _dense(0)
    newest.load(model)
    (edition,) = np.unique(model.get_weights()[0])
    if newest.about["run"] != f"run {int(edition)}":
        raise ValueError("the weights are not those of about.json")
    return int(edition)


@functools.cache
def _module(edition: int) -> tf.Module:
    folder = Path(tempfile.mkdtemp())
    vocabulary = folder / "items.txt"
    vocabulary.write_text("".join(f"item {n}\n" for n in range(2000)))
    module = tf.Module()
    module.rows = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        -1,
    )
    module.values = tf.Variable(tf.fill([2000], float(edition)))
    module.score = tf.function(
        lambda item: {"score": tf.gather(module.values, module.rows.lookup(item))},
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string, "item")],
    )
    return module


def _write_export(folder: Path, edition: int) -> None:
    module = _module(edition)
    for _ in range(2 if edition == 1 else 1):  # so that an old one is removed
        tm.serving.export(
            module,
            folder / "export",
            signatures={"serving_default": module.score},
            samples={"serving_default": {"item": np.array(["item 7", "item 3"])}},
            keep=2,
        )


def _read_export(folder: Path) -> int:
    tm.serving.contract.verify(folder / "export")
    newest = tm.serving.list_versions(folder / "export")[-1]
    shard = folder / "export" / str(newest) / "variables" / "variables"
    reader = tf.train.load_checkpoint(str(shard))
    (name,) = (n for n in reader.get_variable_to_shape_map() if "values" in n)
    return int(reader.get_tensor(name)[0])


def _write_all_users(folder: Path, edition: int) -> None:
    users = folder.with_name(f"{folder.name}.users")
    users.write_text("".join(f"user {n}\n" for n in range(100)))

    def answer(ids: list[str]) -> dict[str, np.ndarray]:
        items = np.array([[f"{u}: {n}".encode() for n in range(3)] for u in ids])
        score = np.ones(items.shape, np.float32)
        known = np.ones(len(ids), bool)
        return {"item_id": items, "title": items, "score": score, "known_user": known}

    recommend_to_file(
        answer,
        users,
        folder / "all.parquet",
        k=3,
        users_at_once=20,
        made_with={"model": edition},
        rows_of_a_part=120,
    )


def _read_all_users(folder: Path) -> int:
    if not (folder / "all.parquet").exists():
        return 0
    table = pq.read_table(folder / "all.parquet")
    if table.num_rows != 300 or len(set(table["item_id"].to_pylist())) != 300:
        raise ValueError("all.parquet is not whole")
    return 2


def _write_training(folder: Path, edition: int) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    rows = {name: rng.integers(1, 9, 40) for name in ("user_id", "item_id")}
    model = tm.models.TwoTower(
        tm.towers.UserId(9, 2), tm.towers.UserId(9, 2, feature="item_id")
    )
    model.compile(tf.keras.optimizers.Adam(0.01))
    tm.training.fit_resumable(
        model,
        tf.data.Dataset.from_tensor_slices(rows).batch(10),
        folder=folder / "training",
        identity={"width": 2},
        resume="auto",
        epochs=2 * edition,
    )
    return model


@functools.cache
def _trained() -> list[np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        return _write_training(Path(folder), 2).get_weights()


def _read_training(folder: Path) -> int:
    state = tm.training.read_state(folder / "training")
    if state.about["epoch"] < 4:
        return 1 if state.about["epoch"] >= 2 else 0
    reader = tf.train.load_checkpoint(str(state.tensors))
    weights = {
        reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if "optimizer" not in name and "_CHECKPOINTABLE" not in name
    }
    if not {weight.tobytes() for weight in _trained()} <= weights:
        raise ValueError("the weights are not those of the uninterrupted training")
    return 2


def _write_trials(folder: Path, edition: int) -> None:
    with stored_trials(folder / "trials.db"):
        run_trials(
            folder / "trials.db",
            lambda trial: {"rate": trial.suggest_float("rate", 0.0, 1.0)},
            lambda flags, _: flags["rate"],
            trials=2 * edition,
            seed=1,
            given={"rate": 0.5},
            of={"data": "these"},
        )


def _read_trials(folder: Path) -> int:
    import sqlite3

    connection = sqlite3.connect(folder / "trials.db")
    try:
        found = connection.execute(
            "select value from trials join trial_values using (trial_id) "
            "where state = 'COMPLETE' order by trial_id"
        ).fetchall()
    finally:
        connection.close()
    if len(found) < 2:
        raise ValueError(f"trials.db has {len(found)} of 2 finished trials")
    return 2 if len(found) >= 4 else 1


def _write_server_config(folder: Path, edition: int) -> None:
    served = tm.serving.ServedModel(base_path=f"/models/{edition}")
    tm.serving.write_server_config(folder, {"retrieval": served})


def _read_server_config(folder: Path) -> int:
    text = (folder / "models.config").read_text()
    if text.count("{") != text.count("}"):
        raise ValueError("models.config is torn")
    return int(text.partition("/models/")[2].partition('"')[0])


@functools.cache
def _log() -> tm.data.kuaisar.SearchAndRecommendation:
    return make_search_and_recommendation(0, num_users=20, num_items=320)


def _write_records(folder: Path, edition: int) -> None:
    del edition
    data = _log()
    tm.data.kuaisar.write_records(data, folder / "records", shard_rows=200)


def _read_records(folder: Path) -> int:
    if not (folder / "records" / "manifest.json").exists():
        return 0
    tm.data.kuaisar.load(folder / "records")
    return 2


ARTIFACTS = (
    Artifact("metrics.json", _write_metrics, _read_metrics),
    Artifact("report.html", _write_report, _read_report),
    Artifact("ranks.parquet", _write_ranks, _read_ranks),
    Artifact("lists.parquet, taken.parquet", _write_lists, _read_lists),
    Artifact("trials.db", _write_trials, _read_trials, grows=True),
    Artifact("training state", _write_training, _read_training, grows=True),
    Artifact("checkpoint", _write_checkpoint, _read_checkpoint),
    Artifact("export", _write_export, _read_export),
    Artifact("models.config", _write_server_config, _read_server_config),
    Artifact("recommend --all", _write_all_users, _read_all_users, has_old=False),
    Artifact("KuaiSAR records", _write_records, _read_records, has_old=False),
)


def digests(folder: Path) -> dict[str, str]:
    """Returns path -> SHA-256 of the files below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
