"""Metrics of runs, and their tables."""

from collections.abc import Callable, Sequence

import numpy as np

import tfrs_models as tm
from tfrs_models.metrics.bootstrap import Interval

Curve = tuple[np.ndarray, np.ndarray, np.ndarray]


def task_figures(
    task_names: Sequence[str], labels: np.ndarray, logits: np.ndarray
) -> tuple[dict[str, float], dict[str, Curve]]:
    """Computes the metrics of `tasks.MultiTask` and a reliability curve of each task.

    Args:
      task_names: name of each column.
      labels: `[num_rows, num_tasks]` labels, -1 where not observed.
      logits: `[num_rows, num_tasks]` logits.

    Returns:
      `task/metric` -> value, and task -> weight, mean prediction and observed rate of
      each bin.
    """
    task = tm.tasks.MultiTask(task_names)
    task(labels, logits)
    figures = {metric.name: float(metric.result()) for metric in task.metrics}
    curves = {
        metric.name.partition("/")[0]: tuple(v.numpy() for v in metric.curve())
        for metric in task.metrics
        if isinstance(metric, tm.metrics.ExpectedCalibrationError)
    }
    return figures, curves


def mean_auc(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> Interval:
    """Computes the mean AUC within groups and its bootstrap interval over groups.

    Args:
      labels: `[num_rows]` labels, 0 or 1.
      scores: `[num_rows]` scores.
      groups: `[num_rows]` user or list of each row.
    """
    names, values = tm.metrics.grouped_auc(labels, scores, groups)
    return tm.metrics.bootstrap_interval(values, names)


def by(runs: Sequence, attribute: str) -> dict[str, list]:
    """Groups runs by the value of an attribute, in the order of its first run."""
    groups = {}
    for run in runs:
        groups.setdefault(getattr(run, attribute), []).append(run)
    return groups


def values_of(
    runs: Sequence, attribute: str, value: Callable[[object], float]
) -> dict[str, list[float]]:
    """Returns value of an attribute -> one number for each of its runs.

    Args:
      runs: runs to group.
      attribute: attribute by which runs are grouped.
      value: function of a run that returns its number.
    """
    return {
        name: [value(run) for run in same] for name, same in by(runs, attribute).items()
    }


def over_seeds(values: Sequence[float]) -> str:
    """Formats a mean and, with several seeds, the standard deviation over them."""
    if np.isnan(values).all():
        return "-"
    text = f"{np.mean(values):.4f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.4f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table in columns; all but the first are aligned to the right."""
    widths = [
        max(len(row[i]) for row in [header, *rows]) + 2 for i in range(len(header))
    ]
    for row in [header, *rows]:
        first, *rest = zip(row, widths, strict=True)
        print(f"  {first[0]:<{first[1]}}" + "".join(f"{c:>{w}}" for c, w in rest))
