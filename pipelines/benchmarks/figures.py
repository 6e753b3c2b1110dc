"""Plots of the results."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure


def bars(values: Mapping[str, float], *, title: str, own: str) -> Figure:
    """Draws one horizontal bar for each case, ours in another colour.

    Args:
      values: name of a case -> its value.
      title: title of the figure.
      own: prefix of the names of our cases.
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


def points(
    values: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], *, title: str
) -> Figure:
    """Draws means and standard deviations over repetitions, one panel a measure.

    Args:
      values: measure -> series, each in its own colour -> group on the horizontal axis
        -> value of each repetition.
      title: title of the figure.
    """
    figure = Figure(figsize=(3.6 * len(values), 3.6), layout="constrained")
    for axes, (measure, series) in zip(
        figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True
    ):
        for number, (name, groups) in enumerate(series.items()):
            shift = 0.2 * (number - (len(series) - 1) / 2)
            axes.errorbar(
                [position + shift for position in range(len(groups))],
                [np.mean(found) for found in groups.values()],
                [np.std(found, ddof=1) for found in groups.values()],
                fmt="o",
                capsize=3,
                label=name,
            )
            axes.set_xticks(range(len(groups)), list(groups))
        axes.set_title(measure, fontsize=10)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def over_sizes(
    sizes: Mapping[str, int],
    values: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    lines: Sequence[str],
    kinds: Sequence[str],
    title: str,
) -> Figure:
    """Draws means and standard deviations over bytes, one panel a part.

    Args:
      sizes: name of a case -> its bytes.
      values: part -> name of a case -> value of each repetition.
      lines: names of cases without a size, drawn as horizontal lines.
      kinds: prefixes of names; the cases of a prefix share a colour.
      title: title of the figure.
    """
    figure = Figure(figsize=(3.2 * len(values), 3.6), layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for axes, (part, cases) in zip(panels, values.items(), strict=True):
        for kind, colour in zip(kinds, ("#1d4ed8", "#b45309"), strict=True):
            names = [name for name in sizes if name.startswith(kind)]
            axes.errorbar(
                [sizes[name] for name in names],
                [np.mean(cases[name]) for name in names],
                [np.std(cases[name], ddof=1) for name in names],
                fmt="o",
                capsize=3,
                color=colour,
                label=kind,
            )
        for name, style in zip(lines, (":", "--"), strict=True):
            axes.axhline(np.mean(cases[name]), color="#6b7280", ls=style, label=name)
        axes.set_xscale("log")
        axes.set_xlabel("bytes")
        axes.set_title(part, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure
