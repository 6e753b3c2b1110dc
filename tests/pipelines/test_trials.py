"""Trials: what is tried, what a killed run leaves, and what is never mixed."""

import builtins
import dataclasses
import json

import pytest

from pipelines import retrieval
from pipelines.parts import retrieval_trials
from pipelines.parts.query_towers import resolved
from pipelines.parts.retrieval_trials import suggested, tuned
from pipelines.parts.trials import run_trials

GIVEN = {"rate": 0.5, "size": 2}


def suggest(trial):
    return {
        "rate": trial.suggest_float("rate", 0.01, 1.0, log=True),
        "size": trial.suggest_categorical("size", [1, 2, 3]),
    }


def worth(flags, report):
    report(0, flags["size"] / 10)
    return flags["size"] - flags["rate"]


def run(path, quality=worth, **changed):
    options = {"trials": 8, "seed": 3, "given": GIVEN, "of": {"--epochs": 5}}
    return run_trials(path / "trials.db", suggest, quality, **(options | changed))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of eight trials that nothing interrupts."""
    return run(tmp_path_factory.mktemp("whole"))


def test_the_given_flags_come_first_and_the_best_beats_them(whole):
    assert whole.given["flags"] == GIVEN
    assert whole.given["value"] == 1.5
    values = [t["flags"]["size"] - t["flags"]["rate"] for t in whole.trials]
    assert [t["value"] for t in whole.trials] == values
    assert whole.best["value"] == max(values) > 1.5
    described = json.loads(json.dumps(whole.described()))
    assert described["gain"] == pytest.approx(max(values) - 1.5)
    assert len(described["trials"]) == 8
    assert f"{max(values) - 1.5:+.4f} beside 1.5000" in whole.verdict
    assert all(t["values"] == [t["flags"]["size"] / 10] for t in whole.trials)


@pytest.mark.parametrize("killed_in", [1, 2, 6])
def test_a_run_that_was_killed_in_a_trial_goes_on_as_if_it_was_not(
    whole, tmp_path, killed_in
):
    tried = []

    def quality(flags, report):
        tried.append(flags)
        if len(tried) == killed_in:
            raise KeyboardInterrupt
        return worth(flags, report)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, quality)
    again = run(tmp_path, quality)
    assert len(tried) == 9  # the interrupted one twice
    assert tried[killed_in - 1] == tried[killed_in]
    assert [t["flags"] for t in again.trials] == [t["flags"] for t in whole.trials]
    assert [t["value"] for t in again.trials] == [t["value"] for t in whole.trials]


def test_trials_that_are_there_are_not_repeated_and_more_can_be_added(whole, tmp_path):
    run(tmp_path, trials=5)

    def never(*_):
        raise AssertionError

    assert len(run(tmp_path, never, trials=5).trials) == 5
    more = run(tmp_path)
    assert [t["flags"] for t in more.trials] == [t["flags"] for t in whole.trials]


def test_other_flags_or_data_are_not_mixed(tmp_path):
    run(tmp_path, trials=1)
    with pytest.raises(SystemExit, match="`--trials` must.*--epochs was 5 and is 6"):
        run(tmp_path, of={"--epochs": 6})


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None, "error", "exit"])
def test_a_trial_that_fails_is_not_the_best_and_is_not_tried_again(tmp_path, wrong):
    def quality(flags, report):
        if flags == GIVEN:
            return worth(flags, report)
        if wrong == "error":
            raise RuntimeError("out of memory")
        if wrong == "exit":
            raise SystemExit("no batches")
        return wrong

    found = run(tmp_path, quality, trials=3)
    assert [t["state"] for t in found.trials] == ["finished", "failed", "failed"]
    assert found.best is found.given
    assert found.trials[1]["flags"] != found.trials[2]["flags"]
    assert found.trials[1]["error"]


def test_where_no_trial_finishes_the_first_reason_is_told(tmp_path):
    def quality(*_):
        raise RuntimeError("no luck")

    with pytest.raises(SystemExit, match=r"No trial finished.*RuntimeError: no luck"):
        run(tmp_path, quality, trials=2)


def test_a_trial_below_the_median_at_its_epoch_is_stopped_early(tmp_path):
    done = []

    def quality(flags, report):
        done.append(flags)
        is_bad = len(done) == 7
        for epoch in range(4):
            report(epoch, 0.1 if is_bad else 0.5 + 0.01 * len(done))
        return 0.6

    found = run(tmp_path, quality)
    assert [t["state"] for t in found.trials].index("stopped early") == 6
    assert found.trials[6]["values"] == [0.1, 0.1]  # not by its first epoch
    assert found.trials[6]["value"] is None


def test_no_trial_starts_after_the_budget(tmp_path):
    for _ in range(2):  # the given flags are always tried
        assert len(run(tmp_path, minutes=1e-9).trials) == 1
    assert len(run(tmp_path, minutes=10).trials) == 8


def test_other_seeds_try_other_flags(whole, tmp_path):
    other = run(tmp_path, seed=4)
    assert other.trials[0]["flags"] == whole.trials[0]["flags"]
    assert other.trials[1]["flags"] != whole.trials[1]["flags"]


def test_without_optuna_it_says_what_to_install(monkeypatch, tmp_path):
    load = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "optuna":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SystemExit, match=r'pip install "tfrs-models\[tuning\]"'):
        run(tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"budget": 5.0}, "`--budget` must come with --trials"),
        ({"tune_query_tower": True}, "`--tune-query-tower` must come with --trials"),
        ({"trials": 2, "epochs": 0, "resume": True}, "`--trials` must come with an"),
        ({"trials": 2, "query_tower": "id", "tune_query_tower": True}, "must start"),
        ({"trials": -1}, "`--trials` must be at least 0"),
        ({"trials": 2, "budget": 0.0}, "`--budget` must be positive"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(tmp_path, flags, message):
    config = dataclasses.replace(retrieval.SMOKE, output=tmp_path, **flags)
    with pytest.raises(SystemExit, match=message):
        retrieval.main(config)


class Largest:
    """A trial that takes the largest of all choices."""

    def suggest_float(self, *name_and_ends, **_):
        return name_and_ends[-1]

    def suggest_categorical(self, *name_and_choices):
        return name_and_choices[-1][-1]


@pytest.mark.parametrize("tower", ["history", "id", "sasrec"])
def test_what_is_drawn_are_flags_of_the_pipeline(tower):
    config = resolved(retrieval.Config(query_tower=tower, embedding_dim=48))
    given = {
        "embedding_dim": 256,
        "history_length": 3,
        "batch_size": None,  # as many as fit the data
        "learning_rate": config.learning_rate,
        "temperature": 0.1,
        "id_dropout": 0.0,
    }
    flags = suggested(Largest(), config, given)
    assert flags["batch_size"] is None
    assert flags["embedding_dim"] == 256  # the given value is among the choices
    assert ("history_length" in flags) == (tower != "id")
    dataclasses.replace(config, **flags)


def test_the_best_flags_of_the_trials_are_those_of_the_run(
    orders, tmp_path, monkeypatch
):
    def train(config, *_):
        return 1 / config.history_length

    monkeypatch.setattr(retrieval_trials, "train_once", train)
    config = resolved(
        dataclasses.replace(
            retrieval.SMOKE, data=orders, output=tmp_path, trials=8, history_length=60
        )
    )
    best, study = tuned(config)
    assert study.given["value"] == 1 / 60
    assert best.history_length < 60
    assert best == dataclasses.replace(config, **study.best["flags"])
    assert tuned(dataclasses.replace(best, trials=0)) == (
        dataclasses.replace(best, trials=0),
        None,
    )
    with pytest.raises(SystemExit, match="--history-length was 60 and is 50"):
        tuned(dataclasses.replace(config, history_length=50))


@pytest.mark.slow
@pytest.mark.filterwarnings(  # one epoch of width 4 teaches little
    "ignore:After epoch 1 the loss:tfrs_models.training.learning_alarms.LearningWarning"
)
def test_a_trial_trains_as_the_run_does_and_the_page_shows_it(orders, tmp_path):
    config = dataclasses.replace(
        retrieval.SMOKE, data=orders, output=tmp_path, trials=1, baselines="none"
    )
    metrics = retrieval.main(config)
    about = json.loads(next(tmp_path.glob("checkpoint/*/about.json")).read_text())
    assert metrics["trials"]["best"]["value"] == pytest.approx(
        about["metric"]["value"], abs=1e-6
    )
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["trials"] == metrics["trials"]
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Trials</h2>" in page
    assert "Best of 1 trials on validation rows" in page
