"""Decides whether a new version of a model may replace the old one.

tfrs-models gate --old artifacts/retrieval/export/1 \
    --new artifacts/retrieval/export/2

Exit codes: 0 to promote, 1 to refuse, 2 if the versions cannot be compared. Without
`--requests` both get the users of the data as queries, with the items they have as
exclusions (none where `--repeats` allows them), and are measured on the test rows. Pass
the flags of the data that the versions were trained with.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from tfrs_models.serving import contract, gate
from tfrs_models.serving.contract import ContractError

from .parts.artifacts import read_json
from .parts.checkpoints import Checkpoints, fingerprint
from .parts.command import command, ending, start
from .parts.data import DataConfig, load_data
from .parts.exports import whole_export
from .parts.flags import Seed

_BLANK = {"string": "", "int32": -1, "int64": -1}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the comparison."""

    old: Path
    """Version that is served now, or a folder of versions, whose newest is used."""
    new: Path
    """Version to be served, or a folder of versions, whose newest is used."""
    rules: tyro.conf.OmitArgPrefixes[gate.Rules] = dataclasses.field(
        default_factory=gate.Rules
    )
    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(
        default_factory=DataConfig
    )
    requests: Path | None = None
    """Queries instead of the data: one JSON object per line, `{"inputs": {"user_id":
    "42", "k": 10, ...}, "relevant": ["1196", ...], "group": "42"}`; `relevant` and
    `group` are optional."""
    signature: str | None = None
    """Signature to query: by default `serving_default`; without `--requests` it is
    `filtered` if the old version has it."""
    k: int = 10
    """Number of items of an answer that are compared."""
    batch: int = 32
    """Queries per request."""
    timings: int = 5
    """Number of times that each request is timed."""
    seed: Seed = 42
    """Seed of the split of the data."""
    fall_back: bool = False
    """If files of the newest version in --old are damaged, compare with the newest
    older one that is whole, and say so."""


class _Rows(NamedTuple):
    """One value a query: inputs, ids of relevant items and groups of the bootstrap."""

    inputs: dict[str, list]
    relevant: list[list] | None
    groups: list | None


@command
def main(config: Config) -> gate.Comparison:
    """Prints the comparison and returns it.

    Raises:
      SystemExit: the versions cannot be compared (exit code 2).
    """
    try:
        old = whole_export(config.old, flag="--old", fall_back=config.fall_back)
        new = whole_export(config.new, flag="--new", fall_back=None)
    except SystemExit as error:
        raise ending(f"Cannot compare: {error}", 2) from error
    try:
        promised = contract.read(old)["signatures"]
        signature = config.signature or (
            "filtered"
            if "filtered" in promised and config.requests is None
            else "serving_default"
        )
        if signature not in promised:
            raise ValueError(
                f"`--signature` must be one of {sorted(promised)}. Got {signature!r}."
            )
        specs = promised[signature]["inputs"]
        rows = (
            _held_out(config, new, specs)
            if config.requests is None
            else _read(config.requests, specs, signature)
        )
        if rows.inputs.keys() != specs.keys():
            raise ValueError(
                f"Queries of `{signature}` must have the inputs {sorted(specs)}. Got "
                f"{sorted(rows.inputs)}: give them by --requests."
            )
        found = gate.compare(
            old,
            new,
            list(_batches(rows.inputs, specs, size=config.batch)),
            relevant=rows.relevant,
            groups=rows.groups,
            k=config.k,
            signature=signature,
            rules=config.rules,
            repeats=config.timings,
        )
    except (
        ContractError,
        OSError,
        ValueError,
        tf.errors.OpError,
    ) as error:
        raise ending(f"Cannot compare: {_in_a_line(error)}", 2) from error
    print(found)
    return found


def _in_a_line(error: Exception) -> str:
    if isinstance(error, ContractError):
        return f"{error.folder}: {'; '.join(error.problems)}"
    return str(error)


def _held_out(config: Config, new: Path, specs: Mapping[str, dict]) -> _Rows:
    """Queries of the users of the test rows, without what evaluation excludes.

    A known user is one query, whose relevant items are those of all their test rows.
    Rows of unknown users share the index 0 and not the user: each is a query of its
    own.
    """
    data = load_data(config.data, seed=config.seed)
    _check_data(new, data)
    users, items = (["", *data.vocabularies[name]] for name in ("user_id", "item_id"))
    excluded = data.exclusions("test")
    user_of, taken = {}, {}
    test = data.splits["test"]
    groups = tm.data.ranking_groups(data, "test").tolist()
    for group, user, item in zip(groups, test["user_id"], test["item_id"], strict=True):
        user_of[group] = int(user)
        taken.setdefault(group, []).append(str(items[item]))
    asked = user_of.values()
    inputs = {
        "user_id": [str(users[user]) for user in asked],
        "k": [config.k] * len(taken),
        "exclude_seen": [False] * len(taken),
        "exclusions": [
            [str(items[i]) for i in excluded[user].numpy()] for user in asked
        ],
    }
    inputs |= {name: [[]] * len(taken) for name in specs if name.startswith("filter_")}
    return _Rows(inputs, list(taken.values()), list(taken))


def _check_data(new: Path, data: tm.data.Interactions) -> None:
    """Refuses data other than the new version was trained on.

    The data of a version is known if it lies in the folder of its run.

    Raises:
      ValueError: rows of the test split may have been training rows.
    """
    version = new.resolve()
    run = version.parent.parent
    if not (run / "metrics.json").exists():
        return
    metrics = read_json(run / "metrics.json", ("config",), "Run its pipeline again")
    checkpoint = Checkpoints(run / "checkpoint").newest()
    if checkpoint is None or metrics.get("export") != version.name:
        return
    made_by = contract.read(version).get("about", {}).get("run")
    if made_by not in (None, metrics.get("run")):
        raise ValueError(
            f"{version} is of the run {made_by}, and metrics.json of its folder of "
            f"{metrics.get('run')}: a later run was stopped. Finish it, or train again."
        )
    found = checkpoint.other_data(fingerprint(data), only_known=True)
    if metrics.get("checkpoint") == checkpoint.id and found:
        raise ValueError(
            f"{version} was trained on other data than the flags name: "
            f"{'; '.join(found)}. Give it the --dataset, --split, --seed and further "
            "flags of the data that it was trained with, or --requests."
        )


def _read(path: Path, specs: Mapping[str, dict], signature: str) -> _Rows:
    """Reads queries from a file.

    Raises:
      ValueError: a line is no query of this signature.
    """
    lines = []
    for number, text in enumerate(path.read_bytes().splitlines(), 1):
        if text.strip():
            try:
                lines.append(_request(json.loads(text), specs, signature))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
    if not lines:
        raise ValueError(
            f"{path} must have a JSON object with `inputs` on every line, and one line "
            "at least."
        )
    inputs = {name: [line["inputs"][name] for line in lines] for name in specs}
    relevant = [line.get("relevant", []) for line in lines]
    groups = [line.get("group") for line in lines]
    return _Rows(
        inputs,
        relevant if any(relevant) else None,
        groups if None not in groups else None,
    )


def _request(line: object, specs: Mapping[str, dict], signature: str) -> dict:
    """Checks a line of a file of queries and returns it.

    Raises:
      ValueError: an input is missing, unknown or has another type.
    """
    if not isinstance(line, dict) or not isinstance(line.get("inputs"), dict):
        raise ValueError(
            "must have a JSON object with `inputs` on every line. Got "
            f"{str(line)[:60]!r}."
        )
    inputs = line["inputs"]
    if inputs.keys() != specs.keys():
        raise ValueError(
            f"Queries of `{signature}` must have the inputs {sorted(specs)}. Got "
            f"{sorted(inputs)}."
        )
    for name, value in inputs.items():
        _check_value(name, value, specs[name])
    if not _is_list_of(line.get("relevant", []), (str, int)):
        raise ValueError("`relevant` must be a list of ids.")
    if not isinstance(line.get("group"), (str, int, type(None))):
        raise ValueError("`group` must be text or a number.")
    return line


def _check_value(name: str, value: object, spec: Mapping) -> None:
    kinds = {"string": (str,), "bool": (bool,)}.get(spec["dtype"], (int,))
    if spec["dtype"].startswith(("float", "bfloat", "half")):
        kinds = (int, float)
    is_right = (
        _is_list_of(value, kinds)
        if len(spec["shape"]) > 1
        else _is_list_of([value], kinds)
    )
    if is_right and spec["dtype"].startswith(("int", "uint")):
        limits = np.iinfo(spec["dtype"])
        values = value if isinstance(value, list) else [value]
        is_right = all(limits.min <= one <= limits.max for one in values)
    if not is_right:
        what = "a list of " if len(spec["shape"]) > 1 else ""
        raise ValueError(f"`{name}` must be {what}{spec['dtype']}. Got {value!r}.")


def _is_list_of(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, kinds) and (bool in kinds or not isinstance(one, bool))
        for one in value
    )


def _batches(
    inputs: Mapping[str, list], specs: Mapping[str, dict], *, size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields requests of at most `size` queries; lists of ids are padded."""
    number = len(next(iter(inputs.values())))
    for first in range(0, number, size):
        yield {
            name: _array(values[first : first + size], specs[name])
            for name, values in inputs.items()
        }


def _array(values: Sequence, spec: Mapping) -> np.ndarray:
    if not any(isinstance(value, list) for value in values):
        return np.asarray(values)
    width = max(map(len, values))
    blank = _BLANK.get(spec["dtype"], 0)
    rows = [[*value, *[blank] * (width - len(value))] for value in values]
    dtype = object if spec["dtype"] == "string" else spec["dtype"]
    return np.array(rows, dtype).reshape(len(values), width)


if __name__ == "__main__":
    start(main, Config, __doc__)
