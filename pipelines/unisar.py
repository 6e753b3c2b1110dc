"""Search and recommendation in one model: tfrs-models unisar --data synthetic.

Trains UniSAR, and again without each of its losses and encoders, and evaluates both
services. `--data DIR` takes KuaiSAR's raw files, UniSAR's pickles or records. Writes
report.html, metrics.json and export/1 to `artifacts/unisar`.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data.kuaisar import Options, SearchAndRecommendation
from tfrs_models.data.kuaisar import load as load_folder

from .parts.artifacts import (
    prepare_folder,
    print_paths,
    write_json,
)
from .parts.checkpoints import Fingerprint, Origin, sized
from .parts.command import command, ending, start
from .parts.flags import (
    CountOrNone,
    Range,
    Rate,
    Seed,
    ShareBelowOne,
    Temperature,
    Weight,
    Width,
)
from .parts.resuming import (
    MAY_DIFFER,
    ResumeConfig,
    of_several,
    resumable_fit,
)
from .parts.tracking import TrackingConfig, tracked
from .reporting.unisar import (
    Run,
    corpus_figures,
    evaluate,
    popularity,
    print_runs,
    write_report,
)

SYNTHETIC = "synthetic"
MONITOR = "val_ndcg_at_5"
# Each training is resumed by itself: there may be more of them, or fewer.
_MAY_DIFFER = MAY_DIFFER | {"seeds", "ablation", "corpus_rows"}
FULL = "UniSAR"
VARIANTS = {
    FULL: {},
    "without the search's loss": {"search_weight": 0.0},
    "without the contrast of pairs": {"pair_weight": 0.0},
    "without the contrast of transitions": {"transition_weight": 0.0},
    "without the encoder across": {"encoders": ("recommendation", "search")},
    "without the encoder of items": {"encoders": ("across", "search")},
    "without the encoder of searches": {"encoders": ("across", "recommendation")},
}


@dataclasses.dataclass(frozen=True)
class Config(TrackingConfig, ResumeConfig):
    """Flags of the pipeline; the defaults are for synthetic data."""

    data: str = SYNTHETIC
    """`synthetic`, or a folder of KuaiSAR's files, UniSAR's pickles or records."""
    raw: Options = dataclasses.field(default_factory=Options)
    """Options of the conversion of raw files into samples."""
    users: Annotated[int, Range(1, 10_000_000)] = 12_000
    """Users of synthetic data, besides the edge cases."""
    length: Width = 10
    """Items and searches of a history, at most."""
    embedding_dim: Width = 16
    """Width of ids, words and categories; 32 in the paper."""
    width: Width = 32
    """Width of all other vectors; 64 in the paper."""
    dropout: ShareBelowOne = 0.0
    """Share that training drops; 0.1 in the paper."""
    search_weight: Weight = 0.1
    """Weight of the search's loss."""
    pair_weight: Weight = 0.001
    """Weight of the contrast of queries and clicked items."""
    pair_temperature: Temperature = 0.5
    """Temperature of that contrast before training."""
    transition_weight: Weight = 0.0001
    """Weight of the contrast of transitions; 0.1 in the paper."""
    transition_temperature: Temperature = 0.1
    """Temperature of that contrast before training."""
    log_temperature: bool = True
    """Whether temperatures are learned by their logarithm; not so in the original."""
    l2: Weight = 0.0
    """Decay of the weights; 3e-5 in the paper."""
    decay_unused_rows: bool = False
    """Whether rows that a batch does not have decay too, as in the original."""
    batch_size: int = 256
    """Recommendations of a step; 1,024 in the paper."""
    num_random: Width = 64
    """Random items and queries of a step; 1,024 in the paper."""
    learning_rate: Rate = 0.003
    """Learning rate of Adam; 0.001 in the paper."""
    lazy: bool = False
    """Whether Adam leaves rows alone that a batch does not have: for large tables."""
    epochs: int = 16
    """At most: the validation stops the training earlier."""
    rate_patience: CountOrNone = 3
    """Epochs without a better validation that leave the rate; the next divides it."""
    patience: CountOrNone = 5
    """Epochs without a better validation that training goes on; the next ends it."""
    ablation: bool = True
    """Whether to train again without each loss and each encoder."""
    seeds: int = 1
    """Trainings of each variant."""
    seed: Seed = 42
    """Seed of the synthetic data, the weights and the order of the batches."""
    corpus_rows: CountOrNone = 512
    """Test rows of each service that are ranked among all items; 0 for none."""
    output: Path = Path("artifacts/unisar")
    """Folder of the report, the metrics and the export."""


SMOKE = Config(
    users=30,
    length=8,
    embedding_dim=4,
    width=8,
    num_random=8,
    epochs=1,
    ablation=False,
    corpus_rows=0,
)


@command
def main(config: Config) -> dict:
    """Runs the pipeline and returns what it writes to metrics.json."""
    output = prepare_folder(config.output)
    config, run_id = of_several(config, may_differ=_MAY_DIFFER)
    data = load(config)
    _check_sizes(config, data)
    print(data, "\n")
    baseline = popularity(data)
    metrics = {
        "run": run_id,
        "config": dataclasses.asdict(config),
        "manifest": data.manifest,
        "popularity": baseline,
    }
    origin = Origin(run_id, config, fingerprint(data), {})
    runs, best, model = [], None, None
    for variant in VARIANTS if config.ablation else [FULL]:
        for turn in range(config.seeds):
            seed = config.seed + turn
            found, trained = run(config, data, variant, seed=seed, origin=origin)
            runs.append(found)
            if best is None or (variant == FULL and found.validation > best.validation):
                best, model = found, trained  # the others' tables need not stay
            metrics["runs"] = [one.figures() for one in runs]
            write_json(output / "metrics.json", metrics)  # a long run may be cut off
    print_runs(runs, baseline)
    metrics["corpus"] = corpus_figures(model, data, config)
    exported = tm.serving.export(
        tm.serving.CandidateRanker(
            model,
            serving_examples(config, data),
            histories=request_histories(config, data),
        ),
        output / "export",
        about={"run": metrics["run"]},
    )
    write_report(
        output / "report.html",
        run=metrics["run"],
        config=config,
        data=data,
        runs=runs,
        best=best,
        model=model,
        baseline=baseline,
        corpus=metrics["corpus"],
    )
    write_json(output / "metrics.json", metrics | {"export": exported.name})
    print_paths(output, exported)
    return metrics


def load(config: Config) -> SearchAndRecommendation:
    """Loads the data that the flags name."""
    try:
        if config.data == SYNTHETIC:
            return tm.data.synthetic.make_search_and_recommendation(
                config.seed, num_users=config.users
            )
        return load_folder(config.data, None if config.raw == Options() else config.raw)
    except FileNotFoundError as error:
        raise SystemExit(
            f"`--data` must be `{SYNTHETIC}` or a folder. {error}"
        ) from error
    except ValueError as error:
        raise SystemExit(f"`--data` {config.data} cannot be used. {error}") from error


def fingerprint(data: SearchAndRecommendation) -> Fingerprint:
    """Computes sizes and hashes of the tables and samples of both services."""
    parts = {
        "users": (data.num_users, data.users),
        "items": (data.num_items, data.items),
        "search sessions": (data.num_sessions, data.sessions),
        "queries": (len(data.queries), data.queries),
        "clicks": (len(data.item_histories.ids), data.item_histories._asdict()),
    }
    for service, splits in data.samples.items():
        for split, columns in splits.items():
            rows = (len(columns["user_id"]), columns)
            parts[f"{split} samples of {service}"] = rows
    return {name: sized(size, arrays) for name, (size, arrays) in parts.items()}


def run(
    config: Config,
    data: SearchAndRecommendation,
    variant: str,
    *,
    seed: int,
    origin: Origin,
) -> tuple[Run, tm.models.UniSAR]:
    """Trains one variant, or goes on with it, and evaluates it on the test split."""
    print(f"Training {variant}, seed {seed}", flush=True)
    tf.keras.utils.set_random_seed(seed)
    model = build_model(config, data, variant)
    adam = tm.training.LazyAdam if config.lazy else tf.keras.optimizers.Adam
    model.compile(adam(config.learning_rate, epsilon=1e-8))
    name = f"{variant}, seed {seed}"
    with tracked(config, "unisar", name) as trackers:
        history = resumable_fit(
            config,
            model,
            data.training_batches(
                config.batch_size,
                num_random=config.num_random,
                seed=seed,
                **lengths(config),
            ),
            origin=origin,
            name=name,
            may_differ=_MAY_DIFFER,
            validation_data=evaluation(config, data, "validation"),
            epochs=config.epochs,
            callbacks=[*trackers.callbacks, *callbacks(config)],
        )
        test = evaluation(config, data, "test")
        found = evaluate(
            model, test, variant, seed=seed, history=history, monitor=MONITOR
        )
        trackers.log(found.test)
    return found, model


def callbacks(config: Config) -> list[tf.keras.callbacks.Callback]:
    """Makes the callbacks that lower the rate and later end the training."""
    return [
        tf.keras.callbacks.ReduceLROnPlateau(
            MONITOR,
            mode="max",
            factor=0.1,
            patience=config.rate_patience + 1,  # Keras acts one epoch earlier
            min_delta=0.0,
            min_lr=1e-6,
        ),
        tm.training.StopOnMetric(MONITOR, patience=config.patience + 1),
    ]


def build_model(
    config: Config, data: SearchAndRecommendation, variant: str
) -> tm.models.UniSAR:
    """Makes a model of the data's items and users."""
    options = {
        "seq_len": config.length,
        "num_sessions": config.length,
        "embedding_dim": config.embedding_dim,
        "width": config.width,
        "dropout": config.dropout,
        "search_weight": config.search_weight,
        "pair_weight": config.pair_weight,
        "pair_temperature": config.pair_temperature,
        "transition_weight": config.transition_weight,
        "transition_temperature": config.transition_temperature,
        "log_temperature": config.log_temperature,
        "l2": config.l2,
        "decay_unused_rows": config.decay_unused_rows,
    }
    return tm.models.UniSAR.from_attributes(
        items=data.items,
        users=data.users,
        num_users=data.num_users,
        num_items=data.num_items,
        num_words=data.num_words,
        **options | VARIANTS[variant],
    )


def lengths(config: Config) -> dict[str, int]:
    """Returns the lengths of the histories that the data keeps."""
    return {
        "item_history_length": config.length,
        "session_history_length": config.length,
    }


def evaluation(
    config: Config, data: SearchAndRecommendation, split: str
) -> tf.data.Dataset:
    """Returns the samples of both services of a split."""
    return data.evaluation_batches(split, 512, **lengths(config))


def serving_examples(config: Config, data: SearchAndRecommendation) -> dict[str, dict]:
    """Returns a batch of each service for the export."""
    return {
        name: next(iter(data.batches(task, "test", 4, **lengths(config))))
        for name, task in (("recommend", "recommendation"), ("search", "search"))
    }


def request_histories(
    config: Config, data: SearchAndRecommendation
) -> list[tm.serving.RequestHistory]:
    """Returns both histories of a request, which may be longer or know other ids."""
    return [
        tm.serving.RequestHistory(
            "item_history",
            times="item_history_time",
            seq_len=config.length,
            largest={"item_history": data.num_items},
        ),
        tm.serving.RequestHistory(
            "session_time",
            times="session_time",
            beside=("session_query", "session_items"),
            seq_len=config.length,
            largest={"session_query": data.num_words, "session_items": data.num_items},
        ),
    ]


def _check_sizes(config: Config, data: SearchAndRecommendation) -> None:
    """Ends the program for flags that do not fit each other, before any training."""
    try:
        build_model(config, data, FULL)
    except ValueError as error:
        raise ending(f"A flag is out of range: {error}", 2) from error


if __name__ == "__main__":
    start(main, Config, __doc__)
