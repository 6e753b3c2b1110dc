"""Running mean, sliding mean, minimum and maximum of the values of a metric."""

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
    """Makes a function that accumulates the values of a metric, one after the other.

    Args:
      name: name of the metric.
      mean: whether to return `mean_<name>`, the mean of all values so far.
      sliding: whether to return `sliding_<name>`, the mean of the last values.
      min: whether to return `min_<name>`, the smallest value so far.
      max: whether to return `max_<name>`, the largest value so far.
      window: number of values in the sliding mean.

    Returns:
      Function from the name and value of a metric to the accumulated values, the value
      under its own name among them; an empty dict for other names.

    Raises:
      ValueError: a window of fewer than two values.

    Example:
      >>> accumulate = tm.metrics.metrics_accumulator("loss", mean=True, min=True)
      >>> accumulate("loss", 3.0)
      {'loss': 3.0, 'mean_loss': 3.0, 'min_loss': 3.0}
      >>> accumulate("loss", 4.0)
      {'loss': 4.0, 'mean_loss': 3.5, 'min_loss': 3.0}
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
