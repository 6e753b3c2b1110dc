"""The clickstream pipeline from flags to files."""

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from pipelines import clickstream, retrieval
from pipelines.parts.checkpoints import Origin
from pipelines.parts.data import load_data
from pipelines.recommend import print_answers
from tfrs_models.data.clickstream import read_sessions
from tfrs_models.data.synthetic import make_click_sessions

# One epoch on a small table is no time to learn.
pytestmark = pytest.mark.filterwarnings(
    "ignore::tfrs_models.training.learning_alarms.LearningWarning"
)


@pytest.fixture(scope="module")
def run(orders, tmp_path_factory):
    """One small run on a table of a user's own, the model that it starts from too."""
    folder = tmp_path_factory.mktemp("clickstream")
    config = dataclasses.replace(
        clickstream.SMOKE,
        data=orders,
        retrieval=folder / "retrieval",
        output=folder / "clicks",
    )
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
    run, tmp_path, capsys, monkeypatch
):
    config, _ = run
    path = write(tmp_path / "log.jsonl", 60, extra=["{broken", STRANGE])
    config = dataclasses.replace(
        config,
        sessions=path,
        output=tmp_path / "out",
        not_irrelevant_only=False,
        optimizer="sgd",
        confidences="windowed",
        trials=2,
    )
    metrics = clickstream.main(config)
    counts = metrics["sessions"]
    assert counts["sessions"] == 61
    assert counts["lines that could not be used"] == 1
    assert counts["results of unknown items"] == 1
    assert counts["sessions of unknown users"] == 1
    assert "log.jsonl, line 4: " in capsys.readouterr().out
    assert "synthetic" not in (config.output / "report.html").read_text()
    trials = metrics["search"]["trials"]
    assert len(trials) == 2
    monkeypatch.setattr(retrieval, "export_recommender", lambda *_: pathlib.Path("1"))
    monkeypatch.setattr(clickstream, "write_report", lambda *_, **__: None)
    # Finished trials are kept: one more is one more, not three.
    again = clickstream.main(dataclasses.replace(config, trials=1))
    assert len(again["search"]["trials"]) == 3
    assert again["search"]["trials"][:2] == trials
    # Those of another space are kept elsewhere: optuna refuses to mix them.
    wider = dataclasses.replace(config, trials=1, fixed_layers=(0, 0))
    assert len(clickstream.main(wider)["search"]["trials"]) == 1


def test_trials_are_those_of_one_model_and_its_sessions(run):
    config, _ = run
    words = {"user_id": np.array(["u1"])}
    of = Origin("run", config, {"models to start from": {"sha256": "a"}}, words)
    clicks = types.SimpleNamespace(counts={"sessions": 3})
    other = dataclasses.replace(of, data={"models to start from": {"sha256": "b"}})
    later = dataclasses.replace(of, run="later")
    known = clickstream._storage(config, clicks, of)
    assert clickstream._storage(config, clicks, later) == known
    assert clickstream._storage(config, clicks, other) != known


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


def test_synthetic_clicks_know_of_the_splits_that_they_are_made_of_only(orders):
    data = load_data(orders, seed=0)
    scores = np.random.default_rng(0).normal(size=(data.num_users + 1, data.num_items))

    def made(seed, **options):
        return make_click_sessions(
            data, lambda users: scores[users], seed, list_size=8, **options
        )

    searches = list(read_sessions(made(1, sessions_per_user=60)))
    assert len(searches) == 60 * data.num_users
    again = list(read_sessions(made(1, sessions_per_user=60)))
    assert [s.events for s in searches] == [s.events for s in again]
    users = {n: i for i, n in enumerate(data.vocabularies["user_id"].tolist(), 1)}
    items = {n: i for i, n in enumerate(data.vocabularies["item_id"].tolist(), 1)}
    rated = {}
    for split in ("train", "validation", "test"):
        c = data.splits[split]
        for user, item, rating in zip(
            c["user_id"], c["item_id"], c["rating"], strict=True
        ):
            rated[int(user), int(item)] = (split == "test", rating >= 4)
    # A click model that is stated is one that can be checked: look * relevance.
    seen, chances = {}, {"liked": 0.9, "rated": 0.3, "none": 0.05, "test": 0.05}
    for search in searches:
        for place, result in enumerate(search.results):
            is_test, liked = rated.get(
                (users[search.query], items[result]), (None, None)
            )
            kind = "none" if is_test is None else "test" if is_test else "liked"
            kind = "rated" if kind == "liked" and not liked else kind
            seen.setdefault((kind, place), []).append(result in search.events)
    for (kind, place), clicks in seen.items():
        chance = chances[kind] / (1 + place) ** 0.5
        error = np.sqrt(chance * (1 - chance) / len(clicks))
        assert abs(np.mean(clicks) - chance) < 4.5 * error + 1e-9, (kind, place)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"list_size": 99}, "`list_size` must be from 1 to the number of items, 30"),
        ({"sessions_per_user": 0}, "`sessions_per_user` must be at least 1"),
        ({"known_share": 2}, r"`known_share` must be in \[0, 1\]"),
        ({"noise": -1}, "`noise` must not be negative"),
    ],
)
def test_wrong_arguments_of_the_click_model_are_named(orders, arguments, message):
    data = load_data(orders, seed=0)
    with pytest.raises(ValueError, match=message):
        next(make_click_sessions(data, tf.zeros, 0, **arguments))
