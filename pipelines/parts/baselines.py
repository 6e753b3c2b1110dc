"""Simple recommenders beside a model: flags, and the choice of their parameters."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import tfrs_models as tm

from .flags import Positive
from .progress import step


@dataclasses.dataclass(frozen=True)
class BaselineConfig:
    """Flags of the simple recommenders."""

    baselines: Literal["auto", "none"] = "auto"
    """Simple recommenders beside the model: all that the data allow, with parameters
    chosen on validation rows, or popularity only."""
    baseline_seconds: Positive = 60.0
    """Time to choose the parameters of the simple recommenders, in seconds."""
    serve_best: bool = False
    """Export the simple recommender in place of the model where it is better on
    validation rows."""


def choose(
    config: BaselineConfig, data: tm.data.Interactions, *, seed: int
) -> list[tm.baselines.Choice]:
    """Chooses simple recommenders on validation rows, and prints them.

    Args:
      config: flags.
      data: interactions.
      seed: seed of the draw of validation rows.
    """
    if config.baselines == "none":
        return []
    if not len(data.splits["validation"]["user_id"]):
        print("No validation rows to choose simple recommenders on: popularity only.\n")
        return []
    with step("Simple recommenders") as choosing:
        choices = tm.baselines.choose(
            data, budget_seconds=config.baseline_seconds, seed=seed
        )
        choosing.note = f"of at most {config.baseline_seconds:g} s"
    print_choices(choices)
    return choices


def print_choices(choices: Sequence[tm.baselines.Choice]) -> None:
    """Prints the best parameters of each kind, and why a kind was left out."""
    print(f"\n  {'validation NDCG@10':>18}{'seconds':>9}   with the best parameters")
    for choice in choices:
        value = f"{choice.value:.4f}" if choice.baseline else "-"
        note = f" ({choice.note})" if choice.note not in choice.name else ""
        print(f"  {value:>18}{choice.seconds:>9.1f}   {choice.name}{note}")
    print()


def described_choices(choices: Sequence[tm.baselines.Choice]) -> list[dict]:
    """Returns the part of metrics.json about the choice of simple recommenders."""
    return [
        {
            "kind": choice.kind,
            "name": choice.name,
            "validation_ndcg_at_10": choice.value,
            "seconds": choice.seconds,
            "note": choice.note,
        }
        for choice in choices
    ]
