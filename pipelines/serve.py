"""Exports retrieval and a ranker as one model: tfrs-models serve.

Loads the model of `tfrs-models retrieval`, and trains a ranker of the lists that it
hands over. With `--ranker multi-task` the ranker is one of `tfrs-models ranking` that
was trained on the same split. A missing model is trained first.
Writes `artifacts/serve/export/<version>` with its contract and warm-up requests, and
beside the versions the configuration files of TensorFlow Serving.
"""

import dataclasses
import functools
import textwrap
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

import tfrs_models as tm

from . import ranking, retrieval
from .parts import list_ranking, query_towers
from .parts.artifacts import (
    prepare_folder,
    read_config,
    write_json,
)
from .parts.checkpoints import Checkpoint, Origin, finished
from .parts.command import command, start
from .parts.flags import ShareAboveNone, Weight
from .parts.indexes import attribute_values, index_items, live_trends
from .parts.ranking_data import held_out_users, load_ranking_data
from .parts.resuming import (
    MAY_DIFFER,
    ResumeConfig,
    after_start,
    is_to_train,
    of_several,
    resumable_fit,
)
from .recommend import recommended_exclude_seen
from .reporting.list_ranking import (
    intervals,
    liked_rows,
    values_of,
    verdict,
)
from .reporting.serve import best_weight, evaluate, print_metrics

# Flags that leave both trainings of a ranker of lists as they are.
_MAY_DIFFER = MAY_DIFFER | {
    *("retrieval", "ranking", "ranker", "index", "recall"),
    *("retrieval_weight", "keep", "user"),
}
Index = tm.layers.BruteForce | tm.layers.IVF


@dataclasses.dataclass(frozen=True)
class Config(ResumeConfig):
    """Flags of the serving pipeline."""

    retrieval: Path = Path("artifacts/retrieval")
    """Folder of a run of the retrieval pipeline."""
    ranker: Literal["list", "multi-task"] = "list"
    """Ranker of the candidates: one that learns to order the lists of retrieval, with
    the history and the time of the request, or a multi-task ranker of single items,
    which predicts ratings."""
    lists: list_ranking.ListRankerConfig = dataclasses.field(
        default_factory=list_ranking.ListRankerConfig
    )
    """Flags of the ranker of lists."""
    ranking: Path = Path("artifacts/serve/ranking")
    """With `--ranker multi-task`, folder of a run of the ranking pipeline on the same
    data and split."""
    index: Literal["brute-force", "ivf"] = "brute-force"
    """Exact search, or approximate search tuned to `--recall`, for catalogues of
    hundreds of thousands of items."""
    recall: ShareAboveNone = 0.95
    """Share of the exact result that `ivf` must find."""
    num_retrieved: int = 100
    """Number of candidates that the ranker orders."""
    retrieval_weight: Weight | None = None
    """With `--ranker multi-task`, weight of the retrieval score in the sum with the
    ranker's score; by default the one of a few values with the best NDCG@10 on the
    validation rows. A ranker of lists learns it."""
    keep: int = 3
    """Number of versions to keep."""
    user: str | None = None
    """User of the example at the end; by default the first user of the test rows."""
    output: Path = Path("artifacts/serve")
    """Folder of the export and the metrics."""


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Data and retrieval model of the cascade.

    Args:
      data: interactions that the retrieval model was trained on.
      retrieval: flags of the retrieval model.
      retriever: retrieval model.
    """

    data: tm.data.Interactions
    retrieval: retrieval.Config
    retriever: tm.models.TwoTower


@dataclasses.dataclass(frozen=True)
class Parts(Retrieval):
    """Data and models of the cascade with a multi-task ranker.

    Args:
      data: interactions that the retrieval model was trained on.
      retrieval: flags of the retrieval model.
      retriever: retrieval model.
      ranking: flags of the ranker.
      ranker: multi-task ranker.
      activity: the same interactions with the users' activity.
    """

    ranking: ranking.Config
    ranker: tm.models.MultiTaskRanker
    activity: tm.data.Interactions


@command
def main(config: Config) -> dict:
    """Runs the pipeline and returns the content of metrics.json."""
    output = prepare_folder(config.output)
    starts = [config.retrieval]
    if config.ranker != "list":
        starts.append(config.ranking)
    config = after_start(config, *starts)
    config, run = of_several(config, may_differ=_MAY_DIFFER)
    recall = config.recall if config.index == "ivf" else None
    if config.ranker == "list":
        return _serve_lists(config, output, recall, run)
    parts = load_parts(
        config.retrieval,
        config.ranking,
        resume=config.resume,
        fall_back=config.fall_back,
    )
    indexes = {}

    def cascade(split: str, weight: float = 0.0) -> tm.models.Cascade:
        """Builds the cascade with the state before a split."""
        state = split if parts.retriever.num_trends else "serving"
        if state not in indexes:  # without trends all are the same
            indexes[state] = build_index(
                parts, recall=recall, k=config.num_retrieved, split=state
            )
        return build_cascade(
            parts,
            indexes[state],
            split,
            num_retrieved=config.num_retrieved,
            retrieval_weight=weight,
        )

    weight = config.retrieval_weight
    if weight is None:
        weight = best_weight(cascade("validation"), parts.data)
    test = evaluate(cascade("test", weight), parts.data)
    print_metrics(test, config.num_retrieved, repeats=parts.data.repeats)
    metrics = {"retrieval_weight": weight, "test": test}
    served = cascade("serving", weight)
    return _publish(config, output, served, parts.data, metrics, run)


def _serve_lists(config: Config, output: Path, recall: float | None, run: str) -> dict:
    """Trains, measures and exports a cascade with a ranker of lists."""
    flags, data, model = load_retrieval(
        config.retrieval, resume=config.resume, fall_back=config.fall_back
    )
    first = finished(config.retrieval, retrieval.Config, fall_back=config.fall_back)
    of_data = first.about["data"] | {
        "models to start from": {"size": 1, "sha256": first.id}
    }
    origin = Origin(run, config, of_data, data.vocabularies)
    number = min(config.num_retrieved, data.num_items)
    trained = list_ranking.train(
        config.lists,
        flags,
        data,
        model,
        num_retrieved=number,
        seed=flags.seed,
        fit_of=lambda name: functools.partial(
            resumable_fit, config, origin=origin, name=name, may_differ=_MAY_DIFFER
        ),
    )
    lists = list_ranking.lists_of(model, data, "test", num_retrieved=number)
    order = list_ranking.reordered(
        trained.ranker,
        list_ranking.list_batches(lists, model, data, "test", config.lists.attended),
    )
    liked = liked_rows(data, "test")
    test = intervals(
        values_of(lists.labels > 0, order),
        data.splits["test"]["user_id"][lists.rows],
        None if liked is None else liked[lists.rows],
    )
    print_metrics(test, number, repeats=data.repeats)
    said = verdict(test, is_better=trained.is_better)
    print(f"\n{textwrap.fill(said, 88)}\n")
    index = build_index(
        Retrieval(data, flags, model), recall=recall, k=config.num_retrieved
    )
    cascade = tm.models.Cascade(
        build_recommender(Retrieval(data, flags, model), index, "serving"),
        trained.ranker,
        candidate_features=list_ranking.candidate_features(
            model, data, "serving", config.lists.attended
        ),
        num_retrieved=number,
    )
    metrics = {
        "validation": trained.validation,
        "num_lists": trained.num_lists,
        "test": test,
        "verdict": said,
    }
    return _publish(config, output, cascade, data, metrics, run)


def _publish(
    config: Config,
    output: Path,
    cascade: tm.models.Cascade,
    data: tm.data.Interactions,
    measured: dict,
    run: str,
) -> dict:
    """Exports a cascade, writes metrics.json and asks the export for one user."""
    exported = tm.serving.export(
        cascade, output / "export", keep=config.keep, about={"run": run}
    )
    tm.serving.contract.verify(exported)
    print(f"\nThe export answers as its contract promises: {exported}")
    tm.serving.write_server_config(
        output / "export",
        {"cascade": tm.serving.ServedModel(base_path="/models/cascade")},
        batching=tm.serving.Batching(),
    )
    metrics = {
        "run": run,
        "export": exported.name,
        "config": dataclasses.asdict(config),
        **measured,
    }
    write_json(output / "metrics.json", metrics)
    ask(exported, config.user or _first_test_user(data), data)
    return metrics


def load_retrieval(
    folder: Path, *, resume: bool | str = False, fall_back: bool = False
) -> tuple[retrieval.Config, tm.data.Interactions, tm.models.TwoTower]:
    """Loads the retrieval model of a folder; a missing one is trained first.

    Args:
      folder: output folder of the run.
      resume: whether an interrupted training of it goes on.
      fall_back: whether to take an older checkpoint if the newest one is damaged.

    Returns:
      Its flags, its data and the model.
    """
    if is_to_train(folder, resume):
        print(f"No model in {folder}: training one.\n")
        again = "auto" if resume else False
        retrieval.main(retrieval.Config(output=folder, resume=again))
    return retrieval.restore(folder, fall_back=fall_back)


def load_parts(
    retrieval_folder: Path,
    ranking_folder: Path,
    *,
    resume: bool | str = False,
    fall_back: bool = False,
) -> Parts:
    """Loads both models from their folders; a missing one is trained first.

    Args:
      retrieval_folder: output folder of a run of the retrieval pipeline.
      ranking_folder: output folder of a run of the ranking pipeline.
      resume: whether an interrupted training of them goes on.
      fall_back: whether to take older checkpoints where the newest are damaged.

    Raises:
      SystemExit: the ranker was trained on other data, or a run is damaged.
    """
    flags, data, model = load_retrieval(
        retrieval_folder, resume=resume, fall_back=fall_back
    )
    if is_to_train(ranking_folder, resume):
        print(f"\nNo ranker in {ranking_folder}: training one.\n")
        own = {"data": flags.data, "seed": flags.seed, "output": ranking_folder}
        own["resume"] = "auto" if resume else False
        ranking.main(ranking.Config(**own))
    ranker_flags = read_config(ranking_folder, ranking.Config)
    if ranker_flags.data != flags.data or ranker_flags.model != "multi-task":
        raise SystemExit(
            "`--ranking` must be the folder of a multi-task ranker that was trained on "
            f"the same data and split as `--retrieval`, {flags.data}. Got "
            f"{ranker_flags.model} on {ranker_flags.data}. Train one: "
            f"tfrs-models ranking --split {flags.data.split} --output DIR."
        )
    checkpoint = finished(ranking_folder, ranking.Config, fall_back=fall_back)
    # With a random split of another seed, its training rows are test rows here.
    retrieved = finished(retrieval_folder, retrieval.Config, fall_back=fall_back)
    checkpoint.check_data(retrieved.about["data"])
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
    """Builds the ranker of a run of the ranking pipeline and loads its weights."""
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


def build_index(
    parts: Retrieval, *, recall: float | None, k: int, split: str = "serving"
) -> Index:
    """Builds an index of all items with the attributes that requests can filter by.

    Args:
      parts: data and retrieval model.
      recall: share of the exact result that an approximate index must find; None for
        an exact index.
      k: number of candidates that a request retrieves.
      split: split whose rows the trends of a model with trends do not know.
    """
    data = parts.data
    k = min(k, data.num_items)
    kind = tm.layers.BruteForce if recall is None else tm.layers.IVF
    index = index_items(kind(k=k), parts.retriever, data, split=split)
    if recall is not None:
        users = _query_features(parts, "test")
        queries = parts.retriever.query_tower(
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
    """Builds the cascade with histories and activity before a split.

    Args:
      parts: data and models.
      index: index of all items.
      split: split whose rows the cascade must not know.
      num_retrieved: number of candidates that the ranker orders.
      retrieval_weight: weight of the retrieval score beside the ranker's.
    """
    data, activity = parts.data, parts.activity
    recommender = build_recommender(parts, index, split)
    flags = parts.ranking
    cold = held_out_users(data.num_train_users, flags.cold_users, seed=flags.seed)
    users = query_towers.served_users(parts.retrieval, data, split)
    known = slice(len(users["user_ids"]) + 1)
    user_ids = data.users["user_id"][known]  # 0 for users without a train row
    layout = tm.data.activity_layout(activity)
    return tm.models.Cascade(
        recommender,
        parts.ranker,
        user_features={
            "user_id": np.where(cold[user_ids], 0, user_ids),
            "user_features": tm.data.activity_table(activity, split)[0][known],
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


def build_recommender(
    parts: Retrieval, index: Index, split: str
) -> tm.serving.Recommender:
    """Builds the retriever with histories before a split.

    Args:
      parts: data and retrieval model.
      index: index of all items.
      split: split whose rows it must not know.
    """
    data = parts.data
    trends = None  # what is measured is not updated
    if split == "serving":
        trends = live_trends(parts.retriever, data)
    return tm.serving.Recommender(
        parts.retriever.query_tower,
        index,
        **query_towers.served_users(parts.retrieval, data, split),
        item_ids=data.vocabularies["item_id"],
        titles=data.titles,
        exclude_seen=data.repeats != "allow",
        trends=trends,
        attribute_values=attribute_values(data),
    )


def ids_of(data: tm.data.Interactions, users: np.ndarray) -> np.ndarray:
    """Returns the ids of users as text, "" for the unknown user.

    Args:
      data: interactions with a vocabulary of users.
      users: `[n]` indices of users, 0 for the unknown one.
    """
    return np.array(["", *map(str, data.vocabularies["user_id"])])[users]


def ask(exported: Path, user: str, data: tm.data.Interactions) -> None:
    """Prints the export's answer for one user, as a client would get it."""
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
        exclude_seen=tf.constant([recommended_exclude_seen(loaded)]),
        **request,
    )
    answer = {name: values.numpy()[0] for name, values in answer.items()}
    known = "" if answer["known_user"] else ", who is unknown"
    print(f"\nAsking it for user {user}{known}, of {data.num_items:,} items:")
    for place, title in enumerate(answer["title"]):
        print(f"  {answer['score'][place]:7.4f}  {title.decode()}")


def _query_features(parts: Retrieval, split: str) -> dict[str, np.ndarray]:
    return query_towers.user_features(parts.retrieval, parts.data, split)


def _first_test_user(data: tm.data.Interactions) -> str:
    users = data.splits["test"]["user_id"]
    return str(ids_of(data, users[users > 0][:1])[0])


if __name__ == "__main__":
    start(main, Config, __doc__)
