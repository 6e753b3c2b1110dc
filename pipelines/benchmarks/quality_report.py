"""The section `quality` of RESULTS.md."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.benchmarks import results
from pipelines.benchmarks.figures import bars
from pipelines.benchmarks.protocols import Protocol


def of_data(
    name: str,
    protocol: Protocol,
    values: Mapping[str, Mapping[str, np.ndarray]],
    *,
    own: str,
) -> str:
    """What was measured on one data set.

    Args:
      name: Of the plot.
      protocol: The data.
      values: Case -> column of the table -> `[num_seeds, num_rows]`; the plot has the
        first column.
      own: Our case.
    """
    users = protocol.measure.splits["test"]["user_id"]
    columns = list(values[own])
    rows = [
        [case, *(results.with_spread(found[column], users) for column in columns)]
        for case, found in values.items()
    ]
    figure = bars(
        {case: float(found[columns[0]].mean()) for case, found in values.items()},
        title=f"Hit rate at 100, known items excluded: {protocol.name}",
        own=own,
    )
    return f"""\
### {protocol.name}

{len(users):,} test rows, {protocol.measure.num_items:,} candidates.

{results.table(["model", *columns], rows)}

{results.save_plot(figure, f"quality_{name}")}
"""


def section(reports: Sequence[str], *, chosen: Mapping[str, object], seeds: int) -> str:
    """The whole section.

    Args:
      reports: Of the data sets.
      chosen: Data set -> what the search chose for it.
      seeds: Trainings of every case that begins at random.
    """
    settings = "\n".join(f"- {name}: `{value}`" for name, value in chosen.items())
    return f"""\
Ids only. Mean over {seeds} seeds ± standard deviation over seeds [95% bootstrap
interval over users]; popularity, chance and EASE have no seed. Chosen by validation hit
rate at 100 with `python -m pipelines.benchmarks.quality --search --datasets ml-100k
--search-seeds 1` and `--search --datasets latest-small --search-seeds 2`, one option
after the other, then trained on training and validation rows. No choice was made by
test rows. The search is uneven: six options and the epochs of ours, one each of
ALS and EASE, none of the tutorial:

{settings}

{chr(10).join(reports)}
Command: `python -m pipelines.benchmarks.quality`
"""
