"""Tables of numbers, as people read them."""

from collections.abc import Sequence

import numpy as np


def over_seeds(values: Sequence[float]) -> str:
    """Mean and, of several seeds, the standard deviation."""
    if np.isnan(values).all():
        return "-"
    text = f"{np.mean(values):.4f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.4f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table in columns; all but the first are aligned to the right."""
    widths = [
        max(len(row[i]) for row in [header, *rows]) + 2 for i in range(len(header))
    ]
    for row in [header, *rows]:
        first, *rest = zip(row, widths, strict=True)
        print(f"  {first[0]:<{first[1]}}" + "".join(f"{c:>{w}}" for c, w in rest))
