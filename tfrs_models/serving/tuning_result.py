"""The result of tuning an index: recall, latency and the chosen setting."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfrs_models._files import written_whole
from tfrs_models.metrics.bootstrap import Interval

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes

_COLUMNS = ("recall", "interval", "one query, ms", "batch, ms")


class Setting(NamedTuple):
    """The recall and latency of one setting of the index.

    Attributes:
      values: attribute of the index -> its value; empty for exact search.
      recall: mean recall on the choosing queries, with its interval over queries.
      single: median seconds for one query.
      batch: median seconds for a batch.
    """

    values: Mapping[str, int]
    recall: Interval
    single: float
    batch: float

    def __str__(self) -> str:
        names = (f"{name}={value}" for name, value in self.values.items())
        return ", ".join(names) or "exact search"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """The recall-latency curve of an index, and the setting that was chosen.

    Attributes:
      curve: all settings that were timed, cheap ones first.
      chosen: cheapest setting whose interval of the recall lies above the target; if
        there is none, the setting with the highest recall.
      reached: whether there is one, and its mean recall on the confirming queries
        reaches the target too.
      confirmed: recall of `chosen` on the confirming queries, which are held out.
      exact: exact search, timed in the same turns.
      recall_target: recall that was required.
      k: number of candidates for each query.
      batch_size: number of queries in a batch.
      for_batches: whether the cost of a setting is its time for a batch.
      num_queries: numbers of the choosing and of the confirming queries.
    """

    curve: tuple[Setting, ...]
    chosen: Setting
    reached: bool
    confirmed: Interval
    exact: Setting
    recall_target: float
    k: int
    batch_size: int
    for_batches: bool
    num_queries: tuple[int, int]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings before the index is served; usually empty."""
        lines = []
        if not self.reached:
            lines.append(
                f"No setting reaches a recall@{self.k} of {self.recall_target:g} on "
                f"these queries. The best, `{self.chosen}`, has "
                f"{_recall(self.confirmed)} on the queries it was not chosen by. Serve "
                "`layers.BruteForce`, ask for less, or build the index anew (`ScaNN` "
                "with `num_reordering_candidates`)."
            )
        for name, seconds, exact in (
            ("one query", self.chosen.single, self.exact.single),
            (f"a batch of {self.batch_size}", self.chosen.batch, self.exact.batch),
        ):
            if seconds >= exact:
                lines.append(
                    f"Exact search is faster for {name}: {exact * 1e3:.3g} ms, where "
                    f"`{self.chosen}` needs {seconds * 1e3:.3g} ms. Serve "
                    "`layers.BruteForce` where that matters."
                )
        return tuple(lines)

    @property
    def front(self) -> tuple[Setting, ...]:
        """The chosen setting, and those with a higher recall than all cheaper ones."""
        best, kept = -1.0, []
        for setting in sorted(self.curve, key=self._cost):
            if setting.recall.mean > best or setting is self.chosen:
                best = max(best, setting.recall.mean)
                kept.append(setting)
        return tuple(kept)

    def plot(self, target: "str | os.PathLike | Axes") -> "Axes":
        """Draws recall over latency, for one query and per query of a batch.

        Args:
          target: path of a file to write, or axes to draw on.

        Returns:
          The axes.
        """
        from matplotlib.figure import Figure

        axes = target
        if not hasattr(target, "plot"):
            figure = Figure(figsize=(7, 4.2), layout="constrained")
            axes = figure.subplots()
        for label, colour, time in (
            ("one query", "#1d4ed8", lambda s: s.single),
            (
                f"each of {self.batch_size}",
                "#c2410c",
                lambda s: s.batch / self.batch_size,
            ),
        ):
            curve = sorted(self.curve, key=time)
            times = [time(s) * 1e3 for s in curve]
            axes.plot(times, [s.recall.mean for s in curve], ".", color=colour)
            best, front = -1.0, []
            for setting, milliseconds in zip(curve, times, strict=True):
                if setting.recall.mean > best:
                    best = setting.recall.mean
                    front.append((milliseconds, best))
            axes.plot(*zip(*front, strict=True), color=colour, label=label)
            axes.plot(
                time(self.chosen) * 1e3, self.chosen.recall.mean, "o", color=colour
            )
            axes.axvline(time(self.exact) * 1e3, color=colour, ls=":", lw=1)
        axes.axhline(self.recall_target, color="#6b7280", ls="--", lw=1)
        axes.set_title(f"Chosen: {self.chosen}. Dotted: exact search", fontsize=9)
        axes.set(
            xscale="log",
            xlabel="milliseconds",
            ylabel=f"recall@{self.k}",
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        if axes is not target:
            with written_whole(Path(target)) as unfinished:
                figure.savefig(unfinished, dpi=110)
        return axes

    def _cost(self, setting: Setting) -> float:
        return setting.batch if self.for_batches else setting.single

    def __str__(self) -> str:
        rows = [("", "setting", *_COLUMNS)]
        for setting in (*self.front, self.exact):
            mean, low, high = setting.recall
            rows.append(
                (
                    ">" if setting is self.chosen else "",
                    str(setting),
                    f"{mean:.4f}",
                    f"[{low:.4f}, {high:.4f}]",
                    f"{setting.single * 1e3:.3f}",
                    f"{setting.batch * 1e3:.3f}",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = "\n".join(
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )
        choosing, confirming = self.num_queries
        verdict = "reached" if self.reached else "NOT REACHED"
        lines = [
            f"recall@{self.k} of {choosing} queries, batches of {self.batch_size}; the "
            f"best of {len(self.curve)} settings for "
            f"{'batches' if self.for_batches else 'one query'}",
            table,
            f"target {self.recall_target:g} {verdict} with {self.chosen}: "
            f"{_recall(self.confirmed)} on {confirming} other queries",
            *self.warnings,
        ]
        return "\n".join(lines)


def _recall(interval: Interval) -> str:
    return f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
