"""Rows for the ranking pipeline: MovieLens, a table, or synthetic clicks."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import tfrs_models as tm

from .checkpoints import Fingerprint, fingerprint, sized
from .data import DataConfig, load_data, train_ids

SYNTHETIC = "synthetic-clicks"
POSITION = ("position", "device_features")
_ONLY_LOGGED = ("labels", "sample_weight", "group_id", "activity", "request_id")


@dataclasses.dataclass(frozen=True)
class RankingData:
    """Batches for a ranker, and arrays of the test rows in the same order.

    Args:
      name: name of the data.
      summary: text on the data, for the report.
      task_names: name of each label.
      num_users: number of users; indices are in [1, num_users], 0 is unknown.
      num_items: number of items; indices are in [1, num_items], 0 is unknown.
      fingerprint: sizes and hashes of the data and its split.
      train: function of a seed that returns shuffled training batches.
      validation: validation batches.
      test: test batches.
      labels: `[num_rows, num_tasks]` labels of the test rows.
      groups: `[num_rows]` user or list within which AUC compares test rows.
      activity: `[num_rows]` number of earlier rows of the user; None if not known.
      cold: `[num_rows]` True if training has no row of the user.
      relevance: `[num_rows]` true relevance of synthetic rows, else None.
      num_positions: number of positions of the lists that were shown, 0 without lists.
      vocabularies: feature -> ids that requests send as text.
    """

    name: str
    summary: str
    task_names: tuple[str, ...]
    num_users: int
    num_items: int
    fingerprint: Fingerprint
    train: Callable[[int], tf.data.Dataset]
    validation: tf.data.Dataset
    test: tf.data.Dataset
    labels: np.ndarray
    groups: np.ndarray
    activity: np.ndarray | None
    cold: np.ndarray
    relevance: np.ndarray | None = None
    num_positions: int = 0
    vocabularies: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def serving_features(self) -> dict[str, tf.Tensor]:
        """Returns a batch of the input of an export: no label, weight or position."""
        batch = next(iter(self.test))
        left_out = (*_ONLY_LOGGED, *POSITION)
        return {name: v for name, v in batch.items() if name not in left_out}


def load_ranking_data(
    config: DataConfig,
    *,
    batch_size: int,
    num_unseen: int,
    cold_users: float,
    seed: int,
) -> RankingData:
    """Loads the data and makes rows for a ranker.

    Args:
      config: flags of the data.
      batch_size: rows per batch.
      num_unseen: number of items that the user never had, for each row.
      cold_users: share of the users that training never sees.
      seed: seed of the split and of the cold users.

    Raises:
      SystemExit: the data cannot be loaded or makes no rows.
    """
    if config.dataset == SYNTHETIC:
        return _clicks(batch_size=batch_size, seed=seed)
    data = load_data(config, seed=seed)
    try:
        return _interactions(
            tm.data.with_activity(data),
            fingerprint(data),
            batch_size=batch_size,
            num_unseen=num_unseen,
            cold_users=cold_users,
            seed=seed,
        )
    except ValueError as error:
        raise SystemExit(f"Cannot make rows for a ranker: {error}") from error


def _interactions(
    data: tm.data.Interactions,
    of_data: Fingerprint,
    *,
    batch_size: int,
    num_unseen: int,
    cold_users: float,
    seed: int,
) -> RankingData:
    """Makes rated rows and unseen items; training never sees a share of the users."""
    is_cold = held_out_users(data.num_train_users, cold_users, seed=seed)
    has_ratings = "rating" in data.splits["train"]
    tasks = {
        name: threshold
        for name, threshold in tm.data.RANKING_TASKS.items()
        if threshold is None or has_ratings
    }

    def batches(split: str, *, seed: int | None = None) -> tf.data.Dataset:
        rows = tm.data.ranking_batches(
            data,
            split,
            max(1, batch_size // (1 + num_unseen)),
            tasks=tasks,
            num_unseen=num_unseen,
            shuffle=seed is not None,
            seed=seed,
        )
        return rows.map(lambda row: _held_out(row, tf.constant(is_cold), split))

    test = batches("test")
    columns = _columns(test, ("labels", "group_id", "activity", "user_id"))
    return RankingData(
        name=data.name,
        summary=str(data.summary),
        task_names=tuple(tasks),
        num_users=data.num_train_users,
        num_items=data.num_items,
        fingerprint=of_data,
        train=lambda seed: batches("train", seed=seed),
        validation=batches("validation"),
        test=test,
        labels=columns["labels"],
        groups=columns["group_id"],
        activity=columns["activity"],
        cold=columns["user_id"] == 0,
        vocabularies=train_ids(data),
    )


def held_out_users(num_users: int, share: float, *, seed: int) -> np.ndarray:
    """Draws the cold users, which training never sees.

    Args:
      num_users: number of users.
      share: share of the users to draw.
      seed: seed of the draw.

    Returns:
      `[num_users + 1]` True for cold users and for the unknown user, 0.
    """
    is_cold = np.random.default_rng(seed).uniform(size=num_users + 1) < share
    is_cold[0] = True
    return is_cold


def _held_out(row: dict, is_cold: tf.Tensor, split: str) -> dict:
    """Gives cold users weight 0 in training, and the index 0 in other splits."""
    cold = tf.gather(is_cold, row["user_id"])
    if split == "train":
        return row | {"sample_weight": tf.cast(~cold, tf.float32)}
    return row | {"user_id": tf.where(cold, tf.cast(0, tf.int64), row["user_id"])}


def _clicks(*, batch_size: int, seed: int) -> RankingData:
    clicks = tm.data.synthetic.make_position_biased_clicks(seed)
    truth = clicks.rows("test")
    seen = np.unique(clicks.rows("train")["user_id"])
    positions = int(clicks.columns["position"].max()) + 1
    return RankingData(
        name=clicks.name,
        summary=(
            f"{clicks.name}: {len(clicks.split):,} rows of lists of {positions}. A "
            "click is relevance times examination, (1 / (1 + position)) ** eta with "
            f"eta {', '.join(map(str, clicks.etas))} by device; lists put promoted "
            "items first, whatever their relevance."
        ),
        task_names=clicks.task_names,
        num_users=int(clicks.columns["user_id"].max()),
        num_items=int(clicks.columns["item_id"].max()),
        fingerprint={"rows": sized(len(clicks.split), clicks.columns)},
        train=lambda seed: clicks.batches("train", batch_size, shuffle=True, seed=seed),
        validation=clicks.batches("validation", batch_size),
        test=clicks.batches("test", batch_size),
        labels=truth["labels"],
        groups=truth["request_id"],
        activity=None,
        cold=~np.isin(truth["user_id"], seen),
        relevance=truth["relevance"],
        num_positions=positions,
    )


def _columns(dataset: tf.data.Dataset, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    rows = [[batch[name].numpy() for name in names] for batch in dataset]
    return {
        name: np.concatenate(parts)
        for name, parts in zip(names, zip(*rows, strict=True), strict=True)
    }
