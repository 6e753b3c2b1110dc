import pytest
import tensorflow as tf

from tfrs_models.serving import export, list_versions


class Doubler(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
    def double(self, x):
        return {"y": 2 * x}


def test_versions_are_counted_up(tmp_path):
    module = Doubler()
    for version in (1, 2):
        path = export(module, tmp_path, signatures={"serving_default": module.double})
        assert path == tmp_path / str(version)
    assert list_versions(tmp_path) == [1, 2]
    loaded = tf.saved_model.load(str(tmp_path / "2")).signatures["serving_default"]
    assert float(loaded(x=tf.constant(3.0))["y"]) == 6


def test_versions_are_numbers_not_words(tmp_path):
    module = Doubler()
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "saved_model.pb").touch()
    path = export(module, tmp_path, signatures={"serving_default": module.double})
    assert path.name == "10"
    assert list_versions(tmp_path) == [9, 10]


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(_, path, **__):
        tf.io.gfile.GFile(f"{path}/saved_model.pb", "w").write("half")
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    module = Doubler()
    with pytest.raises(OSError, match="disk full"):
        export(module, tmp_path, signatures={"serving_default": module.double})
    assert list(tmp_path.iterdir()) == []
