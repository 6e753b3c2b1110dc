"""Whether a new version may take the old one's place: python -m pipelines.gate.

python -m pipelines.gate --old artifacts/retrieval/export/1 \
    --new artifacts/retrieval/export/2

Ends with 0 to promote, 1 to refuse, and 2 where it cannot say. Without `--requests`
both are asked for the users of the data, without what they have, and judged by what
those took next. Give it the flags of the data that the versions were trained with.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tyro

from pipelines.data import DataConfig, load_data
from tfrs_models.serving import ContractError, contract, gate

_BLANK = {"string": "", "int32": -1, "int64": -1}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the comparison."""

    old: Path
    """What is served now: a version, or a folder of them, of which the newest is
    taken."""
    new: Path
    """What is to be served; likewise."""
    rules: tyro.conf.OmitArgPrefixes[gate.Rules] = dataclasses.field(
        default_factory=gate.Rules
    )
    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(
        default_factory=DataConfig
    )
    requests: Path | None = None
    """Queries in place of the data: a JSON object a line, `{"inputs": {"user_id": "42",
    "k": 10, ...}, "relevant": ["1196", ...], "group": "42"}`, the last two optional."""
    signature: str | None = None
    """Which one is asked: `serving_default`, without `--requests` `filtered`."""
    k: int = 10
    """Places that are compared."""
    batch: int = 32
    """Queries of a request."""
    repeats: int = 5
    """How often each request is timed."""
    seed: int = 42
    """Of the split of the data."""


class _Rows(NamedTuple):
    inputs: dict[str, list]
    relevant: list[list] | None
    groups: list | None


def main(config: Config) -> gate.Comparison:
    """Prints the comparison and returns it."""
    signature = config.signature or (
        "serving_default" if config.requests else "filtered"
    )
    try:
        promised = contract.read(config.old)["signatures"]
        if signature not in promised:
            raise ValueError(
                f"`--signature` must be one of {sorted(promised)}. Got {signature!r}."
            )
        specs = promised[signature]["inputs"]
        rows = _read(config.requests) if config.requests else _held_out(config, specs)
        if rows.inputs.keys() != specs.keys():
            raise ValueError(
                f"Queries of `{signature}` must have the inputs {sorted(specs)}. Got "
                f"{sorted(rows.inputs)}."
            )
        found = gate.compare(
            config.old,
            config.new,
            list(_batches(rows.inputs, specs, size=config.batch)),
            relevant=rows.relevant,
            groups=rows.groups,
            k=config.k,
            signature=signature,
            rules=config.rules,
            repeats=config.repeats,
        )
    except (
        ContractError,
        OSError,
        ValueError,
        tf.errors.InvalidArgumentError,
    ) as error:
        print(f"Cannot compare: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print(found)
    return found


def _held_out(config: Config, specs: Mapping[str, dict]) -> _Rows:
    """Each user with a test row, asked without the items they had before it."""
    data = load_data(config.data, seed=config.seed)
    users, items = (["", *data.vocabularies[name]] for name in ("user_id", "item_id"))
    known = data.known_items("test")
    taken = {}
    test = data.splits["test"]
    for user, item in zip(test["user_id"], test["item_id"], strict=True):
        taken.setdefault(int(user), []).append(str(items[item]))
    inputs = {
        "user_id": [str(users[user]) for user in taken],
        "k": [config.k] * len(taken),
        "exclude_seen": [False] * len(taken),
        "exclusions": [[str(items[i]) for i in known[user].numpy()] for user in taken],
    }
    inputs |= {name: [[]] * len(taken) for name in specs if name.startswith("filter_")}
    return _Rows(inputs, list(taken.values()), list(taken))


def _read(path: Path) -> _Rows:
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    if not lines or not all(isinstance(line.get("inputs"), dict) for line in lines):
        raise ValueError(
            f"{path} must have a JSON object with `inputs` on every line, and one line "
            "at least."
        )
    inputs = {
        name: [line["inputs"].get(name) for line in lines]
        for name in lines[0]["inputs"]
    }
    if any(line["inputs"].keys() != inputs.keys() for line in lines):
        raise ValueError(f"All lines of {path} must have the inputs {sorted(inputs)}.")
    relevant = [line.get("relevant", []) for line in lines]
    groups = [line.get("group") for line in lines]
    return _Rows(
        inputs,
        relevant if any(relevant) else None,
        groups if None not in groups else None,
    )


def _batches(
    inputs: Mapping[str, list], specs: Mapping[str, dict], *, size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Requests of so many rows; lists of ids are padded to one width."""
    number = len(next(iter(inputs.values())))
    for start in range(0, number, size):
        yield {
            name: _array(values[start : start + size], specs[name])
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
    sys.exit(main(tyro.cli(Config, description=__doc__)).exit_code)
