"""Runs that were stopped anywhere and resumed are the runs that were not."""

import dataclasses
import itertools
import pathlib

import numpy as np
import pandas as pd
import pytest
import tyro

from pipelines import retrieval
from pipelines.parts.query_towers import resolved
from pipelines.parts.resuming import ResumeConfig, folder_of

# Three epochs of width 4 teach little, and the alarms tell it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:After epoch:tfrs_models.training.learning_alarms.LearningWarning"
)


@dataclasses.dataclass(frozen=True)
class Flags(ResumeConfig):
    """Flags of a command that does nothing else."""

    output: pathlib.Path = pathlib.Path("out")


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ([], False),
        (["--resume"], True),
        (["--resume", "auto"], "auto"),
        (["--resume", "--output", "x"], True),
        (["--resume", "auto", "--output", "x"], "auto"),
    ],
)
def test_resume_is_typed_alone_or_with_auto(typed, value):
    assert tyro.cli(Flags, args=typed).resume == value


def test_another_word_after_resume_is_refused(capsys):
    with pytest.raises(SystemExit) as refused:
        tyro.cli(Flags, args=["--resume", "later"])
    assert refused.value.code == 2
    assert "--resume" in capsys.readouterr().err


def test_names_of_trainings_are_names_of_folders():
    config = Flags(output=pathlib.Path("x"))
    assert folder_of(config) == pathlib.Path("x/training")
    assert folder_of(config, "Fold 1: a/b") == pathlib.Path("x/training/fold-1-a-b")


class StopError(Exception):
    """A run is interrupted."""


class TrainedError(Exception):
    """The training of a run has ended, and what comes after it is left out."""


@pytest.fixture
def train(orders, monkeypatch):
    """Trains as the pipeline does; returns model, history and the best checkpoint."""
    fit, lines = retrieval.train, retrieval.EpochLines

    def trained(config, data, model, *rest, **options):
        raise TrainedError(model, *fit(config, data, model, *rest, **options))

    monkeypatch.setattr(retrieval, "train", trained)

    def run(output, *, stop=None, data=orders, **flags):
        calls = itertools.count(1)

        class Stopping(lines):
            def on_train_batch_end(self, *arguments):
                super().on_train_batch_end(*arguments)
                if next(calls) == stop:
                    raise StopError

        monkeypatch.setattr(retrieval, "EpochLines", Stopping)
        output.mkdir(exist_ok=True)
        usual = {"query_tower": "id", "batch_size": 128, "epochs": 3, "log_to": ()}
        config = dataclasses.replace(
            retrieval.SMOKE,
            output=output,
            data=data,
            baselines="none",
            checkpoint_minutes=1e-9,
            **(usual | flags),
        )
        with pytest.raises((StopError, TrainedError)) as ended:
            retrieval.run(resolved(config))
        assert isinstance(ended.value, StopError) == (stop is not None)
        return ended.value.args

    return run


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


@pytest.fixture
def orders_and_more(orders, tmp_path):
    """The same rows, and some of a new user and of a new item."""
    frame = pd.read_csv(orders.dataset)
    new = frame.tail(30).assign(timestamp=20_000)
    new.loc[new.index[:15], "user_id"] = "u-new"
    new.loc[new.index[15:], "item_id"] = "i-new"
    new.loc[new.index[15:], "timestamp"] = 0  # before all others: train rows
    path = tmp_path / "more.csv"
    pd.concat([frame, new]).to_csv(path, index=False)
    return dataclasses.replace(orders, dataset=str(path))


def test_a_resumed_run_ends_with_the_weights_and_the_history_of_a_whole_one(
    train, tmp_path, capsys
):
    whole, history, kept = train(tmp_path / "whole")
    folder = tmp_path / "stopped"
    train(folder, stop=2)
    train(folder, stop=4, resume="auto")
    capsys.readouterr()
    resumed, history_again, kept_again = train(folder, resume=True)
    assert "Going on " in capsys.readouterr().out
    for one, other in zip(weights_of(whole), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert history_again == history
    assert kept_again.about["metric"] == kept.about["metric"]
    finished, history_again, _ = train(folder, resume=True)
    assert "The training has ended after epoch 3." in capsys.readouterr().out
    assert history_again == history
    for one, other in zip(weights_of(whole), weights_of(finished), strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_that_differs_is_in_one_line(train, tmp_path, orders_and_more, capsys):
    train(tmp_path / "out", stop=2)

    def refused(**changes):
        with pytest.raises(SystemExit) as refused:
            train(tmp_path / "out", resume=True, **changes)
        assert "\n" not in str(refused.value)
        assert "--resume-anyway" in str(refused.value)
        return str(refused.value)

    text = refused(batch_size=64, seed=7, patience=1)
    assert "`--batch-size` was 128 and is 64" in text
    assert "`--seed` was 42 and is 7" in text
    assert "patience" not in text
    assert "40 users then, 41 now" in refused(data=orders_and_more)
    train(tmp_path / "out", resume=True, learning_rate=0.02)
    assert "`--learning-rate` was 0.001 and is 0.02" in capsys.readouterr().out


def test_other_data_begins_with_the_rows_of_the_known_ids_if_wished(
    train, tmp_path, orders_and_more, capsys
):
    train(tmp_path / "out", learning_rate=0.1)
    capsys.readouterr()
    train(
        tmp_path / "out",
        stop=1,
        data=orders_and_more,
        resume_anyway=True,
        learning_rate=1e-9,
    )
    out = capsys.readouterr().out
    assert "40 users then, 41 now" in out
    assert "user_id: 40 as they were, 1 new, 0 dropped" in out
    assert "item_id: 30 as they were, 1 new, 0 dropped" in out
