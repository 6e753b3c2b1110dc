"""Training that goes on from an earlier model with new rows, and with some old ones."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.times import row_times
from tfrs_models.training.vocabulary_growth import RowChanges

from . import query_towers
from .flags import Count, Rate, Share
from .query_towers import QueryTowerConfig
from .training import create_weights


@dataclasses.dataclass(frozen=True)
class LearningConfig:
    """Flags of the training on new rows."""

    replay: Share = 0.05
    """Share of the rows (with histories: of the windows) without anything new that are
    trained on again, so that the model does not forget them."""
    passes: Count = 1
    """Number of epochs over the new rows and those that are trained on again."""
    learning_rate: Rate = 0.001
    """Learning rate of Adam, whose moments go on from those of the earlier model."""


def known_rows(
    data: tm.data.Interactions, then: tm.data.Interactions, splits: Sequence[str]
) -> dict[str, np.ndarray]:
    """Finds the rows that earlier data had in some splits, by user, item and time.

    Args:
      data: interactions with times.
      then: earlier interactions, with other indices.
      splits: splits of the earlier interactions.

    Returns:
      Split of `data` -> `[num_rows]` bool.
    """
    parts = zip(*(_keys(then, split) for split in splits), strict=True)
    index = pd.MultiIndex.from_arrays([np.concatenate(part) for part in parts])
    return {
        split: pd.MultiIndex.from_arrays(_keys(data, split)).isin(index)
        for split in data.splits
    }


def _keys(data: tm.data.Interactions, split: str) -> list[np.ndarray]:
    columns = data.splits[split]
    ids = [
        np.array(["", *data.vocabularies[name]], object)[columns[name]]
        for name in ("user_id", "item_id")
    ]
    return [*ids, row_times(columns)]


def rows_to_learn(
    config: QueryTowerConfig,
    data: tm.data.Interactions,
    is_new: np.ndarray,
    *,
    replay: float,
    seed: int,
) -> np.ndarray:
    """Chooses the rows, or the windows of histories, that an update trains on.

    Args:
      config: flags of the model, resolved.
      data: interactions.
      is_new: `[num_rows]` bool, True for train rows that no earlier training had.
      replay: share of all others that are trained on again.
      seed: seed of their draw.

    Returns:
      Their numbers, for the `rows` of `query_towers.training_batches`.
    """
    train = data.splits["train"]
    if config.query_tower != "id":
        names = ("user_id", "item_id", "timestamp")
        new = pd.MultiIndex.from_arrays([train[name][is_new] for name in names])
        windows = query_towers.windows_of(config, data)
        width = windows.item_id.shape[1]
        targets = [np.repeat(windows.user_id, width)]
        targets += [windows.item_id.ravel(), windows.timestamp.ravel()]
        found = pd.MultiIndex.from_arrays(targets).isin(new)
        is_new = found.reshape(windows.item_id.shape).any(axis=1)
    drawn = np.random.default_rng(seed).random(len(is_new)) < replay
    return np.flatnonzero(is_new | drawn)


def grown(
    config: QueryTowerConfig,
    data: tm.data.Interactions,
    state: Path | str | tm.Model,
    vocabularies: Mapping[str, Sequence[str]],
    *,
    learning_rate: float,
) -> tuple[tm.models.TwoTower, dict[str, RowChanges]]:
    """Builds the model of an earlier state for new data.

    Args:
      config: flags of the model, resolved.
      data: new interactions, with the input of the query tower.
      state: earlier model, or the prefix of its checkpoint.
      vocabularies: vocabularies of the state.
      learning_rate: learning rate of the training that goes on.

    Returns:
      The model, compiled, and what has become of the rows of each vocabulary.

    Raises:
      SystemExit: the state does not fit the data.
    """
    model = query_towers.build_model(config, data)
    create_weights(model, data)
    model.compile(tf.keras.optimizers.Adam(learning_rate))
    try:
        changes = tm.training.load_rows(
            model, state, old=vocabularies, new=data.vocabularies
        )
    except ValueError as error:
        raise SystemExit(f"The model cannot take the new rows: {error}") from error
    return model, changes


def learn(
    config: QueryTowerConfig,
    data: tm.data.Interactions,
    model: tm.Model,
    rows: np.ndarray,
    *,
    passes: int,
    seed: int,
) -> dict[str, list[float]]:
    """Trains a compiled model on some rows.

    Args:
      config: flags of the model, resolved.
      data: interactions with the input of the query tower.
      model: model to train.
      rows: numbers from `rows_to_learn`.
      passes: number of epochs.
      seed: seed of the order of the rows.

    Returns:
      Metric -> value of each epoch.
    """
    batches = query_towers.training_batches(config, data, seed=seed, rows=rows)
    return model.fit(batches, epochs=passes, verbose=0).history
