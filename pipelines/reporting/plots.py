"""Figures of the reports, in one hand."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

COLOURS = {"model": "#1d4ed8", "popularity": "#c2410c", "chance": "#6b7280"}
_STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9ca3af",
    "axes.grid": True,
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "grid.color": "#e5e7eb",
    "font.size": 10,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "tfrs_models",
}


def learning_curves(history: Mapping[str, Sequence[float]], *, monitor: str) -> Figure:
    """Loss of training and validation, and the metric that stops the training.

    Args:
      history: Keras's history: name -> one value an epoch.
      monitor: Name of the metric.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        epochs = np.arange(1, len(next(iter(history.values()))) + 1)
        for name, label, colour in (
            ("loss_per_example", "training", COLOURS["model"]),
            ("val_loss_per_example", "validation", COLOURS["popularity"]),
        ):
            if name in history:
                left.plot(epochs, history[name], "o-", ms=3, color=colour, label=label)
        left.set(title="Loss per example", xlabel="epoch")
        left.legend()
        if monitor in history:
            right.plot(epochs, history[monitor], "o-", ms=3, color=COLOURS["model"])
            best = int(np.argmax(history[monitor]))
            right.axvline(epochs[best], color=COLOURS["chance"], ls=":", lw=1)
            right.annotate(
                f"best: {history[monitor][best]:.4f}",
                (epochs[best], history[monitor][best]),
                xytext=(0, -14),
                textcoords="offset points",
                ha="center",
            )
        right.set(title="Validation NDCG@10", xlabel="epoch")
        for axes in (left, right):
            axes.xaxis.get_major_locator().set_params(integer=True)
        return figure


def hit_rate_curves(ks: Sequence[int], rates: Mapping[str, Sequence[float]]) -> Figure:
    """Hit rate over k, one line for each model.

    Args:
      ks: Places, ascending.
      rates: Name of a model -> hit rate at each of `ks`.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots()
        for name, values in rates.items():
            axes.plot(ks, values, color=COLOURS.get(name), label=name, lw=2)
        axes.set(
            xscale="log",
            xlabel="k (log scale)",
            ylabel="hit rate at k",
            xlim=(ks[0], ks[-1]),
            ylim=(0, 1),
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend(loc="upper left")
        return figure
