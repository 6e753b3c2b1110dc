"""Evaluations at several times: mean and spread over the folds of a rolling origin."""

from collections.abc import Sequence

import numpy as np

from .evaluation import METRICS, MODEL, VERDICT, Evaluation, title

BEST = "best_baseline"


def over_folds(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, dict]]:
    """Computes mean and spread over folds, as in metrics.json.

    Args:
      evaluations: evaluation of each fold, the oldest first.

    Returns:
      Name of a recommender that all folds have -> metric -> `mean`, `spread` (standard
      deviation over folds) and `folds`, the value of each fold. `best_baseline` is the
      one that is best on the validation rows of its fold, and `model_minus_best` the
      difference from it.
    """
    found = {}
    names = [
        n for n in evaluations[-1].tables if all(n in e.tables for e in evaluations)
    ]
    for name in [*names, BEST, "model_minus_best"]:
        found[name] = {}
        for metric in METRICS:
            values = [_value(e, name, metric) for e in evaluations]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
            mean = float(np.mean(values))
            found[name][metric] = {"mean": mean, "spread": spread, "folds": values}
    return found


def _value(evaluation: Evaluation, name: str, metric: str) -> float:
    metrics = evaluation.metrics
    if name == "model_minus_best":
        return metrics[name][metric]["mean"]
    return metrics["test"][evaluation.best if name == BEST else name][metric]["mean"]


def fold_table(
    evaluations: Sequence[Evaluation], metric: str = VERDICT
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a metric in each fold with mean and spread, best mean first.

    Args:
      evaluations: evaluation of each fold, the oldest first.
      metric: name of the metric.
    """
    found = over_folds(evaluations)
    gain = found.pop("model_minus_best")
    names = sorted(found, key=lambda name: -found[name][metric]["mean"])
    rows = []
    for name in names:
        label = title(name)
        if name == BEST:
            label = "the best simple one on validation"
        rows.append([label, *_cells(found[name][metric])])
    rows.append(["model - that one", *_cells(gain[metric], "+")])
    header = ["", *(f"fold {n + 1}" for n in range(len(evaluations)))]
    return [*header, "mean ± spread"], rows


def _cells(values: dict, sign: str = "") -> list[str]:
    mean = f"{values['mean']:{sign}.4f} ± {values['spread']:.4f}"
    return [*(f"{value:{sign}.4f}" for value in values["folds"]), mean]


def fold_verdict(evaluations: Sequence[Evaluation]) -> str:
    """Compares the model with the best simple recommender of each fold, in words.

    Args:
      evaluations: evaluation of each fold, the oldest first.
    """
    found = over_folds(evaluations)
    model, best = (found[name][VERDICT] for name in (MODEL, BEST))
    gains = found["model_minus_best"][VERDICT]["folds"]
    clear = [e.metrics["model_minus_best"][VERDICT] for e in evaluations]
    better, worse = (
        sum(test(gain) for gain in clear)
        for test in (lambda g: g["low"] > 0, lambda g: g["high"] < 0)
    )
    return (
        f"Over {len(gains)} folds: NDCG@10 of the model {model['mean']:.4f} ± "
        f"{model['spread']:.4f}, of the best simple recommender {best['mean']:.4f} ± "
        f"{best['spread']:.4f}; the model is clearly better in {better} and clearly "
        f"worse in {worse} of them."
    )
