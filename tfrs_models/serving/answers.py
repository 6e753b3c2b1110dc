"""Whether two answers to the same request say the same."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

RELATIVE, ABSOLUTE = 1e-4, 1e-5  # other machines sum in other orders


def differences(
    expected: Mapping[str, np.ndarray], answer: Mapping[str, np.ndarray]
) -> list[str]:
    """What differs between two answers, a line for each output; empty where nothing.

    Floats agree within 1e-4 of their size, or 1e-5. All else is exact, with one
    exception: ids beside descending scores (a float output of the same shape) may
    change places where their scores agree within this tolerance, and those of the last
    such group may be others, for what ties with them may lie beyond place `k`.

    Args:
      expected: Output -> array.
      answer: The same of the other answer.
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
    """Scores that put the entries of the last axis in order."""
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
