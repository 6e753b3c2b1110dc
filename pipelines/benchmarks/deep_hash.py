"""Memory and quality of user embeddings: python -m pipelines.benchmarks.deep_hash.

Counts the bytes of tables and deep hashes for 10^8 users, and compares how well they
learn the tastes of 10^6 users in synthetic clicks.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from pipelines.benchmarks import figures, results
from pipelines.benchmarks.planted_tastes import SLICES, TasteModel, make_clicks
from pipelines.benchmarks.timing import interleave, spread
from pipelines.parts.command import command
from pipelines.parts.flags import Seed

_ADAM = 3  # a weight and its two moments
NOBODY, PLANTED = "no user tower", "the planted probability"
_CONCLUSION = """\
Nothing ties one taste to another here, so a tower can only remember, and at equal
bytes a deep hash remembers less than a table whose buckets are shared, in steps that
take many times longer. For the tail neither helps: there both are below a model that
knows no user, and only a row for each user is clearly above it. So where memory allows
a table, take the table. What a deep hash offers is a size that does not grow with the
ids, and no two users with one vector."""


class Case(NamedTuple):
    """A user tower with its best learning rate."""

    make: Callable[[], tf.keras.layers.Layer | None]
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    many_users: int = 10**8
    """Number of users whose bytes are counted."""
    served_dim: int = 64
    """Number of dimensions of the towers whose bytes are counted."""
    served_buckets: tuple[int, ...] = (10**4, 10**5, 10**6)
    """Numbers of buckets of hashed tables whose bytes are counted."""
    served_hashes: tuple[int, ...] = (128, 256, 512, 1024)
    """Numbers of hashes of deep hashes whose bytes are counted."""
    users: int = 10**6
    """Number of users of the clicks."""
    rows: int = 2_000_000
    """Number of clicks for training."""
    test_rows: int = 300_000
    """Number of clicks for the test; those of users without a training row are left
    out."""
    taste_dim: int = 4
    """Number of dimensions of the tastes and of the tables."""
    buckets: tuple[int, ...] = (10**4, 10**5, 10**6)
    """Numbers of buckets of the trained tables."""
    deep_hashes: tuple[tuple[int, int, float], ...] = (
        (128, 90, 0.003),
        (256, 330, 0.001),
    )
    """Hashes, layer width and learning rate of the trained deep hashes, which have
    about the bytes of the first two tables."""
    table_rate: float = 0.03
    """Learning rate of the tables."""
    epochs: int = 1
    """Number of epochs over all clicks."""
    batch_size: int = 8192
    """Rows per batch."""
    seeds: tuple[Seed, ...] = (0, 1, 2)
    """Seeds of clicks and weights."""
    steps: int = 4
    """Training steps of a turn."""
    repeats: int = 7
    """Number of turns."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    many_users=1000,
    served_dim=4,
    served_buckets=(10,),
    served_hashes=(8,),
    users=50,
    rows=2000,
    test_rows=2000,
    buckets=(10, 20),
    deep_hashes=((8, 4, 0.01), (8, 8, 0.01)),
    batch_size=256,
    seeds=(0,),
    steps=1,
    repeats=1,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Counts bytes, trains every case with every seed, writes the section."""
    served = served_bytes(config)
    quality = {}
    for seed in config.seeds:
        for name, by_slice in measure(config, seed=seed).items():
            print(f"seed {seed}: {name}: {by_slice}", flush=True)
            for part, values in by_slice.items():
                quality.setdefault(name, {}).setdefault(part, []).append(values)
    seconds = step_seconds(config)
    if config.write:
        results.write_section(
            "deep_hash", _report(config, served=served, quality=quality, times=seconds)
        )
    return {f"bytes: {name}": float(size) for name, (size, _) in served.items()} | {
        f"AUC, {part}: {name}": float(np.mean([auc for auc, _ in values]))
        for name, parts in quality.items()
        for part, values in parts.items()
    }


def served_bytes(config: Config) -> dict[str, tuple[int, int]]:
    """Returns case -> bytes of all and of trainable weights, for many users."""
    dim = config.served_dim
    towers = {
        f"UserId, {rows:,} rows": partial(tm.towers.UserId, rows, dim)
        for rows in (config.many_users, *config.served_buckets)
    } | {
        f"DeepHash, {k:,} hashes": partial(tm.towers.DeepHash, dim, num_hashes=k)
        for k in config.served_hashes
    }
    return {name: bytes_of(make) for name, make in towers.items()}


def bytes_of(make: Callable[[], tf.keras.layers.Layer]) -> tuple[int, int]:
    """Counts the bytes of all weights of a tower, and of the trainable ones.

    The tower is built in a graph that never runs, which allocates nothing.

    Args:
      make: function that builds the tower.
    """
    with tf.Graph().as_default():
        tower = make()

    def total(weights: list[tf.Variable]) -> int:
        return sum(w.shape.num_elements() * w.dtype.size for w in weights)

    return total(tower.weights), total(tower.trainable_weights)


def cases(config: Config) -> dict[str, Case]:
    """Returns the towers of the comparison, and None for no user tower."""
    dim, rate = config.taste_dim, config.table_rate
    found = {NOBODY: Case(lambda: None, rate)}
    for k, width, own_rate in config.deep_hashes:
        found[f"DeepHash, {k:,} hashes, width {width:,}"] = Case(
            partial(tm.towers.DeepHash, width, num_hashes=k), own_rate
        )
    for rows in config.buckets:
        found[f"UserId, {rows:,} buckets"] = Case(
            partial(tm.towers.UserId, rows, dim), rate
        )
    found["UserId, a row for each user"] = Case(
        partial(tm.towers.UserId, config.users, dim, feature="user_number"), rate
    )
    return found


def measure(config: Config, *, seed: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Returns case -> slice -> AUC and log loss on test rows."""
    clicks = make_clicks(
        config.users,
        rows=config.rows,
        test_rows=config.test_rows,
        taste_dim=config.taste_dim,
        seed=seed,
    )
    found = {PLANTED: clicks.judge(clicks.test_logits)}
    for name, case in cases(config).items():
        tf.keras.backend.clear_session()
        model = _compiled(case, seed=seed)
        train = tf.data.Dataset.from_tensor_slices(clicks.train)
        model.fit(
            train.batch(config.batch_size).prefetch(2), epochs=config.epochs, verbose=0
        )
        found[name] = clicks.judge(model.predict(clicks.test, 8192, verbose=0))
    return found


def step_seconds(config: Config) -> dict[str, list[float]]:
    """Returns case -> seconds of a training step, all cases in turns."""
    clicks = make_clicks(
        config.users,
        rows=config.batch_size,
        test_rows=config.batch_size,
        taste_dim=config.taste_dim,
        seed=config.seeds[0],
    )
    batch = {name: tf.constant(column) for name, column in clicks.train.items()}
    runs = {
        name: _steps_of(config, case, batch) for name, case in cases(config).items()
    }
    seconds = interleave(runs, repeats=config.repeats)
    return {
        name: [value / config.steps for value in values]
        for name, values in seconds.items()
    }


def _steps_of(
    config: Config, case: Case, batch: dict[str, tf.Tensor]
) -> Callable[[], None]:
    model = _compiled(case, seed=config.seeds[0])
    train = tf.function(model.train_step)

    def run() -> None:
        for _ in range(config.steps):
            done = train(batch)
        done["loss"].numpy()

    return run


def _compiled(case: Case, *, seed: int) -> TasteModel:
    tf.keras.utils.set_random_seed(seed)
    model = TasteModel(case.make())
    model.compile(tf.keras.optimizers.Adam(case.learning_rate))
    return model


def _report(
    config: Config,
    *,
    served: dict[str, tuple[int, int]],
    quality: dict[str, dict[str, list[tuple[float, float]]]],
    times: dict[str, list[float]],
) -> str:
    sizes = {
        name: bytes_of(case.make)[0]
        for name, case in cases(config).items()
        if name != NOBODY
    }
    largest = served[f"UserId, {config.many_users:,} rows"][0]
    memory = [
        [
            name,
            _size(size),
            _size(size + (_ADAM - 1) * trained),
            f"{largest / size:,.0f}",
        ]
        for name, (size, trained) in served.items()
    ]
    rows = [
        [
            name,
            _size(sizes[name]) if name in sizes else "0",
            *(_mean([auc for auc, _ in parts[part]]) for part in SLICES),
            _mean([loss for _, loss in parts["all"]]),
            f"{spread([1000 * s for s in times[name]]):,.0f}" if name in times else "",
        ]
        for name, parts in quality.items()
    ]
    head = [
        "case",
        "bytes",
        *(f"AUC, {part}" for part in SLICES),
        "log loss, all",
        "ms a step",
    ]
    aucs = {
        part: {name: [auc for auc, _ in parts[part]] for name, parts in quality.items()}
        for part in SLICES
    }
    plot = results.save_plot(
        figures.over_sizes(
            sizes,
            aucs,
            lines=(PLANTED, NOBODY),
            kinds=("DeepHash", "UserId"),
            title="AUC on rows of known users",
        ),
        "deep_hash",
    )
    rates = ", ".join(f"{case.learning_rate:g}" for case in cases(config).values())
    return f"""\
### Bytes for {config.many_users:,} users

Width {config.served_dim}, float32; counted from the weights of the layers, which are
not allocated. A `DeepHash` holds its dense layers and the constants of its hashes
(int64, not trained): how many users there are does not enter.

{results.table(["tower", "weights", "with Adam's moments", "times smaller"], memory)}

### Remembering {config.users:,} users

Every user has a taste of {config.taste_dim} normal numbers of their own beside what all
users like; the label of a row is drawn by the product of taste and item features. Users
are drawn by Zipf, their ids are spread over 2^62 and taken modulo the buckets.
{config.rows:,} rows to learn from, {config.epochs} time(s), batches of
{config.batch_size:,}, Adam with the better of two rates on another seed ({rates}, in
the order of the cases). Tables have width {config.taste_dim}, as wide as the tastes.
Judged on other rows of users who have a row to learn from: head, torso and tail users
have a third of those rows each, from the most active down. {len(config.seeds)} seeds,
mean ± standard deviation; times in {config.repeats} turns.

{results.table(head, rows)}

{plot}

{_CONCLUSION}

Command: `python -m pipelines.benchmarks.deep_hash`
"""


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.3g} {unit}"
    return f"{count} B"


def _mean(values: list[float]) -> str:
    error = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{error}"


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
