"""Figures of the reports, in one style."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"model": "#1d4ed8", "popularity": "#c2410c", "chance": "#6b7280"}
STYLE = {
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


def learning_curves(
    history: Mapping[str, Sequence[float]],
    *,
    monitor: str,
    title: str = "Validation NDCG@10",
) -> Figure:
    """Draws training and validation loss, and the metric that stops the training.

    Args:
      history: Keras's history, name -> one value for each epoch.
      monitor: name of the metric that stops the training.
      title: title of its panel.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        epochs = np.arange(1, len(next(iter(history.values()))) + 1)
        _draw_losses(left, history)
        if monitor in history:
            right.plot(epochs, history[monitor], "o-", ms=3, color=COLOURS["model"])
            best = int(np.argmax(history[monitor]))
            right.axvline(epochs[best], color=COLOURS["chance"], ls=":", lw=1)
            right.annotate(
                f"best: {history[monitor][best]:.4f}",
                (epochs[best], history[monitor][best]),
                xytext=(-6 if best else 6, -4),
                textcoords="offset points",
                ha="right" if best else "left",
                va="top",
            )
        right.set(title=title, xlabel="epoch")
        right.xaxis.get_major_locator().set_params(integer=True)
        return figure


def hit_rate_curves(ks: Sequence[int], rates: Mapping[str, Sequence[float]]) -> Figure:
    """Draws the hit rate over k, one line for each model.

    Args:
      ks: values of k, ascending.
      rates: name of a model -> hit rate at each of `ks`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots()
        for name, values in rates.items():
            width = 2.5 if name == "model" else 1.5
            axes.plot(ks, values, color=COLOURS.get(name), label=name, lw=width)
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


def exposure_curves(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draws the share of all positions over the share of the items that fill them.

    Args:
      curves: name of a recommender -> shares of the catalogue, most shown items first,
        and shares of the positions that they fill; the model is the first.
    """
    colours = dict(zip(curves, COLOURS.values(), strict=False))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0.01, color=COLOURS["chance"], ls=":", lw=1)
        for name, (share, filled) in curves.items():
            top = filled[np.searchsorted(share, 0.01 - 1e-9)]
            label = f"{name}: 1% fill {top:.0%}"
            axes.plot(share, filled, color=colours.get(name), lw=2, label=label)
        axes.set(
            xscale="log",
            xlabel="share of the catalogue, the most shown items first (log scale)",
            ylabel="share of all positions",
            ylim=(0, 1),
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.legend(loc="lower right")
        return figure


def task_curves(
    history: Mapping[str, Sequence[float]], task_names: Sequence[str]
) -> Figure:
    """Draws AUC and log loss of each task over the epochs of training and validation.

    Args:
      history: Keras's history, name -> one value for each epoch.
      task_names: names of the tasks, one column of panels each.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        axes = figure.subplots(2, len(task_names), sharex=True, squeeze=False)
        for column, task in enumerate(task_names):
            for row, (name, label) in enumerate(
                (("auc", "AUC"), ("log_loss", "log loss"))
            ):
                _draw_curves(axes[row, column], history, f"{task}/{name}")
                axes[row, column].set(title=f"{task}: {label}")
            axes[1, column].set(xlabel="epoch")
            axes[1, column].xaxis.get_major_locator().set_params(integer=True)
        axes[0, 0].legend()
        return figure


def reliability(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> Figure:
    """Draws the observed rate over the predicted probability, areas by number of rows.

    Args:
      curves: name -> weight, mean prediction and observed rate of each bin.
    """
    columns = min(4, len(curves))
    lines = -(-len(curves) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.4 + 2.9 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis in axes[len(curves) :]:
            axis.remove()
        for axis, (task, (weight, predicted, observed)) in zip(
            axes, curves.items(), strict=False
        ):
            some = weight > 0
            axis.plot([0, 1], [0, 1], ":", color=COLOURS["chance"], lw=1)
            axis.plot(predicted[some], observed[some], color=COLOURS["model"], lw=1)
            axis.scatter(
                predicted[some],
                observed[some],
                s=4 + 200 * weight[some] / weight.sum(),
                color=COLOURS["model"],
            )
            axis.set(
                title=task, xlabel="predicted", xlim=(0, 1), ylim=(0, 1), aspect="equal"
            )
        axes[0].set(ylabel="observed")
        return figure


def by_activity(
    activity: np.ndarray, weights: np.ndarray, names: Sequence[str], *, bins: int
) -> Figure:
    """Draws the mean weight of a mixture's towers over the number of earlier rows.

    Args:
      activity: `[num_rows]` number of earlier rows of the user.
      weights: `[num_rows, num_towers]` weights, which sum to 1 in each row.
      names: names of the towers.
      bins: number of bins with the same number of rows.
    """
    edges = np.unique(np.quantile(activity, np.linspace(0, 1, bins + 1)))
    part = np.clip(np.searchsorted(edges, activity, "right") - 1, 0, len(edges) - 2)
    part = np.maximum(part, 0)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.3), layout="constrained")
        axes = figure.subplots()
        present = np.unique(part)
        middle = [np.median(activity[part == p]) for p in present]
        for tower, name in enumerate(names):
            columns = [weights[part == p, tower] for p in present]
            mean = np.array([c.mean() for c in columns])
            error = np.array([c.std() for c in columns])
            (line,) = axes.plot(middle, mean, "o-", ms=4, label=name)
            axes.fill_between(
                middle, mean - error, mean + error, alpha=0.15, color=line.get_color()
            )
        axes.set(
            xscale="symlog",
            xlabel="earlier rows of the user (log scale)",
            ylabel="mean weight, ± one standard deviation",
            ylim=(0, 1),
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend()
        return figure


def cohort_usage(usage: Mapping[str, np.ndarray]) -> Figure:
    """Draws the share of the rows in each cohort, the largest first.

    Args:
      usage: name of a model -> `[num_cohorts]` shares.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.8), layout="constrained")
        axes = figure.subplots(1, len(usage), squeeze=False, sharey=True)[0]
        for axis, (name, shares) in zip(axes, usage.items(), strict=True):
            numbers = np.arange(1, len(shares) + 1)
            axis.bar(numbers, np.sort(shares)[::-1], color=COLOURS["model"])
            axis.axhline(1 / len(shares), color=COLOURS["chance"], ls=":", lw=1)
            axis.set(title=name, xlabel="cohort, by use")
        axes[0].set(ylabel="share of the test rows")
        return figure


def side_by_side(values: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draws a point for each training, a row for each model, a panel for each metric.

    Args:
      values: name of a metric -> name of a model -> one value for each training.
    """
    with mpl.rc_context(STYLE):
        models = list(next(iter(values.values())))
        size = (9, 1.2 + 0.35 * len(models))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(values), squeeze=False, sharey=True)[0]
        for axis, (name, of_models) in zip(axes, values.items(), strict=True):
            for line, model in enumerate(models):
                seeds = of_models[model]
                spots = [line] * len(seeds)
                axis.plot(seeds, spots, "o", ms=4, alpha=0.5, color=COLOURS["model"])
                axis.plot(np.mean(seeds), line, "|", ms=16, color=COLOURS["model"])
            axis.set(title=name, yticks=range(len(models)), yticklabels=models)
            axis.margins(y=0.2)
        axes[0].invert_yaxis()
        return figure


def losses(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draws the loss per example of training and validation over the epochs.

    Args:
      history: Keras's history, name -> one value for each epoch.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6, 3), layout="constrained")
        _draw_losses(figure.subplots(), history)
        return figure


def _draw_losses(axes: Axes, history: Mapping[str, Sequence[float]]) -> None:
    _draw_curves(axes, history, "loss_per_example")
    axes.set(title="Loss per example", xlabel="epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()


def _draw_curves(axes: Axes, history: Mapping[str, Sequence[float]], name: str) -> None:
    """Draws a metric of training and, if there is one, of validation."""
    for prefix, kind, colour in (
        ("", "training", COLOURS["model"]),
        ("val_", "validation", COLOURS["popularity"]),
    ):
        values = history.get(f"{prefix}{name}", ())
        if len(values):
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, values, "o-", ms=3, color=colour, label=kind)


def click_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draws loss per pair, share of ordered pairs and shift over the epochs.

    Args:
      history: Keras's history, name -> one value for each epoch.
    """
    panels = {
        "loss_per_pair": "Loss of a pair",
        "pair_accuracy": "Pairs in the right order",
        "not_irrelevant_dist_shift": "Shift of what was clicked",
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3), layout="constrained")
        for axis, (name, title) in zip(
            figure.subplots(1, len(panels)), panels.items(), strict=True
        ):
            _draw_curves(axis, history, name)
            axis.set(title=title, xlabel="epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
        return figure


def gap_histogram(gaps: Mapping[str, np.ndarray]) -> Figure:
    """Draws a histogram of the gaps of pairs, one outline for each name.

    Args:
      gaps: name -> `[num_pairs]` gaps, positive if the pair is in the right order.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3), layout="constrained")
        axes = figure.subplots()
        values = np.concatenate(list(gaps.values()))
        edges = np.linspace(values.min(), values.max(), 80)
        for (name, own), colour in zip(
            gaps.items(), (COLOURS["chance"], COLOURS["model"]), strict=True
        ):
            share = np.mean(own > 0)
            axes.hist(
                own,
                edges,
                histtype="step",
                lw=1.6,
                color=colour,
                label=f"{name}: {share:.1%} in the right order",
            )
        axes.axvline(0, color=COLOURS["chance"], ls=":", lw=1)
        axes.set(xlabel="gap", ylabel="pairs")
        axes.legend()
        return figure


def attention_map(
    weights: np.ndarray, labels: Sequence[str], *, is_search: Sequence[bool]
) -> Figure:
    """Draws the attention weights between the events of a history, oldest first.

    Args:
      weights: `[num_events, num_events]` weights, one row for each querying event.
      labels: names of the events.
      is_search: `[num_events]` whether an event is a search.
    """
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(7.5, 6.5), layout="constrained")
        axis = figure.subplots()
        image = axis.imshow(weights, cmap="Blues", vmin=0)
        figure.colorbar(image, ax=axis, shrink=0.7, label="attention")
        ticks = range(len(labels))
        axis.set(xticks=ticks, yticks=ticks, ylabel="looks ...", xlabel="... at")
        axis.set_xticklabels(labels, rotation=90, fontsize=7)
        axis.set_yticklabels(labels, fontsize=7)
        for event, search in enumerate(is_search):
            colour = COLOURS["popularity" if search else "model"]
            axis.get_xticklabels()[event].set_color(colour)
            axis.get_yticklabels()[event].set_color(colour)
        return figure
