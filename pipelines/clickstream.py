"""Fine-tunes a retrieval model on clicks: tfrs-models clickstream.

Starts from a model of `tfrs-models retrieval` (`--retrieval`, a folder that it wrote;
if it is empty, a two-tower model is trained first), and trains it to score clicked
results above results that were shown and not clicked. Without `--sessions` they are
SYNTHETIC: users of MovieLens see the results of the model, and click by position and by
their ratings (`data.synthetic.make_click_sessions`). With your own sessions:

    tfrs-models clickstream --retrieval artifacts/retrieval --sessions log.jsonl

or with a click log in a known format, whose clicks train the retrieval model first:

    tfrs-models clickstream --dataset behaviors.tsv  # of MIND

Your own file has one session a line, `{"search_query": "42", "search_results":
[{"object_id": "318", "rank": 0.71}, ...], "events": [{"object_id": "318"}]}`, with the
ids of users and items of that model; a `.parquet` file has one session in each row.
Writes report.html, metrics.json, the checkpoint and export/1 to
`artifacts/clickstream`.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tensorflow as tf
import tyro

import tfrs_models as tm
from tfrs_models.data.clickstream import FineTuningParams, fine_tuning_params
from tfrs_models.data.formats.reading import is_log
from tfrs_models.training.hyper_parameters import SearchResult

from . import retrieval
from .parts import query_towers
from .parts.artifacts import (
    prepare_folder,
    print_paths,
    write_json,
)
from .parts.checkpoints import (
    Checkpoints,
    Origin,
    finished,
    sized,
)
from .parts.click_data import ClickData, load_clicks
from .parts.command import command, ending, start
from .parts.data import DataConfig
from .parts.flags import (
    CountOrNone,
    Depth,
    Range,
    Rate,
    Seed,
    ShareAboveNone,
    Weight,
)
from .parts.indexes import index_items
from .parts.resuming import (
    Fit,
    ResumeConfig,
    after_start,
    fit_once,
    is_to_train,
    resumable_fit,
    run_of,
    to_go_on_with,
)
from .parts.tracking import TrackingConfig, tracked
from .parts.trials import stored_trials
from .reporting.clickstream import (
    Comparison,
    compare,
    measure,
    measure_baselines,
    print_comparison,
    write_report,
)
from .reporting.evaluation import MODEL

MONITOR = "val_pair_accuracy"
# The choices of the specification, and larger rates for towers of tables. Its 5 to 8
# fixed layers are those of a transformer: `--fixed-layers` lists those to try.
SPACE = {
    "query_lr": (1e-3, 3e-4, 1e-4, 5e-5, 1e-5, 5e-6, 1e-6, 5e-7),
    "items_lr": (1e-3, 3e-4, 1e-4, 5e-5, 1e-5, 5e-6, 1e-6, 5e-7),
    "query_weight_decay": (0.0, 1e-6, 1e-5, 1e-4),
    "items_weight_decay": (0.0, 1e-6, 1e-5, 1e-4),
    "margin": (0.01, 0.025, 0.05),
    "not_irrelevant_only": (True,),
    "negative_downsampling": (0.5,),
    "examples_order": ("11",),
}


@dataclasses.dataclass(frozen=True)
class Config(TrackingConfig, ResumeConfig):
    """Flags of the clickstream pipeline."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(
        default_factory=lambda: DataConfig(split="per_user_time")
    )
    retrieval: Path = Path("artifacts/clickstream/retrieval")
    """Folder of the retrieval model to start from. If it exists, the flags of the data
    are those of that model."""
    sessions: Path | None = None
    """File of your own sessions, .jsonl or .parquet; synthetic sessions by default."""
    session_split: Literal["items", "time"] = "items"
    """Test sessions show a random share of the items, or are those from the first test
    row of the data on. Sessions of a click log are split by time."""
    strict: bool = False
    """Stop at the first session that cannot be used or shows an unknown item, instead
    of counting it."""
    model_ranks: bool = False
    """Measure shifts from the scores of the model before training, because those of
    your sessions are on another scale."""
    sessions_per_user: int = 15
    """Number of synthetic sessions of each user."""
    query_lr: Rate = 0.0001
    """Learning rate of the user tower."""
    items_lr: Rate = 0.0001
    """Learning rate of the item tower."""
    query_weight_decay: Weight = 0.0
    """Weight decay of the user tower."""
    items_weight_decay: Weight = 0.0
    """Weight decay of the item tower."""
    margin: Annotated[float, Range(0, 100, open_low=True)] = 0.05
    """Difference of cosines by which a click should be ahead."""
    adjust: Literal["unit", "cosine"] = "cosine"
    """Steepness of the loss around the margin."""
    not_irrelevant_only: bool = True
    """Train without the searches that have no click."""
    negative_downsampling: ShareAboveNone = 0.5
    """Share of the results without a click that a step uses."""
    confidences: Literal["dummy", "windowed"] = "dummy"
    """Trust every click equally, or by its neighbours on the page."""
    fixed_layers: tuple[Depth, ...] = (0,)
    """First layers of each tower that are not trained; a tuning tries all numbers."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of both towers, one for each."""
    step_size: int = 500
    """Number of steps between two cuts of the learning rates."""
    gamma: ShareAboveNone = 0.9
    """Factor of the learning rates at each cut."""
    batch_size: int = 64
    """Number of pairs of searches in a batch."""
    epochs: int = 15
    """Largest number; the pair accuracy of the validation sessions may stop earlier."""
    patience: CountOrNone = 3
    """Number of epochs without improvement before training stops."""
    trials: CountOrNone = 0
    """Number of trials of a tuning of learning rates, decays and margin (needs
    `optuna`). Finished trials are stored in trials-*.db and not repeated."""
    seed: Seed = 42
    """Seed of the model, the sessions, the split and the order."""
    output: Path = Path("artifacts/clickstream")
    """Folder for the report, the metrics, the checkpoint and the export."""


SMOKE = Config(sessions_per_user=1, epochs=1, batch_size=256)
START = retrieval.Config(query_tower="id")
SMOKE_START = dataclasses.replace(START, embedding_dim=4, epochs=1)


@command
def main(config: Config, *, start: retrieval.Config = START) -> dict:
    """Runs the pipeline and returns the content of metrics.json."""
    _check_flags(config)
    config = with_log(config)
    output = prepare_folder(config.output)
    config = after_start(config, config.retrieval)
    state = to_go_on_with(config)
    if is_to_train(config.retrieval, config.resume):
        print(f"No model in {config.retrieval}: training one.\n")
        flags = {"data": config.data, "seed": config.seed, "output": config.retrieval}
        flags["resume"] = "auto" if config.resume else False
        retrieval.main(dataclasses.replace(start, **flags))
    towers_of, data, two_tower = retrieval.restore(
        config.retrieval, fall_back=config.fall_back
    )
    if config.data not in (towers_of.data, Config().data):
        raise SystemExit(
            "The flags of the data must be those of the model that training starts "
            f"from, in {config.retrieval}, or be left out. Got {config.data} and "
            f"{towers_of.data}."
        )
    tf.keras.utils.set_random_seed(config.seed)
    clicks = load_clicks(
        two_tower,
        data,
        user_features=query_towers.user_features(towers_of, data, "test"),
        sessions=config.sessions,
        by_time=config.session_split == "time",
        strict=config.strict,
        model_ranks=config.model_ranks,
        sessions_per_user=config.sessions_per_user,
        output=output,
        seed=config.seed,
    )
    print(f"\n{clicks.summary}\n")

    origin = _origin(config, clicks, run_of(state))
    params, search = _params(config), None
    if config.trials:
        search = tune(config, clicks, towers_of, origin)
        params = fine_tuning_params(search.params)
    before = measure(build_model(config, params, clicks), two_tower, data, clicks)
    with tracked(config, "clickstream") as trackers:
        model, history = train(
            config,
            params,
            clicks,
            callbacks=trackers.callbacks,
            fit=functools.partial(resumable_fit, config, origin=origin),
        )
        after = measure(model, two_tower, data, clicks)
        trackers.log({"sessions": after.sessions, **after.corpus.means(MODEL)})
    comparison = compare(before, after, data, measure_baselines(clicks))
    print_comparison(comparison)
    return _write(
        config, params, search, clicks, model, history, comparison, towers_of, origin
    )


def build_model(
    config: Config, params: FineTuningParams, clicks: ClickData
) -> tm.models.FineTuningModel:
    """Makes a model whose towers are those of the retrieval model, not copies."""
    query_tower, item_tower = clicks.query_tower, clicks.item_tower()
    try:
        for tower in (query_tower, item_tower):
            tm.towers.freeze_first_layers(tower, params.num_fixed_layers)
    except ValueError as error:
        raise SystemExit(f"`--fixed-layers` is too much: {error}") from error
    extractor = tm.layers.FeaturesExtractor.from_params(
        query_tower,
        item_tower,
        params,
        confidence_calculator=config.confidences,
    )
    model = tm.models.FineTuningModel(
        extractor,
        margin=params.margin,
        adjust=config.adjust,
        num_fixed_layers=params.num_fixed_layers,
    )
    optimizers = [
        _optimizer(config, rate, decay)
        for rate, decay in (
            (params.query_lr, params.query_weight_decay),
            (params.items_lr, params.items_weight_decay),
        )
    ]
    model.compile(optimizers[0], item_optimizer=optimizers[1])
    return model


def train(
    config: Config,
    params: FineTuningParams,
    clicks: ClickData,
    *,
    verbose: str | int = "auto",
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
    fit: Fit = fit_once,
) -> tuple[tm.models.FineTuningModel, dict]:
    """Fits the towers and restores the best weights, perhaps those of the start.

    Args:
      config: flags.
      params: hyper-parameters.
      clicks: sessions and the model to start from.
      verbose: argument of Keras's `fit`.
      callbacks: callbacks of Keras.
      fit: function that trains the compiled model.
    """
    tf.keras.utils.set_random_seed(config.seed)
    model = build_model(config, params, clicks)
    validation = clicks.batches("validation", config.batch_size)
    stop = tm.training.StopOnMetric(MONITOR, patience=config.patience)
    before = model.evaluate(validation, verbose=0, return_dict=True)
    initial = clicks.two_tower.get_weights()
    accumulate = tm.training.AccumulateMetrics(["val_not_irrelevant_dist_shift"])
    history = fit(
        model,
        clicks.batches("train", config.batch_size, shuffle=True),
        validation_data=validation,
        epochs=config.epochs,
        callbacks=[accumulate, *callbacks, stop],
        verbose=verbose,
    )
    if max(history[MONITOR]) <= before["pair_accuracy"]:
        clicks.two_tower.set_weights(initial)
        print("No epoch is better than the model before it, which is kept.")
    return model, history


def tune(
    config: Config, clicks: ClickData, towers_of: retrieval.Config, origin: Origin
) -> SearchResult:
    """Tunes hyper-parameters; every trial starts from the retrieval model."""

    def quality(choice: dict) -> float:
        # A copy for each trial: a frozen layer would stay frozen in the next one.
        copy = query_towers.build_model(towers_of, clicks.data)
        copy(next(iter(clicks.data.batches("test", 1))))
        copy.set_weights(clicks.two_tower.get_weights())
        own = dataclasses.replace(clicks, two_tower=copy)
        try:
            _, history = train(config, fine_tuning_params(choice), own, verbose=0)
        except SystemExit as error:  # only this choice fails
            raise ValueError(str(error)) from error
        return max(history[MONITOR])

    path = _trials_file(config, clicks, origin)
    try:
        with stored_trials(path):
            found = tm.training.random_search(
                _space(config),
                quality,
                config.trials,
                config.seed,
                storage=f"sqlite:///{path.resolve()}",
            )
    except (ImportError, ValueError) as error:
        raise SystemExit(f"Cannot search: {error}") from error
    print(f"Best of {len(found.trials)} trials: {found.value:.4f} with {found.params}")
    for trial in found.failed:
        print(f"  failed: {trial['params']}: {trial['error']}")
    return found


def _space(config: Config) -> dict[str, tuple]:
    return SPACE | {"num_fixed_layers": config.fixed_layers}


def _origin(config: Config, clicks: ClickData, run: str) -> Origin:
    """Describes what the weights come from: the model before, and the sessions."""
    start = finished(config.retrieval, retrieval.Config, fall_back=config.fall_back)
    data = dict(start.about["data"])
    data["models to start from"] = {"size": 1, "sha256": start.id}
    for split, searches in clicks.splits.items():
        lines = [f"{s.query} {s.results} {s.events}" for s in searches]
        data[f"{split} sessions"] = sized(len(lines), np.array(lines))
    return Origin(run, config, data, clicks.data.vocabularies)


def _trials_file(config: Config, clicks: ClickData, origin: Origin) -> Path:
    """Names a file of trials that share their data and all flags but the tuned ones."""
    left_out = {"output", "trials", "fixed_layers", *SPACE}
    flags = dataclasses.asdict(config) | clicks.counts | {"space": _space(config)}
    flags |= {"of": origin.data}
    text = str({name: v for name, v in flags.items() if name not in left_out})
    name = f"trials-{hashlib.sha256(text.encode()).hexdigest()[:12]}.db"
    return config.output / name


def _write(
    config: Config,
    params: FineTuningParams,
    search: SearchResult | None,
    clicks: ClickData,
    model: tm.models.FineTuningModel,
    history: dict,
    comparison: Comparison,
    towers_of: retrieval.Config,
    origin: Origin,
) -> dict:
    """Writes checkpoint, export, metrics and report."""
    data, two_tower = clicks.data, clicks.two_tower
    kept = Checkpoints(config.output / "checkpoint").save(model, origin)
    exact = index_items(
        tm.layers.BruteForce(k=min(100, data.num_items), duplicates="error"),
        two_tower,
        data,
    )
    exported = retrieval.export_recommender(
        towers_of, data, two_tower, exact, config.output / "export", run=origin.run
    )
    metrics = {
        "run": origin.run,
        "checkpoint": kept.id,
        "export": exported.name,
        "config": dataclasses.asdict(config),
        "start": dataclasses.asdict(towers_of),
        "params": {"id": params.id, "text": params.text},
        "search": None if search is None else search._asdict(),
        "sessions": clicks.counts,
        "history": history,
        **comparison.metrics,
    }
    write_report(
        config.output / "report.html",
        run=origin.run,
        config=config,
        clicks=clicks,
        history=history,
        comparison=comparison,
        search=search,
        params=params,
    )
    write_json(config.output / "metrics.json", metrics)
    print_paths(config.output, exported)
    return metrics


def _params(config: Config) -> FineTuningParams:
    names = {field.name for field in dataclasses.fields(FineTuningParams)}
    given = {n: v for n, v in dataclasses.asdict(config).items() if n in names}
    try:
        return FineTuningParams(num_fixed_layers=config.fixed_layers[0], **given)
    except ValueError as error:
        raise SystemExit(f"A flag is out of range: {error}") from error


def _optimizer(
    config: Config, rate: float, decay: float
) -> tf.keras.optimizers.Optimizer:
    kinds = {"adam": tf.keras.optimizers.Adam, "sgd": tf.keras.optimizers.SGD}
    schedule = tm.training.step_decay_schedule(rate, config.step_size, config.gamma)
    return kinds[config.optimizer](schedule, weight_decay=decay or None)


def with_log(config: Config) -> Config:
    """Takes the sessions of the data set if that is a click log."""
    path = Path(config.data.dataset)
    if config.sessions is not None or not is_log(path):
        return config
    print(
        f"{path} is a click log: sessions and rows are split by time "
        "(--split global_time --session-split time)."
    )
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, split="global_time"),
        sessions=path,
        session_split="time",
    )


def _check_flags(config: Config) -> None:
    """Ends the program for flags out of range."""
    if not config.fixed_layers:
        raise ending("`--fixed-layers` must name a number. Got none.", 2)
    _params(config)


if __name__ == "__main__":
    start(main, Config, __doc__)
