"""Mean, sliding mean, smallest and largest of the values of a metric."""

import collections
from collections.abc import Callable


def metrics_accumulator(
    name: str,
    *,
    mean: bool = False,
    sliding: bool = False,
    min: bool = False,  # noqa: A002  the name of the specification
    max: bool = False,  # noqa: A002  the name of the specification
    window: int = 10,
) -> Callable[[str, float], dict[str, float]]:
    """Makes a function that takes the values of a metric, one after the other.

    Args:
      name: Of the metric.
      mean: Whether `mean_<name>`, over all values so far, is wanted.
      sliding: Whether `sliding_<name>`, over the last values, is wanted.
      min: Whether `min_<name>` is wanted.
      max: Whether `max_<name>` is wanted.
      window: How many the last values are.

    Returns:
      From a metric's name and value to what is known after it, the value under its own
      name too; an empty dict for other names.

    Raises:
      ValueError: a window of fewer than two values.
    """
    if not isinstance(window, int) or window < 2:
        raise ValueError(f"`window` must be a whole number above 1. Got {window!r}.")
    last = collections.deque(maxlen=window)
    seen = {"sum": 0.0, "count": 0, "min": float("inf"), "max": -float("inf")}

    def accumulate(metric: str, value: float) -> dict[str, float]:
        if metric != name:
            return {}
        value = float(value)
        last.append(value)
        seen["sum"] += value
        seen["count"] += 1
        seen["min"] = value if value < seen["min"] else seen["min"]
        seen["max"] = value if value > seen["max"] else seen["max"]
        wanted = {
            name: (True, value),
            f"mean_{name}": (mean, seen["sum"] / seen["count"]),
            f"sliding_{name}": (sliding, sum(last) / len(last)),
            f"min_{name}": (min, seen["min"]),
            f"max_{name}": (max, seen["max"]),
        }
        return {key: found for key, (asked, found) in wanted.items() if asked}

    return accumulate
