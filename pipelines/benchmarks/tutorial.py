"""The retrieval tutorial, three ways: python -m pipelines.benchmarks.tutorial.

MovieLens-100K, Adagrad 0.1, batches of 8,192, three epochs, corpus metrics in training:
first with TensorFlow Recommenders, then the same script with our classes, then with our
own defaults until they are at least as good.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tyro

import tfrs_models
from pipelines.benchmarks import results
from pipelines.benchmarks.baselines.tutorial_model import string_tower, tutorial_model
from pipelines.benchmarks.timing import Spread, ratio, spread
from pipelines.parts.command import command
from pipelines.parts.flags import Weight
from tfrs_models.data import Interactions, from_frame
from tfrs_models.data.movielens import find_archive, read_atomic_file

TOP_100 = "factorized_top_k/top_100_categorical_accuracy"


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    repeats: int = 3
    """Number of turns; each trains every case from the start, tracing included."""
    invented: bool = False
    """Use a few random ratings, for tests."""
    epochs: int = 3
    """Number of epochs of the tutorial's script."""
    batch_size: int = 8192
    """Batch size of the tutorial's script."""
    candidate_batch_size: int = 128
    """Batch size of the candidates of the tutorial's script."""
    quality: Weight = 0.24
    """Hit rate at 100 of the tutorial's own script, without exclusion."""
    own_epochs: int = 1
    """Number of epochs of our defaults."""
    seed: int = 42
    """Seed of the split and of the weights."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    repeats=1, invented=True, batch_size=256, epochs=1, quality=0.0, write=False
)


@command
def main(config: Config) -> dict[str, float]:
    """Measures all cases in turns and writes the section `tutorial`."""
    frame, movies = load_tables(config)
    cases = {
        "upstream": lambda: run_script(frame, movies, config, library=tfrs),
        "ours, same script": lambda: run_script(
            frame, movies, config, library=tfrs_models
        ),
        "ours, ids": lambda: run_script(
            frame, movies, config, library=tfrs_models, ids=True
        ),
        "ours, own defaults": own_defaults(frame, config),
    }
    runs = {name: [] for name in cases}
    for turn in range(config.repeats):
        for name, run in cases.items():
            tf.keras.backend.clear_session()
            tf.keras.utils.set_random_seed(config.seed + turn)
            runs[name].append(run())
            print(turn, name, runs[name][-1])
    columns = {
        name: {key: [run[key] for run in turns] for key in turns[0]}
        for name, turns in runs.items()
    }
    if config.write:
        results.write_section("tutorial", _report(columns, config))
    return {
        f"{name}: {key}": spread(values).median
        for name, column in columns.items()
        for key, values in column.items()
    }


def load_tables(config: Config) -> tuple[pd.DataFrame, pd.Series]:
    """Loads ratings in the tutorial's shuffled order, and the titles of all movies."""
    if config.invented:
        ratings, titles = _invented_tables()
    else:
        archive = find_archive()
        ratings = read_atomic_file(archive, "inter")
        items = read_atomic_file(archive, "item").set_index("item_id")
        titles = items["movie_title"] + " (" + items["release_year"] + ")"
    ratings = ratings.assign(movie_title=ratings["item_id"].map(titles))
    tf.random.set_seed(config.seed)
    order = tf.data.Dataset.range(len(ratings)).shuffle(
        100_000, seed=config.seed, reshuffle_each_iteration=False
    )
    shuffled = ratings.iloc[list(order.as_numpy_iterator())].reset_index(drop=True)
    return shuffled[["user_id", "movie_title"]], titles


def _invented_tables() -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    users, items = rng.integers(20, size=500), rng.integers(150, size=500)
    ratings = pd.DataFrame({"user_id": users.astype(str), "item_id": items})
    return ratings, pd.Series([f"title {n // 2}" for n in range(150)])


def run_script(
    frame: pd.DataFrame,
    titles: pd.Series,
    config: Config,
    *,
    library: object,
    ids: bool = False,
) -> dict[str, float]:
    """Runs the tutorial's script with the classes of a library.

    Args:
      frame: ratings in their shuffled order.
      titles: titles of all movies, repeats included, as in the tutorial.
      config: flags of the benchmark.
      library: `tensorflow_recommenders` or `tfrs_models`.
      ids: whether positives are found by id among unique candidates; the tutorial finds
        them by their score among all rows of the movie table.
    """
    num_train = len(frame) * 4 // 5
    ratings = tf.data.Dataset.from_tensor_slices(
        {name: column.to_numpy(str) for name, column in frame.items()}
    )
    if ids:
        ratings = ratings.map(lambda row: {**row, "candidate_ids": row["movie_title"]})
    train = ratings.take(num_train).shuffle(100_000).batch(config.batch_size).cache()
    test = ratings.skip(num_train).batch(4096).cache()

    user_model = string_tower(frame["user_id"].unique())
    movie_model = string_tower(titles.unique())
    names = titles.unique() if ids else titles.to_numpy(str)
    batches = tf.data.Dataset.from_tensor_slices(names.astype(str)).batch(
        config.candidate_batch_size
    )
    candidates = batches.map(lambda t: (t, movie_model(t)) if ids else movie_model(t))
    metric = library.metrics.FactorizedTopK(candidates=candidates)
    task = library.tasks.Retrieval(metrics=metric)
    model = tutorial_model(user_model, movie_model, task, base=library.Model)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.1))
    list(train), list(test)  # fill both caches before the first case
    return _timed(
        lambda: model.fit(train, epochs=config.epochs, verbose=0),
        lambda: model.evaluate(test, return_dict=True, verbose=0),
    )


def own_defaults(frame: pd.DataFrame, config: Config) -> Callable[[], dict[str, float]]:
    """Returns a training with our defaults on the same rows."""
    data = _interactions(frame)

    def run() -> dict[str, float]:
        embedding_dim = 32
        query = tfrs_models.towers.FeatureTower(data.user_features[:1], embedding_dim)
        candidate = tfrs_models.towers.FeatureTower(
            data.item_features[:1], embedding_dim
        )
        model = tfrs_models.models.TwoTower(query, candidate)
        model.task.factorized_metrics = tfrs_models.metrics.FactorizedTopK(
            model.embed_candidates(data.candidate_batches())
        )
        model.compile(optimizer=tf.keras.optimizers.Adam(0.02))
        train = data.batches("train", 1024, shuffle=True, seed=config.seed)
        test = data.batches("test", 4096, known_items=False)
        measured = _timed(
            lambda: model.fit(train, epochs=config.own_epochs, verbose=0),
            lambda: model.evaluate(test, return_dict=True, verbose=0),
        )
        if measured["top 100"] < config.quality:
            raise RuntimeError(
                f"Our defaults must reach {config.quality}. Got {measured['top 100']}: "
                "raise --own-epochs."
            )
        return measured

    return run


def _interactions(frame: pd.DataFrame) -> Interactions:
    """Makes interactions with the same two parts; the time is the shuffled position."""
    return from_frame(
        frame.assign(timestamp=range(len(frame))),
        item_column="movie_title",
        split="global_time",
        validation_fraction=0,
        test_fraction=0.2,
    )


def _timed(fit: Callable, evaluate: Callable) -> dict[str, float]:
    marks = [time.perf_counter()]
    fit()
    marks.append(time.perf_counter())
    measured = evaluate()
    marks.append(time.perf_counter())
    evaluate()
    marks.append(time.perf_counter())
    seconds = [after - before for before, after in itertools.pairwise(marks)]
    return {
        "fit": seconds[0],
        "evaluate": seconds[1],
        "second evaluate": seconds[2],
        "fit + evaluate": seconds[0] + seconds[1],
        "top 100": float(measured[TOP_100]),
    }


def _report(columns: dict[str, dict[str, list[float]]], config: Config) -> str:
    keys = ("fit", "evaluate", "fit + evaluate", "second evaluate")
    theirs = columns["upstream"]

    def cell(key: str, column: dict[str, list[float]]) -> str:
        faster = ratio(theirs[key], column[key])
        return f"{spread(column[key]):.2f} s, {faster.median:.1f}x"

    rows = [
        [
            name,
            *(cell(key, column) for key in keys),
            f"{_thousandths(spread(column['top 100']))}",
        ]
        for name, column in columns.items()
    ]
    return f"""\
MovieLens-100K, 100,000 ratings, 80/20; {config.repeats} turns, every case from
the start each time: `fit` and the first `evaluate` include tracing. Adagrad 0.1,
batches of {config.batch_size:,}, {config.epochs} epochs, candidates in batches of
{config.candidate_batch_size}, corpus metrics on in training. *Same script* replaces
`tfrs` by `tfrs_models` and nothing else (positives by score, 1,682 candidate rows);
*ids* gives the metric ids and each of the 1,664 titles once. *Own defaults* is
`TwoTower` (unit norm, temperature 0.2, logQ, accidental hits out), Adam 0.02, batches
of 1,024, {config.own_epochs} epoch, the same rows. Hit rate at 100 is without
exclusion.

{results.table(["case", *keys, "top 100"], rows)}

Command: `python -m pipelines.benchmarks.tutorial`
"""


def _thousandths(value: Spread) -> str:
    return f"{value:.3f}"


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
