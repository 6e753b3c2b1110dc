"""Lists for the joint ranking pipeline: rated items, or synthetic lists with clicks."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.batching import without_autotuning

from .checkpoints import Fingerprint, fingerprint, sized
from .data import DataConfig, load_data, train_ids
from .ranking_data import SYNTHETIC


@dataclasses.dataclass(frozen=True)
class ListData:
    """Batches of lists, and arrays of the test lists in the same order.

    Args:
      name: name of the data.
      summary: text on the data, for the report.
      train: function of a seed that returns shuffled training batches.
      validation: validation batches.
      test: test batches.
      groups: `[num_lists]` user or request of each test list; a list of an unknown user
        is a group of its own.
      user_tower: function that builds a user tower.
      item_tower: function that builds an item tower.
      serving_features: feature -> spec of the input of an export.
      fingerprint: sizes and hashes of the data and its split.
      relevance: `[num_lists, list_size]` true relevance of synthetic lists, else None.
      vocabularies: feature -> ids that requests send as text.
    """

    name: str
    summary: str
    train: Callable[[int], tf.data.Dataset]
    validation: tf.data.Dataset
    test: tf.data.Dataset
    groups: np.ndarray
    user_tower: Callable[[], tf.keras.layers.Layer]
    item_tower: Callable[[], tf.keras.layers.Layer]
    serving_features: dict[str, tf.TensorSpec]
    fingerprint: Fingerprint
    relevance: np.ndarray | None = None
    vocabularies: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def load_list_data(
    config: DataConfig,
    *,
    list_size: int,
    batch_size: int,
    embedding_dim: int,
    seed: int,
) -> ListData:
    """Loads the data and makes lists.

    Args:
      config: flags of the data.
      list_size: number of items of a list.
      batch_size: lists per batch.
      embedding_dim: number of dimensions of both towers.
      seed: seed of the split.

    Raises:
      SystemExit: the data cannot be loaded or makes no lists.
    """
    if config.dataset == SYNTHETIC:
        return _clicks(batch_size=batch_size, embedding_dim=embedding_dim, seed=seed)
    data = load_data(config, seed=seed)
    try:
        return _ratings(
            tm.data.with_activity(data),
            list_size=list_size,
            batch_size=batch_size,
            embedding_dim=embedding_dim,
        )
    except ValueError as error:
        raise SystemExit(f"Cannot make lists: {error}") from error


def _ratings(
    data: tm.data.Interactions, *, list_size: int, batch_size: int, embedding_dim: int
) -> ListData:
    def batches(split: str, seed: int | None = None) -> tf.data.Dataset:
        return tm.data.list_batches(
            data,
            split,
            batch_size,
            list_size=list_size,
            shuffle=seed is not None,
            seed=seed,
        )

    def user_tower() -> tf.keras.layers.Layer:
        return tm.towers.MixtureOfRepresentations(
            [
                tm.towers.UserId(data.num_train_users + 1, embedding_dim),
                tm.towers.Cohort(32, embedding_dim),
            ],
            dropout=0.0,
        )

    def item_tower() -> tf.keras.layers.Layer:
        items = tm.towers.FeatureTower(data.item_features, embedding_dim)
        return tm.towers.FeatureLookup(items, data.items)

    test = batches("test")
    width = data.splits["test"]["user_features"].shape[1]
    return ListData(
        name=data.name,
        summary=str(data.summary),
        train=lambda seed: batches("train", seed),
        validation=batches("validation"),
        test=test,
        groups=np.concatenate([batch["group_id"] for batch in test]),
        user_tower=user_tower,
        item_tower=item_tower,
        serving_features={
            "user_id": tf.TensorSpec([None], tf.string),
            "user_features": tf.TensorSpec([None, width], tf.float32),
            "item_id": tf.TensorSpec([None, None], tf.string),
        },
        fingerprint=fingerprint(data),
        vocabularies=train_ids(data),
    )


def _clicks(*, batch_size: int, embedding_dim: int, seed: int) -> ListData:
    clicks = tm.data.synthetic.make_position_biased_clicks(seed)
    size = int(clicks.columns["position"].max()) + 1
    num_users, num_items = (
        int(clicks.columns[name].max()) for name in ("user_id", "item_id")
    )

    def lists(split: str) -> dict[str, np.ndarray]:
        rows = clicks.rows(split)
        rows["labels"] = rows["labels"][:, 0]
        shaped = {
            name: rows[name].reshape(-1, size)
            for name in ("item_id", "labels", "relevance")
        }
        of_list = {name: rows[name][::size] for name in ("user_id", "request_id")}
        return shaped | of_list

    def batches(split: str, seed: int | None = None) -> tf.data.Dataset:
        columns = {k: v for k, v in lists(split).items() if k != "relevance"}
        rows = without_autotuning(tf.data.Dataset.from_tensor_slices(columns))
        if seed is not None:
            rows = rows.shuffle(len(columns["user_id"]), seed=seed)
        return rows.batch(batch_size).prefetch(2)

    truth = lists("test")
    return ListData(
        name=clicks.name,
        summary=f"{clicks.name}: lists of {size}; a label is a click.",
        train=lambda seed: batches("train", seed),
        validation=batches("validation"),
        test=batches("test"),
        groups=truth["request_id"],
        relevance=truth["relevance"],
        user_tower=lambda: tm.towers.UserId(num_users + 1, embedding_dim),
        item_tower=lambda: tm.towers.FeatureTower(
            [tm.data.Feature("item_id", "id", num_items)], embedding_dim
        ),
        serving_features={
            "user_id": tf.TensorSpec([None], tf.int64),
            "item_id": tf.TensorSpec([None, None], tf.int64),
        },
        fingerprint={"rows": sized(len(clicks.split), clicks.columns)},
    )
