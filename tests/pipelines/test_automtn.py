"""The pipeline of the next POI from flags to files, and what is planted in its data."""

import collections
import dataclasses
import json
import math
import pathlib
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from pipelines import automtn
from pipelines.parts.check_in_data import CheckInConfig, load_check_ins
from pipelines.parts.poi_baselines import (
    BASELINES,
    PAST_BASELINES,
    baselines,
    rank_split,
)
from pipelines.reporting.automtn import judged, lag_figures
from pipelines.reporting.poi_plots import example_trace
from tests.great_circle import kilometres
from tfrs_models.data.checkins import CheckIns, make_traces
from tfrs_models.layers.attention.auto_correlation import Lags
from tfrs_models.metrics import RankTable


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One small run of the whole pipeline."""
    output = tmp_path_factory.mktemp("automtn")
    config = dataclasses.replace(automtn.SMOKE, output=output)
    return config, automtn.main(config)


def test_training_repeats_with_its_seed(run):
    config, metrics = run
    data = load_check_ins(config.data, seed=config.seed)
    _, history = automtn.train(config, data.traces)
    assert history == metrics["history"]


def test_the_run_leaves_its_files_with_all_baselines(run):
    config, metrics = run
    stored = json.loads((config.output / "metrics.json").read_text())
    assert stored["test"].keys() == {*BASELINES, *PAST_BASELINES, "AutoMTN"}
    for figures in metrics["test"].values():
        for interval in figures.values():
            assert 0 <= interval["low"] <= interval["mean"] <= interval["high"] <= 1
    page = (config.output / "report.html").read_text()
    assert 'src="http' not in page
    for word in (
        "synthetic",
        "first-order Markov",
        "untrained",
        "Weight of planted lags",
    ):
        assert word in page


def test_the_export_answers_with_places_as_people_know_them(run):
    config, _ = run
    exported = tf.saved_model.load(str(config.output / "export" / "1"))
    signature = exported.signatures["serving_default"]
    data = load_check_ins(config.data, seed=config.seed).traces
    steps = tf.constant([["", *["place 00007"] * 28, "nowhere"]])
    answer = signature(
        user_id=tf.constant(["user 1"]),
        poi_id=steps,
        category_id=tf.fill([1, 30], "hub"),
        hour=tf.zeros([1, 30], tf.int64),
        weekday=tf.zeros([1, 30], tf.int64),
    )
    names = answer["next_poi_id"].numpy().astype(str)
    assert names.shape == (1, 10)
    assert set(names[0]) <= set(data.vocabularies["poi_id"])
    assert answer["next_category_id"].numpy()[0] in (b"home", b"hub", b"sight")
    assert (np.diff(answer["score"][0]) <= 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"length": 5},
        {"length": 4, "min_length": 2, "stride": 3},
        {"length": 6, "session_gap": 30.0},
    ],
)
def test_baselines_say_what_their_names_promise(options):
    """Every check-in that training shows counts once, be it a step or a target."""
    rng = np.random.default_rng(0)
    size = 240
    place = np.minimum(rng.geometric(0.15, size=size), 20) - 1
    degrees = np.array([40, -74]) + rng.uniform(-1, 1, size=(20, 2))
    traces = make_traces(
        CheckIns(
            "made",
            user=np.char.add("u", rng.integers(7, size=size).astype(str)),
            poi=place.astype(str),
            category=np.full(size, "place"),
            coordinates=degrees[place],
            timestamp=np.cumsum(rng.integers(1, 5 * 3600, size=size)),
            offset=np.zeros(size, np.int64),
        ),
        **options,
    )
    shown, followed = set(), set()
    for row in traces.rows("train"):
        first, target = traces.first[row], traces.target[row]
        shown |= {*range(first, target + 1)}
        followed |= {*range(first, target)}
    user, poi = traces.columns["user_id"], traces.columns["poi_id"]
    all_visits = collections.Counter(poi[i] for i in shown)
    visits = collections.Counter((user[i], poi[i]) for i in shown)
    pairs = collections.Counter((poi[i], poi[i + 1]) for i in followed)
    assert len(shown) > len(traces.rows("train"))
    test = traces.features(traces.rows("test"))
    scores = {name: make(traces)(test) for name, make in BASELINES.items()}
    for row, (who, trace) in enumerate(
        zip(test["user_id"], test["poi_id"], strict=True)
    ):
        last = trace[-1]
        away = []
        for one in range(1, traces.num_pois + 1):
            found = {name: values[row, one - 1] for name, values in scores.items()}
            assert found["most popular"] == all_visits[one]
            assert np.floor(found["user's most frequent"]) == visits[who, one]
            assert np.floor(found["first-order Markov"]) == pairs[last, one]
            away.append(kilometres(*traces.coordinates[[last - 1, one - 1]]))
        away[last - 1] = np.inf
        if last:
            nearness = scores["nearest"][row]
            np.testing.assert_allclose(nearness, np.negative(away), atol=1e-2)
        else:
            assert not scores["nearest"][row].any()
        for name in ("user's most frequent", "first-order Markov"):
            best = scores[name][row]
            order = sorted(range(len(best)), key=lambda one: -best[one])
            counted = [(np.floor(best[i]), all_visits[i + 1]) for i in order]
            assert counted == sorted(counted, reverse=True)


@pytest.mark.parametrize(
    ("name", "half_life", "after_last"),
    [
        ("user's visits so far", np.inf, 0),
        ("user's visits so far, half-life 7 days", 7, 0),
        ("user's visits so far, threefold after the last POI", 30, 2),
    ],
)
def test_baselines_of_the_past_count_visits_up_to_the_request(
    name, half_life, after_last
):
    traces = load_check_ins(CheckInConfig(users=3), seed=1).traces
    rows = traces.features(traces.rows("test")[:5])
    scores = baselines(traces)[name](rows)
    for row, target in enumerate(traces.target[traces.rows("test")[:5]]):
        expected, columns = np.zeros(traces.num_pois + 1), traces.columns
        first = max(traces.user_first[traces.rows("test")[row]], target - 256)
        for visit in range(first, target):
            days = columns["timestamp"][target] - columns["timestamp"][visit]
            expected[columns["poi_id"][visit]] += 0.5 ** (days / 86_400 / half_life)
            if visit > first and columns["poi_id"][visit - 1]:
                last = columns["poi_id"][visit - 1] == rows["poi_id"][row, -1]
                expected[columns["poi_id"][visit]] += after_last * last
        np.testing.assert_allclose(scores[row], expected[1:], atol=2e-4)


def test_the_verdict_is_against_the_baseline_that_is_best_on_validation():
    def table(ranks):
        ranks = np.array(ranks)
        return RankTable(ranks - 1, 0 * ranks, 0 * ranks + 20, ranks > 0)

    data = load_check_ins(CheckInConfig(users=6), seed=1)
    size = len(data.traces.rows("test"))
    good, bad = table([1] * size), table([9] * size)
    tests = {"AutoMTN": good, "popular": good, "Markov": bad}
    validation = {"AutoMTN": bad, "popular": bad, "Markov": good}
    found = judged(tests, validation, data)
    assert found["best_baseline"] == "Markov"
    assert found["verdict"].startswith("The model beats the best simple recommender")
    assert '("Markov"): +0.6990 NDCG@10' in found["verdict"]
    assert judged(tests | {"AutoMTN": bad}, validation, data)["verdict"].startswith(
        "The model is not clearly better than"
    )


def test_the_export_counts_the_visits_of_the_request_as_offline(tmp_path):
    config = dataclasses.replace(
        automtn.SMOKE, past_visits=True, request_time=True, output=tmp_path
    )
    traces = load_check_ins(config.data, seed=config.seed).traces
    model = automtn.untrained(config, traces)
    rng = np.random.default_rng(0)
    for weight in [model.past_visits.value, *model.request.weights]:
        weight.assign(rng.normal(size=weight.shape))
    exported = tf.saved_model.load(
        str(automtn.export(model, traces, tmp_path, run="r"))
    )
    features = traces.features(traces.rows("test")[:3])
    features["past_poi_id"][1, -3] = 0  # of a POI that training does not know
    sent = {}
    for name, values in features.items():
        ids = name.removeprefix("past_")
        if not name.startswith("next_"):
            sent[name] = tf.constant(values)
            if ids in traces.vocabularies:
                names = np.array(["nowhere", *traces.vocabularies[ids]])
                sent[name] = tf.constant(names[values])
    answer = exported.signatures["serving_default"](**sent)
    expected = model.rank(features)
    np.testing.assert_allclose(answer["score"], expected["score"], rtol=1e-5)
    names = np.array(["", *traces.vocabularies["poi_id"]])
    np.testing.assert_array_equal(
        answer["next_poi_id"].numpy().astype(str), names[expected["next_poi_id"]]
    )
    without = dict(features, past_poi_id=np.zeros_like(features["past_poi_id"]))
    assert np.abs(model.rank(without)["score"] - expected["score"]).max() > 0.1


def test_baselines_of_many_places_hold_no_table_of_all_pairs():
    size = 3000  # a table of pairs in float32 would take 36 MB
    place = np.tile(np.arange(size), 3)
    traces = make_traces(
        CheckIns(
            "many",
            user=np.char.add("u", (place // 4).astype(str)),
            poi=place.astype(str),
            category=np.full(len(place), "place"),
            coordinates=np.stack([40 + place / 1e4, -74 + place / 1e4], axis=1),
            timestamp=np.arange(len(place)),
            offset=np.zeros(len(place), np.int64),
        ),
        length=5,
        min_length=1,
    )
    rows = traces.features(traces.rows("test")[:2])
    for make in BASELINES.values():
        tracemalloc.start()
        scores = make(traces)(rows)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert scores.shape == (2, size)
        assert peak < 2e6


def test_what_is_planted_goes_with_its_trace():
    data = load_check_ins(CheckInConfig(users=8), seed=1)
    rows = data.traces.features(data.traces.rows("test"))
    kinds = data.traces.vocabularies["category_id"]
    for row, (period, returns) in enumerate(
        zip(data.test_periods, data.test_returns, strict=True)
    ):
        trace, following = rows["poi_id"][row], rows["next_poi_id"][row]
        if returns and following:
            assert following == trace[period]
        hubs = kinds[rows["category_id"][row] - 1] != "sight"
        again = hubs[period:] & hubs[:-period]
        np.testing.assert_array_equal(trace[period:][again], trace[:-period][again])


def test_a_file_of_check_ins_runs(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "gowalla.txt"
    path.write_text(
        "".join(
            f"{row % 4}\t2010-10-{1 + row // 24:02d}T{row % 24:02d}:00:00Z\t"
            f"{30 + place / 50}\t-97.5\t{place}\n"
            for row, place in enumerate(rng.integers(8, size=160))
        )
    )
    config = CheckInConfig(
        data=str(path), format="gowalla", length=5, min_length=1, session_gap=30.0
    )
    data = load_check_ins(config, seed=0)
    assert data.planted is None
    assert data.traces.num_categories == 1
    table = rank_split(data.traces, BASELINES["most popular"](data.traces))
    assert len(table) == len(data.traces.rows("test"))


def test_planted_lags_are_multiples_of_the_period_and_not_0():
    rng = np.random.default_rng(1)
    correlation = rng.normal(size=(40, 12))
    delays = np.argsort(-correlation, axis=1)[:, :5]
    weights = rng.dirichlet(np.ones(5), size=40)
    periods = rng.choice([2, 3, 5], size=40)
    strongest, weight = [], []
    for row, period in enumerate(periods):
        best = max(range(1, 12), key=lambda lag, row=row: correlation[row, lag])
        strongest.append(best in range(period, 12, period))
        weight.append(
            sum(
                share
                for lag, share in zip(delays[row], weights[row], strict=True)
                if lag in range(period, 12, period)
            )
        )
    lags = Lags(*(tf.constant(v) for v in (delays, weights, correlation)))
    found = lag_figures(lags, periods)
    np.testing.assert_allclose(found, [np.mean(strongest), np.mean(weight)])


def test_the_period_is_found_before_any_training():
    data = load_check_ins(CheckInConfig(users=40), seed=42)
    rows = data.traces.features(data.traces.rows("test"))
    model = automtn.untrained(automtn.Config(), data.traces)
    share, weight = lag_figures(model.lags(rows), data.test_periods)
    assert share > 0.8
    assert weight < 0.5


def test_the_example_is_a_hit_among_traces_of_known_places():
    features = {
        "poi_id": np.array([[0, 0], [0, 3], [4, 0], [2, 1]]),
        "next_poi_id": np.array([1, 0, 2, 3]),
    }
    found = example_trace(features, np.array([1, 1, 0, 1]))
    assert found["poi_id"].tolist() == [[2, 1]]
    found = example_trace(features, np.array([1, 1, 0, 0]))
    assert found["poi_id"].tolist() == [[4, 0]]
    unknown = {name: values[:2] for name, values in features.items()}
    assert example_trace(unknown, np.array([1, 1])) is None


def test_a_run_whose_test_traces_know_no_place_has_no_map(tmp_path, monkeypatch):
    """Everybody goes from somewhere new to one of two cafes."""
    path = tmp_path / "gowalla.txt"
    path.write_text(
        "".join(
            f"{user}\t2010-10-{day:02d}T{8 + hour:02d}:00:{user:02d}Z\t"
            f"{30 + place / 500}\t-97.5\t{place}\n"
            for day in range(1, 31)
            for user in range(2)
            for hour, place in enumerate([100 * user + day + 10, day % 2])
        )
    )
    data = CheckInConfig(
        data=str(path), format="gowalla", length=3, min_length=1, session_gap=9.0
    )
    history = {"loss_per_example": [1.0], automtn.MONITOR: [0.5]}
    monkeypatch.setattr(
        automtn, "train", lambda *flags, **_: (automtn.untrained(*flags), history)
    )
    monkeypatch.setattr(automtn, "export", lambda *_, **__: pathlib.Path("1"))
    automtn.main(dataclasses.replace(automtn.SMOKE, data=data, output=tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "The lags of the traces" in page
    assert "Map of a trace" not in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`--epochs` must be at least 1. Got 0"),
        ({"data": CheckInConfig(data="nowhere.txt")}, "`--data` cannot be used: There"),
        ({"data": CheckInConfig(data=".")}, "cannot be used: There is no file '.'"),
        ({"learning_rate": -1.0}, "`--learning-rate` must be positive. Got -1.0"),
        ({"learning_rate": math.nan}, "`--learning-rate` must be positive. Got nan"),
        ({"seed": -1}, "`--seed` must be at least 0"),
        ({"dropout": 1.5}, r"`--dropout` must be in \[0, 1\). Got 1.5"),
        ({"factor": 0.0}, "`--factor` must be positive. Got 0.0"),
        ({"num_heads": 9}, "`num_heads` must be at least 1 and at most"),
        ({"distance_scale": -1.0}, "`--distance-scale` must be at least 0. Got -1.0"),
        ({"distance_weight": math.nan}, "`--distance-weight` must be finite.* Got nan"),
        ({"category_weight": math.nan}, "`--category-weight` must be finite, at least"),
    ],
)
def test_flags_that_no_run_could_use_end_the_program(
    changes, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(automtn, "rank_split", None)  # no work begins
    config = dataclasses.replace(automtn.SMOKE, output=tmp_path, **changes)
    with pytest.raises(SystemExit, match=message):
        automtn.main(config)


@pytest.mark.parametrize(
    ("factor", "length", "warned"),
    [(1.0, 30, False), (1.0, 7, True), (1.0, 8, False), (0.5, 30, True), (3, 2, False)],
)
def test_flags_that_leave_one_lag_are_warned_of(factor, length, warned, capsys):
    automtn._warn_of_one_lag(factor, length)
    said = f"leaves one lag of traces of {length} steps"
    assert (said in capsys.readouterr().out) == warned


def test_a_run_says_that_its_flags_leave_one_lag(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(automtn, "baselines", lambda _: {})
    monkeypatch.setattr(automtn, "train", None)  # the run ends there
    config = dataclasses.replace(automtn.SMOKE, output=tmp_path, factor=0.5)
    with pytest.raises(TypeError):
        automtn.main(config)
    assert "query and key learn nothing" in capsys.readouterr().out


def test_a_file_too_small_for_its_splits_ends_the_program(tmp_path):
    path = tmp_path / "gowalla.txt"
    path.write_text(
        "".join(
            f"1\t2010-10-{1 + row:02d}T08:00:00Z\t30.1\t-97.5\t{row % 2}\n"
            for row in range(5)
        )
    )
    config = CheckInConfig(data=str(path), format="gowalla", length=1)
    message = "must have a trace for each split.*Got 4 train, 0 validation, 0 test"
    with pytest.raises(SystemExit, match=message):
        load_check_ins(config, seed=0)


@pytest.mark.slow
def test_returns_take_the_lags_and_places_near_take_the_distances(tmp_path):
    """One chance in three without the lags, few of the places without distances."""
    config = dataclasses.replace(automtn.Config(), epochs=7, output=tmp_path)
    data = load_check_ins(config.data, seed=config.seed)
    found = {}
    names = [
        automtn.MODEL,
        "AutoMTN without lags",
        "AutoMTN without distances",
    ]
    for name in names:
        model, _ = automtn.train(config, data.traces, **automtn.VARIANTS[name])
        table = rank_split(data.traces, lambda rows, model=model: model(rows)[0])
        first, ten = table.values("hit_rate_at_1"), table.values("hit_rate_at_10")
        returns = data.test_returns
        found[name] = first[returns].mean(), ten[~returns].mean()
    full, no_lags, no_distances = (found[name] for name in names)
    assert full[0] > no_lags[0] + 0.2
    assert no_lags[0] < 0.4
    assert full[1] > no_distances[1] + 0.25
