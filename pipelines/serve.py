"""Puts a ranker behind retrieval and exports both as one: python -m pipelines.serve.

Takes the model of `python -m pipelines.retrieval` from its folder and a ranker of
`python -m pipelines.ranking` that was trained on the same split; what is missing is
trained first. Writes `artifacts/serve/export/<version>` with its contract and warm-up
requests, and beside the versions the configuration of a TensorFlow Serving.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.cascade import build_cascade, build_index, ids_of, load_parts
from pipelines.parts.artifacts import new_run, prepare_folder, write_json
from pipelines.parts.command import command
from pipelines.parts.flags import ShareAboveNone, Weight
from pipelines.reporting.cascade import best_weight, evaluate, print_metrics


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
    recall: ShareAboveNone = 0.95
    """Share of the exact answer that `ivf` must find."""
    num_retrieved: int = 100
    """Candidates that the ranker puts in order."""
    retrieval_weight: Weight | None = None
    """What the score of retrieval is worth beside the ranker's; the best of a few by
    NDCG@10 on the validation rows where it is not given."""
    keep: int = 3
    """Versions that stay."""
    user: str | None = None
    """Who is asked for at the end; the first user of the test rows where not given."""
    output: Path = Path("artifacts/serve")
    """Folder of the export and the metrics."""


@command
def main(config: Config) -> dict:
    """Runs the pipeline and returns what it writes to metrics.json."""
    output = prepare_folder(config.output)
    parts = load_parts(config.retrieval, config.ranking)
    recall = config.recall if config.index == "ivf" else None
    index = build_index(parts, recall=recall, k=config.num_retrieved)

    def cascade(split: str, weight: float = 0.0) -> tm.models.Cascade:
        """The cascade as it would answer before a split."""
        return build_cascade(
            parts,
            index,
            split,
            num_retrieved=config.num_retrieved,
            retrieval_weight=weight,
        )

    weight = config.retrieval_weight
    if weight is None:
        weight = best_weight(cascade("validation"), parts.data)
    test = evaluate(cascade("test", weight), parts.data)
    print_metrics(test, config.num_retrieved)
    exported = tm.serving.export(
        cascade("serving", weight), output / "export", keep=config.keep
    )
    tm.serving.contract.verify(exported)
    print(f"\nThe export answers as its contract promises: {exported}")
    tm.serving.write_server_config(
        output / "export",
        {"cascade": tm.serving.ServedModel(base_path="/models/cascade")},
        batching=tm.serving.Batching(),
    )
    metrics = {
        "run": new_run(),
        "export": exported.name,
        "config": dataclasses.asdict(config),
        "retrieval_weight": weight,
        "test": test,
    }
    write_json(output / "metrics.json", metrics)
    ask(exported, config.user or _first_test_user(parts.data), parts.data)
    return metrics


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


def _first_test_user(data: tm.data.Interactions) -> str:
    users = data.splits["test"]["user_id"]
    return str(ids_of(data, users[users > 0][:1])[0])


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
