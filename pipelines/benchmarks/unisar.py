"""UniSAR in the size of KuaiSAR: python -m pipelines.benchmarks.unisar.

Times the train step and the evaluation of 100 candidates per row on random ids in
tables of the real sizes (35.5 million parameters), beside the same model with the
memory layout of its original, which copies the user for every candidate.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tyro

from pipelines.benchmarks import results
from pipelines.benchmarks.baselines.repeated_users import (
    encode_each,
    original_layout,
    repeat_users,
)
from pipelines.benchmarks.kuaisar_size import (
    Sizes,
    make_example,
    make_model,
    make_words,
)
from pipelines.benchmarks.memory import peak_memory
from pipelines.benchmarks.timing import interleave, ratio, spread
from pipelines.parts.command import command
from tfrs_models.models import UniSAR
from tfrs_models.training import LazyAdam

OURS, REPEATED, DENSE = "ours", "users repeated", "ours, Keras's Adam"
EACH = "ours, items encoded in every batch"
KEPT = "users repeated, items encoded once"
ORIGINAL = "users repeated, word vectors side by side"


@dataclasses.dataclass(frozen=True)
class Config(Sizes):
    """Flags of the benchmark."""

    batch: int = 1024
    """Recommendations of a train step."""
    searches: int = 88
    """Searches of a train step."""
    random: int = 1024
    """Random items and queries of a train step."""
    eval_batch: int = 512
    """Rows per batch of the evaluation."""
    eval_batches: int = 40
    """Batches of an evaluation; a day of KuaiSAR has ten times as many."""
    candidates: int = 100
    """Candidates per row of the evaluation."""
    peers: bool = True
    """Whether to measure the other layout and the other optimizer too."""
    repeats: int = 5
    """Number of turns."""
    memory: bool = True
    """Whether to measure peaks of memory, each in a process of its own."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    users=9,
    items=50,
    words=40,
    length=3,
    text=4,
    clicks=2,
    batch=6,
    searches=2,
    random=5,
    eval_batch=4,
    eval_batches=2,
    candidates=7,
    peers=False,
    repeats=1,
    memory=False,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Times all cases in turns and writes the section `unisar`."""
    trained, evaluated = {OURS: run_step}, {OURS: run_evaluation}
    if config.peers:
        trained |= {
            REPEATED: run_repeated_step,
            ORIGINAL: run_original_step,
            DENSE: run_dense_step,
        }
        evaluated |= {
            EACH: run_plain_evaluation,
            KEPT: run_kept_evaluation,
            REPEATED: run_repeated_evaluation,
            ORIGINAL: run_original_evaluation,
        }
    step, evaluation = (
        interleave(
            {name: make(config) for name, make in cases.items()},
            repeats=config.repeats,
        )
        for cases in (trained, evaluated)
    )
    peaks = {}
    if config.memory:
        module, flags = "pipelines.benchmarks.unisar", dataclasses.asdict(config)
        full = flags | {"text": -config.text}
        peaks = {
            "train step": peak_memory(f"{module}:run_step", flags),
            "train step, every text and search full": peak_memory(
                f"{module}:run_step", full
            ),
            f"train step, {ORIGINAL}": peak_memory(
                f"{module}:run_original_step", flags
            ),
            "evaluation": peak_memory(f"{module}:run_evaluation", flags),
            f"evaluation, {ORIGINAL}": peak_memory(
                f"{module}:run_original_evaluation", flags
            ),
        }
    if config.write:
        results.write_section("unisar", _report(config, step, evaluation, peaks))
    examples = config.batch + config.searches
    return {
        **{f"train, {n}": examples / spread(s).median for n, s in step.items()},
        **{
            f"evaluation, {n}": config.eval_batch
            * config.eval_batches
            / spread(s).median
            for n, s in evaluation.items()
        },
        **{f"{name}: MB": peak for name, peak in peaks.items()},
    }


def run_step(config: Config) -> Callable[[], None]:
    """Returns a train step of our model."""
    return _step(config, make_model(config), LazyAdam(1e-3))


def run_repeated_step(config: Config) -> Callable[[], None]:
    """Returns a train step that repeats users."""
    return _step(config, repeat_users(make_model(config)), LazyAdam(1e-3))


def run_original_step(config: Config) -> Callable[[], None]:
    """Returns a train step in the original's layout of users and texts."""
    return _step(config, original_layout(make_model(config)), LazyAdam(1e-3))


def run_original_evaluation(config: Config) -> Callable[[], None]:
    """Returns an evaluation in the original's layout of users and texts."""
    return _evaluation(config, encode_each(original_layout(make_model(config))))


def run_dense_step(config: Config) -> Callable[[], None]:
    """Returns a train step with an optimizer that updates whole tables."""
    return _step(config, make_model(config), tf.keras.optimizers.Adam(1e-3))


def run_evaluation(config: Config) -> Callable[[], None]:
    """Returns an evaluation of our model."""
    return _evaluation(config, make_model(config))


def run_plain_evaluation(config: Config) -> Callable[[], None]:
    """Returns an evaluation that encodes the items of each batch anew."""
    return _evaluation(config, encode_each(make_model(config)))


def run_kept_evaluation(config: Config) -> Callable[[], None]:
    """Returns an evaluation that repeats users only: the cost of their layout."""
    return _evaluation(config, repeat_users(make_model(config)))


def run_repeated_evaluation(config: Config) -> Callable[[], None]:
    """Returns an evaluation that repeats users and encodes items anew."""
    return _evaluation(config, encode_each(repeat_users(make_model(config))))


def _step(
    config: Config, model: UniSAR, optimizer: tf.keras.optimizers.Optimizer
) -> Callable[[], None]:
    rng = np.random.default_rng(1)
    features = {
        "recommendation": make_example(config, rng, config.batch, 5),
        "search": make_example(config, rng, config.searches, 5, is_search=True),
        "random": {
            "item_id": rng.integers(1, config.items + 1, size=config.random),
            "query": make_words(config, rng, config.random, most=10),
        },
    }
    features = tf.nest.map_structure(tf.constant, features)
    model.compile(optimizer)
    step = tf.function(model.train_step)
    return lambda: step(features)["loss"].numpy()


def _evaluation(config: Config, model: UniSAR) -> Callable[[], None]:
    rng = np.random.default_rng(2)
    example = make_example(config, rng, config.eval_batch, config.candidates)
    features = {"recommendation": tf.nest.map_structure(tf.constant, example)}
    model.compile()
    batches = tf.data.Dataset.from_tensors(features).repeat(config.eval_batches)
    options = tf.data.Options()
    options.autotune.enabled = False  # its end takes from 0 to 4 s, by chance
    batches = batches.with_options(options)
    return lambda: model.evaluate(batches, verbose=0)


def _report(
    config: Config,
    step: dict[str, list[float]],
    evaluation: dict[str, list[float]],
    peaks: dict[str, float],
) -> str:
    def rows(seconds: dict[str, list[float]], number: int) -> list[list[str]]:
        return [
            [
                name,
                f"{spread([number / value for value in values]):,.0f}",
                f"{ratio(values, seconds[OURS]):.2f}",
            ]
            for name, values in seconds.items()
        ]

    header = ["case", "examples/s", "ours is faster by"]
    memory = results.table(
        ["peak above the imports", "MB"],
        [[name, f"{peak:,.0f}"] for name, peak in peaks.items()],
    )
    return f"""\
{config.users:,} users, {config.items:,} items, {config.words:,} words, the model of the
paper (35,478,021 parameters). Ids are random, histories full ({config.length} items and
{config.length} searches of 0 to {config.clicks} clicks), captions have 1 to
{config.text} words, queries 1 to 10. {config.repeats} turns, traced before. *Users
repeated*: what is known of a row is copied for each of its candidates. The original has
this layout, and word vectors side by side before their mean.

A train step of {config.batch:,} recommendations and {config.searches} searches of 5
candidates, with {config.random:,} random items and queries:

{results.table(header, rows(step, config.batch + config.searches))}

An evaluation of {config.eval_batches} batches, {config.eval_batch} rows of
{config.candidates} candidates each. Ours encodes all {config.items:,} items once before
it, which is in its time; the original encodes those of a batch with the batch. The rows
take the differences apart:

{results.table(header, rows(evaluation, config.eval_batch * config.eval_batches))}

{memory if peaks else ""}

Command: `python -m pipelines.benchmarks.unisar`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config)))
