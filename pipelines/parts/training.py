"""Training of a two-tower model: its weights, its metrics on validation, its fit."""

from collections.abc import Sequence

import tensorflow as tf

import tfrs_models as tm

from . import query_towers
from .query_towers import QueryTowerConfig
from .ranks import validation_metrics
from .resuming import Fit, fit_once

MONITOR = "val_factorized_top_k/ndcg_at_10"


def create_weights(model: tm.models.TwoTower, data: tm.data.Interactions) -> None:
    """Creates all weights of a model."""
    model(next(iter(data.batches("test", 1))))


def add_corpus_metrics(model: tm.models.TwoTower, data: tm.data.Interactions) -> None:
    """Adds hit rates and NDCG@10 over the whole catalogue to validation.

    Those of a model with trends come from `validation_metrics`.
    """
    if model.num_trends:
        return
    model.task.factorized_metrics = tm.metrics.FactorizedTopK(
        model.embed_candidates(data.candidate_batches()),
        ks=(10, 100),
        metrics=("ndcg_at_10",),
        hidden="leave-out",
        duplicates="error",
    )


def batches_of(
    config: QueryTowerConfig,
    data: tm.data.Interactions,
    *,
    seed: int,
    drop_ids: bool = True,
) -> tf.data.Dataset:
    """Makes the shuffled batches of the training.

    Args:
      config: flags, resolved.
      data: interactions with the input of the query tower.
      seed: seed of the order of the rows and of the dropped ids.
      drop_ids: whether, with a user tower, a share of the rows gets the unknown user.

    Raises:
      SystemExit: no user has a history to learn from.
    """
    try:
        return query_towers.training_batches(config, data, seed=seed, drop_ids=drop_ids)
    except ValueError as error:
        raise SystemExit(
            f"Cannot train on the data: {error} Or do without histories: --query-tower "
            "id."
        ) from error


def fit(
    config: QueryTowerConfig,
    data: tm.data.Interactions,
    model: tm.Model,
    callbacks: Sequence[tf.keras.callbacks.Callback],
    *,
    seed: int,
    run: Fit = fit_once,
) -> dict[str, list[float]]:
    """Trains a model and evaluates it on validation rows after each epoch.

    Args:
      config: flags, resolved.
      data: interactions with the input of the query tower.
      model: model whose weights exist.
      callbacks: callbacks of Keras.
      seed: seed of the order of the rows.
      run: function that trains the compiled model, as `resumable_fit` does with the
        arguments that are missing here.

    Returns:
      Metric -> value of each epoch.

    Raises:
      SystemExit: no user has a history to learn from.
    """
    batches = batches_of(config, data, seed=seed)
    rate = query_towers.learning_rate(config, num_steps=len(batches) * config.epochs)
    model.compile(tf.keras.optimizers.Adam(rate))
    validation = []
    if model.num_trends:  # before the callbacks that read the metrics
        table = tm.data.trend_table(data, "validation")
        validation.append(
            tf.keras.callbacks.LambdaCallback(
                on_epoch_end=lambda _, logs: logs.update(
                    validation_metrics(model, data, table)
                )
            )
        )
    return run(
        model,
        batches,
        validation_data=data.batches("validation", 4096),
        epochs=config.epochs,
        callbacks=[*validation, *callbacks],
    )
