"""Evaluation of a retrieval model beside simple recommenders, and the verdict."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

import tfrs_models as tm
from tfrs_models.baselines import Choice
from tfrs_models.metrics import RankTable

from .served import (
    baseline_ranks,
    served_ranks,
    with_train_rows,
)

METRICS = ("ndcg_at_10", "hit_rate_at_10", "hit_rate_at_100", "mrr")
VERDICT = "ndcg_at_10"
MODEL, POPULARITY, CHANCE = "model", "popularity", "chance"
_TITLES = {"ease": "EASE", "als": "ALS", "item_knn": "item-kNN"}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Ranks of the test rows by the model and by simple recommenders.

    Args:
      tables: name of a recommender -> its ranks of the test rows.
      labels: name of a recommender -> its name with the parameters.
      baselines: name of a simple recommender -> the recommender, fitted on test.
      rows: `[num_rows]` row numbers of the test split. Rows whose item is excluded, as
        their user had it before, are left out.
      slices: name of a slice -> `[num_rows]` bool.
      metrics: metrics with intervals, as in metrics.json.
      best: name of the simple recommender that is best on validation rows.
      winner: name of the recommender that is best on validation rows.
      num_items: number of candidates.
    """

    tables: dict[str, RankTable]
    labels: dict[str, str]
    baselines: dict[str, tm.baselines.Baseline]
    rows: np.ndarray
    slices: dict[str, np.ndarray]
    metrics: dict
    best: str
    winner: str
    num_items: int

    def means(self, name: str) -> dict[str, float]:
        """Returns the metrics of a recommender without their intervals.

        Args:
          name: name of the recommender.
        """
        found = self.metrics["test"][name]
        return {metric: interval["mean"] for metric, interval in found.items()}


def evaluate(
    model: tm.models.TwoTower,
    data: tm.data.Interactions,
    choices: Sequence[Choice] = (),
) -> Evaluation:
    """Ranks the test rows over the whole catalogue.

    Args:
      model: trained model.
      data: interactions with what the query tower reads.
      choices: simple recommenders with their validation metrics, from
        `tm.baselines.choose`; popularity is added to them.
    """
    fitted = [choice for choice in choices if choice.baseline is not None]
    if all(choice.kind != POPULARITY for choice in fitted):
        baseline = tm.baselines.Popularity()
        if len(data.splits["validation"]["user_id"]):
            baseline = baseline.fit(data, split="validation")
        fitted.append(Choice(POPULARITY, POPULARITY, baseline, -np.inf, 0.0))
    best = max(fitted, key=lambda choice: choice.value)
    tables = {MODEL: served_ranks(model, data, "test")}
    labels = {MODEL: "the model"} | {choice.kind: choice.name for choice in fitted}
    baselines = {c.kind: c.baseline.fit(data, split="test") for c in fitted}
    for name, baseline in baselines.items():
        tables[name] = baseline_ranks(baseline, data, "test")
    validation = {}
    if len(data.splits["validation"]["user_id"]):
        both = {
            MODEL: served_ranks(model, data, "validation"),
            best.kind: baseline_ranks(best.baseline, data, "validation"),
        }
        validation = {
            name: float(table.take(~table.hidden).values(VERDICT).mean())
            for name, table in both.items()
        }
    rows = np.flatnonzero(~tables[MODEL].hidden)
    tables = {name: table.take(rows) for name, table in tables.items()}
    tables[CHANCE], labels[CHANCE] = tables[MODEL].chance(), CHANCE
    winner = max([MODEL, best.kind], key=lambda name: validation.get(name, 0.0))
    slices = {name: mask[rows] for name, mask in slices_of(data).items()}
    groups = tm.data.ranking_groups(data, "test")[rows]
    metrics = metrics_of(tables, slices, groups, best=best.kind)
    metrics["validation"] = validation
    metrics["best_baseline"] = {"name": best.kind, "label": best.name}
    metrics["winner"] = winner
    metrics["excluded"] = "nothing" if data.repeats == "allow" else "known items"
    metrics["hidden_rows"] = len(data.splits["test"]["user_id"]) - len(rows)
    return Evaluation(
        tables,
        labels,
        baselines,
        rows,
        slices,
        metrics,
        best.kind,
        winner,
        num_items=data.num_items,
    )


def slices_of(data: tm.data.Interactions) -> dict[str, np.ndarray]:
    """Returns name of a slice of the test rows -> `[num_rows]` bool."""
    test = data.splits["test"]
    items, warm = test["item_id"], with_train_rows(data, "test")
    part = tm.metrics.popularity_slices(data.candidate_probabilities[1:])[items - 1]
    slices = {f"{name} items": part == name for name in ("head", "torso", "tail")}
    slices |= {"cold items": part == "cold", "warm items": part != "cold"}
    slices |= {"cold users": ~warm, "warm users": warm}
    return slices | tm.data.row_slices(data, "test")


def title(name: str) -> str:
    """Returns the name of a recommender for a reader.

    Args:
      name: name in metrics.json.
    """
    return _TITLES.get(name, name.replace("_", " "))


def metrics_of(
    tables: Mapping[str, RankTable],
    slices: Mapping[str, np.ndarray],
    groups: np.ndarray,
    *,
    best: str = POPULARITY,
) -> dict:
    """Computes the metrics of the test rows and of their slices.

    Args:
      tables: name of a recommender -> its ranks of the test rows.
      slices: name of a slice -> `[num_rows]` bool.
      groups: `[num_rows]` user of each row, whole users are drawn for the intervals.
      best: name of the simple recommender to compare the model with.

    Returns:
      The part of metrics.json about the test rows.
    """
    of_rows = {
        name: {metric: table.values(metric) for metric in METRICS}
        for name, table in tables.items()
    }
    for other, difference in ((best, "best"), (POPULARITY, POPULARITY)):
        of_rows[f"model_minus_{difference}"] = {
            metric: of_rows[MODEL][metric] - of_rows[other][metric]
            for metric in METRICS
        }
    test = _intervals(of_rows, groups)
    beside = dict.fromkeys([MODEL, best, POPULARITY, "model_minus_best"])
    return {
        "test": {name: test[name] for name in tables},
        **{name: found for name, found in test.items() if name not in tables},
        "slices": {
            name: {
                "rows": int(rows.sum()),
                **_intervals({one: of_rows[one] for one in beside}, groups, rows),
            }
            for name, rows in slices.items()
        },
        "ties": {
            name: float((table.tied > 0).mean())
            for name, table in tables.items()
            if name != CHANCE
        },
    }


def _intervals(
    of_rows: Mapping[str, Mapping[str, np.ndarray]],
    groups: np.ndarray,
    rows: np.ndarray | slice = slice(None),
) -> dict[str, dict[str, dict]]:
    """Intervals by the name of a recommender and that of a metric."""
    found = tm.metrics.bootstrap_intervals(
        {(n, m): v[rows] for n, values in of_rows.items() for m, v in values.items()},
        groups[rows],
    )
    return {
        name: {metric: found[name, metric]._asdict() for metric in values}
        for name, values in of_rows.items()
    }


def verdict(metrics: Mapping, label: str, *, exports: str = MODEL) -> str:
    """Compares the model with the best simple recommender, in plain words.

    Args:
      metrics: metrics from `metrics_of`, with the `winner` on validation rows.
      label: name of that recommender with its parameters.
      exports: name of the recommender that the run exports.
    """
    gain = metrics["model_minus_best"][VERDICT]
    compared = comparison(gain, label)
    if gain["low"] > 0:
        return compared
    serves_model = metrics["winner"] == MODEL
    if exports != MODEL:
        serve = "This run exports that one."
    elif serves_model:
        serve = (
            "On the validation rows the model is better, so that --serve-best would "
            "export it."
        )
    else:
        serve = (
            "That one is better on the validation rows: --serve-best exports it, with "
            "--resume --epochs 0 without new training."
        )
    return f"{compared} {serve}"


def comparison(gain: Mapping[str, float], label: str) -> str:
    """Compares a model with a simple recommender in one sentence.

    Args:
      gain: mean and interval of NDCG@10 of the model minus that of the recommender.
      label: name of the simple recommender that is best on validation rows.
    """
    word = "is not clearly better than"
    if gain["low"] > 0:
        word = "beats"
    elif gain["high"] < 0:
        word = "loses to"
    interval = f"[{gain['low']:+.4f}, {gain['high']:+.4f}]"
    return (
        f'The model {word} the best simple recommender on validation rows ("{label}"): '
        f"{gain['mean']:+.4f} NDCG@10 on the test rows, 95% interval {interval}, "
        "paired by user."
    )
