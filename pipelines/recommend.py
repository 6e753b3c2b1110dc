"""Asks an exported model: python -m pipelines.recommend --user 42 -k 10."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tensorflow as tf
import tyro

from tfrs_models.serving import contract


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the question."""

    user: tuple[str, ...]
    """Ids of the users, as in the data."""
    model: Path = Path("artifacts/retrieval/export")
    """A SavedModel, or a folder of numbered ones, of which the newest answers."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10
    """How many items for each user."""
    exclude_seen: bool = False
    """Leave out what the user already has."""


def main(config: Config) -> dict:
    """Prints the answers and returns them."""
    return print_answers(
        config.model, config.user, k=config.k, exclude_seen=config.exclude_seen
    )


def print_answers(
    model: Path, users: tuple[str, ...] | list[str], *, k: int, exclude_seen: bool
) -> dict:
    """Asks the SavedModel alone and prints a table for each user."""
    loaded = load_model(model)  # kept: a signature does not keep its module alive
    recommend = loaded.signatures["serving_default"]
    if k < 1:
        raise SystemExit(f"`-k` must be at least 1. Got {k}.")
    try:
        answer = recommend(
            user_id=tf.constant(users),
            k=tf.fill([len(users)], k),
            exclude_seen=tf.fill([len(users)], exclude_seen),
        )
    except tf.errors.InvalidArgumentError as error:
        raise SystemExit(f"`-k` is more than the model has items. Got {k}.") from error
    answer = {name: value.numpy() for name, value in answer.items()}
    for row, user in enumerate(users):
        known = answer["known_user"][row]
        print(
            f"\nUser {user}" + ("" if known else " is unknown: the most popular items")
        )
        print(f"  {'score':>7}  {'item':<8} title")
        for item, title, score in zip(
            answer["item_id"][row],
            answer["title"][row],
            answer["score"][row],
            strict=True,
        ):
            if item:  # empty where too few items are left
                print(f"  {score:7.4f}  {item.decode():<8} {title.decode()}")
    return answer


def load_model(model: Path) -> tf.Module:
    """A SavedModel, or the newest version in a folder of them."""
    path = contract.version_folder(model)
    if not (path / "saved_model.pb").is_file():
        raise SystemExit(
            "`--model` must be a SavedModel or a folder of numbered ones, as "
            "`python -m pipelines.retrieval` writes to artifacts/retrieval/export. "
            f"Got {model}."
        )
    loaded = tf.saved_model.load(str(path))
    inputs = set()
    if "serving_default" in loaded.signatures:
        signature = loaded.signatures["serving_default"]
        inputs = set(signature.structured_input_signature[1])
    if inputs != {"user_id", "k", "exclude_seen"}:
        raise SystemExit(
            f"`--model` must have a signature of user_id, k and exclude_seen. {path} "
            f"takes {sorted(inputs)}."
        )
    return loaded


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
