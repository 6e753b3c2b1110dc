"""The serving pipeline from the folders of the others to an export."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import ranking, retrieval, serve
from pipelines.parts import artifacts, checkpoints, list_ranking

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
    output = tmp_path_factory.mktemp("serve")
    config = serve.Config(
        **folders, ranker="multi-task", num_retrieved=12, output=output
    )
    return config, serve.main(config)


def multi_task(retrieval, ranking, output):
    return serve.Config(retrieval, "multi-task", ranking=ranking, output=output)


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
    metrics = artifacts.read_json(other / "metrics.json", (), "")
    metrics["config"]["data"]["split"] = orders.split
    artifacts.write_json(other / "metrics.json", metrics)
    config = multi_task(folders["retrieval"], other, tmp_path / "out")
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
    config = multi_task(broken, folders["ranking"], tmp_path / "out")
    with pytest.raises(SystemExit, match="There is no checkpoint in"):
        serve.main(config)


@pytest.fixture(scope="module")
def of_lists(folders, tmp_path_factory):
    config = serve.Config(
        folders["retrieval"],
        lists=list_ranking.ListRankerConfig(epochs=2, attended=4, held_back=0.3),
        num_retrieved=12,
        output=tmp_path_factory.mktemp("lists"),
    )
    return config, serve.main(config)


def test_a_ranker_of_lists_is_measured_beside_retrieval_with_a_verdict(of_lists):
    _, metrics = of_lists
    for orders in metrics["test"].values():
        gain = orders["cascade"]["ndcg_at_10"]["mean"]
        gain -= orders["retrieval"]["ndcg_at_10"]["mean"]
        found = orders["cascade_minus_retrieval"]["ndcg_at_10"]
        assert found["mean"] == pytest.approx(gain, abs=1e-6)
        assert found["low"] <= found["mean"] <= found["high"]
    validation = metrics["validation"]
    assert validation["cascade"] >= validation["retrieval"]
    assert "retrieval" in metrics["verdict"]


def test_its_export_answers_requests_with_and_without_a_history(of_lists):
    config, _ = of_lists
    tm.serving.contract.verify(config.output / "export")
    loaded = tf.saved_model.load(str(config.output / "export" / "1"))
    request = {
        "k": tf.constant([12]),
        "exclude_seen": tf.constant([True]),
        "exclusions": tf.constant([[""]]),
        "filter_kind": tf.constant([["a"]]),
    }
    known = loaded.signatures["serving_default"](user_id=tf.constant(["u1"]), **request)
    assert known["known_user"].numpy().all()
    visitor = loaded.signatures["history"](
        user_id=tf.constant([""]),
        history=tf.constant([["i3", "i4"]]),
        history_time=tf.constant([[9_000, 9_100]], tf.int64),
        time=tf.constant([9_200], tf.int64),
        append=tf.constant([False]),
        **request,
    )
    assert visitor["personal"].numpy().all()
    items = {i for i in visitor["item_id"].numpy().astype(str)[0] if i}
    assert items
    assert not items & {"i3", "i4"}
    assert {int(item[1:]) % 3 for item in items} == {0}


def test_features_of_lists_know_nothing_after_their_rows(folders):
    """Other rows later in time change no list, no feature and no trend."""
    _, data, model = serve.load_retrieval(folders["retrieval"])
    test = data.splits["test"]
    row = int(np.argsort(test["timestamp"])[len(test["timestamp"]) // 2])
    later = test["timestamp"] > test["timestamp"][row]
    assert later.any()
    changed = test | {"item_id": np.where(later, 1, test["item_id"])}
    other = dataclasses.replace(data, splits=data.splits | {"test": changed})
    made = []
    for some in (data, other):
        lists = list_ranking.lists_of(model, some, "test", num_retrieved=9)
        lists = lists.take(lists.rows == row)
        [features] = list_ranking.list_batches(lists, model, some, "test", 4)
        made.append({name: values.numpy() for name, values in features.items()})
    for name, values in made[0].items():
        np.testing.assert_array_equal(made[1][name], values, err_msg=name)


def test_a_ranker_of_lists_needs_histories(folders):
    flags, data, model = serve.load_retrieval(folders["retrieval"])
    flags = dataclasses.replace(flags, query_tower="id")
    with pytest.raises(SystemExit, match="`--ranker list` reads the history"):
        list_ranking.train(
            list_ranking.ListRankerConfig(), flags, data, model, num_retrieved=5, seed=0
        )
