"""Prints and shows models over fields beside the tutorial and the mean rating."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import tfrs_models as tm

from ..parts.field_ranking import Scored
from . import plots
from .page import render
from .tables import over_seeds, print_table


def print_runs(runs: Mapping[str, Sequence[Scored]]) -> None:
    """Prints the models side by side, each over its seeds."""
    print_table(*table(runs))


def table(
    runs: Mapping[str, Sequence[Scored]],
) -> tuple[list[str], list[list[str]]]:
    """Header of a table and one row for each model, over its seeds."""
    figures = list(next(iter(runs.values()))[0].figures)
    rows = [
        [
            name,
            *(over_seeds([run.figures[figure] for run in same]) for figure in figures),
        ]
        for name, same in runs.items()
    ]
    return ["", *figures], rows


def write_report(
    target: Path,
    *,
    run: str,
    config: object,
    data: tm.data.Interactions,
    runs: Mapping[str, Sequence[Scored]],
) -> Path:
    """Writes the page of the comparison.

    Args:
      target: path of the page.
      run: identity of the run.
      config: flags of `pipelines.ranking`.
      data: interactions with ratings.
      runs: name of a model -> its runs over seeds; `config.model` is among them.
    """
    header, rows = table(runs)
    trained = runs[config.model]
    return render(
        "field_ranking.html",
        target,
        run=run,
        config=dataclasses.asdict(config),
        data=data,
        header=header,
        rows=rows,
        num_seeds=len(trained),
        curves=plots.losses(trained[0].history),
    )
