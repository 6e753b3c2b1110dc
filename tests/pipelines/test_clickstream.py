"""The clickstream pipeline from flags to files."""

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from pipelines import clickstream, retrieval
from pipelines.parts import query_towers
from pipelines.parts.checkpoints import Origin
from pipelines.parts.click_data import load_clicks, split_by_time
from pipelines.recommend import print_answers
from pipelines.reporting.clickstream import compare, measure_baselines
from tfrs_models.data.clickstream import FineTuningInput, FineTuningParams
from tfrs_models.metrics import bootstrap_interval

# One epoch on a small table is no time to learn.
pytestmark = pytest.mark.filterwarnings(
    "ignore::tfrs_models.training.learning_alarms.LearningWarning"
)


@pytest.fixture(scope="module")
def run(orders, tmp_path_factory, train_only):
    """One small run on a table of a user's own, the model that it starts from too."""
    folder = tmp_path_factory.mktemp("clickstream")
    config = dataclasses.replace(
        clickstream.SMOKE,
        data=orders,
        retrieval=folder / "retrieval",
        output=folder / "clicks",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "main", train_only)
        return config, clickstream.main(config, start=clickstream.SMOKE_START)


def test_before_and_after_are_in_files_and_on_a_page(run):
    config, metrics = run
    stored = json.loads((config.output / "metrics.json").read_text())
    for when in ("before", "after"):
        figures = stored[when]["sessions"]
        assert 0 < figures["pair_accuracy"] < 1
        assert stored[when]["corpus"]["model"]["ndcg_at_10"]["mean"] > 0
    assert abs(stored["before"]["sessions"]["not_irrelevant_dist_shift"]) < 1e-5
    assert stored["sessions"]["sessions"] == 40
    gain = metrics["after_minus_before"]["pair_accuracy_of_a_session"]
    assert gain["low"] <= gain["mean"] <= gain["high"]
    page = (config.output / "report.html").read_text()
    assert "synthetic" in page
    assert 'src="http' not in page
    assert (config.output / "checkpoint" / "best.index").exists()


def test_the_export_answers_and_synthetic_sessions_say_that_they_are(run):
    config, _ = run
    exported = config.output / "export" / "1"
    answer = print_answers(exported, ["u1"], k=3, exclude_seen=True)
    assert answer["known_user"].tolist() == [True]
    lines = (config.output / "sessions.jsonl").read_text().splitlines()
    assert all(json.loads(line)["search_meta"]["synthetic"] for line in lines)


def write(path, count, *, extra=()):
    rng = np.random.default_rng(0)
    lines = []
    for number in range(count):
        shown = [f"i{i}" for i in rng.permutation(30)[:6]]
        clicked = shown[: rng.integers(3)]
        session = {
            "search_query": f"u{number % 40}",
            "search_results": [{"object_id": i, "rank": None} for i in shown],
            "events": [{"object_id": i} for i in clicked],
        }
        lines.append(json.dumps(session))
    path.write_text("\n".join([*lines[:3], *extra, *lines[3:]]) + "\n")
    return path


STRANGE = json.dumps(
    {
        "search_query": "nobody",
        "search_results": [{"object_id": i} for i in ("i1", "x", "i2")],
        "events": [{"object_id": "i1"}],
    }
)


def test_sessions_of_a_file_are_read_and_what_cannot_be_used_is_counted(
    run, tmp_path, capsys
):
    path = write(tmp_path / "log.jsonl", 60, extra=["{broken", STRANGE])
    clicks = loaded(run, tmp_path / "out", sessions=path)
    assert clicks.counts["sessions"] == 61
    assert clicks.counts["lines that could not be used"] == 1
    assert clicks.counts["results of unknown items"] == 1
    assert clicks.counts["sessions of unknown users"] == 1
    assert "log.jsonl, line 4: " in capsys.readouterr().out


def untrained(config, params, clicks, **_):
    """A model as it starts, whose quality is the same for all choices."""
    return clickstream.build_model(config, params, clicks), {clickstream.MONITOR: [0.5]}


def test_finished_trials_on_own_sessions_are_kept(run, tmp_path, monkeypatch):
    config, _ = run
    path = write(tmp_path / "log.jsonl", 60, extra=["{broken", STRANGE])
    config = dataclasses.replace(
        config,
        sessions=path,
        output=tmp_path / "out",
        not_irrelevant_only=False,
        optimizer="sgd",
        confidences="windowed",
        trials=1,
    )
    metrics = clickstream.main(config)
    assert metrics["sessions"]["sessions"] == 61
    assert "synthetic" not in (config.output / "report.html").read_text()
    trials = metrics["search"]["trials"]
    assert len(trials) == 1
    monkeypatch.setattr(
        retrieval, "export_recommender", lambda *_, **__: pathlib.Path("1")
    )
    for name in ("write_report", "print_comparison"):
        monkeypatch.setattr(clickstream, name, lambda *_, **__: None)
    corpus = types.SimpleNamespace(means=lambda _: {})
    measured = types.SimpleNamespace(sessions={}, corpus=corpus)
    monkeypatch.setattr(clickstream, "measure", lambda *_: measured)
    nothing = types.SimpleNamespace(metrics={})
    monkeypatch.setattr(clickstream, "compare", lambda *_: nothing)
    monkeypatch.setattr(clickstream, "train", untrained)  # it was, above
    # Finished trials are kept: one more is two.
    again = clickstream.main(config)
    assert len(again["search"]["trials"]) == 2
    assert again["search"]["trials"][:1] == trials
    # Those of another space are kept elsewhere: optuna refuses to mix them.
    wider = dataclasses.replace(config, fixed_layers=(0, 0))
    assert len(clickstream.main(wider)["search"]["trials"]) == 1


def test_trials_are_those_of_one_model_and_its_sessions(run):
    config, _ = run
    words = {"user_id": np.array(["u1"])}
    of = Origin("run", config, {"models to start from": {"sha256": "a"}}, words)
    clicks = types.SimpleNamespace(counts={"sessions": 3})
    other = dataclasses.replace(of, data={"models to start from": {"sha256": "b"}})
    later = dataclasses.replace(of, run="later")
    known = clickstream._trials_file(config, clicks, of)
    assert clickstream._trials_file(config, clicks, later) == known
    assert clickstream._trials_file(config, clicks, other) != known


def test_flags_of_other_data_than_the_models_are_refused(run, tmp_path):
    config, _ = run
    data = dataclasses.replace(config.data, min_rating=3.0)
    config = dataclasses.replace(config, data=data, output=tmp_path)
    with pytest.raises(SystemExit, match="must be those of the model that training"):
        clickstream.main(config)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["{broken"], "Cannot read the sessions: .*log.jsonl, line 4"),
        ([STRANGE], "1 results are no items of the model, and `--strict`"),
    ],
)
def test_strict_stops_at_what_cannot_be_used(run, tmp_path, extra, message):
    config, _ = run
    path = write(tmp_path / "log.jsonl", 9, extra=extra)
    config = dataclasses.replace(config, sessions=path, strict=True, output=tmp_path)
    with pytest.raises(SystemExit, match=message):
        clickstream.main(config)


def test_sessions_of_other_data_are_told_apart(run, tmp_path):
    config, _ = run
    path = tmp_path / "log.jsonl"
    path.write_text(STRANGE.replace("i1", "y").replace("i2", "z"))
    config = dataclasses.replace(config, sessions=path, output=tmp_path)
    with pytest.raises(SystemExit, match="No session of .* must be like 'i"):
        clickstream.main(config)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_sessions_end_the_program(run, tmp_path, count):
    config, _ = run
    shown = [{"object_id": f"i{i}", "rank": None} for i in range(1, 6)]
    session = {
        "search_query": "u1",
        "search_results": shown,
        "events": shown[:1],
    }
    path = tmp_path / "log.jsonl"
    path.write_text((json.dumps(session) + "\n") * count)
    config = dataclasses.replace(config, sessions=path, output=tmp_path)
    with pytest.raises(SystemExit, match="Cannot split .*At least three must have"):
        clickstream.main(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": 0.0}, "`--margin` must be positive. Got 0.0"),
        (
            {"negative_downsampling": 2.0},
            r"`--negative-downsampling` must be in \(0, 1\]",
        ),
        ({"epochs": 0}, "`--epochs` must be at least 1. Got 0"),
        ({"trials": -1}, "`--trials` must be at least 0. Got -1"),
        ({"fixed_layers": ()}, "`--fixed-layers` must name a number"),
        ({"fixed_layers": (1,)}, "`--fixed-layers` is too much: `k` must be below"),
    ],
)
def test_wrong_flags_end_the_program_with_their_name(run, tmp_path, change, message):
    config, _ = run
    config = dataclasses.replace(config, output=tmp_path, **change)
    with pytest.raises(SystemExit, match=message):
        clickstream.main(config)


def test_flags_of_the_training_reach_the_model_and_its_two_optimizers():
    dense = tf.keras.layers.Dense
    clicks = types.SimpleNamespace(query_tower=dense(2), item_tower=lambda: dense(2))
    config = dataclasses.replace(
        clickstream.SMOKE,
        adjust="unit",
        confidences="windowed",
        optimizer="sgd",
        step_size=7,
        gamma=0.5,
    )
    params = FineTuningParams(
        query_lr=0.1,
        items_lr=0.2,
        query_weight_decay=0.01,
        items_weight_decay=0.02,
        margin=0.3,
        not_irrelevant_only=False,
        negative_downsampling=0.25,
    )
    model = clickstream.build_model(config, params, clicks)
    assert (model.margin, model.adjust) == (0.3, "unit")
    assert model.num_fixed_layers == 0
    extractor = model.extractor
    assert extractor.confidence_calculator == "windowed"
    assert extractor.negative_downsampling_factor == 0.25
    assert extractor.not_irrelevant_only is False
    for optimizer, rate, decay in (
        (model.query_optimizer, 0.1, 0.01),
        (model.item_optimizer, 0.2, 0.02),
    ):
        assert isinstance(optimizer, tf.keras.optimizers.SGD)
        found = optimizer.get_config()
        assert found["weight_decay"] == decay
        schedule = found["learning_rate"]["config"]
        assert schedule["initial_learning_rate"] == rate
        assert (schedule["decay_steps"], schedule["decay_rate"]) == (7, 0.5)


def loaded(run, output, **options):
    config, _ = run
    towers_of, data, two_tower = retrieval.restore(config.retrieval)
    output.mkdir()
    return load_clicks(
        two_tower,
        data,
        **{
            "user_features": query_towers.user_features(towers_of, data, "test"),
            "sessions": None,
            "strict": False,
            "model_ranks": False,
            "sessions_per_user": 1,
            "output": output,
            "seed": 1,
        }
        | options,
    )


def shown(clicks, split):
    return [(s.query, s.results, s.events) for s in clicks.splits[split]]


def test_one_seed_decides_about_sessions_their_split_and_their_batches(run, tmp_path):
    one = loaded(run, tmp_path / "one", seed=1)
    again = loaded(run, tmp_path / "again", seed=1)
    other = loaded(run, tmp_path / "other", seed=2, sessions_per_user=3)
    files = [
        (tmp_path / name / "sessions.jsonl").read_text()
        for name in ("one", "again", "other")
    ]
    assert files[0] == files[1]
    assert files[2].count("\n") == 3 * files[0].count("\n")
    log = tmp_path / "one" / "sessions.jsonl"
    resplit = loaded(run, tmp_path / "resplit", seed=2, sessions=log)
    for split in ("train", "validation", "test"):
        assert shown(one, split) == shown(again, split)
        assert len(one.splits[split]) < len(other.splits[split])
    assert shown(one, "test") != shown(resplit, "test")

    def rows(clicks, seed):
        clicks = dataclasses.replace(clicks, seed=seed)
        data = clicks.batches("train", 99, shuffle=True)
        return [row for batch in data for row in batch["items"].to_list()]

    tf.random.set_seed(0)
    first = rows(one, 1)
    tf.random.set_seed(0)
    assert rows(again, 1) == first
    tf.random.set_seed(0)
    assert rows(one, 2) != first


def test_scores_of_a_log_are_kept_unless_those_of_the_model_are_asked_for(
    run, tmp_path
):
    path = write(tmp_path / "log.jsonl", 30)
    path.write_text(path.read_text().replace('"rank": null', '"rank": 7.5'))
    stored = loaded(run, tmp_path / "stored", sessions=path)
    own = loaded(run, tmp_path / "own", sessions=path, model_ranks=True)
    for clicks, is_stored in ((stored, True), (own, False)):
        for search in clicks.splits["train"]:
            assert all((rank == 7.5) is is_stored for rank in search.ranks.values())


def test_each_row_of_an_unknown_user_is_a_group_of_the_interval():
    rng = np.random.default_rng(0)
    gains = rng.normal(size=60)

    def measured(shift):
        table = types.SimpleNamespace(values=lambda _: shift * gains)
        corpus = types.SimpleNamespace(tables={"model": table}, metrics={"test": {}})
        return types.SimpleNamespace(
            corpus=corpus,
            sessions={},
            accuracy=shift * gains[:4],
            users=np.array(["a", "b", "c", "d"]),
        )

    users = np.array([0] * 50 + [1] * 10)
    data = types.SimpleNamespace(splits={"test": {"user_id": users}})
    found = compare(measured(0.0), measured(1.0), data).metrics
    groups = np.concatenate([-np.arange(50), [1] * 10])
    expected = bootstrap_interval(gains, groups)._asdict()
    assert found["after_minus_before"]["ndcg_at_10"] == pytest.approx(expected)


# Shown and clicked items of a session at second 0, 10, 20, ...
LOG = [("ab", "a"), ("ba", "a"), ("abc", "b"), ("ca", "c"), ("bca", "b"), ("ac", "a")]


def split_log(validation, test, log=LOG):
    """Sessions of a log, split at the first of these times of rows."""
    sessions = [
        FineTuningInput("u", list(c), list(s), dict.fromkeys(s), timestamp=10 * n)
        for n, (s, c) in enumerate(log)
    ]
    data = types.SimpleNamespace(
        splits={
            "validation": {"timestamp": np.array(validation)},
            "test": {"timestamp": np.array(test)},
        },
        vocabularies={"item_id": np.array(list("abc"))},
        candidate_probabilities=np.array([0, 0.5, 0.3, 0.2]),
    )
    splits = split_by_time(sessions, data)
    return types.SimpleNamespace(data=data, splits=splits)


def test_sessions_are_split_where_the_rows_of_the_data_are():
    splits = split_log([25, 20], [50, 40]).splits
    times = {name: [s.timestamp for s in part] for name, part in splits.items()}
    assert times == {"train": [0, 10], "validation": [20, 30], "test": [40, 50]}
    with pytest.raises(SystemExit, match=r"none in \['validation'\].*2 train, 0 valid"):
        split_log([20], [20])


def test_sessions_are_ordered_by_popularity_and_by_click_rates_too():
    found = measure_baselines(split_log([20], [40]))
    assert found.keys() == {
        "popularity",
        "click rate by item",
        "click rate by position",
    }
    # Popularity a, b, c: of the pairs b > c and b > a the first; then a > c.
    np.testing.assert_allclose(found["popularity"], [0.5, 1])
    # Of the first two sessions a was clicked twice, b never; c has the mean rate.
    np.testing.assert_allclose(found["click rate by item"], [0, 1])
    # One click at either position; no third one was shown: all are equal.
    np.testing.assert_allclose(found["click rate by position"], [0.5, 0.5])


def test_a_click_log_gives_the_sessions_and_is_split_by_time(tmp_path):
    path = tmp_path / "behaviors.tsv"
    path.write_text("1\tU7\t11/11/2019 9:05:58 AM\tN1 N2\tN5-0 N3-1\n")
    data = dataclasses.replace(clickstream.Config().data, dataset=str(path))
    config = clickstream.with_log(dataclasses.replace(clickstream.SMOKE, data=data))
    assert (config.sessions, config.session_split) == (path, "time")
    assert config.data.split == "global_time"
    assert clickstream.with_log(clickstream.SMOKE) == clickstream.SMOKE
