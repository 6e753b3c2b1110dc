"""What trends are worth: our default with and without them, over several seeds.

The data and the files are those of `pipelines.benchmarks.yardstick`.

python -m pipelines.benchmarks.trends --files movietweetings=ratings.dat
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from pipelines import retrieval
from pipelines.benchmarks import results, yardstick
from pipelines.parts import query_towers
from pipelines.parts.artifacts import prepare_folder
from pipelines.parts.command import command
from pipelines.parts.data import DataConfig
from pipelines.parts.flags import Count
from pipelines.reporting.evaluation import MODEL, VERDICT

VARIANTS = ("yes", "no")


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    files: tuple[str, ...] = ()
    """Public files: movietweetings=PATH, yoochoose=PATH, groceries=PATH."""
    data: tuple[str, ...] = ()
    """Names of the data to measure; by default MovieLens and all files."""
    seeds: Count = 5
    """Number of seeds of the split, the weights and the order of the rows."""
    write: bool = True
    """Write the section to RESULTS.md."""
    output: Path = Path("artifacts/trends")
    """Folder of the runs."""


class Measured(NamedTuple):
    """NDCG@10 of the test rows of one run.

    Attributes:
      validation: mean of the model on validation rows.
      values: name of a recommender -> `[num_rows]` values.
      users: `[num_rows]` ids of the users.
      best: name of the simple recommender that is best on validation rows.
      label: its name with the parameters.
    """

    validation: float
    values: Mapping[str, np.ndarray]
    users: np.ndarray
    best: str
    label: str


@command
def main(config: Config) -> dict:
    """Trains with and without trends and writes the section `trends`.

    Args:
      config: flags of the benchmark.

    Returns:
      (name of the data, with trends or not) -> a `Measured` for each seed.
    """
    data = {**yardstick.DATA, **yardstick.files(config.files)}
    found = {
        (name, trends): [
            measured(config, data[name], trends, seed)
            for seed in range(42, 42 + config.seeds)
        ]
        for name in config.data or data
        for trends in VARIANTS
    }
    text = section(found)
    print(text)
    if config.write:
        results.write_section("trends", text)
    return found


def measured(config: Config, data: DataConfig, trends: str, seed: int) -> Measured:
    """Trains and evaluates the default, beside simple recommenders.

    Args:
      config: flags of the benchmark.
      data: flags of the data.
      trends: "yes" or "no"; without trends no simple recommender is chosen again.
      seed: seed of the split, the weights and the order of the rows.
    """
    flags = retrieval.Config(
        data=data,
        trends=trends,
        baselines="auto" if trends == "yes" else "none",
        seed=seed,
        output=prepare_folder(config.output / trends),
    )
    trained = retrieval.run(query_towers.resolved(flags))
    evaluation, interactions = trained.evaluation, trained.data
    users = interactions.splits["test"]["user_id"][evaluation.rows]
    return Measured(
        evaluation.metrics["validation"][MODEL],
        {
            name: evaluation.tables[name].values(VERDICT)
            for name in (MODEL, evaluation.best)
        },
        np.array(["", *interactions.vocabularies["user_id"]])[users],
        evaluation.best,
        evaluation.labels[evaluation.best],
    )


def section(found: Mapping[tuple[str, str], Sequence[Measured]]) -> str:
    """Formats the section of RESULTS.md.

    Args:
      found: (name of the data, with trends or not) -> runs of several seeds.
    """
    rows = []
    for name in dict.fromkeys(name for name, _ in found):
        for trends in VARIANTS:
            runs = found[name, trends]
            rows.append(
                [
                    name,
                    f"with{'' if trends == 'yes' else 'out'} trends",
                    _spread([run.validation for run in runs]),
                    _spread([run.values[MODEL].mean() for run in runs]),
                    _gain(runs) if trends == "yes" else "",
                ]
            )
        best = found[name, "yes"]
        rows.append(
            [
                name,
                f"best simple one: {best[0].label}",
                "",
                _spread([run.values[run.best].mean() for run in best]),
                "",
            ]
        )
    head = ["data", "recommender", "validation", "test", "above the best simple one"]
    number = len(next(iter(found.values())))
    return f"""\
NDCG@10 of `python -m pipelines.retrieval` with its defaults, and with `--trends no`, on
each user's last row: mean ± standard deviation over {number} seeds, which also draw
equal times. The best simple recommender is the one that is best on validation rows, for
each seed. [95% bootstrap interval over users] of the differences paired by row.

{results.table(head, rows)}
"""


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


def _gain(runs: Sequence[Measured]) -> str:
    differences = [run.values[MODEL] - run.values[run.best] for run in runs]
    users = np.concatenate([run.users for run in runs])
    return results.gain(np.concatenate(differences), users)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
