"""The serving pipeline from the folders of the others to an export."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import ranking, retrieval, serve
from pipelines.parts import checkpoints

# One epoch of width 4 teaches little, and the alarms say so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:After epoch 1 the loss:tfrs_models.training.learning_alarms.LearningWarning"
)


@pytest.fixture(scope="module")
def folders(orders, tmp_path_factory, train_only):
    """What the retrieval and the ranking pipeline leave of a small table."""
    data = dataclasses.replace(orders, split="leave_last_out")
    folders = {}
    for pipeline, main in ((retrieval, train_only), (ranking, ranking.main)):
        folder = tmp_path_factory.mktemp("artifacts")
        name = pipeline.__name__.split(".")[-1]
        main(dataclasses.replace(pipeline.SMOKE, data=data, output=folder))
        folders[name] = folder
    return folders


@pytest.fixture(scope="module")
def served(folders, tmp_path_factory):
    config = serve.Config(
        **folders, num_retrieved=12, output=tmp_path_factory.mktemp("serve")
    )
    return config, serve.main(config)


def test_it_leaves_an_export_that_keeps_its_contract(served):
    config, _ = served
    tm.serving.contract.verify(config.output / "export")
    assert (config.output / "export" / "models.config").is_file()
    assert (config.output / "export" / "1" / "assets.extra").is_dir()


def test_the_metrics_hold_both_orders_with_intervals(served):
    config, returned = served
    stored = json.loads((config.output / "metrics.json").read_text())
    assert stored["retrieval_weight"] == returned["retrieval_weight"]
    for orders in stored["test"].values():
        assert orders.keys() == {"retrieval", "cascade"}
        for values in orders.values():
            for interval in values.values():
                assert interval["low"] <= interval["mean"] <= interval["high"]
        # The ranker orders what retrieval found, and finds nothing itself.
        found = [values["hit_rate_of_retrieval"] for values in orders.values()]
        assert found[0] == found[1]


def test_the_export_answers_strings_with_strings_and_filters(served):
    config, _ = served
    loaded = tf.saved_model.load(str(config.output / "export" / "1"))
    answer = loaded.signatures["serving_default"](
        user_id=tf.constant(["u1", "nobody"]),
        k=tf.constant([12, 3]),
        exclude_seen=tf.constant([True, True]),
        exclusions=tf.constant([["i1"], [""]]),
        filter_kind=tf.constant([["a", "b"], ["c", ""]]),
    )
    items = answer["item_id"].numpy().astype(str)
    assert answer["known_user"].numpy().tolist() == [True, False]
    kinds = {f"i{i}": "abc"[i % 3] for i in range(30)}
    assert {kinds[item] for item in items[0] if item} <= {"a", "b"}
    assert {kinds[item] for item in items[1, :3]} == {"c"}
    assert "i1" not in items[0]
    assert not any(items[1, 3:])


def test_the_ranker_is_the_one_that_its_pipeline_exported(served, folders):
    """The same probabilities for the same pair, from both exports."""
    config, _ = served
    loaded = tf.saved_model.load(str(config.output / "export" / "1"))
    answer = loaded.signatures["serving_default"](
        user_id=tf.constant(["nobody"]),
        k=tf.constant([1]),
        exclude_seen=tf.constant([False]),
        exclusions=tf.constant([[""]]),
        filter_kind=tf.constant([[""]]),
    )
    ranker = tf.saved_model.load(str(folders["ranking"] / "export" / "1"))
    parts = serve.load_parts(folders["retrieval"], folders["ranking"])
    item = int(answer["item_id"].numpy()[0, 0][1:])
    row = [*parts.data.vocabularies["item_id"]].index(f"i{item}") + 1
    user_features = tm.data.activity_table(parts.activity, "serving")[0][:1]
    item_features = parts.activity.items["item_features"][row : row + 1]
    layout = tm.data.activity_layout(parts.activity)
    expected = ranker.signatures["serving_default"](
        user_id=tf.constant(["nobody"]),
        item_id=tf.constant([f"i{item}"]),
        user_features=tf.constant(user_features),
        item_features=tf.constant(item_features),
        cross_features=layout.cross_features(
            tf.constant(user_features), tf.constant(item_features)
        ),
    )
    for task in ("rated", "like", "love"):
        np.testing.assert_allclose(answer[task][0], expected[task], rtol=1e-4)


def test_a_ranker_of_another_split_is_refused(folders, orders, tmp_path):
    other = shutil.copytree(folders["ranking"], tmp_path / "other", symlinks=True)
    metrics = json.loads((other / "metrics.json").read_text())
    metrics["config"]["data"]["split"] = orders.split
    (other / "metrics.json").write_text(json.dumps(metrics))
    config = serve.Config(folders["retrieval"], other, output=tmp_path / "out")
    with pytest.raises(SystemExit, match=r"`--ranking` must be .*--split leave_last"):
        serve.main(config)


def test_a_ranker_that_trained_on_test_rows_is_refused(folders, tmp_path):
    """As with a random split of another seed: flags alike, rows not."""
    other = shutil.copytree(folders["ranking"], tmp_path / "other", symlinks=True)
    about = checkpoints.Checkpoints(other / "checkpoint").newest()
    about.about["data"]["test rows"]["sha256"] = "of another seed"
    (about.folder / "about.json").write_text(json.dumps(about.about))
    with pytest.raises(SystemExit, match="test rows are others"):
        serve.load_parts(folders["retrieval"], other)


def test_a_run_that_was_stopped_is_not_trained_over(folders, tmp_path):
    stopped = shutil.copytree(folders["retrieval"], tmp_path / "stopped")
    (stopped / "metrics.json").unlink()
    with pytest.raises(SystemExit, match="did not finish"):
        serve.load_parts(stopped, folders["ranking"])


def test_a_folder_without_its_checkpoint_is_named(folders, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    metrics = folders["retrieval"] / "metrics.json"
    (broken / "metrics.json").write_text(metrics.read_text())
    config = serve.Config(broken, folders["ranking"], output=tmp_path / "out")
    with pytest.raises(SystemExit, match="There is no checkpoint in"):
        serve.main(config)
