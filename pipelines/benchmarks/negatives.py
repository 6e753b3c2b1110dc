"""Corrections and sources of negatives: python -m pipelines.benchmarks.negatives.

Trains one model with one setting for each source of negatives and each correction of
their sampling.
"""

import dataclasses

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.benchmarks import results
from pipelines.benchmarks.figures import points
from pipelines.benchmarks.protocols import invented, latest_small, rank_embeddings
from pipelines.benchmarks.quality import LATEST_SMALL
from pipelines.benchmarks.two_tower import (
    Setting,
    build,
    embeddings,
    training_batches,
    validation_curve,
)
from pipelines.parts.command import command
from tfrs_models.data import Interactions, mixed_negatives
from tfrs_models.metrics import RankTable

SOURCES = ("in-batch", "+ mixed", "+ queue", "+ hard")
METRICS = {
    "ndcg_at_10": "NDCG@10",
    "hit_rate_at_10": "hit rate at 10",
    "hit_rate_at_100": "hit rate at 100",
}
CHOSEN_BY = "hit_rate_at_100"
REFERENCE = ("in-batch", "logq")
SETTING = dataclasses.replace(LATEST_SMALL.two_tower, batch_size=1024, mask_known=True)
Cell = tuple[str, str | None]


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    dataset: str = "latest-small"
    """Data set to measure on; `invented` is a small one for tests."""
    corrections: tuple[str | None, ...] = (None, "logq", "corrected_logq")
    """Corrections of every source; a report needs `logq`, the reference."""
    setting: Setting = dataclasses.field(default_factory=lambda: SETTING)
    """Setting of all cells but for the epochs, which are chosen."""
    max_epochs: int = 3
    """Largest number of epochs to choose."""
    mixed: int = 1024
    """Number of uniform draws for each batch of "+ mixed"."""
    queue: int = 2048
    """Number of candidates of earlier batches of "+ queue"."""
    warmup: int = 100
    """Number of batches before the queue is used."""
    hard: int = 100
    """Number of negatives with the largest corrected scores of "+ hard"; others are
    left out."""
    choosing_seeds: int = 2
    """Number of trainings that choose the epochs."""
    seeds: int = 5
    """Number of trainings of every cell."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    dataset="invented",
    corrections=("corrected_logq",),
    setting=Setting(embedding_dim=4, batch_size=64, mask_known=True),
    max_epochs=1,
    mixed=8,
    queue=32,
    warmup=2,
    hard=5,
    choosing_seeds=1,
    seeds=1,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Chooses the epochs, measures every cell and writes the section `negatives`."""
    protocol = invented() if config.dataset == "invented" else latest_small()
    epochs = choose_epochs(protocol.choose, config)
    setting = dataclasses.replace(config.setting, epochs=epochs)
    config = dataclasses.replace(config, setting=setting)
    print(f"{epochs} epochs", flush=True)
    cells = [(source, fix) for source in SOURCES for fix in config.corrections]
    tables = {cell: [] for cell in cells}
    for seed in range(config.seeds):
        for cell in cells:
            table = run_cell(protocol.measure, config, *cell, seed=seed)
            tables[cell].append(table)
            print(
                f"{cell}, {seed}: {table.values('ndcg_at_10').mean():.4f}", flush=True
            )
        if config.write and seed > 0:  # a spread needs two
            report = _section(config, protocol.name, protocol.measure, tables)
            results.write_section("negatives", report)
    return {
        f"{source}, {correction}: {metric}": float(_values(turns, metric).mean())
        for (source, correction), turns in tables.items()
        for metric in METRICS
    }


def choose_epochs(data: Interactions, config: Config) -> int:
    """Chooses the epochs of in-batch logQ on the validation rows, over seeds."""
    curves = [
        validation_curve(
            data,
            config.setting,
            metric=CHOSEN_BY,
            seed=seed,
            max_epochs=config.max_epochs,
        )
        for seed in range(config.choosing_seeds)
    ]
    length = min(map(len, curves))
    return int(np.mean([curve[:length] for curve in curves], axis=0).argmax()) + 1


def run_cell(
    data: Interactions,
    config: Config,
    source: str,
    correction: str | None,
    *,
    seed: int,
) -> RankTable:
    """Trains one cell and ranks the test rows, known items excluded."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    setting = config.setting
    is_mixed = source == "+ mixed"
    queue = None
    if source == "+ queue":
        queue = tm.layers.CandidateQueue(
            config.queue, setting.embedding_dim, warmup=config.warmup
        )
    task = tm.tasks.Retrieval(
        temperature=setting.temperature,
        remove_accidental_hits=True,
        correction=correction,
        num_items=data.num_items if is_mixed else None,
        num_hard_negatives=config.hard if source == "+ hard" else None,
        queue=queue,
    )
    batches = training_batches(data, setting, seed=seed)
    if is_mixed:
        batches = mixed_negatives(
            batches,
            {"item_id": data.items["item_id"]},
            config.mixed,
            candidate_probabilities=data.candidate_probabilities,
            seed=seed,
        )
    model = build(data, setting, task=task)
    model.fit(batches, epochs=setting.epochs, verbose=0)
    return rank_embeddings(*embeddings(model, data), data)


def _values(turns: list[RankTable], metric: str) -> np.ndarray:
    """Returns `[num_seeds, num_queries]` values of a metric."""
    return np.stack([table.values(metric) for table in turns])


def _section(
    config: Config,
    name: str,
    data: Interactions,
    tables: dict[Cell, list[RankTable]],
) -> str:
    users = tm.data.ranking_groups(data, "test")
    reference = _values(tables[REFERENCE], "ndcg_at_10").mean(axis=0)
    rows = []
    for (source, correction), turns in tables.items():
        of_seeds = [_values(turns, metric).mean(axis=1) for metric in METRICS]
        cells = [f"{v.mean():.4f} ± {v.std(ddof=1):.4f}" for v in of_seeds]
        gain = _values(turns, "ndcg_at_10").mean(axis=0) - reference
        paired = results.gain(gain, users)
        if (source, correction) == REFERENCE:
            paired = "reference"
        rows.append([source, correction, *cells, paired])
    figure = points(
        {
            label: {
                str(correction): {
                    source: _values(tables[source, correction], metric).mean(axis=1)
                    for source in SOURCES
                }
                for correction in config.corrections
            }
            for metric, label in METRICS.items()
        },
        title=f"Corrections and sources of negatives: {name}",
    )
    header = ["negatives", "correction", *METRICS.values()]
    header.append(f"NDCG@10 less that of {', '.join(REFERENCE)}")
    return f"""\
{name}: {len(users):,} test rows, {data.num_items:,} candidates. Towers over ids;
accidental hits and what else the user trained on are no negatives; known items are
excluded from the ranks. Mean over {len(tables[REFERENCE])} seeds ± standard deviation
over seeds; the last column is paired by test row, with its 95% bootstrap interval over
users.

- in-batch: the other positives of the batch.
- \\+ mixed: and {config.mixed:,} uniform draws from the catalogue
  (`data.mixed_negatives`).
- \\+ queue: and {config.queue:,} candidates of earlier batches, after
  {config.warmup} batches (`layers.CandidateQueue`).
- \\+ hard: of the in-batch ones only the {config.hard} with the largest corrected
  scores (`num_hard_negatives`).

One setting for all cells, which favours the one that it was found for: it is that of
`quality`, chosen with in-batch logQ, but for the batch size and the mask; the epochs
are the best of in-batch logQ by validation {METRICS[CHOSEN_BY]}
({config.choosing_seeds} seeds, at most {config.max_epochs}). Then all train on
training and validation rows: `{config.setting}`

{results.table(header, rows)}

{results.save_plot(figure, "negatives")}

Command: `python -m pipelines.benchmarks.negatives`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
