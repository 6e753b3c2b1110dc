"""The cascade of the serving pipeline, out of the folders of the other pipelines."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines import ranking, retrieval
from pipelines.parts import query_towers
from pipelines.parts.artifacts import read_config
from pipelines.parts.checkpoints import Checkpoint, finished, is_empty
from pipelines.parts.indexes import index_items
from pipelines.parts.ranking_data import held_out_users, load_ranking_data

Index = tm.layers.BruteForce | tm.layers.IVF


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the cascade is made of, as loaded.

    Args:
      data: What retrieval learned from.
      retrieval: Its flags.
      retriever: Its model.
      ranking: The ranker's flags.
      ranker: The ranker.
      activity: The data with what users did.
    """

    data: tm.data.Interactions
    retrieval: retrieval.Config
    retriever: tm.models.TwoTower
    ranking: ranking.Config
    ranker: tm.models.MultiTaskRanker
    activity: tm.data.Interactions


def load_parts(retrieval_folder: Path, ranking_folder: Path) -> Parts:
    """Both models from their folders; one that is missing is trained first."""
    if is_empty(retrieval_folder):
        print(f"No model in {retrieval_folder}: training one.\n")
        retrieval.main(retrieval.Config(output=retrieval_folder))
    flags, data, model = retrieval.restore(retrieval_folder)
    if is_empty(ranking_folder):
        print(f"\nNo ranker in {ranking_folder}: training one.\n")
        own = {"data": flags.data, "seed": flags.seed, "output": ranking_folder}
        ranking.main(ranking.Config(**own))
    ranker_flags = read_config(ranking_folder, ranking.Config)
    if ranker_flags.data != flags.data or ranker_flags.model != "multi-task":
        raise SystemExit(
            "`--ranking` must be the folder of a multi-task ranker that was trained on "
            f"the same data and split as `--retrieval`, {flags.data}. Got "
            f"{ranker_flags.model} on {ranker_flags.data}. Train one: python -m "
            f"pipelines.ranking --split {flags.data.split} --output DIR."
        )
    checkpoint = finished(ranking_folder, ranking.Config)
    # A random split of another seed has rows in training that this one tests.
    checkpoint.check_data(finished(retrieval_folder, retrieval.Config).about["data"])
    return Parts(
        data=data,
        retrieval=flags,
        retriever=model,
        ranking=ranker_flags,
        ranker=load_ranker(checkpoint, ranker_flags),
        activity=tm.data.with_activity(data),
    )


def load_ranker(
    checkpoint: Checkpoint, flags: ranking.Config
) -> tm.models.MultiTaskRanker:
    """The ranker that a run of the ranking pipeline exported."""
    data = load_ranking_data(
        flags.data,
        batch_size=flags.batch_size,
        num_unseen=flags.num_unseen,
        cold_users=flags.cold_users,
        seed=flags.seed,
    )
    checkpoint.check_data(data.fingerprint)
    best = checkpoint.about["best"]
    model = ranking.build_model(
        flags, data, best["tower"], position_bias=best["position_bias"]
    )
    model.compute_loss(next(iter(data.test)))  # makes all weights, the task's too
    checkpoint.load(model)
    return model


def build_index(parts: Parts, *, recall: float | None, k: int) -> Index:
    """The candidates with the attributes that requests can filter by.

    Exact where no recall is given; else approximate, and tuned to it.
    """
    data = parts.data
    k = min(k, data.num_items)
    kind = tm.layers.BruteForce if recall is None else tm.layers.IVF
    index = index_items(kind(k=k), parts.retriever, data)
    if recall is not None:
        users = _query_features(parts, "test")
        queries = parts.retriever.query_model(
            {name: tf.constant(values[1:]) for name, values in users.items()}
        )
        print(tm.serving.tuning.tune(index, queries, recall_target=recall, k=k))
    return index


def build_cascade(
    parts: Parts,
    index: Index,
    split: Literal["validation", "test", "serving"],
    *,
    num_retrieved: int,
    retrieval_weight: float = 0.0,
) -> tm.models.Cascade:
    """The cascade as it would answer before a split."""
    data, activity = parts.data, parts.activity
    recommender = tm.serving.Recommender(
        parts.retriever.query_model,
        index,
        user_ids=data.vocabularies["user_id"],
        user_features=_query_features(parts, split),
        item_ids=data.vocabularies["item_id"],
        titles=data.titles,
        known_items=data.known_items(split),
        candidate_probabilities=data.candidate_probabilities,
    )
    users = np.arange(data.num_users + 1)
    flags = parts.ranking
    cold = held_out_users(data.num_users, flags.cold_users, seed=flags.seed)
    layout = tm.data.activity_layout(activity)
    return tm.models.Cascade(
        recommender,
        parts.ranker,
        user_features={
            "user_id": np.where(cold, 0, users),
            "user_features": tm.data.activity_table(activity, split)[0],
        },
        item_features={
            "item_id": np.arange(data.num_items + 1),
            "item_features": activity.items["item_features"],
        },
        joint_features=lambda user, item: {
            "cross_features": layout.cross_features(
                user["user_features"], item["item_features"]
            )
        },
        num_retrieved=min(num_retrieved, data.num_items),
        retrieval_weight=retrieval_weight,
    )


def ids_of(data: tm.data.Interactions, users: np.ndarray) -> np.ndarray:
    """What people call these users."""
    return np.array(["", *map(str, data.vocabularies["user_id"])])[users]


def _query_features(parts: Parts, split: str) -> dict[str, np.ndarray]:
    return query_towers.user_features(
        parts.data,
        parts.retrieval.query_tower,
        split,
        history_length=parts.retrieval.history_length,
        user_tower=parts.retrieval.user_tower,
    )
