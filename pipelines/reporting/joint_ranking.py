"""Metrics and report of the joint ranking pipeline."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.metrics.bootstrap import Interval

from ..parts.list_data import ListData
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

K = 10


@dataclasses.dataclass(frozen=True)
class Run:
    """One trained model and its metrics on the test lists.

    Args:
      loss: name of its list loss.
      seed: seed of the training.
      epochs: number of epochs of the training.
      validation_ndcg: NDCG@10 on the validation lists.
      model: trained model.
      ranking: metric -> mean over lists or users, and interval.
      clicks: AUC, log loss and calibration error of the click.
      calibration: weight, mean prediction and observed rate of each bin.
    """

    loss: str
    seed: int
    epochs: int
    validation_ndcg: float
    model: tm.models.JointRankingCTR
    ranking: dict[str, Interval]
    clicks: dict[str, float]
    calibration: tuple[np.ndarray, np.ndarray, np.ndarray]

    def figures(self) -> dict:
        """Returns the entry of the run in metrics.json."""
        return {
            "loss": self.loss,
            "seed": self.seed,
            "epochs": self.epochs,
            f"validation_ndcg_at_{K}": self.validation_ndcg,
            "ranking": {name: v._asdict() for name, v in self.ranking.items()},
            "clicks": self.clicks,
        }


def evaluate(
    model: tm.models.JointRankingCTR,
    data: ListData,
    loss: str,
    *,
    seed: int,
    history: dict[str, list[float]],
) -> Run:
    """Scores the test lists and measures their order and the clicks."""
    labels, score, logit, clicks = _predict(model, data.test)
    ranking = {f"NDCG@{K}": _ndcg(labels, score, data.groups)}
    if data.relevance is not None:
        truth = np.where(labels >= 0, data.relevance, -1)
        ranking[f"NDCG@{K}, true relevance"] = _ndcg(truth, score, data.groups)
    valid = clicks >= 0
    groups = np.broadcast_to(data.groups[:, None], clicks.shape)[valid]
    ranking["AUC of clicks within groups"] = mean_auc(
        clicks[valid], score[valid], groups
    )
    figures, curves = task_figures(
        ["click"], clicks[valid][:, None], logit[valid][:, None]
    )
    labels, score, *_ = _predict(model, data.validation)
    return Run(
        loss=loss,
        seed=seed,
        epochs=len(history["loss"]),
        validation_ndcg=_ndcg(labels, score, None).mean,
        model=model,
        ranking=ranking,
        clicks=figures,
        calibration=curves["click"],
    )


def _predict(
    model: tm.models.JointRankingCTR, dataset: tf.data.Dataset
) -> tuple[np.ndarray, ...]:
    """Returns labels, scores, logits and clicks, `[num_lists, list_size]` each."""
    parts = []
    for batch in dataset:
        score, logit = model(batch)
        if model.alpha == 0:  # no loss has trained the score
            score = logit
        clicks = batch.get("clicks", batch["labels"])
        parts.append((batch["labels"], score, logit, clicks))
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def _ndcg(labels: np.ndarray, score: np.ndarray, groups: np.ndarray | None) -> Interval:
    """Computes the mean NDCG of lists whose labels differ, and its interval."""
    largest = labels.max(axis=1)
    least = np.where(labels < 0, np.inf, labels).min(axis=1)
    rows = largest > least
    values = tm.metrics.ndcg(labels[rows], score[rows], k=K).numpy()
    return tm.metrics.bootstrap_interval(
        values, None if groups is None else groups[rows]
    )


def table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Header of a table and one row for each loss."""
    ranking, clicks = list(runs[0].ranking), list(runs[0].clicks)
    names = [name.partition("/")[2].replace("_", " ") for name in clicks]
    header = ["", *ranking, *(f"click {name}" for name in names)]
    rows = [
        [
            loss,
            *(over_seeds([run.ranking[name].mean for run in same]) for name in ranking),
            *(over_seeds([run.clicks[name] for run in same]) for name in clicks),
        ]
        for loss, same in by(runs, "loss").items()
    ]
    return header, rows


def print_runs(runs: Sequence[Run], data: ListData) -> None:
    """Prints a table of the losses."""
    print(f"\nTest lists: {len(data.groups):,}")
    print_table(*table(runs))


def write_report(
    target: Path,
    *,
    run: str,
    config: object,
    data: ListData,
    runs: Sequence[Run],
    best: Run,
) -> Path:
    """Writes the page of the comparison."""
    header, rows = table(runs)
    return render(
        "joint_ranking.html",
        target,
        run=run,
        config=dataclasses.asdict(config),
        data=data,
        runs=runs,
        best=best,
        header=header,
        rows=rows,
        side_by_side=plots.side_by_side(
            {
                name: values_of(runs, "loss", lambda run, n=name: run.ranking[n].mean)
                for name in best.ranking
            }
            | {
                "click log loss": values_of(
                    runs, "loss", lambda run: run.clicks["click/log_loss"]
                )
            }
        ),
        calibration=plots.reliability(
            {loss: same[0].calibration for loss, same in by(runs, "loss").items()}
        ),
    )
