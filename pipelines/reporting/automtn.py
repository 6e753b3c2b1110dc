"""Figures and report of the pipeline of the next POI."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import tfrs_models as tm
from tfrs_models.layers.attention.auto_correlation import Lags
from tfrs_models.metrics import RankTable, bootstrap_interval

from ..parts.check_in_data import CheckInData
from . import plots, poi_plots
from .evaluation import VERDICT, comparison
from .page import render
from .tables import print_table

MODEL = "AutoMTN"
METRICS = {
    "Acc@1": "hit_rate_at_1",
    "Acc@5": "hit_rate_at_5",
    "Acc@10": "hit_rate_at_10",
    "MRR": "mrr",
    "NDCG@10": "ndcg_at_10",
}
_ROWS = 512  # test traces that the report reads


def print_tables(tables: Mapping[str, RankTable], data: CheckInData) -> dict:
    """Prints the figures of all models and returns them with their intervals."""
    users = _users(data)
    print_table(*_table(tables))
    if data.planted is not None:
        print("\nBy what is planted:")
        print_table(*_planted_table(tables, data))
    return {
        name: {
            metric: bootstrap_interval(table.values(metric), users)._asdict()
            for metric in METRICS.values()
        }
        for name, table in tables.items()
    }


def means(table: RankTable) -> dict[str, float]:
    """Returns the mean of each metric over the rows of a table."""
    return {m: float(table.values(m).mean()) for m in METRICS.values()}


def judged(
    tables: Mapping[str, RankTable],
    validation: Mapping[str, RankTable],
    data: CheckInData,
) -> dict:
    """Compares the model with the simple recommender that is best on validation.

    Args:
      tables: name of a recommender -> its ranks of the test rows.
      validation: name of the model and of each simple recommender -> its ranks of the
        validation rows.
      data: data.

    Returns:
      The part of metrics.json about it, with the `verdict` in plain words.
    """
    values = {
        name: float(table.values(VERDICT).mean()) for name, table in validation.items()
    }
    best = max((name for name in values if name != MODEL), key=values.get)
    users = _users(data)
    gains = {
        metric: bootstrap_interval(
            tables[MODEL].values(metric) - tables[best].values(metric), users
        )._asdict()
        for metric in METRICS.values()
    }
    return {
        "validation": values,
        "best_baseline": best,
        "model_minus_best": gains,
        "verdict": comparison(gains[VERDICT], best),
    }


def write_report(
    target: Path,
    *,
    run: str,
    config: object,
    data: CheckInData,
    model: tm.models.AutoMTN,
    untrained: tm.models.AutoMTN,
    tables: Mapping[str, RankTable],
    history: Mapping[str, list[float]],
    verdict: str,
) -> Path:
    """Writes the report of a run."""
    traces = data.traces
    rows = traces.rows("test")[:_ROWS]
    features = traces.features(rows)
    models = {"untrained": untrained, "trained": model}
    lags = {name: one.lags(features) for name, one in models.items()}
    header, table = _table(tables)
    example = poi_plots.example_trace(
        features, tables[MODEL].values("hit_rate_at_5")[: len(rows)]
    )
    periods = data.test_periods
    if periods is not None:
        periods = periods[: len(rows)]
    return render(
        "automtn.html",
        target,
        run=run,
        config=dataclasses.asdict(config),
        data=traces,
        summary=str(traces),
        is_synthetic=data.planted is not None,
        header=header,
        rows=table,
        verdict=verdict,
        planted=None if periods is None else _planted_table(tables, data),
        curves=plots.learning_curves(history, monitor="val_poi/ndcg_at_10"),
        map=None
        if example is None
        else poi_plots.trace_map(
            traces.coordinates,
            example["poi_id"][0],
            example["next_poi_id"][0],
            model.rank(example)["next_poi_id"].numpy()[0],
        ),
        lags=poi_plots.lag_curves(
            {name: found.correlation.numpy() for name, found in lags.items()}, periods
        ),
        found=None if periods is None else _lag_table(lags, periods),
    )


def lag_figures(lags: Lags, periods: np.ndarray) -> tuple[float, float]:
    """Compares lags with planted periods.

    Args:
      lags: lags of some traces.
      periods: `[num_traces]` planted periods in steps.

    Returns:
      The share of traces whose strongest lag but 0 is a multiple of the period, and the
      mean over the traces of the weight of all such lags.
    """
    correlation = lags.correlation.numpy().copy()
    correlation[:, 0] = -np.inf
    delays, weights = lags.delays.numpy(), lags.weights.numpy()
    planted = (delays > 0) & (delays % periods[:, None] == 0)
    return (
        float(np.mean(correlation.argmax(axis=1) % periods == 0)),
        float(np.sum(weights * planted, axis=1).mean()),
    )


def _table(tables: Mapping[str, RankTable]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, *(f"{table.values(metric).mean():.4f}" for metric in METRICS.values())]
        for name, table in tables.items()
    ]
    return ["", *METRICS], rows


def _planted_table(
    tables: Mapping[str, RankTable], data: CheckInData
) -> tuple[list[str], list[list[str]]]:
    returns = data.test_returns
    header = ["", "Acc@1 of returns", "Acc@10 of returns", "Acc@10 of POIs near"]
    rows = []
    for name, table in tables.items():
        first, ten = table.values("hit_rate_at_1"), table.values("hit_rate_at_10")
        cells = first[returns].mean(), ten[returns].mean(), ten[~returns].mean()
        rows.append([name, *(f"{value:.4f}" for value in cells)])
    return header, rows


def _lag_table(
    lags: Mapping[str, Lags], periods: np.ndarray
) -> tuple[list[str], list[list[str]]]:
    header = ["", "Strongest lag is planted", "Weight of planted lags"]
    rows = []
    for name, found in lags.items():
        share, weight = lag_figures(found, periods)
        rows.append([name, f"{share:.1%}", f"{weight:.2f}"])
    return header, rows


def _users(data: CheckInData) -> np.ndarray:
    traces = data.traces
    users = traces.columns["user_id"][traces.target[traces.rows("test")]]
    return np.where(users > 0, users, -np.arange(len(users)))
