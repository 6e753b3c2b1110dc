"""Which settings of an index are worth a look, from cheap to dear."""

from collections.abc import Iterator

import tensorflow as tf

Values = dict[str, int]


def ladders(index: tf.keras.layers.Layer, k: int) -> Iterator[Iterator[Values]]:
    """Ladders of settings; in each the next finds more and takes longer.

    Args:
      index: `layers.IVF`, `layers.ScaNN`, or what has their settings.
      k: How many candidates a query gets.

    Raises:
      ValueError: the index has no such settings.
    """
    if hasattr(index, "num_probes"):
        least = 2 * -(-k // index.get_config()["block_size"])  # blocks may be short
        steps = _geometric(min(least, index.num_blocks), index.num_blocks, 2**0.25)
        yield ({"num_probes": probes} for probes in steps)
    elif hasattr(index, "num_leaves_to_search"):
        num_leaves = index.get_config()["num_leaves"]
        leaves = _geometric(max(1, num_leaves // 64), num_leaves, 2**0.5)
        reordered = [None]
        if index.num_reordering_candidates is not None:
            most = min(index.num_candidates, 64 * k)
            reordered = _geometric(min(2 * k, most), most, 2.0)
        for number in reordered:
            own = {} if number is None else {"num_reordering_candidates": number}
            yield ({"num_leaves_to_search": some, **own} for some in leaves)
    else:
        raise ValueError(
            "`index` must be approximate, with settings to choose: `layers.IVF` or "
            f"`layers.ScaNN`. Got {type(index).__name__}."
        )


def _geometric(first: int, last: int, factor: float) -> list[int]:
    """Whole numbers from first to last, each about `factor` times the one before."""
    numbers, number = [], float(first)
    while number < last:
        numbers.append(round(number))
        number = max(number * factor, numbers[-1] + 1)
    return [*numbers, last]
