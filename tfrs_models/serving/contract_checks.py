"""Compares an exported version with its contract, and two answers to one request."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrs_models._files import digest
from tfrs_models.serving.contract_json import from_json
from tfrs_models.serving.signatures import describe

CONTRACT_PATH = Path("assets.extra", "contract.json")
RELATIVE, ABSOLUTE = 1e-4, 1e-5  # the order of sums differs between machines


def samples_of(contract: Mapping) -> list[tuple[str, dict, dict]]:
    """Returns signature, inputs and outputs of each sample of a contract, as arrays.

    Args:
      contract: result of `read`.

    Example:
      >>> module = tf.Module()
      >>> module.double = tf.function(
      ...     lambda x: {"y": 2 * x}, autograph=False,
      ...     input_signature=[tf.TensorSpec([None], tf.float32, "x")])
      >>> path = tm.serving.export(module, "models", signatures={"f": module.double},
      ...                          samples={"f": {"x": [1.0, 2.5]}})
      >>> tm.serving.contract.samples_of(tm.serving.contract.read(path))
      [('f', {'x': array([1. , 2.5], ...)}, {'y': array([2., 5.], ...)})]
    """
    return [
        (
            sample["signature"],
            *(
                {name: from_json(value) for name, value in sample[side].items()}
                for side in ("inputs", "outputs")
            ),
        )
        for sample in contract["samples"]
    ]


def files_of(folder: Path) -> set[str]:
    """Returns the names of the files of a version, without its contract."""
    paths = (
        Path(root, name)
        for root, folders, names in os.walk(folder)
        for name in (*names, *(n for n in folders if Path(root, n).is_symlink()))
    )
    return {path.relative_to(folder).as_posix() for path in paths} - {
        CONTRACT_PATH.as_posix()
    }


def changed_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Returns a line for each file that was changed, removed or added."""
    problems = []
    for name, promised in files.items():
        kind = "vocabulary or other asset" if name.startswith("assets/") else "file"
        try:
            now = digest(folder / name) if (folder / name).is_file() else None
        except OSError as error:
            problems.append(f"the {kind} {name} cannot be read: {error.strerror}")
            continue
        if now is None:
            problems.append(f"the {kind} {name} is missing")
        elif now != promised:
            problems.append(
                f"the {kind} {name} changed: sha256 {now[:12]}... instead of "
                f"{promised[:12]}..."
            )
    return problems + [
        f"the file {name} was added"
        for name in sorted(files_of(folder) - files.keys())
        # A folder may be a link to another one that holds its files.
        if not any(known.startswith(f"{name}/") for known in files)
    ]


def broken_promises(loaded: tf.Module, contract: Mapping) -> list[str]:
    """Returns a line for each signature or answer that differs from the contract."""
    promises = contract["signatures"]
    problems = [
        f"signature `{name}` is there but not promised"
        for name in sorted(loaded.signatures.keys() - promises.keys())
    ]
    for name, promised in promises.items():
        if name not in loaded.signatures:
            problems.append(f"signature `{name}` is missing")
            continue
        function = loaded.signatures[name]
        now = {
            "inputs": describe(function.structured_input_signature[1]),
            "outputs": describe(function.structured_outputs),
        }
        for side in ("inputs", "outputs"):
            for key in sorted(promised[side].keys() | now[side].keys()):
                before, after = promised[side].get(key), now[side].get(key)
                if before != after:
                    problems.append(
                        f"signature `{name}`, {side[:-1]} `{key}`: "
                        f"{_spec(after)} instead of {_spec(before)}"
                    )
    if problems:
        return problems
    samples = list(enumerate(samples_of(contract)))
    for number, (name, *sides) in samples:
        if name not in promises:
            problems.append(f"sample {number} asks the signature `{name}`")
            continue
        for side, arrays in zip(("inputs", "outputs"), sides, strict=True):
            problems += [
                f"signature `{name}`, sample {number}: {line}"
                for line in _other_kinds(side[:-1], arrays, promises[name][side])
            ]
    if problems:
        return problems
    for number, (name, inputs, outputs) in samples:
        where = f"signature `{name}`, sample {number}"
        try:
            answer = loaded.signatures[name](
                **{key: tf.constant(value) for key, value in inputs.items()}
            )
        except tf.errors.OpError as error:
            problems.append(f"{where}: {error.message}")
            continue
        arrays = {key: value.numpy() for key, value in answer.items()}
        problems += [f"{where}: {line}" for line in differences(outputs, arrays)]
    return problems


def _other_kinds(
    side: str, arrays: Mapping[str, np.ndarray], specs: Mapping[str, Mapping]
) -> list[str]:
    """Returns a line for each array of a sample that does not fit its signature."""
    problems = []
    for key in sorted(arrays.keys() | specs.keys()):
        array, spec = arrays.get(key), specs.get(key)
        if array is not None and spec is not None:
            dtype = tf.as_dtype(array.dtype).name
            if dtype == spec["dtype"] and tf.TensorShape(
                spec["shape"]
            ).is_compatible_with(array.shape):
                continue
            array = {"dtype": dtype, "shape": list(array.shape)}
        elif array is not None:
            array = {"dtype": array.dtype, "shape": list(array.shape)}
        problems.append(f"{side} `{key}` is {_spec(array)}, where {_spec(spec)} is due")
    return problems


def _spec(entry: Mapping | None) -> str:
    return "nothing" if entry is None else f"{entry['dtype']} {entry['shape']}"


def differences(
    expected: Mapping[str, np.ndarray], answer: Mapping[str, np.ndarray]
) -> list[str]:
    """Returns a line for each output that differs between two answers.

    Floats agree within 1e-4 of their size, or 1e-5. All other values are exact, with
    one exception: ids beside descending scores (a float output of the same shape) may
    be permuted if their scores agree within this tolerance. In the last such group
    other ids may appear, because the ties may continue beyond rank `k`.

    Args:
      expected: output name -> array of the first answer.
      answer: output name -> array of the second answer.
    """
    lines = []
    for name in sorted(expected.keys() | answer.keys()):
        if name not in answer or name not in expected:
            where = "expected" if name in expected else "there but not expected"
            lines.append(f"output `{name}` is {where}: {sorted(answer)} are there")
        elif expected[name].shape != answer[name].shape:
            lines.append(
                f"output `{name}` has the shape {answer[name].shape} instead of "
                f"{expected[name].shape}"
            )
        elif line := _difference(name, expected, answer[name]):
            lines.append(line)
    return lines


def _difference(
    name: str, outputs: Mapping[str, np.ndarray], values: np.ndarray
) -> str | None:
    expected = outputs[name]
    if _is_float(expected):
        wrong = ~_close(values, expected)
    else:
        wrong = values != expected
        for scores in _rankings(outputs, expected.shape) if wrong.any() else ():
            wrong = _without_ties(wrong, expected, values, scores)
    if not wrong.any():
        return None
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"output `{name}` differs in {int(wrong.sum())} of {wrong.size} places, first "
        f"at {list(place)}: {values[place]} instead of {expected[place]}"
    )


def _is_float(values: np.ndarray) -> bool:
    return tf.as_dtype(values.dtype).is_floating


def _close(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    values, expected = values.astype("float64"), expected.astype("float64")
    return np.isclose(values, expected, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)


def _rankings(
    outputs: Mapping[str, np.ndarray], shape: tuple[int, ...]
) -> list[np.ndarray]:
    """Returns the outputs whose values descend along the last axis."""
    return [
        scores
        for scores in outputs.values()
        if len(shape) > 1
        and scores.shape == shape
        and _is_float(scores)
        and np.all(scores[..., 1:] <= scores[..., :-1])
    ]


def _without_ties(
    wrong: np.ndarray, expected: np.ndarray, values: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    wrong = wrong.copy()
    for row in map(tuple, np.argwhere(wrong.any(axis=-1))):
        steps = np.flatnonzero(~_close(scores[row][1:], scores[row][:-1])) + 1
        groups = np.split(np.arange(wrong.shape[-1]), steps)
        for group in groups:
            same = sorted(expected[row][group]) == sorted(values[row][group])
            is_cut_off = group is groups[-1] and np.isfinite(scores[row][group[-1]])
            if same or is_cut_off:
                wrong[row][group] = False
    return wrong
