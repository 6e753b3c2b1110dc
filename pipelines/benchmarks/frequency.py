"""Cost of counting ids in a training step: python -m pipelines.benchmarks.frequency.

Times a `TwoTower` step on synthetic Zipf data in turns: with sampling probabilities in
the batch, and with `FrequencyEstimator`, which estimates them.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.benchmarks import results
from pipelines.benchmarks.timing import interleave, ratio, spread
from pipelines.parts.command import command
from pipelines.parts.flags import Seed
from tfrs_models.data import Feature


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    batch_sizes: tuple[int, ...] = (1024, 4096, 8192)
    """Numbers of rows per batch."""
    users: int = 10_000
    """Number of known users."""
    items: int = 10_000
    """Number of known items; their frequencies follow Zipf."""
    embedding_dim: int = 64
    """Number of dimensions of both towers."""
    num_buckets: int = 1_000_000
    """Number of buckets of each hash of the estimator."""
    num_hashes: int = 4
    """Number of hashes of the estimator."""
    batches: int = 8
    """Number of different batches, which are repeated."""
    rows: int = 32_768
    """Approximate number of rows that one turn trains."""
    repeats: int = 9
    """Number of turns."""
    seed: Seed = 0
    """Seed of data and weights."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    batch_sizes=(8, 16),
    users=20,
    items=30,
    embedding_dim=4,
    num_buckets=100,
    rows=32,
    repeats=1,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Times steps in turns and writes the section `frequency`."""
    figures, rows = {}, []
    for batch_size in config.batch_sizes:
        steps = max(config.rows // batch_size, 1)
        seconds = interleave(
            {
                "step": step_of(config, batch_size, steps),
                "counting step": step_of(config, batch_size, steps, count=True),
                "estimator": estimate_of(config, batch_size, steps),
            },
            repeats=config.repeats,
        )
        milliseconds = {
            name: spread([1000 * value / steps for value in values])
            for name, values in seconds.items()
        }
        whole = ratio(seconds["counting step"], seconds["step"])
        share = ratio(seconds["estimator"], seconds["step"])
        rows.append(
            [
                f"{batch_size:,}",
                f"{milliseconds['step']:.2f}",
                f"{milliseconds['counting step']:.2f}",
                f"{milliseconds['estimator']:.2f}",
                f"{whole:.3f}",
                f"{share:.1%}",
            ]
        )
        figures |= {
            f"{batch_size}: counting step / step": whole.median,
            f"{batch_size}: estimator / step": share.median,
        }
    if config.write:
        results.write_section("frequency", _report(config, rows))
    return figures


def step_of(
    config: Config, batch_size: int, steps: int, *, count: bool = False
) -> Callable[[], None]:
    """Returns training steps with given or with estimated probabilities."""
    tf.keras.utils.set_random_seed(config.seed)
    model = tm.models.TwoTower(
        *(
            tm.towers.FeatureTower([Feature(name, "id", size)], config.embedding_dim)
            for name, size in (("user_id", config.users), ("item_id", config.items))
        ),
        frequency_estimator=_estimator(config) if count else None,
    )
    model.compile(tf.keras.optimizers.Adam(0.001))
    train = tf.function(model.train_step)
    batches = _batches(config, batch_size, probability=not count)

    def run() -> None:
        for step in range(steps):
            done = train(batches[step % len(batches)])
        done["loss"].numpy()

    return run


def estimate_of(config: Config, batch_size: int, steps: int) -> Callable[[], None]:
    """Returns calls of the estimator alone, as in a training step."""
    estimator = _estimator(config)
    call = tf.function(lambda ids: estimator(ids, training=True))
    batches = _batches(config, batch_size, probability=False)

    def run() -> None:
        for step in range(steps):
            done = call(batches[step % len(batches)]["item_id"])
        done.numpy()

    return run


def _estimator(config: Config) -> tm.layers.FrequencyEstimator:
    return tm.layers.FrequencyEstimator(config.num_buckets, config.num_hashes)


def _batches(config: Config, batch_size: int, *, probability: bool) -> list[dict]:
    rng = np.random.default_rng(config.seed)
    chances = 1 / np.arange(1, config.items + 1)
    chances /= chances.sum()
    batches = []
    for _ in range(config.batches):
        items = rng.choice(config.items, size=batch_size, p=chances)
        batch = {
            "user_id": tf.constant(rng.integers(1, config.users + 1, size=batch_size)),
            "item_id": tf.constant(items + 1),
        }
        if probability:
            batch["candidate_sampling_probability"] = tf.constant(
                chances[items], tf.float32
            )
        batches.append(batch)
    return batches


def _report(config: Config, rows: list[list[str]]) -> str:
    header = [
        "batch",
        "step, ms",
        "counting step, ms",
        "estimator alone, ms",
        "counting step / step",
        "estimator / step",
    ]
    return f"""\
{config.items:,} items (Zipf), {config.users:,} users, width {config.embedding_dim},
Adam; {config.num_hashes} hashes of {config.num_buckets:,} buckets. About
{config.rows:,} rows a turn, {config.repeats} turns, traced before: medians
(lowest..highest) per step, ratios turn by turn.

{results.table(header, rows)}

Command: `python -m pipelines.benchmarks.frequency`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
