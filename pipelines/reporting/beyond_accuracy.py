"""Part of a report beyond accuracy: what the lists show, and to whom it is of use."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import tfrs_models as tm
from tfrs_models.metrics.exposure import Exposure

from .plots import exposure_curves
from .tables import print_table

EARLIER = "earlier interactions"
_NO_ATTRIBUTES = ("item_id", "title")
# Measure -> its label, its format, and how to read it.
_LABELS = {
    "covered_users": ("users with a list", "{:.1%}", "the others get nothing"),
    "coverage": ("catalogue that is shown", "{:.1%}", "to at least one user"),
    "largest_reach": ("users whom one item reaches", "{:.1%}", "the most shown item"),
    "share_of_top_1_percent": (
        "positions that 1% of the items fill",
        "{:.1%}",
        "of all lists; the most shown items",
    ),
    "gini": ("Gini index", "{:.3f}", "0: all items shown alike, 1: one item"),
    "average_popularity": (
        "average popularity",
        "{:,.1f}",
        "users who had the recommended item",
    ),
    "novelty": ("novelty", "{:.2f}", "bits; one more: half as many users had it"),
    "diversity": ("diversity: {}", "{:.3f}", "share of a list's pairs that differ"),
    "embedding_diversity": (
        "diversity: embeddings",
        "{:.3f}",
        "1 less the cosine of a list's pairs",
    ),
    "calibration_divergence": (
        "calibration: {}",
        "{:.3f}",
        "0: the mix of the user's history; 4.6: nothing of it",
    ),
    "serendipity": ("serendipity", "{:.4f}", "hits that {simple} does not show"),
}


@dataclasses.dataclass(frozen=True)
class BeyondAccuracy:
    """Measures of the lists of a model and of the best simple recommender.

    Args:
      measures: name of a recommender -> name of a measure -> value; the last one,
        `EARLIER`, is what the users took before.
      shown: name of a recommender -> exposure of the items.
      k: length of the lists.
      most_shown: title of the item that most of the model's lists show.
    """

    measures: dict[str, dict[str, float]]
    shown: dict[str, Exposure]
    k: int
    most_shown: str

    @property
    def headline(self) -> str:
        """The concentration of the model's lists in one sentence."""
        (model, ours), (simple, theirs), *_ = self.measures.items()
        number = math.ceil(round(0.01 * (len(self.shown[model].counts) - 1), 6))
        return (
            f"“{self.most_shown}” is in the {self.k}-item lists of "
            f"{ours['largest_reach']:.0%} of the users, and 1% of the items "
            f"({number:,}) fill {ours['share_of_top_1_percent']:.0%} of all positions "
            f"({simple}: one item reaches {theirs['largest_reach']:.0%}, 1% of the "
            f"items fill {theirs['share_of_top_1_percent']:.0%}). "
            f"All lists together show {ours['coverage']:.0%} of the catalogue."
        )

    @property
    def header(self) -> list[str]:
        """Cells of the table's first row."""
        return ["", *self.measures, "how to read it"]

    @property
    def rows(self) -> list[list[str]]:
        """Cells of the table: a measure in a row, a recommender in a column."""
        names = list(self.measures)
        rows = []
        for measure, value in self.measures[names[0]].items():
            if measure == "covered_users" and value == 1:
                continue
            kind, _, attribute = measure.partition("/")
            label, style, reading = _LABELS[kind]
            values = [self.measures[name].get(measure, math.nan) for name in names]
            cells = ["-" if math.isnan(v) else style.format(v) for v in values]
            reading = reading.replace("{simple}", names[1])
            rows.append([label.format(attribute), *cells, reading])
        return rows

    @property
    def figure(self) -> Figure:
        """Share of all positions over the share of the items, most shown first."""
        curves = {name: shown.curve() for name, shown in self.shown.items()}
        return exposure_curves(curves)


def measure_lists(
    data: tm.data.Interactions,
    rows: np.ndarray,
    lists: Mapping[str, np.ndarray],
    *,
    embeddings: np.ndarray | None = None,
    split: str = "test",
) -> BeyondAccuracy:
    """Measures the lists of a model and of the best simple recommender.

    Args:
      data: interactions.
      rows: `[num_lists]` row of the split that each list answers.
      lists: name -> `[num_lists, k]` item indices: the model first, the best simple
        recommender, against which serendipity is measured, second.
      embeddings: `[num_items + 1, embedding_dim]` embeddings for the diversity of items
        without attributes.
      split: split of the rows.
    """
    users, known = data.splits[split]["user_id"][rows], data.known_items(split)
    counts = np.bincount(known.values.numpy(), minlength=data.num_items + 1)
    num_users = max(1, int((known.row_lengths().numpy() > 0).sum()))
    attributes = {
        feature.name: data.items[feature.name]
        for feature in data.item_features
        if feature.kind in ("id", "bag") and feature.name not in _NO_ATTRIBUTES
    }
    model, simple, *_ = lists
    hits = {
        "relevant": _items_of_groups(data, rows, split),
        "simple_lists": lists[simple],
    }
    measures = {
        name: tm.metrics.beyond_accuracy(
            own,
            num_items=data.num_items,
            users_per_item=counts,
            num_users=num_users,
            attributes=attributes,
            embeddings=None if attributes else embeddings,
            histories=tf.gather(known, users),
            **({} if name == simple else hits),  # which nothing of its own surprises
        )
        for name, own in lists.items()
    }
    shown = {
        name: tm.metrics.exposure(own, data.num_items) for name, own in lists.items()
    }
    if counts.any():
        earlier = shown[EARLIER] = Exposure(counts, num_users)
        measures[EARLIER] = {
            "coverage": earlier.coverage,
            "largest_reach": earlier.largest_reach,
            "share_of_top_1_percent": earlier.share_of_top(0.01),
            "gini": earlier.gini,
        }
    return BeyondAccuracy(
        measures,
        shown,
        k=lists[model].shape[1],
        most_shown=str(data.titles[shown[model].most_shown]),
    )


def print_measures(measured: BeyondAccuracy) -> None:
    """Prints the headline and the table.

    Args:
      measured: measures of the lists.
    """
    print(f"\nBeyond accuracy: {measured.headline}")
    print_table(measured.header[:-1], [row[:-1] for row in measured.rows])


def by_group(
    values: Mapping[str, np.ndarray], groups: np.ndarray, users: np.ndarray
) -> dict[str, dict]:
    """Averages a metric of several recommenders by group of users.

    Args:
      values: name of a recommender -> `[num_rows]` values of a metric.
      groups: `[num_rows]` names of the groups of the rows' users.
      users: `[num_rows]` user of each row, as `tm.data.ranking_groups` returns.

    Returns:
      Group -> `rows`, `users` and, by the recommender's name, the interval.
    """
    intervals = {
        name: tm.metrics.group_intervals(own, groups, users)
        for name, own in values.items()
    }
    return {
        group: {
            "rows": sizes.rows,
            "users": sizes.users,
            **{
                name: {
                    bound: getattr(found[group], bound)
                    for bound in ("mean", "low", "high")
                }
                for name, found in intervals.items()
            },
        }
        for group, sizes in next(iter(intervals.values())).items()
    }


def _items_of_groups(
    data: tm.data.Interactions, rows: np.ndarray, split: str
) -> list[np.ndarray]:
    """Items of the split of each row's user; of an unknown user the row's own."""
    groups = tm.data.ranking_groups(data, split)
    order = np.argsort(groups, kind="stable")
    items, ordered = data.splits[split]["item_id"][order], groups[order]
    low = np.searchsorted(ordered, groups[rows])
    high = np.searchsorted(ordered, groups[rows], "right")
    return [items[a:b] for a, b in zip(low, high, strict=True)]
