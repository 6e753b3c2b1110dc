"""Requests to a recommender by lists of Python, without padding."""

import inspect
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.serving.sent_features import PREFIX


def ask(
    module: tf.Module,
    *,
    user_id: str | Sequence[str] | None,
    k: int | Sequence[int],
    exclude_seen: bool | Sequence[bool],
    history: Sequence | None,
    history_time: Sequence | None,
    time: int | Sequence[int] | None,
    append: bool | Sequence[bool],
    user_features: Mapping[str, object],
    similar_to: Sequence | None,
    exclusions: Sequence,
    filters: Mapping[str, Sequence],
    allowed: Sequence | None,
    why: bool,
) -> list[dict]:
    """Calls the signature that takes what is given; `Recommender.ask` is its face.

    Args:
      module: recommender.
      user_id: ids of users, or one; None for visitors.
      k: numbers of items.
      exclude_seen: whether to exclude the user's items.
      history: items of each request, oldest first; None to answer from the known past.
      history_time: times of these items; None if unknown.
      time: time of each request; None if unknown.
      append: whether the history is what is new since the known past.
      user_features: feature of users -> value of each request, or of all.
      similar_to: items of each request, to find items like them; None for the user's.
      exclusions: items that a request must not get.
      filters: attribute -> values, of which an item must have one.
      allowed: only items that a request may get; None for all.
      why: whether to name the items of the history that raise each score most.

    Returns:
      A dict for each request.

    Raises:
      ValueError: arguments contradict each other or have other numbers of requests.
    """
    is_live = history is not None or time is not None or why or bool(user_features)
    name = _signature(module, is_live, why=why, similar_to=similar_to, allowed=allowed)
    if history is None and history_time is not None:
        raise ValueError("`history_time` must come with `history`. Got none.")
    if similar_to is not None and user_id is not None:
        raise ValueError(
            "`similar_to` must come without `user_id`: items like given ones are the "
            f"same for all users. Got {user_id!r}."
        )
    specs = _sent_specs(module, user_features)
    size = _size(
        [user_id, time, k, append, exclude_seen]
        + [v for name, v in user_features.items() if specs[name].shape.rank == 1],
        [history, similar_to]
        + [v for name, v in user_features.items() if specs[name].shape.rank > 1],
    )
    users = [""] * size if user_id is None else user_id
    lists = {name: _lists(f"filters['{name}']", v, size) for name, v in filters.items()}
    if unknown := lists.keys() - module.filters.keys():
        raise ValueError(
            f"`filters` must be by attributes of the index, {sorted(module.filters)}. "
            f"Got {sorted(unknown)}."
        )
    given = {
        "user_id": _column("user_id", users, size, tf.string),
        "k": _column("k", k, size, tf.int32),
        "exclude_seen": _column("exclude_seen", exclude_seen, size, tf.bool),
        "exclusions": _padded(_lists("exclusions", exclusions, size), tf.string),
        "filters": {
            attribute: _padded(lists.get(attribute, [[]] * size), spec.dtype)
            for attribute, spec in module.filters.items()
        },
        "allowed": _padded(_lists("allowed", allowed or [], size), tf.string),
        "item_id": _padded(_lists("similar_to", similar_to or [], size), tf.string),
    }
    if is_live:
        items = _lists("history", history or [], size)
        times = [[0] * len(row) for row in items]
        if history_time is not None:
            times = _lists("history_time", history_time, size)
        if [*map(len, items)] != [*map(len, times)]:
            raise ValueError(
                "`history_time` must have a time for each item of `history`, 0 if "
                f"unknown. Got {[*map(len, times)]} for {[*map(len, items)]}."
            )
        given["live"] = {
            "history": _padded(items, tf.string),
            "history_time": _padded(times, tf.int64, blank=0),
            "time": _column("time", time or 0, size, tf.int64),
            "append": _column("append", append, size, tf.bool),
        }
        given["live"] |= _sent(specs, user_features, size)
    function = module.signatures[name]
    wanted = inspect.signature(function.python_function).parameters
    answer = function(**{argument: given[argument] for argument in wanted})
    return _rows({name: value.numpy() for name, value in answer.items()})


def _sent_specs(
    module: tf.Module, features: Mapping[str, object]
) -> dict[str, tf.TensorSpec]:
    """Returns feature of users that can be sent -> spec of its input."""
    specs = {
        name.removeprefix(PREFIX): spec
        for name, spec in getattr(module, "live_inputs", {}).items()
        if name.startswith(PREFIX)
    }
    if unknown := features.keys() - specs.keys():
        raise ValueError(
            "`user_features` must be among the `request_features` of the module, "
            f"{sorted(specs)}. Got {sorted(unknown)}."
        )
    return specs


def _sent(
    specs: Mapping[str, tf.TensorSpec], features: Mapping[str, object], size: int
) -> dict[str, tf.Tensor]:
    """Returns the inputs about features of users; blank ones are not sent."""
    found = {}
    for name, spec in specs.items():
        blank = "" if spec.dtype == tf.string else float("nan")
        label = f"user_features['{name}']"
        if spec.shape.rank == 1:
            column = _column(label, features.get(name, blank), size, spec.dtype)
        else:
            rows = features.get(name, [blank] * (spec.shape[1] or 1))
            column = _padded(_lists(label, rows, size), spec.dtype, blank=blank)
        found[spec.name] = column
    return found


def _signature(
    module: tf.Module,
    is_live: bool,
    *,
    why: bool,
    similar_to: Sequence | None,
    allowed: Sequence | None,
) -> str:
    wanted = {
        "explain" if why else "history": is_live,
        "similar_items": similar_to is not None,
        "among": allowed is not None,
    }
    names = [name for name, is_wanted in wanted.items() if is_wanted]
    if len(names) > 1:
        raise ValueError(
            "A request must have one of `history` (with `time`, `why`), `similar_to` "
            f"and `allowed`. Got inputs of the signatures {names}."
        )
    name = (names or ["filtered"])[0]
    if name not in module.signatures:
        raise ValueError(
            f"The module must have the signature `{name}` for this request. It has "
            f"{sorted(module.signatures)}: the query model reads no `history`, the "
            "items have no embeddings, or it was made without `explain=True`."
        )
    return name


def _size(columns: Sequence, lists: Sequence) -> int:
    """Returns the number of requests: one, if no argument has several."""
    sizes = [len(values) for values in columns if np.ndim(values) == 1]
    sizes += [len(rows) for rows in lists if rows is not None and _is_nested(rows)]
    return sizes[0] if sizes else 1


def _lists(name: str, values: Sequence, size: int) -> list[list]:
    """Returns a list for each request; one list stands for all of them."""
    if _is_text(values):
        raise ValueError(f"`{name}` must be a list. Got the text {values!r}.")
    if not _is_nested(values):
        values = [values] * size
    if len(values) != size:
        raise ValueError(
            f"`{name}` must have a list for each request, {size}. Got {len(values)}."
        )
    return [[*row] for row in values]


def _column(name: str, values: object, size: int, dtype: tf.DType) -> tf.Tensor:
    """Returns a value for each request; one value stands for all of them."""
    if np.ndim(values) == 0:
        values = [values] * size
    if len(values) != size:
        raise ValueError(
            f"`{name}` must have a value for each request, {size}. Got {len(values)}."
        )
    if dtype == tf.string:
        values = [*map(str, values)]
    return tf.constant(values, dtype)


def _padded(
    rows: Sequence[Sequence], dtype: tf.DType, *, blank: object = None
) -> tf.Tensor:
    """Returns `[num_requests, n]`, padded with "" or -1."""
    if blank is None:
        blank = "" if dtype == tf.string else -1
    convert = {tf.string: str, tf.float32: float}.get(dtype, int)
    width = max(map(len, rows), default=0)
    padded = [[*map(convert, row), *[blank] * (width - len(row))] for row in rows]
    return tf.reshape(tf.constant(padded, dtype), [len(rows), width])


def _rows(answer: Mapping[str, np.ndarray]) -> list[dict]:
    """Returns a dict for each request, without positions that have no item."""
    result = []
    for row, scores in enumerate(answer["score"]):
        is_item = scores > -np.inf
        found = {}
        for name, values in answer.items():
            value = values[row][is_item] if values.ndim > 1 else values[row]
            found[name] = _decoded(value.tolist())
        result.append(found)
    return result


def _decoded(value: object) -> object:
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


def _is_text(value: object) -> bool:
    return isinstance(value, (str, bytes))


def _is_nested(values: Sequence) -> bool:
    """Whether the values are lists themselves."""
    return len(values) > 0 and not np.isscalar(values[0])
