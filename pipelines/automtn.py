"""Predicts the next POI of a trace of check-ins: tfrs-models automtn.

Without `--data` the check-ins are SYNTHETIC (`data.synthetic.make_check_ins`): half of
the next check-ins follow from the period of a round, the rest from the distance to the
last POI. Your own check-ins, in the format of Foursquare's New York and Tokyo or of
Gowalla:

    tfrs-models automtn --data dataset_TSMC2014_NYC.txt
    tfrs-models automtn --data Gowalla_totalCheckins.txt --format gowalla

AutoMTN is compared with the most popular POIs, the user's most frequent ones, in
training and up to the request, a first-order Markov chain, the nearest POIs, and
AutoMTN without its lags, without distances and without past visits. The verdict is that
against the simple recommender that is best on validation rows. Writes report.html,
metrics.json and export/1 to `artifacts/automtn`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from tfrs_models.data.checkins import Traces

from .parts.artifacts import (
    export_ranker,
    hashes_of,
    prepare_folder,
    print_paths,
    write_json,
)
from .parts.check_in_data import (
    SYNTHETIC,
    CheckInConfig,
    fingerprint,
    load_check_ins,
)
from .parts.checkpoints import Origin
from .parts.command import command, ending, start
from .parts.flags import (
    Depth,
    Number,
    Rate,
    Seed,
    ShareBelowOne,
    Weight,
    Width,
)
from .parts.poi_baselines import baselines, rank_split
from .parts.rank_files import NAME as RANKS
from .parts.rank_files import texts_of, write_ranks
from .parts.resuming import (
    MAY_DIFFER,
    Fit,
    ResumeConfig,
    fit_once,
    of_several,
    resumable_fit,
)
from .parts.tracking import TrackingConfig, tracked
from .reporting.automtn import MODEL, judged, means, print_tables, write_report

MONITOR = "val_poi/mrr"
_MAY_DIFFER = MAY_DIFFER | {"ablations"}  # each of them is resumed by itself
AS_PAPER = "AutoMTN without past visits and request time"
VARIANTS = {
    MODEL: {},
    "AutoMTN without lags": {"num_layers": 0},
    "AutoMTN without distances": {"closeness": None},
    AS_PAPER: {"past_visits": None, "request_time": False},
}


@dataclasses.dataclass(frozen=True)
class Config(TrackingConfig, ResumeConfig):
    """Flags of the pipeline of the next POI."""

    data: tyro.conf.OmitArgPrefixes[CheckInConfig] = dataclasses.field(
        default_factory=CheckInConfig
    )
    embedding_dim: Width = 32
    """Width of all vectors."""
    num_layers: Depth = 1
    """Layers of the stack of correlations."""
    num_heads: Width = 1
    """Heads of each correlation."""
    factor: float = 3.0
    """Lags per natural logarithm of the trace's length."""
    use_residual: bool = True
    """Whether correlations are blocks, as in the paper; else layers, as in its code."""
    shared_lags: bool | None = False
    """Whether traces of a batch share lags; None: in training only, as the code."""
    distance_mode: Literal["multiply", "add"] = "add"
    """Whether closeness multiplies a step's score, as in the code, or is added."""
    softmax: Literal["time", "candidates"] | None = None
    """Axis over which the scores of steps are normalised; None for neither."""
    distance_scale: Weight = 1.0
    """Kilometres at which closeness falls by a factor of e."""
    distance_weight: Number = 4.0
    """Closeness of a POI to itself."""
    past_visits: bool | None = None
    """Whether the user's past visits are counted; None: for check-ins of a file, as
    planted users have no habits."""
    request_time: bool = False
    """Whether hour, weekday and gap of the request are read beside the visits' times;
    it was no better on validation check-ins of New York."""
    category_weight: Weight = 1.0
    """Weight of the category's loss."""
    dropout: ShareBelowOne = 0.1
    """Share of embeddings and of the output of blocks that training drops."""
    batch_size: int = 32
    """Traces of a batch."""
    learning_rate: Rate = 0.01
    """Learning rate of Adam."""
    epochs: int = 12
    """Epochs of training; the weights of the best one in validation MRR are kept."""
    ablations: bool = True
    """Whether to train without lags and without distances too."""
    seed: Seed = 42
    """Seed of the planted check-ins, the weights and the order."""
    output: Path = Path("artifacts/automtn")
    """Folder of the report, the metrics and the export."""


SMOKE = Config(
    data=CheckInConfig(users=6), embedding_dim=4, epochs=1, factor=1.0, ablations=False
)


@command
def main(config: Config) -> dict:
    """Runs the pipeline and returns what it writes to metrics.json."""
    output = prepare_folder(config.output)
    config, run_id = of_several(config, may_differ=_MAY_DIFFER)
    data = load_check_ins(config.data, seed=config.seed)
    traces = data.traces
    start = _start(config, traces)
    print(f"{traces}\n")
    _warn_of_one_lag(config.factor, traces.length)
    scorers = baselines(traces)
    validation = {
        name: rank_split(traces, score, "validation") for name, score in scorers.items()
    }
    origin = Origin(run_id, config, fingerprint(traces), traces.vocabularies)
    models = {}
    tables = {name: rank_split(traces, score) for name, score in scorers.items()}
    for name, changes in VARIANTS.items():
        if name != MODEL and not (config.ablations and _differs(config, name)):
            continue
        print(f"Training {name}", flush=True)
        with tracked(config, "automtn", name) as trackers:
            models[name], history = train(
                config,
                traces,
                callbacks=trackers.callbacks,
                fit=functools.partial(
                    resumable_fit,
                    config,
                    origin=origin,
                    name=name,
                    may_differ=_MAY_DIFFER,
                ),
                **changes,
            )
            scorers[name] = functools.partial(_scores, models[name])
            tables[name] = rank_split(traces, scorers[name])
            trackers.log(means(tables[name]))
        if name == MODEL:
            curves = history
            validation[name] = rank_split(traces, scorers[name], "validation")
    model = models[MODEL]
    figures = print_tables(tables, data)
    found = judged(tables, validation, data)
    print(f"\n{found['verdict']}")
    exported = export(model, traces, output / "export", run=origin.run)
    metrics = {
        "run": origin.run,
        "export": exported.name,
        "config": dataclasses.asdict(config),
        "summary": str(traces),
        "history": curves,
        "test": figures,
        **found,
    }
    write_ranks(
        output / RANKS,
        {("model" if name == MODEL else name): table for name, table in tables.items()},
        check_in_keys(traces),
        run=metrics["run"],
    )
    metrics["files"] = hashes_of(output, RANKS)
    write_report(
        output / "report.html",
        run=metrics["run"],
        config=config,
        data=data,
        model=model,
        untrained=start,
        tables=tables,
        history=curves,
        verdict=found["verdict"],
    )
    write_json(output / "metrics.json", metrics)
    print_paths(output, exported)
    return metrics


def build_model(config: Config, traces: Traces, **changes: object) -> tm.models.AutoMTN:
    """Makes the model of the flags, or an ablation of it."""
    options = {
        "closeness": tm.models.automtn.POICloseness(
            coordinates=traces.coordinates,
            scale=config.distance_scale,
            weight=config.distance_weight,
        ),
        "num_layers": config.num_layers,
        "past_visits": tm.models.automtn.PastVisits() if _past(config) else None,
        "request_time": config.request_time,
    }
    return tm.models.AutoMTN(
        traces.num_users,
        traces.num_pois,
        traces.num_categories,
        config.embedding_dim,
        seq_len=traces.length,
        num_heads=config.num_heads,
        factor=config.factor,
        use_residual=config.use_residual,
        shared_lags=config.shared_lags,
        distance_mode=config.distance_mode,
        softmax=config.softmax,
        category_weight=config.category_weight,
        dropout=config.dropout,
        **(options | changes),
    )


def untrained(config: Config, traces: Traces, **changes: object) -> tm.models.AutoMTN:
    """Makes the model of the flags with the initial weights of the seed."""
    tf.keras.utils.set_random_seed(config.seed)
    return build_model(config, traces, **changes)


def train(
    config: Config,
    traces: Traces,
    *,
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
    fit: Fit = fit_once,
    **changes: object,
) -> tuple[tm.models.AutoMTN, dict[str, list[float]]]:
    """Trains the model, and restores the weights of the best epoch.

    Args:
      config: flags.
      traces: traces of all splits.
      callbacks: callbacks of Keras.
      fit: function that trains the compiled model.
      **changes: arguments of the model in which an ablation differs.
    """
    model = untrained(config, traces, **changes)
    batches = traces.batches("train", config.batch_size, shuffle=True, seed=config.seed)
    model.compile(tf.keras.optimizers.Adam(config.learning_rate))
    stop = tm.training.StopOnMetric(MONITOR, patience=config.epochs)
    history = fit(
        model,
        batches,
        validation_data=traces.batches("validation", 256),
        epochs=config.epochs,
        callbacks=[*callbacks, stop],
    )
    return model, history


def export(
    model: tm.models.AutoMTN, traces: Traces, directory: Path, *, run: str
) -> Path:
    """Exports a ranker from traces to next POIs, all by their original names."""
    features = traces.features(traces.rows("test")[:4])
    unread = ["next_"]
    if model.past_visits is None and not model.request_time:
        unread += ["past_", "timestamp"]
    if not model.request_time:
        unread.append("request_")
    sent = {n: v for n, v in features.items() if not n.startswith(tuple(unread))}
    vocabularies = dict(traces.vocabularies)
    if "past_poi_id" in sent:
        vocabularies["past_poi_id"] = vocabularies["poi_id"]
    return export_ranker(
        model,
        sent,
        directory,
        run=run,
        vocabularies=vocabularies,
        decoded={"next_poi_id": "poi_id", "next_category_id": "category_id"},
    )


def check_in_keys(traces: Traces) -> dict[str, np.ndarray]:
    """Returns user, POI and time of the test rows, as `ranks.parquet` has them."""
    features = traces.features(traces.rows("test"))
    ids = {
        name: texts_of(traces.vocabularies[of])[features[column]]
        for name, of, column in (
            ("user_id", "user_id", "user_id"),
            ("item_id", "poi_id", "next_poi_id"),
        )
    }
    times = features.get("timestamp", np.zeros(len(ids["user_id"])))
    return ids | {"timestamp": times.astype(np.int64)}


def _scores(model: tm.models.AutoMTN, features: dict) -> tf.Tensor:
    return model(features)[0]


def _past(config: Config) -> bool:
    given = config.past_visits
    return config.data.data != SYNTHETIC if given is None else given


def _differs(config: Config, name: str) -> bool:
    """Tells whether an ablation is another model than that of the flags."""
    return name != AS_PAPER or _past(config) or config.request_time


def _start(config: Config, traces: Traces) -> tm.models.AutoMTN:
    """Makes the untrained model, or ends the program before any work."""
    try:
        return untrained(config, traces)
    except ValueError as error:
        raise ending(f"A flag is out of range: {error}", 2) from error


def _warn_of_one_lag(factor: float, length: int) -> None:
    """Warns if the flags leave only one lag, which teaches query and key nothing."""
    if tm.layers.AutoCorrelation(factor=factor).num_lags(length) == 1:
        print(
            f"A factor of {factor} leaves one lag of traces of {length} steps: its "
            "weight is 1, and query and key learn nothing. Take a larger `--factor`.\n"
        )


if __name__ == "__main__":
    start(main, Config, __doc__)
