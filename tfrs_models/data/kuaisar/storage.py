"""Stored data: any of the readable folders, and sharded TFRecords that TFDS loads."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrs_models._files import (
    SEAL,
    digest,
    is_changed,
    sealed,
)
from tfrs_models._versions import folder_written_whole
from tfrs_models.data.kuaisar.checks import Histories
from tfrs_models.data.kuaisar.convert import convert
from tfrs_models.data.kuaisar.parsing import whole_numbers
from tfrs_models.data.kuaisar.pickles import read_pickles
from tfrs_models.data.kuaisar.samples import Options
from tfrs_models.data.kuaisar.search_and_recommendation import (
    SERVICES,
    SearchAndRecommendation,
)

_VERSION = "1.0.0"
_MANIFEST, _HASHES = "manifest.json", "hashes.json"
_TABLES = ("users", "items", "sessions", "queries")
_HISTORIES = {"item_history": "item_histories", "session_history": "session_histories"}


def load(
    directory: str | Path, options: Options | None = None
) -> SearchAndRecommendation:
    """Reads a folder with the raw log, with UniSAR's pickles, or with records.

    Args:
      directory: path of a folder with `rec_inter.csv` and the other raw files, with
        `vocab/` and `dataset/`, or with records.
      options: options of the conversion of raw files; None stands for the defaults.

    Returns:
      The data.

    Raises:
      FileNotFoundError: the folder is none of these, or a file is missing.
      ValueError: there are options for converted data, or the data are wrong.

    Example:
      >>> data = tm.data.synthetic.make_search_and_recommendation(0, num_users=20)
      >>> tm.data.kuaisar.write_pickles(data, "unisar")
      >>> again = tm.data.kuaisar.load("unisar")
      >>> (again.num_items, again.num_users) == (data.num_items, data.num_users)
      True
    """
    directory = Path(directory)
    if (directory / "rec_inter.csv").exists():
        with _named(directory):
            return convert(directory, options)
    if options is not None:
        raise ValueError(
            f"`options` are for raw files. {directory} has no rec_inter.csv."
        )
    if (directory / "vocab").is_dir():
        with _named(directory):
            return read_pickles(directory)
    if (directory / "manifest.json").exists():
        return read_records(directory)
    raise FileNotFoundError(
        f"{directory} must have rec_inter.csv (raw), vocab/ (UniSAR's pickles) or "
        "manifest.json (records)."
    )


@contextlib.contextmanager
def _named(directory: Path) -> Iterator[None]:
    """Adds the folder to errors of its content."""
    try:
        yield
    except ValueError as error:
        if str(directory) in str(error):
            raise
        raise ValueError(f"{error} Read from {directory}.") from error


def write_records(
    data: SearchAndRecommendation, directory: str | Path, *, shard_rows: int = 100_000
) -> None:
    """Writes every table and both services as TFDS data sets of sharded TFRecords.

    `directory/users/1.0.0` contains the users with their histories; `items`, `sessions`
    and `queries` contain the other tables, in the order of their ids; `recommendation`
    and `search` contain the samples. `manifest.json` contains the data's manifest. The
    folder appears when all of its files are on the disk.

    Args:
      data: data to write.
      directory: path of a new or empty folder.
      shard_rows: number of rows in a file.

    Raises:
      ValueError: the folder is not empty, or a size is below 1.

    Example:
      >>> import os
      >>> data = tm.data.synthetic.make_search_and_recommendation(0, num_users=20)
      >>> tm.data.kuaisar.write_records(data, "records", shard_rows=500)
      >>> sorted(os.listdir("records"))[:4]
      ['hashes.json', 'items', 'manifest.json', 'queries']
    """
    directory = Path(directory)
    if shard_rows < 1:
        raise ValueError(f"`shard_rows` must be at least 1. Got {shard_rows}.")
    if directory.exists() and any(directory.iterdir()):
        raise ValueError(f"`directory` must be empty. Got {directory}.")
    histories = {
        name: getattr(data, attribute) for name, attribute in _HISTORIES.items()
    }
    tables = {
        "users": data.users,
        "items": data.items or {"item_id": np.arange(data.num_items + 1)},
        "sessions": data.sessions,
        "queries": {"query": data.queries},
    }
    with folder_written_whole(directory) as folder:
        for name, table in tables.items():
            ragged = histories if name == "users" else {}
            rows = data.num_users if name == "users" else None
            _write(folder, name, {"train": table}, shard_rows, ragged, rows)
        for service in SERVICES:
            _write(folder, service, data.samples[service], shard_rows, {}, None)
        (folder / _MANIFEST).write_text(json.dumps(dict(data.manifest), indent=2))
        hashes = {name: digest(folder / name) for name in _files(folder)}
        (folder / _HASHES).write_text(json.dumps(sealed(hashes), indent=1))


def read_records(directory: str | Path) -> SearchAndRecommendation:
    """Reads the records that `write_records` wrote.

    Raises:
      FileNotFoundError: a data set or the manifest is missing.
      ValueError: a file was cut off, or is not as it was written.
    """
    directory = Path(directory)
    for name in (*_TABLES, *SERVICES, _MANIFEST):
        if not (directory / name).exists():
            raise FileNotFoundError(f"{directory} must have {name}.")
    _check_hashes(directory)
    tables = {name: _read(directory, name)["train"] for name in _TABLES}
    num_items = len(next(iter(tables["items"].values()))) - 1
    tables["items"].pop("item_id", None)  # the row number
    users, histories = tables["users"], {}
    for name, attribute in _HISTORIES.items():
        del users[f"{name}_time_row_splits"]
        parts = [users.pop(f"{name}{end}") for end in ("", "_time", "_row_splits")]
        histories[attribute] = Histories(*parts)
    return SearchAndRecommendation(
        users=_int32(users),
        items=_int32(tables["items"]),
        num_items=num_items,
        sessions=_int32(tables["sessions"]),
        queries=_int32(tables["queries"])["query"],
        **histories,
        samples={service: _read(directory, service) for service in SERVICES},
        manifest=json.loads((directory / _MANIFEST).read_text()),
    )


def _check_hashes(directory: Path) -> None:
    """Compares all files with their hashes, which records of old versions lack."""
    advice = "Write the records again."
    if not (directory / _HASHES).exists():
        return
    try:
        hashes = json.loads((directory / _HASHES).read_text())
        is_wrong = is_changed(hashes)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{directory / _HASHES} is damaged: {error}. {advice}"
        ) from error
    if is_wrong:
        raise ValueError(f"{directory / _HASHES} is not as it was written. {advice}")
    for name, then in hashes.items():
        path = directory / name
        if name != SEAL and not path.is_file():
            raise FileNotFoundError(f"{directory} must have {name}. {advice}")
        if name != SEAL and digest(path) != then:
            raise ValueError(f"{path} is not as it was written. {advice}")


def _files(folder: Path) -> list[str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files]


def _write(
    directory: Path,
    name: str,
    splits: Mapping[str, Mapping[str, np.ndarray]],
    shard_rows: int,
    ragged: Mapping[str, Histories],
    num_rows: int | None,
) -> None:
    import tensorflow_datasets as tfds

    folder = directory / name / _VERSION
    folder.mkdir(parents=True)
    template = tfds.core.ShardedFileTemplate(
        dataset_name=name, data_dir=folder, filetype_suffix="tfrecord"
    )
    infos = []
    for split, columns in splits.items():
        rows = num_rows or len(next(iter(columns.values())))
        starts = range(0, max(rows, 1), shard_rows)
        lengths = [min(shard_rows, rows - start) for start in starts]
        size = 0
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            path = folder / (
                f"{name}-{split}.tfrecord-{number:05d}-of-{len(lengths):05d}"
            )
            with tf.io.TFRecordWriter(str(path)) as writer:
                for record in _records(columns, ragged, start, start + length):
                    writer.write(record)
                    size += len(record)
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=lengths,
                num_bytes=size,
                filename_template=template.replace(split=split),
            )
        )
    columns = next(iter(splits.values()))
    features = {
        column: tfds.features.Tensor(shape=values.shape[1:], dtype=np.int64)
        for column, values in columns.items()
    }
    for column in ragged:
        features[column] = tfds.features.Sequence(np.int64)
        features[f"{column}_time"] = tfds.features.Sequence(np.int64)
    if name in SERVICES:  # splits have different numbers of negatives
        features["negatives"] = tfds.features.Sequence(np.int64)
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict(features),
        split_infos=infos,
        filename_template=template,
        check_data=all(info.num_examples for info in infos),  # reads one row
    )


def _records(
    columns: Mapping[str, np.ndarray],
    ragged: Mapping[str, Histories],
    start: int,
    stop: int,
) -> Iterator[bytes]:
    """Serialised rows of a table."""
    for row in range(start, stop):
        values = {name: np.ravel(column[row]) for name, column in columns.items()}
        for name, history in ragged.items():
            own = slice(*history.row_splits[row : row + 2])
            values[name] = history.ids[own]
            values[f"{name}_time"] = history.times[own]
        features = {
            name: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
            for name, value in values.items()
        }
        example = tf.train.Example(features=tf.train.Features(feature=features))
        yield example.SerializeToString()


def _read(directory: Path, name: str) -> dict[str, dict[str, np.ndarray]]:
    """Split -> columns; histories also have row splits."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(directory / name / _VERSION)
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    found = {}
    for split, info in builder.info.splits.items():
        parts = []
        if info.num_examples:  # tfds refuses to read nothing
            rows = builder.as_dataset(split=split, read_config=in_order)
            parts = [*rows.ragged_batch(8192)]
        columns = {}
        for column, feature in builder.info.features.items():
            tensors = [part[column] for part in parts]
            if isinstance(feature, tfds.features.Sequence):
                lengths = [t.row_lengths().numpy() for t in tensors]
                lengths = np.concatenate([np.zeros(0, np.int64), *lengths])
                columns[f"{column}_row_splits"] = np.append(0, np.cumsum(lengths))
                tensors, shape = [t.values for t in tensors], ()
            else:
                shape = feature.shape
            none = np.zeros([0, *shape], np.int64)
            columns[column] = np.concatenate([none, *(t.numpy() for t in tensors)])
        if name in SERVICES:
            rows = len(columns["user_id"])
            columns["negatives"] = columns["negatives"].reshape(rows, -1 if rows else 0)
            del columns["negatives_row_splits"]
            if "query" in columns:
                columns |= _int32({"query": columns["query"]})
        found[split] = columns
    return found


def _int32(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: whole_numbers(column, f"`{name}`", dtype=np.int32, axes=(1, 2))
        for name, column in table.items()
    }
