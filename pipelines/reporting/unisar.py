"""Figures and report of the pipeline of UniSAR."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.models.unisar.example import TASKS
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns

from . import plots
from .page import render
from .tables import by, over_seeds, print_table

SHOWN = ("hit_rate_at_1", "ndcg_at_5", "ndcg_at_10")
_CORPUS = ("hit_rate_at_10", "ndcg_at_10", "mrr")
_ROWS = 64  # rows that are ranked among all items at once
_EVENTS = 24  # events of an attention map, at most


@dataclasses.dataclass(frozen=True)
class Run:
    """One trained variant with its figures on the test split.

    Args:
      variant: name of the variant.
      seed: seed of the training.
      epochs: number of epochs of the training.
      validation: best mean NDCG@5 of both services in validation.
      test: values of the metrics by `service/metric`.
      history: history of the training as returned by Keras.
    """

    variant: str
    seed: int
    epochs: int
    validation: float
    test: dict[str, float]
    history: dict[str, list[float]]

    def figures(self) -> dict:
        """Returns the entry of the run in metrics.json."""
        return {
            "variant": self.variant,
            "seed": self.seed,
            "epochs": self.epochs,
            "validation_ndcg_at_5": self.validation,
            "test": self.test,
        }


class AttentionMap(NamedTuple):
    """Attention weights between a user's events of both services, oldest first.

    Attributes:
      weights: `[num_events, num_events]` mean weights over the heads.
      labels: names of the events.
      is_search: `[num_events]` bool, whether an event is a search.
    """

    weights: np.ndarray
    labels: list[str]
    is_search: np.ndarray


def evaluate(
    model: tm.models.UniSAR,
    test: tf.data.Dataset,
    variant: str,
    *,
    seed: int,
    history: dict[str, list[float]],
    monitor: str,
) -> Run:
    """Ranks the candidates of the test split."""
    found = model.evaluate(test, verbose=0, return_dict=True)
    return Run(
        variant=variant,
        seed=seed,
        epochs=len(history["loss"]),
        validation=max(history[monitor]),
        test={name: float(v) for name, v in found.items() if "/" in name},
        history={k: [float(v) for v in vs] for k, vs in history.items()},
    )


def popularity(data: tm.data.kuaisar.SearchAndRecommendation) -> dict[str, float]:
    """Evaluates ranking by the number of clicks in the training of each service."""
    found = {}
    for task in TASKS:
        train, test = (data.samples[task][split] for split in ("train", "test"))
        clicks = np.bincount(train["item_id"], minlength=data.num_items + 1)
        items = np.concatenate([test["item_id"][:, None], test["negatives"]], axis=1)
        ranked = RankMetrics(SHOWN, name=task)
        columns = np.zeros(len(items), "int32")
        ranks = ranks_of_columns(clicks[items].astype("float32"), columns)
        ranked.update_state(ranks)
        found |= {name: float(value) for name, value in ranked.result().items()}
    return found


def corpus_figures(
    model: tm.models.UniSAR,
    data: tm.data.kuaisar.SearchAndRecommendation,
    config: object,
) -> dict[str, float]:
    """Ranks test rows of both services among all items."""
    found = {}
    for task in TASKS if config.corpus_rows else ():
        ranked = RankMetrics(_CORPUS, name=task)

        @tf.function(reduce_retracing=True)
        def rank(batch: Mapping, task: str = task) -> tuple:
            return model.corpus_ranks(batch, task)

        batches = data.batches(
            task,
            "test",
            _ROWS,
            item_history_length=config.length,
            session_history_length=config.length,
        )
        for batch in batches.take(-(-config.corpus_rows // _ROWS)):
            ranked.update_state(rank(batch))
        found |= {name: float(value) for name, value in ranked.result().items()}
    return found


def attention_map(
    model: tm.models.UniSAR,
    data: tm.data.kuaisar.SearchAndRecommendation,
    *,
    length: int,
    row: int | None = None,
) -> AttentionMap:
    """Computes the weights of the encoder across on the history of a test user.

    Args:
      model: trained model.
      data: data of the model.
      length: number of items and of searches of a history.
      row: index among the first 512 test rows of the recommendation; None for the row
        with the most events that fit on a map.
    """
    lengths = {"item_history_length": length, "session_history_length": length}
    batch = next(iter(data.batches("recommendation", "test", 512, **lengths)))
    times = tf.concat([batch["item_history_time"], batch["session_time"]], 1).numpy()
    count = (times > 0).sum(axis=1)
    if row is None:
        row = int(np.argmax(np.where(count <= _EVENTS, count, -1)))
    one = {name: values[row : row + 1] for name, values in batch.items()}
    weights = model.network.weights_across(one, "recommendation")[0][0]
    weights = tf.reduce_mean(weights, axis=0).numpy()
    order = [i for i in np.argsort(times[row], kind="stable") if times[row, i] > 0]
    order = order[-_EVENTS:]
    items = one["item_history"][0].numpy()
    queries = one["session_query"][0].numpy()
    labels = [
        f"item {items[i]}"
        if i < len(items)
        else f"search {' '.join(str(w) for w in queries[i - len(items)] if w)}"
        for i in order
    ]
    is_search = np.array(order) >= len(items)
    return AttentionMap(weights[np.ix_(order, order)], labels, is_search)


def table(
    runs: Sequence[Run], baseline: Mapping[str, float]
) -> tuple[list[str], list[list[str]]]:
    """Header and a row for each variant, and one for popularity."""
    names = [f"{task}/{metric}" for task in TASKS for metric in SHOWN]
    header = ["", *map(_spoken, names)]
    rows = [
        [variant, *(over_seeds([run.test[name] for run in same]) for name in names)]
        for variant, same in by(runs, "variant").items()
    ]
    return header, [*rows, ["popularity", *(over_seeds([baseline[n]]) for n in names)]]


def print_runs(runs: Sequence[Run], baseline: Mapping[str, float]) -> None:
    """Prints the variants side by side."""
    print("\nTest split, among the candidates of each row")
    print_table(*table(runs, baseline))


def write_report(
    target: Path,
    *,
    run: str,
    config: object,
    data: tm.data.kuaisar.SearchAndRecommendation,
    runs: Sequence[Run],
    best: Run,
    model: tm.models.UniSAR,
    baseline: Mapping[str, float],
    corpus: Mapping[str, float],
) -> Path:
    """Writes the report of all runs."""
    header, rows = table(runs, baseline)
    seen = attention_map(model, data, length=config.length)
    groups = by(runs, "variant")
    return render(
        "unisar.html",
        target,
        run=run,
        config=dataclasses.asdict(config) | {"data": {"data": config.data}},
        data=data,
        best=best,
        header=header,
        rows=rows,
        corpus={_spoken(name): value for name, value in corpus.items()},
        side_by_side=plots.side_by_side(
            {
                f"{task}, NDCG@5": {
                    variant: [run.test[f"{task}/ndcg_at_5"] for run in same]
                    for variant, same in groups.items()
                }
                for task in TASKS
            }
        ),
        learning=plots.learning_curves(
            best.history,
            monitor="val_ndcg_at_5",
            title="Validation NDCG@5, mean of both services",
        ),
        attention=plots.attention_map(
            seen.weights, seen.labels, is_search=seen.is_search
        ),
    )


def _spoken(name: str) -> str:
    """Returns `search/ndcg_at_5` in words, which a narrow column can break."""
    return name.replace("_at_", "@").replace("_", " ").replace("/", " ")
