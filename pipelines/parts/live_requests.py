"""Flags of requests that carry a history, items or filters, as inputs of a model."""

import csv
import dataclasses
import datetime
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

_LATEST = 10**11  # seconds; a time in milliseconds is above it
_NEEDED = {
    "history": "an export of a tower over histories",
    "explain": "an export by `tfrs-models retrieval --explain`",
    "similar_items": "an export of a model whose items have embeddings",
    "filtered": "an export of `tfrs-models retrieval`",
}


@dataclasses.dataclass(frozen=True)
class RequestConfig:
    """Flags of what a request carries."""

    history: str | None = None
    """Ids of the items of a history, separated by commas, newest last: of --user, or of
    a visitor."""
    history_time: str | None = None
    """Times of the items of --history, separated by commas: ISO dates (UTC where they
    name no zone) or seconds since 1970."""
    time: str | None = None
    """Time of the request, as in --history-time; by default that of the newest item."""
    append: bool = False
    """Add --history to the known past of --user; by default it takes its place."""
    similar_to: str | None = None
    """Ids of items, separated by commas: recommend items like these, for no user."""
    exclude: str | None = None
    """Ids of items that must not be recommended, separated by commas."""
    why: bool = False
    """Name the items of the history that an answer is owed to most, and their shares of
    what the history adds to the score."""
    filter: tuple[str, ...] = ()
    """Filters such as genres=Drama; of several values of one attribute an item must
    have one."""


def request_problem(config: RequestConfig, users: Sequence[str]) -> str | None:
    """Returns a sentence on flags that are wrong or do not go together, or None.

    Args:
      config: flags.
      users: ids of the users of --user.
    """
    try:
        for name in ("history", "similar_to", "exclude"):
            _listed(config, name)
        times = _times(config, "history_time")
        _times(config, "time")
        for text in config.filter:
            _attribute(text)
    except ValueError as error:
        return str(error)
    if config.history is None:
        for name in ("history_time", "append"):
            if getattr(config, name):
                return f"`{_flag(name)}` must come with --history. Got no --history."
    elif times and len(times) != (number := len(_listed(config, "history"))):
        return (
            "`--history-time` must have a time for each item of --history. Got "
            f"{len(times)} times for {number} items."
        )
    if times and any(np.diff(times) < 0):
        return (
            "`--history-time` must not fall, as the newest item is last. Got "
            f"{config.history_time}."
        )
    if config.similar_to is not None:
        for name in ("history", "time", "why"):
            if getattr(config, name):
                return f"`{_flag(name)}` must not come with --similar-to: leave it out."
        if users:
            return "`--user` must not come with --similar-to: leave it out."
    if config.append and not users:
        return "`--append` must come with --user. Got no --user."
    is_live = config.history is not None or config.time is not None
    if is_live and len(users) > 1:
        return (
            "`--user` must name one user with --history or --time. Got "
            f"{len(users)} users."
        )
    return None


def signature_of(config: RequestConfig) -> str:
    """Returns the name of the signature that answers the flags."""
    if config.similar_to is not None:
        return "similar_items"
    if config.why:
        return "explain"
    if config.history is not None or config.time is not None:
        return "history"
    return "filtered" if config.exclude or config.filter else "serving_default"


def has_signature(loaded: tf.Module, name: str, config: RequestConfig) -> str | None:
    """Returns None if a model has a signature, else a sentence that names the flag.

    Args:
      loaded: loaded SavedModel.
      name: name of the signature.
      config: flags that need it.
    """
    if name in loaded.signatures:
        return None
    flags = ("similar_to", "why", "history", "time", "exclude", "filter")
    flag = next(_flag(flag) for flag in flags if getattr(config, flag))
    return (
        f"`{flag}` needs the signature `{name}`, which {_NEEDED[name]} has. The model "
        f"has {', '.join(sorted(loaded.signatures))}: ask it by --user, or export it "
        "again."
    )


def inputs_of(
    config: RequestConfig,
    specs: Mapping[str, tf.TensorSpec],
    *,
    users: Sequence[str],
    k: int,
    exclude_seen: bool,
) -> dict[str, tf.Tensor]:
    """Makes the inputs of a signature, a row for each user, or one without users.

    Args:
      config: flags without a problem.
      specs: inputs of the signature.
      users: ids of users.
      k: number of items for each row.
      exclude_seen: whether to leave out items that the user already has.

    Raises:
      ValueError: a filter is of an attribute that the model does not have.
    """
    users = list(users) or [""]
    history = _listed(config, "history") or [""]
    values = {
        "user_id": users,
        "k": [k] * len(users),
        "exclude_seen": [exclude_seen] * len(users),
        "exclusions": [_listed(config, "exclude") or [""]] * len(users),
        "item_id": [_listed(config, "similar_to") or [""]] * len(users),
        "history": [history] * len(users),
        "history_time": [_times(config, "history_time") or [0] * len(history)]
        * len(users),
        "time": (_times(config, "time") or [0]) * len(users),
        "append": [config.append] * len(users),
    }
    filters = _filters(config, specs)
    for name, accepted in filters.items():
        values[name] = [accepted] * len(users)
    return {
        name: tf.constant(values[name], dtype=spec.dtype)
        for name, spec in specs.items()
    }


def _filters(config: RequestConfig, specs: Mapping[str, tf.TensorSpec]) -> dict:
    """Returns `filter_<attribute>` -> accepted values, or a blank one for none."""
    filters = {name: [] for name in specs if name.startswith("filter_")}
    for text in config.filter:
        attribute, value = _attribute(text)
        name = f"filter_{attribute}"
        if name not in filters:
            known = sorted(name.removeprefix("filter_") for name in filters)
            raise ValueError(
                f"`--filter` must be of one of {known}, the attributes of the model. "
                f"Got {text!r}."
            )
        is_text = specs[name].dtype == tf.string
        try:
            filters[name].append(value if is_text else int(value))
        except ValueError as error:
            raise ValueError(
                f"`--filter` must have a whole number for {attribute}. Got {text!r}."
            ) from error
    return {
        name: accepted or ["" if specs[name].dtype == tf.string else -1]
        for name, accepted in filters.items()
    }


def _attribute(text: str) -> tuple[str, str]:
    attribute, is_split, value = text.partition("=")
    if not (attribute and is_split and value):
        raise ValueError(
            f"`--filter` must be ATTRIBUTE=VALUE, such as genres=Drama. Got {text!r}."
        )
    return attribute, value


def _listed(config: RequestConfig, name: str) -> list[str]:
    """Splits a flag at its commas; an id with a comma stands in double quotes."""
    text = getattr(config, name)
    if text is None:
        return []
    (row,) = csv.reader([text.replace("\n", " ")], skipinitialspace=True)
    if not all(ids := [one.strip() for one in row]) or not ids:
        raise ValueError(
            f"`{_flag(name)}` must be ids of items, separated by commas, none empty. "
            f"Got {text!r}."
        )
    return ids


def _times(config: RequestConfig, name: str) -> list[int]:
    text = getattr(config, name)
    return [] if text is None else [_seconds(name, t) for t in text.split(",")]


def _seconds(name: str, text: str) -> int:
    text = text.strip()
    try:
        if text.removeprefix("-").isdecimal():
            seconds = int(text)
        else:
            when = datetime.datetime.fromisoformat(text)
            if when.tzinfo is None:
                when = when.replace(tzinfo=datetime.UTC)
            seconds = int(when.timestamp())
    except ValueError as error:
        raise ValueError(
            f"`{_flag(name)}` must be ISO dates or seconds since 1970, such as "
            f"2024-05-01T12:30. Got {text!r}."
        ) from error
    if not 0 < seconds < _LATEST:
        hint = ", which are milliseconds?" if seconds >= _LATEST else "."
        raise ValueError(
            f"`{_flag(name)}` must be a time after 1970, in seconds. Got {text}{hint}"
        )
    return seconds


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
