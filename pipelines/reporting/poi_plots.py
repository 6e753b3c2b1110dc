"""Plots of traces on a map, and of the lags at which they repeat."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from .plots import STYLE

_COLOURS = ("#1d4ed8", "#c2410c", "#047857", "#7c3aed", "#6b7280")


def example_trace(
    features: Mapping[str, np.ndarray], hits: np.ndarray
) -> dict[str, np.ndarray] | None:
    """Picks the trace to draw with the most hits, the first of equal ones.

    Args:
      features: features of traces by name.
      hits: `[num_traces]` numbers of hits.

    Returns:
      The features of one trace with a known step and a known target; None if there is
      no such trace.
    """
    known = (features["poi_id"] > 0).any(axis=1) & (features["next_poi_id"] > 0)
    if not known.any():
        return None
    row = np.argmax(np.where(known, hits, -1))
    return {name: values[[row]] for name, values in features.items()}


def trace_map(
    coordinates: np.ndarray, trace: np.ndarray, target: int, predicted: np.ndarray
) -> Figure:
    """Draws a trace, the next check-in, and the predicted ones on a map.

    Args:
      coordinates: `[num_pois, 2]` degrees of the POIs 1, 2, ...
      trace: `[seq_len]` POIs, at least one of them known; 0 for padding.
      target: the next POI.
      predicted: `[k]` POIs, the most likely first.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 5.5), layout="constrained")
        axes = figure.subplots()
        latitude, longitude = coordinates.T
        axes.plot(longitude, latitude, ".", color="#d1d5db", ms=4, label="POIs")
        visited = trace[trace > 0] - 1
        axes.plot(
            longitude[visited],
            latitude[visited],
            "o-",
            color=_COLOURS[0],
            alpha=0.5,
            ms=5,
            lw=1,
            label="the trace",
        )
        last = visited[-1]
        axes.plot(
            longitude[last], latitude[last], "o", color=_COLOURS[0], ms=10, label="now"
        )
        best = predicted - 1
        axes.plot(
            longitude[best],
            latitude[best],
            "s",
            mfc="none",
            color=_COLOURS[1],
            ms=9,
            ls="none",
            label=f"the {len(best)} most likely",
        )
        axes.annotate(
            "1",
            (longitude[best[0]], latitude[best[0]]),
            xytext=(6, 6),
            textcoords="offset points",
            color=_COLOURS[1],
        )
        axes.plot(
            longitude[target - 1],
            latitude[target - 1],
            "*",
            color=_COLOURS[2],
            ms=14,
            ls="none",
            label="next",
        )
        axes.set(xlabel="longitude", ylabel="latitude")
        axes.set_aspect(1 / np.cos(np.radians(latitude.mean())))
        axes.legend(loc="best", fontsize=8)
        return figure


def lag_curves(
    correlations: Mapping[str, np.ndarray], periods: np.ndarray | None
) -> Figure:
    """Draws the mean correlation at every lag, in one panel for each planted period.

    Args:
      correlations: `[num_traces, seq_len]` correlations by the name of the model.
      periods: `[num_traces]` planted periods, whose multiples are marked; None if they
        are unknown.
    """
    with mpl.rc_context(STYLE):
        groups = [None] if periods is None else np.unique(periods).tolist()
        figure = Figure(figsize=(9, 2.2 * len(groups)), layout="constrained")
        panels = figure.subplots(len(groups), 1, squeeze=False, sharex=True)[:, 0]
        for axes, period in zip(panels, groups, strict=True):
            rows = slice(None) if period is None else periods == period
            for (name, correlation), colour in zip(
                correlations.items(), _COLOURS, strict=False
            ):
                curve = correlation[rows].mean(axis=0)
                lags = np.arange(1, len(curve))  # 0 is the energy of the series
                axes.plot(lags, curve[1:], "o-", ms=3, color=colour, label=name)
            if period is not None:
                for lag in range(period, len(curve), period):
                    axes.axvline(lag, color="#9ca3af", ls=":", lw=1)
                axes.set_title(f"Planted period {period}: multiples are dotted")
            axes.set_ylabel("correlation")
        panels[0].legend(loc="best", fontsize=8)
        panels[-1].set_xlabel("lag in check-ins")
        return figure
