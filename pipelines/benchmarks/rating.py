"""Rating prediction beside the tutorial: python -m pipelines.benchmarks.rating.

Follows TensorFlow Recommenders' ranking and DCN tutorials: MovieLens-100K and a random
80/20 split; the number of epochs is chosen on an eighth of the training rows.
"""

import dataclasses

import numpy as np
import tyro

from pipelines.benchmarks import results
from pipelines.benchmarks.protocols import invented_ratings, movielens_100k
from pipelines.parts.command import command
from pipelines.parts.field_ranking import (
    MEAN,
    TUTORIAL,
    Setting,
    mean_rating,
    train,
    train_tutorial,
)
from pipelines.reporting.tables import over_seeds


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    dataset: str = "ml-100k"
    """Data set to measure on; `invented` is a small one for tests."""
    setting: Setting = dataclasses.field(default_factory=Setting)
    """Setting of both models."""
    seeds: int = 5
    """Number of trainings of each model, on the same split."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(
    dataset="invented",
    setting=Setting(embedding_dim=4, hidden_units=(4,), batch_size=128, epochs=1),
    seeds=2,
    write=False,
)


@command
def main(config: Config) -> dict[str, float]:
    """Measures all models and writes the section `rating`."""
    protocol = (
        invented_ratings() if config.dataset == "invented" else movielens_100k(seed=42)
    )
    turns = {
        name: [
            _train(protocol, name, config.setting, seed=seed)
            for seed in range(config.seeds)
        ]
        for name in ("dcn", "deep-fm")
    }
    turns[TUTORIAL] = [
        train_tutorial(protocol.measure, "rating", seed=seed).figures
        for seed in range(config.seeds)
    ]
    turns[MEAN] = [mean_rating(protocol.measure, "rating").figures]
    if config.write:
        results.write_section("rating", _report(config, protocol.name, turns))
    return {
        f"{name}: {figure}": float(np.mean([turn[figure] for turn in of_model]))
        for name, of_model in turns.items()
        for figure in of_model[0]
    }


def _train(protocol, name: str, setting: Setting, *, seed: int) -> dict[str, float]:
    """Chooses the epochs on the validation part, then trains on all training rows."""
    chosen = train(protocol.choose, name, "rating", setting, seed=seed)
    epochs = int(np.argmin(chosen.history["val_loss_per_example"])) + 1
    setting = dataclasses.replace(setting, epochs=epochs)
    found = train(protocol.measure, name, "rating", setting, seed=seed).figures
    print(f"{name}, seed {seed}, {epochs} epochs: {found}", flush=True)
    return found


def _report(config: Config, name: str, turns: dict[str, list[dict]]) -> str:
    figures = list(next(iter(turns.values()))[0])
    rows = [
        [
            model,
            *(over_seeds([turn[figure] for turn in of_model]) for figure in figures),
        ]
        for model, of_model in turns.items()
    ]
    return f"""\
{name}; all fields of user and item. Mean over {config.seeds} seeds ± standard deviation
over seeds; the split stays. Ours choose their epochs on the validation part and train
on it too; the tutorial's model has the tutorial's setting. `{config.setting}`

{results.table(["model", *figures], rows)}

Command: `python -m pipelines.benchmarks.rating`
"""


if __name__ == "__main__":
    print(main(tyro.cli(Config, description=__doc__)))
