"""Trials of the retrieval pipeline: which flags are tried, and one training of them."""

import dataclasses
import functools
import hashlib
import json
import shutil

import numpy as np
import tensorflow as tf

import tfrs_models as tm

from . import query_towers
from .checkpoints import Fingerprint, Origin, fingerprint
from .command import ending
from .data import load_data
from .flags import CountOrNone, Positive
from .query_towers import DEFAULTS, QueryTowerConfig
from .resuming import folder_of, resumable_fit
from .training import MONITOR, add_corpus_metrics, create_weights, fit
from .trials import Flags, Report, Study, release, run_trials, stored_trials

_TOWERS = ("history", "gru", "sasrec")
_CHOICES = {
    "embedding_dim": (32, 64, 128),
    "history_length": (20, 50, 100, 200),
    "batch_size": (8, 16, 32, 64),
}
_CHOICES_OF_ID = {
    "embedding_dim": (32, 64, 128),
    "batch_size": (256, 512, 1024, 2048, 4096),
}


@dataclasses.dataclass(frozen=True)
class TrialsConfig:
    """Flags of the trials."""

    trials: CountOrNone = 0
    """Number of trainings, in all, that choose the learning rate, the temperature, the
    dropout of ids and the sizes by validation NDCG@10 (with `optuna`). The best flags
    are then trained and exported. The trials are stored in trials.db: a run that was
    interrupted goes on."""
    budget: Positive | None = None
    """Minutes of this run after which no trial starts; by default no limit."""
    tune_query_tower: bool = False
    """Let --trials choose the query tower too, of history, gru and sasrec."""


def tuned(config: QueryTowerConfig) -> tuple[QueryTowerConfig, Study | None]:
    """Chooses flags by trials; without --trials returns those that are given.

    Args:
      config: flags of the retrieval pipeline, resolved; their output folder exists.

    Returns:
      The flags of the best trial, and all trials.

    Raises:
      SystemExit: the flags contradict each other, or no trial finished.
    """
    if problem := _contradiction(config):
        raise ending(problem, 2)
    if not config.trials:
        return config, None
    data = load_data(config.data, seed=config.seed)
    if not len(data.splits["validation"]["user_id"]):
        raise SystemExit(
            "`--trials` needs validation rows, and this split has none: choose another "
            "--split."
        )
    given = _given(config)
    found = fingerprint(data)

    def quality(flags: Flags, report: Report) -> float:
        tried = dataclasses.replace(config, **flags)
        origin = Origin("trial", tried, found, data.vocabularies)
        return train_once(tried, data, report, origin)

    path = config.output / "trials.db"
    with stored_trials(path):
        study = run_trials(
            path,
            lambda trial: suggested(trial, config, given),
            quality,
            trials=config.trials,
            minutes=config.budget,
            seed=config.seed,
            given=given,
            of=_depends_on(config, found),
        )
    for trained in folder_of(config).glob("trial-*"):
        shutil.rmtree(trained, ignore_errors=True)
    print(f"\n{study.verdict}\n")
    return dataclasses.replace(config, **study.best["flags"]), study


def suggested(trial: object, config: QueryTowerConfig, given: Flags) -> Flags:
    """Draws flags around the given ones.

    Args:
      trial: trial of optuna.
      config: flags, resolved.
      given: values of the flags that are tried, as they were given.
    """
    flags = {}
    for name, choices in _choices(config).items():
        values = list(dict.fromkeys([*choices, given[name]]))  # None is a choice too
        flags[name] = trial.suggest_categorical(name, values)
    for name, low, high in (
        ("learning_rate", given["learning_rate"] / 5, given["learning_rate"] * 4),
        (
            "temperature",
            min(0.03, given["temperature"]),
            max(0.3, given["temperature"]),
        ),
    ):
        flags[name] = trial.suggest_float(name, low, high, log=True)
    highest = max(0.3, given["id_dropout"])
    flags["id_dropout"] = trial.suggest_float("id_dropout", 0.0, highest)
    if config.tune_query_tower:
        towers = sorted({*_TOWERS, given["query_tower"]})
        tower = trial.suggest_categorical("query_tower", towers)
        flags["query_tower"] = tower
        for name in ("epochs", "query_time"):  # by default those of the tower
            if getattr(config, name) == DEFAULTS[config.query_tower][name]:
                flags[name] = DEFAULTS[tower][name]
    return flags


class Reports(tf.keras.callbacks.Callback):
    """Reports the metric of each epoch to the trials; those before an interruption too.

    Args:
      report: function that is called with each epoch and its value.
    """

    def __init__(self, report: Report) -> None:
        """Initializes the callback."""
        super().__init__()
        self.report = report
        self.values = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Reports an epoch, which may end the training."""
        self.values.append(float(logs[MONITOR]))
        self.report(epoch, self.values[-1])

    def resume_state(self) -> dict:
        """Returns the values so far, for a training that goes on later."""
        return {"values": self.values}

    def restore_state(self, state: dict) -> None:
        """Reports the values of the epochs before an interruption.

        Args:
          state: result of `resume_state`.
        """
        self.values = []
        for epoch, value in enumerate(state["values"]):
            self.on_epoch_end(epoch, {MONITOR: value})


def train_once(
    config: QueryTowerConfig,
    data: tm.data.Interactions,
    report: Report,
    origin: Origin,
) -> float:
    """Trains a model and returns the validation NDCG@10 of its best epoch.

    A trial that was interrupted goes on.

    Args:
      config: flags of the trial.
      data: interactions without the input of the query tower.
      report: function that is called with each epoch and its value.
      origin: flags and data of the trial.
    """
    flags = json.dumps({name: getattr(config, name) for name in _names()})
    name = f"trial {hashlib.sha256(flags.encode()).hexdigest()[:12]}"
    own = folder_of(config, name)
    for other in own.parent.glob("trial-*"):  # it has ended
        if other != own:
            shutil.rmtree(other, ignore_errors=True)
    run = functools.partial(
        resumable_fit,
        dataclasses.replace(config, resume="auto", resume_anyway=False),
        origin=origin,
        name=name,
    )
    tf.keras.utils.set_random_seed(config.seed)
    try:
        data = query_towers.with_user_features(config, data)
        model = query_towers.build_model(config, data)
        create_weights(model, data)
        add_corpus_metrics(model, data)
        callbacks = [
            tm.training.StopOnMetric(
                MONITOR, patience=config.patience, restore_best_weights=False
            ),
            Reports(report),
        ]
        history = fit(config, data, model, callbacks, seed=config.seed, run=run)
        return float(np.nanmax([*history[MONITOR], -np.inf]))
    finally:
        release()


def _choices(config: QueryTowerConfig) -> dict[str, tuple[int, ...]]:
    return _CHOICES_OF_ID if config.query_tower == "id" else _CHOICES


def _given(config: QueryTowerConfig) -> Flags:
    names = [*_choices(config), "learning_rate", "temperature", "id_dropout"]
    if config.tune_query_tower:
        names.append("query_tower")
    return {name: getattr(config, name) for name in names}


def _names() -> list[str]:
    """Names of the flags that a trial depends on."""
    fields = dataclasses.fields(QueryTowerConfig)
    return [*(field.name for field in fields), "patience", "seed"]


def _depends_on(config: QueryTowerConfig, found: Fingerprint) -> dict:
    """What the values of trials depend on, by flag, and a hash of the data."""
    names = [*_names(), "tune_query_tower"]
    parts = json.dumps(found, sort_keys=True).encode()
    of = {f"--{n.replace('_', '-')}": getattr(config, n) for n in names}
    return of | {"the data": hashlib.sha256(parts).hexdigest()[:12]}


def _contradiction(config: QueryTowerConfig) -> str | None:
    """Returns a sentence on flags that do not go together, or None."""
    if not config.trials:
        for name in ("budget", "tune_query_tower"):
            if getattr(config, name):
                flag = name.replace("_", "-")
                return f"`--{flag}` must come with --trials. Got no --trials."
        return None
    if not config.epochs:
        return "`--trials` must come with an epoch or more. Got --epochs 0."
    if config.folds > 1:
        return (
            "`--trials` must come without --folds: flags that were chosen on rows of "
            f"the newest fold have seen the older ones. Got --folds {config.folds}."
        )
    if config.tune_query_tower and config.query_tower == "id":
        return (
            "`--tune-query-tower` must start from a tower over histories. Got "
            "`--query-tower id`."
        )
    return None
