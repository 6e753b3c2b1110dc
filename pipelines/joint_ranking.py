"""Ranks lists and predicts clicks with one model: tfrs-models joint-ranking.

Compares list losses on the same model, over seeds. On MovieLens a list is a sequence of
ratings of one user; the ratings are the labels, and a rating of at least four stars is
a click. `--dataset synthetic-clicks` trains on clicks of lists that were shown. Writes
report.html, metrics.json and export/1 to `artifacts/joint_ranking`.
"""

import dataclasses
from pathlib import Path

import tensorflow as tf
import tyro

import tfrs_models as tm

from .parts.artifacts import (
    export_ranker,
    prepare_folder,
    print_paths,
    write_json,
)
from .parts.checkpoints import Origin
from .parts.command import command, ending, start
from .parts.data import DataConfig
from .parts.flags import CountOrNone, Rate, Seed, Share, Width
from .parts.list_data import ListData, load_list_data
from .parts.resuming import (
    MAY_DIFFER,
    ResumeConfig,
    of_several,
    resumable_fit,
)
from .parts.tracking import TrackingConfig, tracked
from .reporting.joint_ranking import Run, evaluate, print_runs, write_report

MONITOR = "val_loss_per_example"
# Each training is resumed by itself: there may be more of them, or fewer.
_MAY_DIFFER = MAY_DIFFER | {"seeds", "losses"}
LOSSES = {
    "pairwise logistic": tm.losses.PairwiseLogisticLoss,
    "pairwise hinge": tm.losses.PairwiseHingeLoss,
    "lambda": lambda: tm.losses.PairwiseLogisticLoss(weights="delta_ndcg"),
    "list softmax": tm.losses.ListwiseSoftmaxLoss,
    "ListMLE": tm.losses.ListMLELoss,
    "ApproxNDCG": tm.losses.ApproxNDCGLoss,
}
CALIBRATED = "calibrated"
CLICKS_ONLY = "clicks only"
NAMES = (*LOSSES, CALIBRATED, CLICKS_ONLY)


@dataclasses.dataclass(frozen=True)
class Config(TrackingConfig, ResumeConfig):
    """Flags of the joint ranking pipeline."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(
        default_factory=lambda: DataConfig(split="per_user_time")
    )
    losses: tuple[str, ...] = NAMES
    """Losses to compare: list losses by name, `calibrated` (one score both ranks and
    predicts the click) and `clicks only` (no ranking loss)."""
    alpha: Share = 0.5
    """Weight of the ranking loss, in [0, 1]; the click loss has the rest."""
    embedding_dim: Width = 32
    """Number of dimensions of the user's and the item's embedding."""
    list_size: Width = 20
    """Number of items of a list; synthetic lists have their own."""
    batch_size: int = 64
    """Lists per batch."""
    learning_rate: Rate = 0.002
    """Learning rate of Adam."""
    epochs: int = 30
    """Largest number of epochs: the validation loss stops the training earlier."""
    patience: CountOrNone = 2
    """Epochs without a better validation loss after which training stops."""
    seeds: int = 5
    """Number of trainings of each loss."""
    seed: Seed = 42
    """Seed of the split, the weights and the order of the lists."""
    output: Path = Path("artifacts/joint_ranking")
    """Folder of the report, the metrics and the export."""


SMOKE = Config(
    losses=("pairwise logistic", CALIBRATED, CLICKS_ONLY),
    embedding_dim=4,
    epochs=1,
    seeds=1,
)


@command
def main(config: Config) -> dict:
    """Runs the pipeline and returns the content of metrics.json."""
    _check_flags(config)
    output = prepare_folder(config.output)
    config, run_id = of_several(config, may_differ=_MAY_DIFFER)
    data = load_list_data(
        config.data,
        list_size=config.list_size,
        batch_size=config.batch_size,
        embedding_dim=config.embedding_dim,
        seed=config.seed,
    )
    print(data.summary, "\n")
    origin = Origin(run_id, config, data.fingerprint, data.vocabularies)
    runs = [
        run(config, data, loss, seed=config.seed + turn, origin=origin)
        for loss in config.losses
        for turn in range(config.seeds)
    ]
    print_runs(runs, data)
    best = max(runs, key=lambda run: run.validation_ndcg)
    exported = export_ranker(
        best.model,
        data.serving_features,
        output / "export",
        run=origin.run,
        vocabularies=data.vocabularies,
    )
    metrics = {
        "run": origin.run,
        "export": exported.name,
        "config": dataclasses.asdict(config),
        "exported": best.loss,
        "runs": [run.figures() for run in runs],
    }
    write_report(
        output / "report.html",
        run=metrics["run"],
        config=config,
        data=data,
        runs=runs,
        best=best,
    )
    write_json(output / "metrics.json", metrics)
    print_paths(output, exported)
    return metrics


def run(config: Config, data: ListData, loss: str, *, seed: int, origin: Origin) -> Run:
    """Trains one model, or goes on with it, and evaluates it on the test lists."""
    print(f"Training with {loss}, seed {seed}", flush=True)
    tf.keras.utils.set_random_seed(seed)
    model = build_model(config, data, loss)
    model.compile(tf.keras.optimizers.Adam(config.learning_rate))
    stop = tm.training.StopOnMetric(MONITOR, patience=config.patience)
    name = f"{loss}, seed {seed}"
    with tracked(config, "joint_ranking", name) as trackers:
        history = resumable_fit(
            config,
            model,
            data.train(seed),
            origin=origin,
            name=name,
            may_differ=_MAY_DIFFER,
            validation_data=data.validation,
            epochs=config.epochs,
            callbacks=[*trackers.callbacks, stop],
        )
        found = evaluate(model, data, loss, seed=seed, history=history)
        ranking = {name: interval.mean for name, interval in found.ranking.items()}
        trackers.log(ranking | found.clicks)
    return found


def build_model(config: Config, data: ListData, loss: str) -> tm.models.JointRankingCTR:
    """Builds the joint model with one of the losses."""
    is_calibrated = loss == CALIBRATED
    list_loss = None if is_calibrated else LOSSES.get(loss, next(iter(LOSSES.values())))
    return tm.models.JointRankingCTR(
        data.user_tower(),
        data.item_tower(),
        list_loss=list_loss and list_loss(),
        alpha=0.0 if loss == CLICKS_ONLY else config.alpha,
        calibrated=is_calibrated,
        item_features=("item_id",),
    )


def _check_flags(config: Config) -> None:
    """Ends the program for losses that do not exist."""
    unknown = sorted(set(config.losses) - set(NAMES))
    if unknown or not config.losses:
        raise ending(f"`--losses` must be of {NAMES}. Got {unknown}.", 2)


if __name__ == "__main__":
    start(main, Config, __doc__)
