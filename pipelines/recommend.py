"""Recommends with an exported model: tfrs-models recommend --user 42 -k 10.

A request may carry what its user did since the export: --history "318,296,858". With
--all --output recommendations.parquet it writes the items of all users, and goes on
where an interrupted run ended.
"""

import dataclasses
import hashlib
import json
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tensorflow as tf
import tyro

from tfrs_models._files import digest
from tfrs_models.serving import contract
from tfrs_models.serving.contract_checks import files_of

from .parts.all_users import SUFFIXES, recommend_to_file, rows_of
from .parts.command import command, ending, start
from .parts.exports import FallBackConfig, first_line, load_export
from .parts.live_requests import (
    RequestConfig,
    has_signature,
    inputs_of,
    request_problem,
    signature_of,
)

# Flags that --all does not take.
_FOR_ONE = (
    *("user", "json"),
    *(field.name for field in dataclasses.fields(RequestConfig)),
)


@dataclasses.dataclass(frozen=True)
class Config(FallBackConfig, RequestConfig):
    """Flags of the request."""

    user: tuple[str, ...] = ()
    """Ids of the users, as in the data."""
    all: bool = False
    """Recommend to all users whom the model knows, and write --output."""
    users: Path | None = None
    """Text file with a user's id on each line, in place of --all."""
    output: Path | None = None
    """Table for --all or --users, .parquet or .csv, with the columns user_id, rank,
    item_id, title and score. The same command goes on where an earlier one ended."""
    model: Path = Path("artifacts/retrieval/export")
    """A SavedModel, or a folder of numbered ones, whose newest is used."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10
    """Number of items for each user."""
    exclude_seen: Literal["auto", "yes", "no"] = "auto"
    """Leave out items that the user already has; by default as in the evaluation of the
    model: `no` where recommending again is part of the task."""
    batch_size: int = 256
    """Number of users that are asked for at once with --all or --users."""
    json: bool = False
    """Print one JSON object a line for each user and item, and nothing else."""

    def kept(self) -> str:
        """Returns a sentence on what a run that was stopped leaves."""
        if self.output is None:
            return "Nothing is written without --output."
        return f"The same command goes on with what is in {self.output}.parts."


@command
def main(config: Config) -> dict | None:
    """Prints or writes recommendations; returns a printed answer, output -> array."""
    exclude_seen = {"auto": None, "yes": True, "no": False}[config.exclude_seen]
    if problem := _contradiction(config):
        raise ending(problem, 2)
    if config.output is not None:
        print(_write_all(config, exclude_seen))
        return None
    users = list(config.user)
    _, loaded = load_export(config.model, fall_back=config.fall_back)
    answer = _asked(config, loaded, exclude_seen)
    if config.similar_to is None:
        users = users or [""]
    if config.json:
        print_json(users, answer)
    else:
        _print_all(config, users, answer)
    if number := int(np.sum(answer.get("num_unknown", 0))):
        flag = "--history" if config.similar_to is None else "--similar-to"
        line = f"{number} ids of {flag} are unknown to the model and were skipped."
        print(line, file=sys.stderr)
    return answer


def _asked(
    config: Config, loaded: tf.Module, exclude_seen: bool | None
) -> dict[str, np.ndarray]:
    """Asks the signature that the flags need."""
    name = signature_of(config)
    if problem := has_signature(loaded, name, config):
        raise SystemExit(problem)
    if exclude_seen is None:
        exclude_seen = recommended_exclude_seen(loaded)
    signature = loaded.signatures[name]
    try:
        inputs = inputs_of(
            config,
            signature.structured_input_signature[1],
            users=config.user,
            k=config.k,
            exclude_seen=exclude_seen,
        )
    except ValueError as error:
        raise ending(str(error), 2) from error
    return _called(signature, inputs, config.model, config.k)


def _print_all(
    config: Config, users: Sequence[str], answer: Mapping[str, np.ndarray]
) -> None:
    """Prints an answer as tables."""
    if config.similar_to is not None:
        _print_table(f"Items like {config.similar_to}", answer, 0)
    for row, user in enumerate(users):
        is_personal = answer.get("personal", answer["known_user"])[row]
        head = f"User {user}" if user else "A visitor"
        if user and not answer["known_user"][row]:
            head += " is unknown"
        if not is_personal:
            head += ": the most popular items"
        elif not answer["known_user"][row]:
            head += ": by the history"
        _print_table(head, answer, row)


def _contradiction(config: Config) -> str | None:
    """Returns a sentence on flags that do not go together, or None."""
    ways = {"--all": config.all, "--users": config.users}
    given = [flag for flag, value in ways.items() if value]
    alone = [*given[1:], *(f"--{name}" for name in _FOR_ONE if getattr(config, name))]
    alone = [flag.replace("_", "-") for flag in alone]
    if given and alone:
        return (
            f"`{given[0]}` must not come with {alone[0]}: give one of the two. Got "
            f"{' and '.join([given[0], *alone])}."
        )
    if not given:
        if config.output is not None:
            return f"`--output` must come with --all or --users. Got {config.output}."
        if problem := request_problem(config, config.user):
            return problem
        is_for_users = config.history is None and config.time is None
        if not config.user and is_for_users and config.similar_to is None:
            return (
                "`--user` must name a user. Got none, and neither --all, --users, "
                "--history nor --similar-to."
            )
        return None
    if config.output is None or config.output.suffix not in SUFFIXES:
        return (
            f"`--output` must be a path that ends in .parquet or .csv with {given[0]}. "
            f"Got {config.output}."
        )
    return None


def _write_all(config: Config, exclude_seen: bool | None) -> str:
    """Writes the table of all users; returns a sentence about it."""
    path, loaded = load_export(config.model, fall_back=config.fall_back)
    answer = answering(loaded, path, config.k, exclude_seen)
    users = config.users or path / "assets" / "user_id.txt"
    if config.users is None and not users.is_file():
        raise SystemExit(
            f"`--all` needs the ids of the users, and {path} has no list of them "
            "(assets/user_id.txt). Give it by --users."
        )
    made_with = {"model": model_digest(path), "version": path.name, "k": config.k}
    made_with |= {
        "exclude-seen": exclude_seen,
        "batch-size": config.batch_size,
    }
    return recommend_to_file(
        answer,
        users,
        config.output,
        k=config.k,
        users_at_once=config.batch_size,
        made_with=made_with,
    )


def model_digest(path: Path) -> str:
    """Hashes all files of a SavedModel: two models with one digest are the same.

    Args:
      path: SavedModel, whose files are those of its contract if it has one.
    """
    if (path / contract.CONTRACT_PATH).exists():
        files = contract.read(path)["files"]
    else:
        files = {name: digest(path / name) for name in files_of(path)}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def answering(
    loaded: tf.Module, model: Path, k: int, exclude_seen: bool | None = None
) -> Callable[[Sequence[str]], dict[str, np.ndarray]]:
    """Returns a function from ids of users to the answer of a loaded SavedModel.

    Args:
      loaded: loaded SavedModel.
      model: its folder, for errors.
      k: number of items for each user, at most those of the model.
      exclude_seen: whether to leave out items that the user already has; None stands
        for what the model recommends.

    Raises:
      SystemExit: by the returned function: `k` is above the number of items.
    """
    if exclude_seen is None:
        exclude_seen = recommended_exclude_seen(loaded)

    def answer(users: Sequence[str]) -> dict[str, np.ndarray]:
        inputs = {
            "user_id": tf.constant(list(users)),
            "k": tf.fill([len(users)], k),
            "exclude_seen": tf.fill([len(users)], exclude_seen),
        }
        # A signature does not keep its module alive: `loaded` is named here.
        return _called(loaded.signatures["serving_default"], inputs, model, k)

    return answer


def _called(
    signature: Callable, inputs: Mapping[str, tf.Tensor], model: Path, k: int
) -> dict[str, np.ndarray]:
    try:
        found = signature(**inputs)
    except tf.errors.InvalidArgumentError as error:
        if "`k` must" not in str(error):
            raise SystemExit(f"{model} refuses it: {first_line(error)}") from error
        raise SystemExit(f"`-k` is more than the model has items. Got {k}.") from error
    except tf.errors.OpError as error:
        raise SystemExit(f"{model} is damaged: {first_line(error)}") from error
    return {name: value.numpy() for name, value in found.items()}


def print_json(users: Sequence[str], answer: Mapping[str, np.ndarray]) -> None:
    """Prints one JSON object a line for each user and item.

    Args:
      users: `[batch]` ids of the users; none for an answer that is for no user.
      answer: outputs of the model, one row for each user.
    """
    columns = rows_of(users or [""], answer)
    if not users:
        del columns["user_id"]
    numbers = {user: row for row, user in enumerate(users)}
    for values in zip(*(column.tolist() for column in columns.values()), strict=True):
        line = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in zip(columns, values, strict=True)
        }
        if users:
            row = numbers[line["user_id"]]
            line["known_user"] = bool(answer["known_user"][row])
            line["personal"] = bool(answer.get("personal", answer["known_user"])[row])
            if "why_item_id" in answer:
                owed = _reasons(answer, row, line["rank"] - 1)
                line["why"] = [{"item_id": i, "share": share} for i, share in owed]
        print(json.dumps(line, ensure_ascii=False))


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
    path, loaded = load_export(model)
    answer = answering(loaded, path, k, exclude_seen)(users)
    for row, user in enumerate(users):
        known = answer["known_user"][row]
        print(
            f"\nUser {user}" + ("" if known else " is unknown: the most popular items")
        )
        if words := (about or {}).get(user):
            print(textwrap.fill(words, 88, initial_indent="  ", subsequent_indent="  "))
        _print_rows(answer, row)
    return answer


def _print_table(head: str, answer: Mapping[str, np.ndarray], row: int) -> None:
    print(f"\n{head}")
    _print_rows(answer, row)


def _print_rows(answer: Mapping[str, np.ndarray], row: int) -> None:
    """Prints the items of a row of an answer, with a header."""
    columns = [answer[name][row] for name in ("item_id", "title", "score")]
    if not any(columns[0]):
        print("  no item is left")
        return
    print(f"  {'score':>7}  {'item':<8} title")
    for column, (item, title, score) in enumerate(zip(*columns, strict=True)):
        if item:  # empty where too few items are left
            print(f"  {score:7.4f}  {item.decode():<8} {title.decode()}")
        if item and "why_item_id" in answer:
            owed = (f"{i} ({share:.0%})" for i, share in _reasons(answer, row, column))
            if words := ", ".join(owed):
                print(f"           owed to {words}")


def _reasons(
    answer: Mapping[str, np.ndarray], row: int, column: int
) -> list[tuple[str, float]]:
    """Items of the history that an item is owed to, and their shares."""
    pairs = zip(
        answer["why_item_id"][row, column],
        answer["why_share"][row, column],
        strict=True,
    )
    return [(item.decode(), float(share)) for item, share in pairs if item]


def recommended_exclude_seen(loaded: tf.Module) -> bool:
    """Returns the `exclude_seen` of requests that a loaded model recommends.

    Models of other modules than `Recommender` and `Cascade` recommend none: False.

    Args:
      loaded: loaded SavedModel.
    """
    return bool(getattr(loaded, "exclude_seen", False))


if __name__ == "__main__":
    start(main, Config, __doc__)
