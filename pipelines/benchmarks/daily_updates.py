"""Daily updates beside training from zero each day, on tweeted ratings of films.

python -m pipelines.benchmarks.daily_updates --data ratings.dat

The file is `ratings.dat` of a snapshot of MovieTweetings. A model is trained on all
rows before the first day. Then each day brings its rows: the model goes on from its
state of the day before, and beside it one is trained from zero on the same rows. Both
are tested on the rows of the next day. `--grid` compares settings of the
update, on earlier days (`--first-day 10`), and writes nothing.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines import retrieval
from pipelines.benchmarks.results import gain, table, write_part
from pipelines.parts import query_towers, updating
from pipelines.parts.command import command, start
from pipelines.parts.training import create_weights
from pipelines.reporting.served import served_ranks
from tfrs_models.data.files import read_rows

METRIC = "ndcg_at_10"
DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Config(updating.LearningConfig):
    """Flags of the benchmark."""

    data: Path = Path("ratings.dat")
    """File of the ratings."""
    days: int = 5
    """Number of daily updates."""
    first_day: int = 5
    """Number of days before the end of the log at which the updates begin."""
    epochs: int = 3
    """Epochs of a training from zero."""
    embedding_dim: int = 32
    """Number of dimensions of the embeddings."""
    history_length: int = 50
    """Number of items of a history."""
    seed: int = 42
    """Seed of the weights and the order of the rows."""
    grid: tuple[str, ...] = ()
    """Settings to compare, each replay:passes:learning rate; without a table."""


@dataclasses.dataclass(frozen=True)
class Day:
    """Figures of one day.

    Args:
      date: day of the test rows.
      values: name of a model -> NDCG@10 of each test row.
      users: user of each test row.
      seconds: name of a model -> seconds of its training.
      new_rows: number of rows that the update has and the day before had not.
    """

    date: np.datetime64
    values: dict[str, np.ndarray]
    users: np.ndarray
    seconds: dict[str, float]
    new_rows: int


def model_config(config: Config) -> retrieval.Config:
    """Returns the flags of the models."""
    return query_towers.resolved(
        retrieval.Config(
            embedding_dim=config.embedding_dim,
            epochs=config.epochs,
            history_length=config.history_length,
            seed=config.seed,
        )
    )


def data_of(frame, config: retrieval.Config, *, cut: int) -> tm.data.Interactions:
    """Makes data whose test rows are those of the day from `cut` on.

    Args:
      frame: rows up to the end of this day.
      config: flags of the models.
      cut: first second of the day.
    """
    num_test = int((frame["timestamp"].astype(int) >= cut).sum())
    data = tm.data.from_frame(
        frame,
        user_column="userId",
        item_column="movieId",
        rating_column="rating",
        split="global_time",
        validation_fraction=0.0,
        test_fraction=num_test / len(frame),
        repeats="leave-out",
    )
    return query_towers.with_user_features(config, data)


def from_zero(config: retrieval.Config, data: tm.data.Interactions):
    """Trains a model on all train rows; returns it with the seconds."""
    tf.keras.utils.set_random_seed(config.seed)
    start = time.perf_counter()
    model = query_towers.build_model(config, data)
    create_weights(model, data)
    batches = query_towers.training_batches(config, data, seed=config.seed)
    rate = query_towers.learning_rate(config, num_steps=len(batches) * config.epochs)
    model.compile(tf.keras.optimizers.Adam(rate))
    model.fit(batches, epochs=config.epochs, verbose=0)
    return model, time.perf_counter() - start


def updated(
    config: retrieval.Config,
    learning: updating.LearningConfig,
    data: tm.data.Interactions,
    model: tm.Model,
    then: tm.data.Interactions,
):
    """Goes on from the model of the day before; returns a new one with the seconds."""
    tf.keras.utils.set_random_seed(config.seed)
    start = time.perf_counter()
    new, _ = updating.grown(
        config, data, model, then.vocabularies, learning_rate=learning.learning_rate
    )
    is_new = ~updating.known_rows(data, then, ["train"])["train"]
    rows = updating.rows_to_learn(
        config, data, is_new, replay=learning.replay, seed=config.seed
    )
    updating.learn(config, data, new, rows, passes=learning.passes, seed=config.seed)
    return new, time.perf_counter() - start


def values(model: tm.Model, data: tm.data.Interactions) -> np.ndarray:
    """NDCG@10 of the test rows; NaN where the user had the item before."""
    ranks = served_ranks(model, data, "test")
    return np.where(ranks.hidden, np.nan, ranks.values(METRIC))


ZERO, UPDATE, STALE = "from zero", "update", "no update"
HEADING = "Five days of MovieTweetings, 100,000 ratings"
INTRODUCTION = """\
A model goes on each day from its state of the day before, as `tfrs-models update`
does, beside one that is trained from zero on the same rows. Both are tested on the rows
of the next day."""


def run(config: Config, settings: dict[str, updating.LearningConfig]) -> Iterator[Day]:
    """Yields the figures of each day.

    Args:
      config: flags.
      settings: name -> settings of a chain of updates.
    """
    flags = model_config(config)
    frame = read_rows(config.data)
    times = frame["timestamp"].astype(int)
    end = int(times.max()) // DAY * DAY  # the last day may not be over
    chains, then = {}, None
    for number in range(config.days + 1):
        cut = end - DAY * (config.first_day - number)
        rows = (times < cut + DAY).to_numpy()
        data = data_of(frame[rows].reset_index(drop=True), flags, cut=cut)
        zero, seconds = from_zero(flags, data)
        if then is None:
            chains = dict.fromkeys([*settings, STALE], zero)
            then = data
            print(f"{len(frame[rows]):,} rows, {seconds:.1f} s from zero", flush=True)
            continue
        times_of = {ZERO: seconds}
        for name, learning in settings.items():
            chains[name], times_of[name] = updated(
                flags, learning, data, chains[name], then
            )
        chains[STALE], _ = updating.grown(
            flags, data, chains[STALE], then.vocabularies, learning_rate=0.001
        )
        found = {ZERO: values(zero, data)}
        found |= {name: values(model, data) for name, model in chains.items()}
        shown = ~np.isnan(found[ZERO])
        yield Day(
            np.datetime64(cut, "s").astype("datetime64[D]"),
            {name: some[shown] for name, some in found.items()},
            tm.data.ranking_groups(data, "test")[shown],
            times_of,
            *np.diff([len(one.splits["train"]["user_id"]) for one in (then, data)]),
        )
        then = data
        tf.keras.backend.clear_session()


@command
def main(config: Config) -> list[Day]:
    """Runs the benchmark; writes the table unless settings are compared."""
    settings = {text: parsed(text) for text in config.grid} or {UPDATE: config}
    days = []
    for day in run(config, settings):
        days.append(day)
        line = ", ".join(f"{n} {v.mean():.4f}" for n, v in day.values.items())
        seconds = ", ".join(f"{n} {s:.1f}" for n, s in day.seconds.items())
        print(f"{day.date}: {day.new_rows} new rows; {line}; {seconds} s", flush=True)
    for name in settings:
        found = gain(*_pooled(days, name))
        print(f"{name}: {found} from zero; {_relative(days, name):.3f} of it")
    if not config.grid:
        write_part("daily_updates", INTRODUCTION, HEADING, report(config, days))
    return days


def parsed(text: str) -> updating.LearningConfig:
    """Parses settings, such as 0.1:1:0.001."""
    replay, passes, rate = text.split(":")
    return updating.LearningConfig(
        replay=float(replay), passes=int(passes), learning_rate=float(rate)
    )


def report(config: Config, days: Sequence[Day]) -> str:
    """Formats the figures of all days.

    Args:
      config: flags.
      days: figures of each day.
    """
    rows = [
        (
            day.date,
            f"{day.new_rows:,}",
            f"{len(day.users):,}",
            *(f"{day.values[name].mean():.4f}" for name in (ZERO, UPDATE, STALE)),
            f"{day.values[UPDATE].mean() / day.values[ZERO].mean() - 1:+.1%}",
            *(f"{day.seconds[name]:.1f}" for name in (ZERO, UPDATE)),
            f"{day.seconds[UPDATE] / day.seconds[ZERO]:.2f}",
        )
        for day in days
    ]
    header = ("test day", "new rows", "test rows", "from zero", "update", "no update")
    header += ("update to zero", "seconds from zero", "update", "ratio")
    ratios = np.array([day.seconds[UPDATE] / day.seconds[ZERO] for day in days])
    changes = [d.values[UPDATE].mean() / d.values[ZERO].mean() - 1 for d in days]
    return f"""\
{table(header, rows)}

NDCG@10 over the whole catalogue; items that a user has are left out. Update minus from
zero over all test rows: {gain(*_pooled(days, UPDATE))} (95% interval, paired by user
and day), {_relative(days, UPDATE) - 1:+.1%}; median of the days
{np.median(changes):+.1%} ({min(changes):+.1%}..{max(changes):+.1%}).
No update minus update: {gain(*_pooled(days, STALE, UPDATE))}.
Time of an update, with moving the state to the new vocabularies, to that of a training
from zero: median {np.median(ratios):.2f} ({ratios.min():.2f}..{ratios.max():.2f}).

Settings: {config.epochs} epochs from zero, {config.embedding_dim} dimensions, histories
of {config.history_length}; updates of {config.passes} epochs at a learning rate of
{config.learning_rate:g} over the new rows and {config.replay:.0%} of the old windows,
chosen on days before the test days by `--grid`. Command:
`python -m pipelines.benchmarks.daily_updates --data ratings.dat`."""


def _pooled(
    days: Sequence[Day], name: str, other: str = "from zero"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the differences of all test rows, and their users."""
    differences = [day.values[name] - day.values[other] for day in days]
    users = [day.users + 10**9 * number for number, day in enumerate(days)]
    return np.concatenate(differences), np.concatenate(users)


def _relative(days: Sequence[Day], name: str) -> float:
    means = [
        np.concatenate([day.values[one] for day in days]).mean() for one in (name, ZERO)
    ]
    return float(means[0] / means[1])


if __name__ == "__main__":
    start(main, Config, __doc__)
