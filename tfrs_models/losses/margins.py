"""By how much what is better should be ahead."""

import math


def check_margin(margin: float) -> float:
    """Returns the margin, or raises a `ValueError`."""
    if not (margin >= 0 and math.isfinite(margin)):
        raise ValueError(f"`margin` must be finite and not negative. Got {margin}.")
    return margin
