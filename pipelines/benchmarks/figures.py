"""Pictures of the results."""

from collections.abc import Mapping

from matplotlib.figure import Figure


def bars(values: Mapping[str, float], *, title: str, own: str) -> Figure:
    """One horizontal bar for each case, ours in another colour.

    Args:
      values: Name of the case -> its value.
      title: What the values are.
      own: Names that begin so are ours.
    """
    figure = Figure(figsize=(8, 0.8 + 0.36 * len(values)), layout="constrained")
    axes = figure.subplots()
    colours = ["#1d4ed8" if name.startswith(own) else "#9ca3af" for name in values]
    drawn = axes.barh(list(values), list(values.values()), color=colours)
    largest = max(values.values())
    axes.bar_label(drawn, fmt="{:,.3g}" if largest < 10 else "{:,.0f}", padding=3)
    figure.suptitle(title, fontsize=11)
    axes.set_xlim(0, largest * 1.15)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return figure
