import concurrent.futures
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tfrs_models import _versions
from tfrs_models.serving import (
    ServedModel,
    contract,
    export,
    gate,
    list_versions,
    versions,
    write_server_config,
)


class Doubler(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def double(self, x):
        return {"y": 2 * x}

    @property
    def signatures(self):
        return {"serving_default": self.double}


@pytest.fixture(scope="module")
def module():
    return Doubler()


def left_in(directory):
    return sorted(path.name for path in directory.iterdir())


def test_versions_are_counted_up_and_answer(module, tmp_path):
    for version in (1, 2):
        assert export(module, tmp_path) == tmp_path / str(version)
    assert list_versions(tmp_path) == [1, 2]
    assert left_in(tmp_path) == ["1", "2"]
    loaded = tf.saved_model.load(str(tmp_path / "2"))
    answer = loaded.signatures["serving_default"](x=tf.constant([3.0]))
    assert answer["y"].numpy() == [6]


def test_a_signature_is_traced_once_and_the_module_goes_on_as_before(tmp_path):
    traced, module = [], tf.Module()
    module.scale = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def scaled(x):
        traced.append(x)
        return {"y": module.scale * x}

    module.scaled = scaled
    path = export(module, tmp_path, signatures={"serving_default": scaled})
    assert len(traced) == 1
    module.scale.assign(5.0)
    assert module.scaled(tf.constant([3.0]))["y"].numpy() == [15]
    loaded = tf.saved_model.load(str(path))
    assert loaded.scaled(tf.constant([3.0]))["y"].numpy() == [6]


def test_versions_are_numbers_not_words(module, tmp_path):
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "saved_model.pb").touch()
    # No server takes these for versions; the last ones are beyond int64.
    for name in ("x", "²", "٣", ".5", "-12", "+13", "1_0", "9" * 19, "9" * 5000):
        (tmp_path / name[:200]).mkdir()
    assert export(module, tmp_path).name == "10"
    assert list_versions(tmp_path) == [9, 10]


@pytest.mark.parametrize("name", ["00000123", " 123", "123 "])
def test_a_server_reads_padded_numbers_and_so_do_we(module, name, tmp_path):
    export(module, tmp_path).rename(tmp_path / name)
    assert list_versions(tmp_path) == [123]
    contract.verify(tmp_path)
    assert export(module, tmp_path, keep=1).name == "124"
    assert left_in(tmp_path) == ["124"]


def test_after_the_last_number_there_is_none_and_nothing_is_written(module, tmp_path):
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(ValueError, match="`directory` must leave a number.*9223372036"):
        export(module, tmp_path)
    assert left_in(tmp_path) == [str(2**63 - 1)]


ADDRESSES = ["gs://bucket/m", "s3://bucket/m", "hdfs://n:1/m", "file:///m", "gs:/b/m"]


@pytest.mark.parametrize("address", [*ADDRESSES, *map(Path, ADDRESSES), b"gs://b", ""])
def test_an_address_is_refused_and_is_no_name_of_a_folder(
    module, address, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: export(module, address),
        lambda: list_versions(address),
        lambda: contract.verify(address),
        lambda: contract.read(address),
        lambda: gate.compare(address, address, [{"x": [1.0]}]),
        lambda: write_server_config(address, {"m": ServedModel(base_path="/m")}),
    ):
        with pytest.raises(
            ValueError, match="`directory` must be a folder of this mac"
        ):
            call()
    assert left_in(tmp_path) == []


def test_a_folder_that_is_no_model_keeps_its_number(module, tmp_path):
    (tmp_path / "3").mkdir()
    assert export(module, tmp_path).name == "4"
    assert list_versions(tmp_path) == [4]


def test_signatures_that_are_given_take_the_place_of_the_modules_own(module, tmp_path):
    path = export(module, tmp_path, signatures={"twice": module.double})
    assert set(tf.saved_model.load(str(path)).signatures) == {"twice"}


def test_a_module_without_signatures_is_told_so(tmp_path):
    with pytest.raises(ValueError, match="`signatures` must name.*none for Module"):
        export(tf.Module(), tmp_path)


class Odd(tf.Module):
    @tf.function
    def no_input_signature(self, x):
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def no_names(self, x):
        return x

    @tf.function(input_signature=[{"a": tf.TensorSpec([None], tf.float32)}])
    def no_name_in_a_dict(self, x):
        return {"y": x["a"]}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int64)])
    def takes_ragged(self, x):
        return {"y": tf.reduce_sum(x, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def returns_ragged(self, x):
        return {"y": tf.RaggedTensor.from_row_lengths(x, [tf.size(x)])}

    def no_function(self, x):
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def refuses_zeros(self, x):
        tf.debugging.assert_positive(x, "`x` must be positive.")
        return {"y": x}


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("no_input_signature", "`f` must be a tf.function with an `input_signature`"),
        ("no_function", "`f` must be a tf.function with an `input_signature`"),
        ("no_names", "`f` must return a dict"),
        (
            "no_name_in_a_dict",
            "`f` must.*every spec in a dict or list must have a name",
        ),
        ("takes_ragged", "`f` must take.*dense.*Got .RaggedTensorSpec"),
        ("returns_ragged", "`f` must.*return dense"),
        ("refuses_zeros", "`f` refused a sample.*`x` must be positive.*`samples="),
    ],
)
def test_a_signature_that_clients_could_not_call_is_refused(method, words, tmp_path):
    odd = Odd()
    with pytest.raises(ValueError, match=rf"(?s){words}"):
        export(odd, tmp_path, signatures={"f": getattr(odd, method)})
    assert list_versions(tmp_path) == []


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ({"other": {"x": [1.0]}}, r"of the signatures \['serving_default'\].*other"),
        ({"serving_default": {"z": [1.0]}}, r"must have the inputs \['x'\].*\['z'\]"),
        ({"serving_default": {"x": ["a"]}}, "`x` of a sample.*must be float32"),
        ({"serving_default": {"x": [1e39]}}, r"`x` of.*1e\+39 does not fit"),
        ({"serving_default": {"x": [[1.0], 2.0]}}, "`x` of.*not of one width"),
        ({"serving_default": {"x": [[1.0]]}}, r"`x` of.*shape \(None,\).*\(1, 1\)"),
    ],
)
def test_samples_that_do_not_fit_are_named(module, samples, words, tmp_path):
    with pytest.raises(ValueError, match=rf"(?s){words}"):
        export(module, tmp_path, samples=samples)


def test_samples_are_those_given_else_the_modules_else_one_blank_row(tmp_path):
    def asked(module, **arguments):
        path = export(module, tmp_path, **arguments)
        samples = contract.samples_of(contract.read(path))
        return [inputs["x"].tolist() for _, inputs, _ in samples]

    module = Doubler()
    assert asked(module) == [[0]]
    assert asked(module, samples={"serving_default": {"x": [1, 2]}}) == [[1, 2]]
    module.samples = {"serving_default": [{"x": [3.0]}, {"x": [4.0]}]}
    assert asked(module) == [[3], [4]]
    assert asked(module, samples={}) == []


class Best(tf.Module):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "user_id"),
            tf.TensorSpec([], tf.int32, "k"),
            tf.TensorSpec([], tf.bool, "sorted"),
        ]
    )
    def best(self, user_id, k, sorted):  # noqa: A002
        scores = tf.cast(tf.strings.length(user_id), tf.float32)[:, None]
        with tf.control_dependencies([tf.debugging.assert_positive(k)]):
            return {"score": tf.tile(scores, [1, k]), "sorted": tf.identity(sorted)}


def test_a_blank_row_has_a_k_that_can_be_answered(tmp_path):
    module = Best()
    path = export(module, tmp_path, signatures={"serving_default": module.best})
    [(name, inputs, outputs)] = contract.samples_of(contract.read(path))
    assert name == "serving_default"
    assert inputs == {"user_id": [b""], "k": 1, "sorted": False}
    assert outputs["score"].shape == (1, 1)


@pytest.mark.parametrize("keep", [0, -1, 1.5, float("nan"), "2"])
def test_at_least_the_new_version_is_kept(module, keep, tmp_path):
    with pytest.raises(ValueError, match="`keep` must be at least 1"):
        export(module, tmp_path, keep=keep)
    assert not list(tmp_path.iterdir())


def test_the_newest_versions_are_kept_and_what_is_no_version_stays(module, tmp_path):
    (tmp_path / "2").mkdir()  # somebody's, without a model
    (tmp_path / "models.config").touch()
    for _ in range(4):
        export(module, tmp_path, keep=2)
    assert left_in(tmp_path) == ["2", "5", "6", "models.config"]


def test_the_version_just_written_is_never_removed(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "saved_model.pb").touch()
    versions.remove_old(tmp_path, keep=1, spare=tmp_path / "2")
    assert left_in(tmp_path) == ["2", "3"]


def made_up(*folders):
    """Folders that look like complete versions."""
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").touch()


def test_of_a_version_that_is_a_link_only_the_link_is_removed(module, tmp_path):
    made_up(tmp_path / "store" / "7", tmp_path / "m" / "2", tmp_path / "m" / "3")
    (tmp_path / "m" / "1").symlink_to(tmp_path / "store" / "7")
    assert export(module, tmp_path / "m", keep=1).name == "4"
    assert left_in(tmp_path / "m") == ["4"]
    assert left_in(tmp_path / "store" / "7") == ["saved_model.pb"]


def test_what_cannot_be_removed_is_a_warning_and_the_rest_is_removed(
    module, tmp_path, monkeypatch
):
    made_up(tmp_path / "1", tmp_path / "2", tmp_path / "3")
    rename = os.rename

    def busy(source, target):
        if source.name == "1":  # where something is mounted, or belongs to another
            raise OSError(errno.EBUSY, "busy")
        rename(source, target)

    monkeypatch.setattr(os, "rename", busy)
    with pytest.warns(UserWarning, match="version .*1 could not be removed .*busy"):
        assert export(module, tmp_path, keep=1).name == "4"
    assert left_in(tmp_path) == ["1", "4"]


def test_an_export_never_removes_its_own_version(module, tmp_path, monkeypatch):
    publish = _versions.publish

    def overtaken(folder, directory):
        """Another export publishes the next version before this one removes any."""
        own = publish(folder, directory)
        shutil.copytree(own, directory / str(int(own.name) + 1))
        return own

    monkeypatch.setattr("tfrs_models.serving.exporting.publish", overtaken)
    assert export(module, tmp_path, keep=1).name == "1"
    assert list_versions(tmp_path) == [1, 2]
    assert export(module, tmp_path, keep=1).name == "3"
    assert list_versions(tmp_path) == [3, 4]


def test_an_old_version_is_hidden_before_a_file_of_it_is_removed(tmp_path, monkeypatch):
    made_up(tmp_path / "1", tmp_path / "02", tmp_path / "3")
    rmtree, removed = shutil.rmtree, []

    def watched(path, **arguments):
        removed.append(os.path.basename(path))
        rmtree(path, **arguments)

    monkeypatch.setattr(shutil, "rmtree", watched)
    versions.remove_old(tmp_path, keep=1, spare=tmp_path / "3")
    assert left_in(tmp_path) == ["3"]
    assert len(removed) == 2
    assert all(name.startswith(".") for name in removed)


def test_a_running_export_of_another_user_is_left_alone(tmp_path, monkeypatch):
    with _versions.unfinished_version(tmp_path) as running:
        open_ = os.open

        def refused(path, *rest, **more):
            if str(path) == str(running):
                raise PermissionError(path)
            return open_(path, *rest, **more)

        monkeypatch.setattr(os, "open", refused)
        with _versions.unfinished_version(tmp_path) as other:
            assert other != running
        assert running.is_dir()


def test_a_failed_export_leaves_nothing(module, tmp_path, monkeypatch):
    def fail(_, path, **__):
        tf.io.gfile.GFile(f"{path}/saved_model.pb", "w").write("half")
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export(module, tmp_path)
    assert left_in(tmp_path) == []


KILLED = """
import os, signal, sys
import tensorflow as tf
import tfrs_models as tm

class Doubler(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def double(self, x):
        return {"y": 2 * x}

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

WHERE
tm.serving.export(module := Doubler(), sys.argv[1], signatures={"d": module.double})
"""
PLACES = {
    "after the files": "from tfrs_models import _versions; _versions.flush = die",
    "before the name": "os.rename = die",
}


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_a_killed_export_is_never_seen_and_the_next_one_removes_its_rest(
    where, module, tmp_path
):
    script = textwrap.dedent(KILLED).replace("WHERE", where)
    child = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    [rest] = tmp_path.iterdir()  # the model is there, under a name that is no number
    assert (rest / "saved_model.pb").is_file()
    assert list_versions(tmp_path) == []
    export(module, tmp_path)
    assert left_in(tmp_path) == ["1"]


def test_what_another_export_is_writing_is_left_alone(module, tmp_path):
    with _versions.unfinished_version(tmp_path) as running:
        (running / "half").touch()
        assert export(module, tmp_path).name == "1"
        assert (running / "half").is_file()
        assert _versions.publish(running, tmp_path).name == "2"
    assert left_in(tmp_path) == ["1", "2"]


def test_a_folder_that_is_taken_for_a_leftover_before_its_lock_is_replaced(
    tmp_path, monkeypatch
):
    flock, taken = fcntl.flock, []

    def overtaken(descriptor, how):
        if not taken:  # by the export that cleans up, which then removes it
            taken.append(next(tmp_path.iterdir()))
            raise BlockingIOError
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", overtaken)
    with _versions.unfinished_version(tmp_path) as folder:
        assert folder not in taken
        assert folder.is_dir()


def test_two_exports_that_see_the_same_number_free_get_one_each(tmp_path, monkeypatch):
    rename = os.rename

    def overtaken(source, target):
        monkeypatch.setattr(os, "rename", rename)
        target.mkdir()  # the other export, between the look and the rename
        (target / "saved_model.pb").touch()
        rename(source, target)

    with _versions.unfinished_version(tmp_path) as folder:
        (folder / "mine").touch()
        monkeypatch.setattr(os, "rename", overtaken)
        published = _versions.publish(folder, tmp_path)
    assert published.name == "2"
    assert (published / "mine").is_file()
    assert not (tmp_path / "1" / "mine").exists()


def test_where_a_file_system_has_no_locks_nothing_is_taken_for_a_leftover(
    module, tmp_path, monkeypatch
):
    def flock(*_):
        raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with _versions.unfinished_version(tmp_path) as running:
        assert export(module, tmp_path).name == "1"
        assert running.is_dir()


def test_exports_at_the_same_time_get_a_number_each(tmp_path):
    def publish(number):
        with _versions.unfinished_version(tmp_path) as folder:
            (folder / "saved_model.pb").write_text(str(number))
            return int(_versions.publish(folder, tmp_path).name)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        published = list(pool.map(publish, range(40)))
    assert sorted(published) == list_versions(tmp_path) == list(range(1, 41))
    for number, version in enumerate(published):
        path = tmp_path / str(version) / "saved_model.pb"
        assert path.read_text() == str(number)
    assert len(left_in(tmp_path)) == 40


def test_everything_is_on_the_disk_before_the_name_is(module, tmp_path, monkeypatch):
    flushed, files, rename = set(), [], os.rename
    fsync = os.fsync

    def watched_fsync(descriptor):
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def watched_rename(source, target):
        files.extend([source, *source.rglob("*")])
        assert {path.stat().st_ino for path in files} <= flushed
        flushed.clear()
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    export(module, tmp_path)
    assert len(files) > 5
    assert flushed == {tmp_path.stat().st_ino}  # and then the name itself


def test_real_requests_warm_the_server_up(tmp_path, recommender):
    prediction_log_pb2 = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2"
    )
    requests = [
        {"user_id": ["u1", "é"], "k": [3, 2], "exclude_seen": [True, False]},
        {"user_id": ["u2"], "k": [1], "exclude_seen": [False]},
    ]
    path = export(
        recommender,
        tmp_path,
        signatures={"serving_default": recommender.recommend},
        samples={"serving_default": requests},
    )
    records = tf.data.TFRecordDataset(
        str(path / "assets.extra" / "tf_serving_warmup_requests")
    )
    logs = [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in records]
    assert len(logs) == 2
    for log, sent in zip(logs, requests, strict=True):
        request = log.predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        assert request.inputs.keys() == sent.keys()
        for name, values in sent.items():
            tensor = tf.make_ndarray(request.inputs[name])
            encoded = np.char.encode(values) if name == "user_id" else values
            np.testing.assert_array_equal(tensor, encoded)
        assert request.inputs["k"].dtype == tf.int32.as_datatype_enum


def test_without_the_package_warm_up_is_an_error_only_where_it_was_asked_for(
    module, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    path = export(module, tmp_path)
    assert left_in(path / "assets.extra") == ["contract.json"]
    with pytest.raises(ImportError, match=r"pip install 'tfrs-models\[serving\]'"):
        export(module, tmp_path, samples={"serving_default": {"x": [1.0]}})
    assert left_in(tmp_path) == ["1"]


def test_updates_of_an_index_wait_for_the_export(tmp_path, monkeypatch):
    index = tm.layers.BruteForce(k=2).index(np.eye(3, dtype="float32"))
    module = tm.serving.Retriever(index)
    update = threading.Thread(
        target=lambda: index.upsert(9 * np.eye(3, dtype="float32"), [0, 1, 2])
    )
    save = tf.saved_model.save

    def save_while_another_thread_updates(*args, **kwargs):
        update.start()
        update.join(0.2)
        assert update.is_alive()
        save(*args, **kwargs)

    monkeypatch.setattr(tf.saved_model, "save", save_while_another_thread_updates)
    version = tm.serving.export(module, tmp_path)
    update.join()
    assert float(index(np.eye(3, dtype="float32"))[0][0, 0]) == 9
    loaded = tf.saved_model.load(str(version)).signatures["serving_default"]
    answer = loaded(query=tf.eye(3), k=tf.constant([1, 1, 1]))
    np.testing.assert_array_equal(answer["score"], np.ones([3, 1]))
