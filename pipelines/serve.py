"""Puts a ranker behind retrieval and exports both as one: python -m pipelines.serve.

Takes the model of `python -m pipelines.retrieval` from its folder and a ranker of
`python -m pipelines.ranking` that was trained on the same split; what is missing is
trained first. Writes `artifacts/serve/export/<version>` with its contract and warm-up
requests, and beside the versions the configuration of a TensorFlow Serving.
"""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines import query_towers, ranking, retrieval
from pipelines.artifacts import prepare_folder, read_config, write_json
from pipelines.data import load_data
from pipelines.ranking_data import held_out_users, load_ranking_data

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
NOT_FILTERED_BY = ("item_id", "title")


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the serving pipeline."""

    retrieval: Path = Path("artifacts/retrieval")
    """Folder of the retrieval pipeline."""
    ranking: Path = Path("artifacts/serve/ranking")
    """Folder of a run of the ranking pipeline on the same data and split."""
    index: Literal["brute-force", "ivf"] = "brute-force"
    """Exact, or approximate and tuned to the recall, for catalogues of hundreds of
    thousands."""
    recall: float = 0.95
    """Share of the exact answer that `ivf` must find."""
    num_retrieved: int = 100
    """Candidates that the ranker puts in order."""
    retrieval_weight: float | None = None
    """What the score of retrieval is worth beside the ranker's; the best of a few by
    NDCG@10 on the validation rows where it is not given."""
    keep: int = 3
    """Versions that stay."""
    user: str | None = None
    """Who is asked for at the end; the first user of the test rows where not given."""
    output: Path = Path("artifacts/serve")
    """Folder of the export and the metrics."""


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


def main(config: Config) -> dict:
    """Runs the pipeline and returns what it writes to metrics.json."""
    output = prepare_folder(config.output)
    parts = load_parts(config)
    index = build_index(config, parts)
    weight = config.retrieval_weight
    if weight is None:
        weight = choose_weight(config, parts, index)
    cascade = build_cascade(config, parts, index, "test", weight)
    metrics = {"retrieval_weight": weight, "test": evaluate(cascade, parts)}
    print_metrics(metrics["test"], cascade.num_retrieved)
    cascade = build_cascade(config, parts, index, "serving", weight)
    exported = tm.serving.export(cascade, output / "export", keep=config.keep)
    tm.serving.contract.verify(exported)
    print(f"\nThe export answers as its contract promises: {exported}")
    tm.serving.write_server_config(
        output / "export",
        {"cascade": tm.serving.ServedModel(base_path="/models/cascade")},
        batching=tm.serving.Batching(),
    )
    write_json(
        output / "metrics.json", {"config": dataclasses.asdict(config), **metrics}
    )
    ask(exported, config.user or _first_test_user(parts.data), parts.data)
    return metrics


def load_parts(config: Config) -> Parts:
    """Both models from their folders; one that is missing is trained first."""
    if not (config.retrieval / "metrics.json").exists():
        print(f"No model in {config.retrieval}: training one.\n")
        retrieval.main(retrieval.Config(output=config.retrieval))
    flags = retrieval.resolved(
        dataclasses.replace(
            read_config(config.retrieval, retrieval.Config), output=config.retrieval
        )
    )
    if not (config.ranking / "metrics.json").exists():
        print(f"\nNo ranker in {config.ranking}: training one.\n")
        ranking.main(ranking.Config(data=flags.data, output=config.ranking))
    ranker_flags = read_config(config.ranking, ranking.Config)
    if ranker_flags.data != flags.data or ranker_flags.model != "multi-task":
        raise SystemExit(
            "`--ranking` must be the folder of a multi-task ranker that was trained on "
            f"the same data and split as `--retrieval`, {flags.data}. Got "
            f"{ranker_flags.model} on {ranker_flags.data}. Train one: python -m "
            f"pipelines.ranking --split {flags.data.split} --output DIR."
        )
    data = load_data(flags.data, seed=flags.seed)
    with_features = retrieval.with_user_features(flags, data)
    model = retrieval.build_model(flags, with_features)
    model(next(iter(with_features.batches("test", 1))))
    _load(model, config.retrieval)
    return Parts(
        data=with_features,
        retrieval=flags,
        retriever=model,
        ranking=ranker_flags,
        ranker=load_ranker(config.ranking, ranker_flags),
        activity=tm.data.with_activity(data),
    )


def load_ranker(folder: Path, flags: ranking.Config) -> tm.models.MultiTaskRanker:
    """The ranker that a run of the ranking pipeline exported."""
    data = load_ranking_data(
        flags.data,
        batch_size=flags.batch_size,
        num_unseen=flags.num_unseen,
        cold_users=flags.cold_users,
        seed=flags.seed,
    )
    best = json.loads((folder / "metrics.json").read_text())["best"]
    model = ranking.build_model(
        flags, data, best["tower"], position_bias=best["position_bias"]
    )
    model.compute_loss(next(iter(data.test)))  # makes all weights, the task's too
    _load(model, folder)
    return model


def build_index(config: Config, parts: Parts) -> tm.layers.BruteForce | tm.layers.IVF:
    """The candidates with the attributes that requests can filter by."""
    data = parts.data
    ids, embeddings = zip(
        *parts.retriever.embed_candidates(data.candidate_batches()), strict=True
    )
    k = min(config.num_retrieved, data.num_items)
    kind = tm.layers.BruteForce if config.index == "brute-force" else tm.layers.IVF
    index = kind(k=k).index(
        tf.concat(embeddings, axis=0),
        tf.concat(ids, axis=0),
        attributes=item_attributes(data),
    )
    if config.index == "ivf":
        users = _query_features(parts, "test")
        queries = parts.retriever.query_model(
            {name: tf.constant(values[1:]) for name, values in users.items()}
        )
        print(tm.serving.tuning.tune(index, queries, recall_target=config.recall, k=k))
    return index


def item_attributes(data: tm.data.Interactions) -> dict[str, np.ndarray]:
    """Names of the categories of each item, padded with ""."""
    return {
        feature.name: np.array(["", *data.vocabularies[feature.name]])[
            data.items[feature.name][1:]
        ]
        for feature in data.item_features
        if feature.kind in ("id", "bag") and feature.name not in NOT_FILTERED_BY
    }


def build_cascade(
    config: Config,
    parts: Parts,
    index: tm.layers.BruteForce | tm.layers.IVF,
    split: Literal["validation", "test", "serving"],
    retrieval_weight: float,
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
        attributes=item_attributes(data),
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
        num_retrieved=min(config.num_retrieved, data.num_items),
        retrieval_weight=retrieval_weight,
    )


def choose_weight(
    config: Config, parts: Parts, index: tm.layers.BruteForce | tm.layers.IVF
) -> float:
    """The weight whose order is best on the validation rows."""
    cascade = build_cascade(config, parts, index, "validation", 0.0)
    hits, answer, _ = answers(cascade, parts.data, "validation")
    quality = {}
    for weight in WEIGHTS:
        order = np.argsort(-answer["score"] - weight * answer["retrieval_score"])
        ordered = np.take_along_axis(hits, order, axis=1)
        quality[weight] = places_metrics(ordered)["ndcg_at_10"].mean()
    best = max(quality, key=quality.get)
    print("\nWeight of retrieval beside the ranker, NDCG@10 on the validation rows:")
    print("  " + ", ".join(f"{w:g}: {value:.4f}" for w, value in quality.items()))
    return best


def answers(
    cascade: tm.models.Cascade,
    data: tm.data.Interactions,
    split: Literal["validation", "test"],
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Where the held-out items stand, the answers, and the rows of known users."""
    held_out = data.splits[split]
    rows = np.flatnonzero(held_out["user_id"] > 0)
    filters = cascade.retriever.filters
    parts = []
    for some in np.array_split(rows, max(1, len(rows) // 64)):
        nothing = {n: tf.zeros([len(some), 0], s.dtype) for n, s in filters.items()}
        parts.append(
            cascade.recommend(
                tf.constant(ids_of(data, held_out["user_id"][some])),
                tf.fill([len(some)], cascade.num_retrieved),
                tf.fill([len(some)], True),
                tf.zeros([len(some), 0], tf.string),
                nothing,
            )
        )
    answer = {
        name: np.concatenate([part[name].numpy() for part in parts])
        for name in ("item_id", "score", "retrieval_score")
    }
    ids = np.array(["", *data.vocabularies["item_id"]])
    hits = answer["item_id"].astype(str) == ids[held_out["item_id"][rows]][:, None]
    return hits, answer, rows


def evaluate(cascade: tm.models.Cascade, parts: Parts) -> dict:
    """Where the held-out item stands, in the order of retrieval and of the cascade."""
    test = parts.data.splits["test"]
    hits, answer, rows = answers(cascade, parts.data, "test")
    scores = answer["retrieval_score"]
    by_retrieval = np.take_along_axis(hits, np.argsort(-scores, axis=1), axis=1)
    liked = np.ones(len(rows), bool)
    if "rating" in test:
        liked = test["rating"][rows] >= tm.data.RANKING_TASKS["like"]
    groups = test["user_id"][rows]
    return {
        slice_name: {
            order: {
                name: tm.metrics.bootstrap_interval(
                    values[chosen], groups[chosen]
                )._asdict()
                for name, values in places_metrics(found).items()
            }
            for order, found in (("retrieval", by_retrieval), ("cascade", hits))
        }
        for slice_name, chosen in (("all", np.ones(len(rows), bool)), ("liked", liked))
    }


def places_metrics(hits: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of each row from where its one held-out item stands."""
    labels = tf.constant(hits, tf.float32)
    scores = -tf.broadcast_to(tf.range(hits.shape[1], dtype=tf.float32), hits.shape)
    return {
        "hit_rate_at_10": hits[:, :10].any(axis=1).astype(float),
        "hit_rate_of_retrieval": hits.any(axis=1).astype(float),
        "ndcg_at_10": tm.metrics.ndcg(labels, scores, k=10).numpy(),
    }


def print_metrics(metrics: dict, num_retrieved: int) -> None:
    """Prints both orders side by side."""
    print(f"\nThe held-out item among {num_retrieved} candidates, known items excluded")
    for slice_name, orders in metrics.items():
        for order, values in orders.items():
            figures = ", ".join(
                f"{name} {interval['mean']:.4f} "
                f"[{interval['low']:.4f}, {interval['high']:.4f}]"
                for name, interval in values.items()
            )
            print(f"  {slice_name:<6} {order:<10} {figures}")


def ask(exported: Path, user: str, data: tm.data.Interactions) -> None:
    """Asks the export for one user, as a client would."""
    loaded = tf.saved_model.load(str(exported))
    recommend = loaded.signatures["serving_default"]
    inputs = recommend.structured_input_signature[1]
    request = {
        name: tf.fill([1, 1], "")
        for name, spec in inputs.items()
        if spec.shape.rank == 2
    }
    answer = recommend(
        user_id=tf.constant([user]),
        k=tf.constant([5]),
        exclude_seen=tf.constant([True]),
        **request,
    )
    answer = {name: values.numpy()[0] for name, values in answer.items()}
    known = "" if answer["known_user"] else ", who is unknown"
    print(f"\nAsking it for user {user}{known}, of {data.num_items:,} items:")
    for place, title in enumerate(answer["title"]):
        print(f"  {answer['score'][place]:7.4f}  {title.decode()}")


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


def _load(model: tf.keras.Model, folder: Path) -> None:
    path = folder / "checkpoint" / "best"
    if not path.with_suffix(".index").exists():
        raise SystemExit(
            f"There is no checkpoint in {path.parent}: run the pipeline that writes to "
            f"{folder} again."
        )
    model.load_weights(path).expect_partial().assert_existing_objects_matched()


def _first_test_user(data: tm.data.Interactions) -> str:
    users = data.splits["test"]["user_id"]
    return str(ids_of(data, users[users > 0][:1])[0])


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
