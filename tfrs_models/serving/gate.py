"""Compares a new version with the served one, to promote or refuse it."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from tfrs_models.metrics.bootstrap import bootstrap_interval
from tfrs_models.ops.lists.discounts import discounts
from tfrs_models.ops.numbers import is_whole
from tfrs_models.serving import contract
from tfrs_models.serving.client.arrays import to_array
from tfrs_models.serving.client.errors import InvalidRequest
from tfrs_models.serving.comparison import Change, Comparison, Rules

__all__ = ["Rules", "compare"]

_IDS = ("item_id", "id")  # outputs of `Recommender` and `Retriever`
_PERSISTENCE = 0.9  # probability that a reader goes on to the next rank

Request = Mapping[str, np.ndarray]
Asked = Callable[[Request], dict[str, np.ndarray]]


class _Client(Protocol):
    def predict(self, inputs: Request, *, signature: str) -> dict[str, np.ndarray]: ...


Version = str | os.PathLike | tf.Module | _Client


def compare(
    old: Version,
    new: Version,
    queries: Sequence[Request],
    *,
    relevant: Sequence[Sequence[object]] | None = None,
    groups: Sequence[object] | None = None,
    k: int | None = None,
    num_items: int | None = None,
    signature: str = "serving_default",
    ids: str | None = None,
    scores: str = "score",
    rules: Rules | None = None,
    repeats: int = 5,
) -> Comparison:
    """Sends the same requests to two versions, and compares answers and latencies.

    Args:
      old: version that is served now: folder of a version, or of several, of which the
        newest is taken (its contract is verified first); a loaded SavedModel; or a
        client of `serving.client`.
      new: version that is to replace it, in one of the same forms.
      queries: requests, each input name -> `[batch, ...]` values. Give real requests of
        the sizes that clients send, because they are timed too.
      relevant: for every row of the queries, in their order, the ids of the relevant
        items, such as the user's next items. Rows without any do not count in the
        metrics. An item that the row's own input `exclusions` hides cannot be answered:
        it is left out, and counted in `hidden`. None for no metrics.
      groups: user of every row; intervals then resample users instead of rows.
      k: number of ranks to compare; None for the length of the answers.
      num_items: size of the catalogue, to report the share of it that is shown.
      signature: name of the signature to call.
      ids: name of the output with the items, best first; None for `item_id` or `id`.
      scores: name of the output in which `-inf` marks a rank without an item.
      rules: limits for promoting the new version; None for the default ones.
      repeats: number of times that every request is timed, in alternation.

    Returns:
      The differences, and the verdict with its reasons.

    Raises:
      ContractError: a version differs from its contract.
      ValueError: there are no queries, a query does not fit the signature, `relevant`
        or `groups` have another length, or the answers have no ids.
      InvalidArgumentError: a version refuses a query.

    Example:
      >>> index = tm.layers.BruteForce().index(np.eye(4, dtype="float32"))
      >>> retriever = tm.serving.Retriever(index)
      >>> served = {"serving_default": retriever.signatures["serving_default"]}
      >>> path = tm.serving.export(retriever, "models", signatures=served)
      >>> queries = [{"query": np.float32([[4, 3, 2, 1]]), "k": [2]}]
      >>> rules = tm.serving.gate.Rules(minimum_queries=1, maximum_latency=100)
      >>> result = tm.serving.gate.compare("models", "models", queries, rules=rules)
      >>> result.promote, result.overlap.mean
      (True, 1.0)
    """
    queries = _checked_queries(queries)
    if k is not None and not (is_whole(k, 1)):
        raise ValueError(f"`k` must be at least 1, or None. Got {k}.")
    if not (is_whole(repeats, 1)):
        raise ValueError(f"`repeats` must be at least 1. Got {repeats}.")
    ask = {"old": _asked(old, signature), "new": _asked(new, signature)}
    ranked, counts, width = {}, {}, k or 0
    for name, version in ask.items():
        answers = [version(request) for request in queries]
        counts[name] = [len(_ids(answer, ids)) for answer in answers]
        if k is None:
            width = max(width, *(_ids(answer, ids).shape[1] for answer in answers))
        ranked[name] = [
            row
            for answer in answers
            for row in ranked_ids(*_ids_and_scores(answer, ids, scores), k=k)
        ]
    for old_rows, new_rows in zip(*counts.values(), strict=True):
        if old_rows != new_rows:
            raise ValueError(
                "`old` and `new` must answer one row for each row of a request. Got "
                f"{old_rows} and {new_rows}."
            )
    pairs = list(zip(ranked["old"], ranked["new"], strict=True))
    for argument, given in (("relevant", relevant), ("groups", groups)):
        if given is not None and len(given) != len(pairs):
            raise ValueError(
                f"`{argument}` must have an entry for each of the {len(pairs)} rows of "
                f"the queries. Got {len(given)}."
            )
    if not pairs:
        raise ValueError("`queries` must have at least one row. Got none.")
    groups = None if groups is None else np.asarray(groups)
    if groups is not None and groups.ndim != 1:
        raise ValueError(
            f"`groups` must be one value for each row. Got the shape {groups.shape}."
        )
    wanted, hidden = None, 0
    if relevant is not None:
        wanted, hidden = _not_excluded(_checked_relevant(relevant), queries)
    seconds = _times(ask, queries, repeats=repeats)
    return Comparison(
        k=width,
        num_queries=len(pairs),
        overlap=bootstrap_interval([overlap(a, b) for a, b in pairs], groups),
        rank_biased_overlap=bootstrap_interval(
            [rank_biased_overlap(a, b) for a, b in pairs], groups
        ),
        shown=tuple(len(set().union(*rows)) for rows in ranked.values()),
        num_items=num_items,
        answered=tuple(
            sum(map(len, rows)) / (width * len(rows)) for rows in ranked.values()
        ),
        metrics=_metrics(ranked, wanted, groups, k=width),
        hidden=hidden,
        seconds=tuple(float(np.median(times)) for times in seconds),
        latency_ratio=float(np.median(seconds[1] / seconds[0])),
        rules=Rules() if rules is None else rules,
    )


def _checked_queries(queries: object) -> Sequence[Request]:
    if isinstance(queries, Mapping) or not isinstance(queries, Sequence):
        raise ValueError(
            "`queries` must be a list of requests, each a dict of inputs. Got "
            f"{type(queries).__name__}."
        )
    if not queries:
        raise ValueError("`queries` must hold at least one request. Got none.")
    for number, request in enumerate(queries):
        if not isinstance(request, Mapping):
            raise ValueError(
                "`queries` must be requests, each a dict of inputs. Got "
                f"{type(request).__name__} in place {number}."
            )
    return queries


def _checked_relevant(relevant: Sequence[Sequence[object]]) -> list[list]:
    rows = []
    for number, row in enumerate(relevant):
        values = np.asarray(row) if isinstance(row, (list, tuple, np.ndarray)) else None
        if values is None or values.ndim != 1:
            raise ValueError(
                "`relevant` must be a list of ids for each row, empty where there are "
                f"none. Got {row!r} for row {number}."
            )
        rows.append(ranked_ids(values[None])[0] if len(values) else [])
    return rows


def _not_excluded(
    wanted: Sequence[list], queries: Sequence[Request]
) -> tuple[list[list], int]:
    """Drops what the exclusions of a row hide, and counts it."""
    excluded = [
        row
        for request in queries
        for row in (
            ranked_ids(request["exclusions"])
            if "exclusions" in request
            else [[]] * len(next(iter(request.values())))
        )
    ]
    left = [
        [item for item in items if item not in set(own)]
        for items, own in zip(wanted, excluded, strict=True)
    ]
    return left, sum(map(len, wanted)) - sum(map(len, left))


def _asked(version: Version, signature: str) -> Asked:
    if hasattr(version, "predict"):
        return lambda request: version.predict(request, signature=signature)
    if not hasattr(version, "signatures"):
        if not isinstance(version, (str, bytes, os.PathLike)):
            raise ValueError(
                "`old` and `new` must be folders, loaded SavedModels or clients. Got "
                f"{type(version).__name__}."
            )
        contract.verify(version)
        version = tf.saved_model.load(str(contract.version_folder(version)))
    if signature not in version.signatures:
        raise ValueError(
            f"`signature` must be one of {sorted(version.signatures)}. Got "
            f"{signature!r}."
        )
    specs = version.signatures[signature].structured_input_signature[1]

    def ask(request: Request) -> dict[str, np.ndarray]:
        if request.keys() != specs.keys():
            raise ValueError(
                f"`queries` must have the inputs of `{signature}`, {sorted(specs)}. "
                f"Got {sorted(request)}."
            )
        tensors = {}
        for name, spec in specs.items():
            try:
                array = to_array(name, request[name], spec.dtype)
            except InvalidRequest as error:
                raise ValueError(
                    f"The input `{name}` of `queries` must be {spec.dtype.name}: "
                    f"{error}"
                ) from error
            tensors[name] = tf.constant(array, spec.dtype)
            if not spec.shape.is_compatible_with(tensors[name].shape):
                raise ValueError(
                    f"The input `{name}` of `queries` must have the shape "
                    f"{spec.shape}. Got {tensors[name].shape}."
                )
        answer = version.signatures[signature](**tensors)
        return {key: value.numpy() for key, value in answer.items()}

    return ask


def _ids(answer: Mapping[str, np.ndarray], name: str | None) -> np.ndarray:
    names = _IDS if name is None else (name,)
    found = next((answer[name] for name in names if name in answer), None)
    if found is None or found.ndim != 2:
        raise ValueError(
            f"The answers must have ids, `[batch, k]`: `ids` names the output. Got "
            f"{' or '.join(names)} of the outputs "
            f"{ {key: value.shape for key, value in answer.items()} }."
        )
    return found


def _ids_and_scores(
    answer: Mapping[str, np.ndarray], ids: str | None, scores: str
) -> tuple[np.ndarray, np.ndarray | None]:
    found, marks = _ids(answer, ids), answer.get(scores)
    if marks is not None and marks.shape != found.shape:
        raise ValueError(
            f"The output `{scores}` must have a score for each id, "
            f"{list(found.shape)}. Got {list(marks.shape)}. `scores` names the output."
        )
    return found, marks


def _metrics(
    ranked: Mapping[str, list[list]],
    wanted: Sequence[list] | None,
    groups: np.ndarray | None,
    *,
    k: int,
) -> dict[str, Change]:
    if wanted is None:
        return {}
    rows = [number for number, row in enumerate(wanted) if row]
    if not rows:
        raise ValueError(
            "`relevant` must name an item of at least one row, and not only items that "
            "its query excludes. Got none."
        )
    changes = {}
    for name, metric in {"hit_rate": hit_rate, "ndcg": ndcg}.items():
        old, new = (
            np.array([metric(lists[row], wanted[row], k=k) for row in rows])
            for lists in ranked.values()
        )
        own = None if groups is None else groups[rows]
        changes[f"{name}_at_{k}"] = Change(
            float(old.mean()), float(new.mean()), bootstrap_interval(new - old, own)
        )
    return changes


def _times(
    ask: Mapping[str, Asked], queries: Sequence[Request], *, repeats: int
) -> np.ndarray:
    """Times every request, `[2, repeats * num_requests]` seconds, in alternation."""
    seconds = [[], []]
    for turn in range(repeats):
        for request in queries:
            order = list(zip(ask.values(), seconds, strict=True))
            for version, own in order[:: 1 if turn % 2 else -1]:
                start = time.perf_counter()
                version(request)
                own.append(time.perf_counter() - start)
    return np.array(seconds)


def ranked_ids(
    ids: np.ndarray, scores: np.ndarray | None = None, *, k: int | None = None
) -> list[list]:
    """Lists the items of each row, best first, without the empty ranks.

    Args:
      ids: `[batch, n]` ids, -1 or "" for an empty rank.
      scores: `[batch, n]` scores, `-inf` for an empty rank.
      k: number of ranks that count; None for all.
    """
    ids = np.asarray(ids)
    there = np.ones(ids.shape, bool) if scores is None else ~np.isneginf(scores)
    rows = []
    for names, valid in zip(ids[:, :k].tolist(), there[:, :k], strict=True):
        texts = [n.decode() if isinstance(n, bytes) else n for n in names]
        pairs = zip(texts, valid, strict=True)
        rows.append([name for name, good in pairs if good and name not in ("", -1)])
    return rows


def overlap(first: Sequence, second: Sequence) -> float:
    """Computes the share of the longer list that the other contains; 1 if empty."""
    longer = max(len(first), len(second))
    return len(set(first) & set(second)) / longer if longer else 1.0


def rank_biased_overlap(first: Sequence, second: Sequence) -> float:
    """Computes the overlap of two lists, weighing the first ranks most.

    `(1 - p) sum_d p^(d - 1) A_d + p^k A_k`, where `A_d` is the share of the first `d`
    ranks that the lists have in common, and `p` = 0.9. The overlap at the end of the
    lists is assumed to continue.

    Reference:
      Webber, Moffat and Zobel, A similarity measure for indefinite rankings, TOIS 2010.
    """
    depth = max(len(first), len(second))
    if not depth:
        return 1.0
    total, weight, share = 0.0, 1 - _PERSISTENCE, 1.0
    for d in range(1, depth + 1):
        share = len(set(first[:d]) & set(second[:d])) / d
        total += weight * share
        weight *= _PERSISTENCE
    return total + weight / (1 - _PERSISTENCE) * share


def hit_rate(ranked: Sequence, relevant: Collection, *, k: int) -> float:
    """Returns 1 if one of the first `k` items is relevant, else 0."""
    return float(bool(set(ranked[:k]) & set(relevant)))


def ndcg(ranked: Sequence, relevant: Collection, *, k: int) -> float:
    """Computes the discounted gain, relative to a list of the relevant items only.

    Reference:
      Jarvelin and Kekalainen, Cumulated gain-based evaluation of IR techniques, TOIS
      2002.
    """
    values = discounts(np.arange(1, k + 1, dtype="float64")).numpy()
    hits = np.isin(np.array(ranked[:k], object), np.array([*relevant], object))
    return float(
        (values[: len(hits)] * hits).sum() / values[: len(set(relevant))].sum()
    )
