"""What trends are worth: our default with and without them, over several seeds.

The data and the files are those of `pipelines.benchmarks.yardstick`.

python -m pipelines.benchmarks.trends --files movietweetings=ratings.dat
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import tyro

from pipelines import retrieval
from pipelines.benchmarks import results, yardstick
from pipelines.parts import query_towers
from pipelines.parts.artifacts import prepare_folder
from pipelines.parts.command import command
from pipelines.parts.data import DataConfig
from pipelines.parts.flags import Count, Seed
from pipelines.reporting.evaluation import MODEL, VERDICT
from tfrs_models.metrics import bootstrap_interval

VARIANTS = {"yes": "with trends", "no": "without trends"}
_INTRODUCTION = """\
NDCG@10 of `python -m pipelines.retrieval` with its defaults, and with `--trends no`:
mean ± standard deviation over seeds, which also draw equal times. The best simple
recommender is the one that is best on validation rows, for each seed. [95% bootstrap
interval over users] of the differences paired by row; a user's rows of all seeds and
cuts are averaged in one draw. Each table is measured and replaced by itself.

Command: `python -m pipelines.benchmarks.trends --files movietweetings=PATH
yoochoose=PATH groceries=PATH`.
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    files: tuple[str, ...] = ()
    """Public files: movietweetings=PATH, yoochoose=PATH, groceries=PATH."""
    data: tuple[str, ...] = ()
    """Names of the data to measure; by default MovieLens and all files."""
    splits: tuple[str, ...] = tuple(yardstick.SPLITS)
    """Splits to measure: leave_last_out, global_time."""
    folds: Count = 3
    """Number of cut points of `global_time`."""
    seeds: tuple[Seed, ...] = (42, 43, 44, 45, 46)
    """Seeds of the split, the weights and the order of the rows."""
    variants: tuple[Literal["yes", "no"], ...] = tuple(VARIANTS)
    """Whether trends enter the score: yes, no."""
    reuse: bool = False
    """Read the rows of runs that were measured before from the output folder."""
    write: bool = True
    """Replace the tables of these data in RESULTS.md."""
    output: Path = Path("artifacts/trends")
    """Folder of the runs."""


class Measured(NamedTuple):
    """NDCG@10 of the test rows of one seed; of all cuts, one after the other.

    Attributes:
      validation: the model and the best simple recommender on validation rows, `[2]`.
      model: `[num_rows]` values of the model.
      best: `[num_rows]` values of the simple recommender that is best on validation.
      users: `[num_rows]` ids of the users.
      label: name of that recommender with its parameters, of the newest cut.
      commit: commit that measured them.
    """

    validation: np.ndarray
    model: np.ndarray
    best: np.ndarray
    users: np.ndarray
    label: str
    commit: str

    def write(self, path: Path) -> None:
        """Writes the arrays of a seed."""
        results.write_rows(path, self._asdict())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the arrays of a seed."""
        stored = results.read_rows(path)
        texts = {name: str(stored[name]) for name in ("label", "commit")}
        return cls(**{**stored, **texts})


@command
def main(config: Config) -> dict:
    """Trains with and without trends, and replaces tables of the section `trends`.

    Args:
      config: flags of the benchmark.

    Returns:
      (name of the data, split) -> with trends or not -> a `Measured` for each seed.
    """
    data = {**yardstick.DATA, **yardstick.files(config.files)}
    found = {}
    for name in config.data or data:
        for split in config.splits:
            flags = dataclasses.replace(data[name], split=split)
            runs = {
                trends: [measured(config, name, flags, trends, s) for s in config.seeds]
                for trends in dict.fromkeys(("yes", *config.variants))
            }
            found[name, split] = runs
            heading, body = f"{name}, {yardstick.SPLITS[split]}", part(config, runs)
            print(f"\n{heading}\n\n{body}")
            if config.write:
                results.write_part("trends", _INTRODUCTION, heading, body)
    return found


def measured(
    config: Config, name: str, data: DataConfig, trends: str, seed: int
) -> Measured:
    """Trains and evaluates the default, beside simple recommenders.

    Args:
      config: flags of the benchmark.
      name: name of the data.
      data: flags of the data.
      trends: "yes" or "no"; without trends no simple recommender is chosen again.
      seed: seed of the split, the weights and the order of the rows.
    """
    run = f"{name.replace(' ', '_')}-{data.split}-{trends}-{seed}"
    folder = prepare_folder(config.output / run)
    written = folder / "rows.npz"
    if config.reuse and written.exists():
        return Measured.read(written)
    flags = retrieval.Config(
        data=data,
        trends=trends,
        baselines="auto" if trends == "yes" else "none",
        seed=seed,
        output=folder,
    )
    folds = config.folds if data.split == "global_time" else 1
    cuts = [
        _of_cut(retrieval.run(query_towers.resolved(flags), windows_back=back))
        for back in reversed(range(folds))
    ]
    joined = Measured(
        np.mean([cut.validation for cut in cuts], axis=0),
        *(
            np.concatenate([getattr(cut, column) for cut in cuts])
            for column in ("model", "best", "users")
        ),
        cuts[-1].label,
        cuts[-1].commit,
    )
    joined.write(written)
    return joined


def _of_cut(trained: retrieval.Trained) -> Measured:
    """Values of the test rows of one trained model."""
    evaluation, interactions = trained.evaluation, trained.data
    users = interactions.splits["test"]["user_id"][evaluation.rows]
    validation = evaluation.metrics["validation"]
    return Measured(
        np.array([validation[MODEL], validation[evaluation.best]]),
        evaluation.tables[MODEL].values(VERDICT),
        evaluation.tables[evaluation.best].values(VERDICT),
        np.array(["", *interactions.vocabularies["user_id"]])[users],
        evaluation.labels[evaluation.best],
        results.commit(),
    )


def part(config: Config, runs: dict[str, Sequence[Measured]]) -> str:
    """Formats the table of one data set and split, with a verdict.

    Args:
      config: flags of the benchmark.
      runs: with trends or not -> runs of several seeds.
    """
    best = runs["yes"]
    rows = [
        [
            VARIANTS[trends],
            _spread([run.validation[0] for run in found]),
            _spread([run.model.mean() for run in found]),
            _gain([run.model for run in found], best),
        ]
        for trends, found in runs.items()
    ]
    rows.append(
        [
            f"best simple one: {best[0].label}",
            _spread([run.validation[1] for run in best]),
            _spread([run.best.mean() for run in best]),
            "",
        ]
    )
    commits = dict.fromkeys(f"`{run.commit}`" for run in best)
    head = ["", "validation", "test", "above the best simple one"]
    return f"""\
{results.table(head, rows)}

{_verdict(best)} Of test to validation: {_ratios(best)}.
Seeds {", ".join(map(str, config.seeds))}; commit {", ".join(commits)}."""


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


def _gain(values: Sequence[np.ndarray], best: Sequence[Measured]) -> str:
    mean, low, high = _interval(values, best)
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def _interval(
    values: Sequence[np.ndarray], best: Sequence[Measured]
) -> tuple[float, float, float]:
    """Mean and interval of the differences from the best simple recommender."""
    pairs = zip(values, best, strict=True)
    differences = [model - run.best for model, run in pairs]
    users = np.concatenate([run.users for run in best])
    return bootstrap_interval(np.concatenate(differences), users)


def _verdict(best: Sequence[Measured]) -> str:
    _, low, high = _interval([run.model for run in best], best)
    if low > 0:
        return "With trends the default is ahead of the best simple recommender."
    if high < 0:
        return "With trends the default is **behind** the best simple recommender."
    return "With trends the default is level with the best simple recommender."


def _ratios(best: Sequence[Measured]) -> str:
    """How much harder the test rows are than the validation rows, for both."""
    test = np.mean([[run.model.mean(), run.best.mean()] for run in best], axis=0)
    model, simple = test / np.mean([run.validation for run in best], axis=0)
    return f"{model:.2f} for it, {simple:.2f} for the simple one"


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
