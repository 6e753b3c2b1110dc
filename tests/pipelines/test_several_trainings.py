"""Commands with several trainings: which of them --resume goes on with."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.parts.checkpoints import Origin, sized
from pipelines.parts.resuming import (
    MAY_DIFFER,
    ResumeConfig,
    after_start,
    is_to_train,
    of_several,
    resumable_fit,
)

FREE = MAY_DIFFER | {"seeds"}
ROWS = np.arange(12, dtype="float32")


@dataclasses.dataclass(frozen=True)
class Config(ResumeConfig):
    """Flags of a command that trains once for each seed."""

    units: int = 1
    seeds: int = 2
    epochs: int = 2
    output: Path = Path()


class KilledError(Exception):
    """A process ends here."""


class KillAt(tf.keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, *_):
        if epoch == self.epoch:
            raise KilledError


def run(config, *, kill=(None, None)):
    """The command: the identity of its run, and the weights of each training."""
    config, name = of_several(config, may_differ=FREE)
    origin = Origin(name, config, {"rows": sized(len(ROWS), ROWS)}, {})
    found = []
    for seed in range(config.seeds):
        tf.keras.utils.set_random_seed(seed)
        model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
        model.compile(tf.keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
        model.build((None, 1))
        rows = tf.data.Dataset.from_tensor_slices((ROWS[:, None], 3 * ROWS)).batch(6)
        resumable_fit(
            config,
            model,
            rows,
            origin=origin,
            name=f"training, seed {seed}",
            epochs=config.epochs,
            may_differ=FREE,
            callbacks=[KillAt(kill[1])] if seed == kill[0] else [],
        )
        found.append(np.ravel(model.get_weights()[0]))
    return name, found


def killed(config, *, kill):
    with pytest.raises(KilledError):
        run(config, kill=kill)


def test_each_training_goes_on_by_itself_under_the_identity_of_the_run(
    tmp_path, capsys
):
    _, expected = run(Config(seeds=3, output=tmp_path / "whole"))
    config = Config(seeds=3, output=tmp_path / "killed")
    killed(config, kill=(1, 1))
    capsys.readouterr()
    name, found = run(dataclasses.replace(config, resume=True))
    np.testing.assert_array_equal(found, expected)
    told = capsys.readouterr().out.splitlines()
    assert told == ["The training has ended after epoch 2.", "Going on after epoch 1."]
    again, same = run(dataclasses.replace(config, resume=True))
    np.testing.assert_array_equal(same, expected)
    assert again == name


def test_there_may_be_more_trainings_than_before(tmp_path):
    config = Config(seeds=1, output=tmp_path)
    name, first = run(config)
    again, both = run(dataclasses.replace(config, seeds=2, resume=True))
    assert again == name
    assert len(both) == 2
    np.testing.assert_array_equal(both[0], first[0])


def test_a_run_that_began_anew_does_not_take_trainings_of_the_one_before(
    tmp_path, capsys
):
    run(Config(units=1, output=tmp_path))
    other = Config(units=2, output=tmp_path)
    killed(other, kill=(0, 1))  # the second training has a state of the first run
    capsys.readouterr()
    run(dataclasses.replace(other, resume=True))
    assert capsys.readouterr().out.splitlines() == ["Going on after epoch 1."]


def test_other_flags_are_refused_before_any_work(tmp_path):
    run(Config(output=tmp_path))
    with pytest.raises(SystemExit, match="`--units` was 1 and is 5"):
        of_several(Config(units=5, resume="auto", output=tmp_path), may_differ=FREE)


def test_nothing_to_go_on_with(tmp_path):
    with pytest.raises(SystemExit, match="There is no training to --resume in"):
        of_several(Config(resume=True, output=tmp_path))
    _, name = of_several(Config(resume="auto", output=tmp_path))
    assert len(name) == 12


def test_the_model_that_a_command_starts_from_is_trained_to_its_end(tmp_path):
    start = tmp_path / "start"
    config = Config(resume=True, output=tmp_path)
    assert is_to_train(start, resume=False)
    assert after_start(config, start) is config
    (start / "training" / "1").mkdir(parents=True)
    assert after_start(config, start).resume == "auto"
    (start / "checkpoint" / "1").mkdir(parents=True)
    assert is_to_train(start, resume=True)
    assert not is_to_train(start, resume=False)  # it is said that it did not finish
    (start / "metrics.json").write_text("{}")
    assert not is_to_train(start, resume=True)
    assert after_start(config, start) is config
