"""Recommends with an exported model: python -m pipelines.recommend --user 42 -k 10."""

import dataclasses
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import tensorflow as tf
import tyro

from pipelines.parts.command import command, ending
from tfrs_models.serving import contract
from tfrs_models.serving.contract_checks import changed_files

_INPUTS = {"user_id", "k", "exclude_seen"}
_OUTPUTS = {"item_id", "title", "score", "known_user"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the request."""

    user: tuple[str, ...]
    """Ids of the users, as in the data."""
    model: Path = Path("artifacts/retrieval/export")
    """A SavedModel, or a folder of numbered ones, whose newest is used."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10
    """Number of items for each user."""
    exclude_seen: Literal["auto", "yes", "no"] = "auto"
    """Leave out items that the user already has; by default as in the evaluation of the
    model: `no` where recommending again is part of the task."""


@command
def main(config: Config) -> dict:
    """Prints the recommendations and returns the answer, output -> array."""
    exclude_seen = {"auto": None, "yes": True, "no": False}[config.exclude_seen]
    return print_answers(
        config.model, config.user, k=config.k, exclude_seen=exclude_seen
    )


def print_answers(
    model: Path,
    users: tuple[str, ...] | list[str],
    *,
    k: int,
    exclude_seen: bool | None = None,
    about: Mapping[str, str] | None = None,
) -> dict:
    """Prints a table of recommendations for each user, by the SavedModel alone.

    Args:
      model: a SavedModel or a folder of numbered ones.
      users: ids of users, as text.
      k: number of items for each user, at most those of the model.
      exclude_seen: whether to leave out items that the user already has; None stands
        for what the model recommends.
      about: id of a user -> a sentence to print before the items; None for none.

    Returns:
      Output of the model -> array, one row for each user.

    Raises:
      SystemExit: no user, `k` above the number of items, no model or a damaged one.
    """
    if not users:
        raise ending("`--user` must name a user. Got none.", 2)
    loaded = load_model(model)  # a variable: a signature does not keep its module alive
    recommend = loaded.signatures["serving_default"]
    if exclude_seen is None:
        exclude_seen = recommended_exclude_seen(loaded)
    try:
        answer = recommend(
            user_id=tf.constant(users),
            k=tf.fill([len(users)], k),
            exclude_seen=tf.fill([len(users)], exclude_seen),
        )
    except tf.errors.InvalidArgumentError as error:
        raise SystemExit(f"`-k` is more than the model has items. Got {k}.") from error
    except tf.errors.OpError as error:
        raise SystemExit(f"{model} is damaged: {_first_line(error)}") from error
    answer = {name: value.numpy() for name, value in answer.items()}
    for row, user in enumerate(users):
        known = answer["known_user"][row]
        print(
            f"\nUser {user}" + ("" if known else " is unknown: the most popular items")
        )
        if words := (about or {}).get(user):
            print(textwrap.fill(words, 88, initial_indent="  ", subsequent_indent="  "))
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


def recommended_exclude_seen(loaded: tf.Module) -> bool:
    """Returns the `exclude_seen` of requests that a loaded model recommends.

    Models of other modules than `Recommender` and `Cascade` recommend none: False.

    Args:
      loaded: loaded SavedModel.
    """
    return bool(getattr(loaded, "exclude_seen", False))


def load_model(model: Path) -> tf.Module:
    """Loads a SavedModel, or the newest one in a folder of numbered ones.

    Raises:
      SystemExit: there is none, it is damaged, or it is no recommender.
    """
    path = contract.version_folder(model)
    if not (path / "saved_model.pb").is_file():
        raise SystemExit(
            "`--model` must be a SavedModel or a folder of numbered ones, as "
            "`python -m pipelines.retrieval` writes to artifacts/retrieval/export. "
            f"Got {model}."
        )
    _check_files(path)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # whatever a broken file makes TensorFlow raise
        raise SystemExit(
            f"{path} does not load: {_first_line(error)} Take another version, or "
            "export it again."
        ) from error
    inputs, outputs = set(), set()
    if "serving_default" in getattr(loaded, "signatures", {}):
        signature = loaded.signatures["serving_default"]
        inputs = set(signature.structured_input_signature[1])
        outputs = set(signature.structured_outputs)
    if inputs != _INPUTS or not outputs >= _OUTPUTS:
        raise SystemExit(
            f"`--model` must have a signature of user_id, k and exclude_seen. {path} "
            f"takes {sorted(inputs)} and answers {sorted(outputs)}."
        )
    return loaded


def _check_files(path: Path) -> None:
    """Ends the program if a file differs from the exported one."""
    if not (path / contract.CONTRACT_PATH).exists():
        return
    try:
        problems = changed_files(path, contract.read(path)["files"])
    except contract.ContractError as error:
        raise SystemExit(str(error)) from error
    if problems:
        raise SystemExit(
            f"{path} is not as it was exported: {'; '.join(problems)}. Take another "
            "version, or export it again."
        )


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()
    return f"{text[0].rstrip('.')}." if text else f"{type(error).__name__}."


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
