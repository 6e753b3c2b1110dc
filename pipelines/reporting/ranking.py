"""Metrics and report of the ranking pipeline."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.metrics.bootstrap import Interval
from tfrs_models.metrics.usage import CohortEntropy, DeadCohorts

from ..parts.ranking_data import RankingData
from . import plots
from .page import render
from .tables import (
    by,
    mean_auc,
    over_seeds,
    print_table,
    task_figures,
    values_of,
)

FIGURES = ("auc", "log_loss", "calibration_error")
LABELS = {"auc": "AUC", "log_loss": "log loss", "calibration_error": "calibration"}
BASE_RATE = "base rate"
_BINS = 8


@dataclasses.dataclass(frozen=True)
class Run:
    """One trained ranker and its metrics on the test rows.

    Args:
      tower: name of the user tower.
      position_bias: whether the ranker has a position bias.
      seed: seed of the training.
      validation_loss: validation loss of the best epoch.
      history: Keras's history.
      model: trained ranker.
      slices: name of a slice -> `task/metric` -> value.
      ranking: label -> mean AUC within a user or list, and interval.
      calibration: task -> weight, mean prediction and observed rate of each bin.
      mixture: `[num_rows, num_towers]` weights of a mixture's towers, else None.
      affinity: `[num_rows, num_cohorts]` weights of the cohorts, None without a cohort
        tower.
    """

    tower: str
    position_bias: bool
    seed: int
    validation_loss: float
    history: dict[str, list[float]]
    model: tm.models.MultiTaskRanker
    slices: dict[str, dict[str, float]]
    ranking: dict[str, Interval]
    calibration: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    mixture: np.ndarray | None
    affinity: np.ndarray | None

    @property
    def label(self) -> str:
        """Name of the run, the same for all its seeds."""
        return self.tower + (", position bias" if self.position_bias else "")

    def figures(self) -> dict:
        """Returns the entry of the run in metrics.json."""
        figures = {
            "tower": self.tower,
            "position_bias": self.position_bias,
            "seed": self.seed,
            "validation_loss": self.validation_loss,
            "test": self.slices,
            "auc_within_groups": {k: v._asdict() for k, v in self.ranking.items()},
        }
        if self.affinity is not None:
            figures["cohorts"] = cohort_figures(self.affinity)
        return figures


def evaluate(
    model: tm.models.MultiTaskRanker,
    data: RankingData,
    tower: str,
    *,
    position_bias: bool,
    seed: int,
    history: dict[str, list[float]],
) -> Run:
    """Predicts the test rows and computes metrics by slice, user and task."""
    logits, served, mixture, affinity = [], [], [], []
    gate, cohorts = parts_of(model.user_tower)
    for batch in data.test:
        logits.append(model.logged_logits(batch))
        served.append(model.rank(batch))
        if gate is not None:
            mixture.append(gate.mixture(batch))
        if cohorts is not None:
            affinity.append(cohorts.affinity(batch))
    logits = np.concatenate(logits)
    answers = {k: np.concatenate([part[k] for part in served]) for k in served[0]}
    measured = {
        name: task_figures(data.task_names, data.labels[rows], logits[rows])
        for name, rows in slices_of(data).items()
    }
    return Run(
        tower=tower,
        position_bias=position_bias,
        seed=seed,
        validation_loss=min(history["val_loss_per_example"]),
        history=history,
        model=model,
        slices={name: figures for name, (figures, _) in measured.items()},
        ranking=within_groups(data, answers),
        calibration=measured["all"][1],
        mixture=np.concatenate(mixture) if mixture else None,
        affinity=np.concatenate(affinity) if affinity else None,
    )


def parts_of(
    tower: tf.keras.layers.Layer,
) -> tuple[tf.keras.layers.Layer | None, tf.keras.layers.Layer | None]:
    """Returns the mixture and the cohort tower in a user tower, None if it has none."""
    is_mixture = isinstance(tower, tm.towers.MixtureOfRepresentations)
    inside = tower.towers if is_mixture else [tower]
    cohorts = [part for part in inside if isinstance(part, tm.towers.Cohort)]
    return tower if is_mixture else None, cohorts[0] if cohorts else None


def slices_of(data: RankingData) -> dict[str, np.ndarray]:
    """Returns name of a slice -> `[num_rows]` bool, without empty slices."""
    slices = {"all": np.ones(len(data.cold), bool)}
    slices |= {"warm users": ~data.cold, "cold users": data.cold}
    return {name: rows for name, rows in slices.items() if rows.any()}


def base_rates(data: RankingData) -> dict[str, float]:
    """Measures the share of positives in training as the prediction of every row."""
    positive = np.zeros(len(data.task_names))
    observed = np.zeros(len(data.task_names))
    for batch in data.train(0):
        labels = batch["labels"].numpy()
        positive += (labels == 1).sum(axis=0)
        observed += (labels >= 0).sum(axis=0)
    logit = np.log(positive / (observed - positive)).astype("float32")
    logits = np.broadcast_to(logit, data.labels.shape)
    return task_figures(data.task_names, data.labels, logits)[0]


def within_groups(
    data: RankingData, answers: Mapping[str, np.ndarray]
) -> dict[str, Interval]:
    """Computes AUC within users or lists.

    Args:
      data: test rows.
      answers: task or "score" -> `[num_rows]` predictions.

    Returns:
      Label -> mean and interval, for each task, the score and a true relevance.
    """
    first = data.task_names[0]
    labels = dict(zip(data.task_names, data.labels.T, strict=True))
    labels["score"] = labels[first]
    found = {}
    for name in (*data.task_names, "score"):
        observed = labels[name] >= 0
        found[f"score, of {first}" if name == "score" else name] = mean_auc(
            labels[name][observed], answers[name][observed], data.groups[observed]
        )
    if data.relevance is not None:
        found[f"{first}, of true relevance"] = mean_auc(
            data.relevance > 0.5, answers[first], data.groups
        )
    return found


def cohort_figures(affinity: np.ndarray) -> dict[str, float]:
    """Computes the entropy of the cohorts' use and the share of unused ones."""
    metrics = CohortEntropy, DeadCohorts
    made = [cls(affinity.shape[1]) for cls in metrics]
    for metric in made:
        metric.update_state(affinity)
    return {metric.name: float(metric.result()) for metric in made}


def task_tables(runs: Sequence[Run], data: RankingData) -> dict[str, list[list[str]]]:
    """Makes a table for each slice with one row for each kind of run.

    The table of all rows has the base rate too.
    """
    names = [f"{task}/{figure}" for task in data.task_names for figure in FIGURES]
    tables = {
        part: [
            [label, *(over_seeds([run.slices[part][n] for run in same]) for n in names)]
            for label, same in by(runs, "label").items()
        ]
        for part in slices_of(data)
    }
    rates = base_rates(data)
    tables["all"].append([BASE_RATE, *(f"{rates[name]:.4f}" for name in names)])
    return tables


def ranking_table(runs: Sequence[Run]) -> list[list[str]]:
    """Makes one row for each kind of run: AUC within users or lists."""
    rows = []
    for label, same in by(runs, "label").items():
        cells = [over_seeds([r.ranking[n].mean for r in same]) for n in same[0].ranking]
        rows.append([label, *cells])
    return rows


def print_runs(
    runs: Sequence[Run], data: RankingData, table: Sequence[Sequence[str]]
) -> None:
    """Prints a table of the kinds of runs.

    Args:
      runs: trained rankers.
      data: test rows.
      table: table of all rows from `task_tables`.
    """
    columns = [f"{t} {LABELS[f]}" for t in data.task_names for f in FIGURES[:2]]
    keep = [0, *(1 + 3 * t + f for t in range(len(data.task_names)) for f in (0, 1))]
    print(f"Test rows: {len(data.labels):,}")
    rows = [[row[column] for column in keep] for row in table]
    print_table(["", *columns], rows)
    print("\nAUC within users or lists")
    print_table(["", *runs[0].ranking], ranking_table(runs))


def write_report(
    target: Path,
    *,
    run: str,
    config: object,
    data: RankingData,
    runs: Sequence[Run],
    best: Run,
    tables: Mapping[str, Sequence[Sequence[str]]],
) -> Path:
    """Writes the page of the comparison."""
    mixed = next((run for run in runs if run.mixture is not None), None)
    cohorts = {
        label: same[0].affinity
        for label, same in by(runs, "label").items()
        if same[0].affinity is not None
    }
    by_activity = None
    if mixed is not None and data.activity is not None:
        names = [type(tower).__name__ for tower in mixed.model.user_tower.towers]
        by_activity = plots.by_activity(data.activity, mixed.mixture, names, bins=_BINS)
    several = len(by(runs, "label")) > 1
    return render(
        "ranking.html",
        target,
        run=run,
        config=dataclasses.asdict(config),
        data=data,
        runs=runs,
        best=best,
        figures=[LABELS[name] for name in FIGURES],
        tables=tables,
        rows_of={name: int(rows.sum()) for name, rows in slices_of(data).items()},
        ranking_names=list(best.ranking),
        ranking=ranking_table(runs),
        side_by_side=(
            plots.side_by_side(
                {
                    name: values_of(
                        runs, "label", lambda run, n=name: run.ranking[n].mean
                    )
                    for name in best.ranking
                }
            )
            if several
            else None
        ),
        curves=plots.task_curves(best.history, data.task_names),
        calibration=plots.reliability(best.calibration),
        by_activity=by_activity,
        cohorts={label: cohort_figures(a) for label, a in cohorts.items()},
        cohort_usage=(
            plots.cohort_usage({k: a.mean(axis=0) for k, a in cohorts.items()})
            if cohorts
            else None
        ),
    )
