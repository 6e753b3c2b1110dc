"""AutoMTN beside simple recommenders on public check-ins.

The data are Foursquare's check-ins in New York (Yang et al., TSMC 2015), which
`pipelines.automtn` reads as `dataset_TSMC2014_NYC.csv` or `.txt` and which are not ours
to ship. RESULTS.md has those of `data/NYC.npy` of the public repository
`yingtaoluo/Spatial-Temporal-Attention-Network-for-POI-Recommendation`, brought to that
format: 147,938 check-ins at POIs with ten check-ins or more, without categories.

python -m pipelines.benchmarks.check_ins --data dataset_TSMC2014_NYC.csv
"""

import dataclasses
import json
from pathlib import Path

import tyro

from pipelines import automtn
from pipelines.benchmarks import results
from pipelines.parts.check_in_data import CheckInConfig
from pipelines.parts.command import command
from pipelines.parts.flags import Count, Seed
from pipelines.reporting.automtn import METRICS, MODEL


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    data: str
    """File of check-ins."""
    length: Count = 10
    """Check-ins of a trace."""
    stride: Count = 10
    """Check-ins from one target to the next, in training and in test; 1 for all."""
    epochs: Count = 2
    """Epochs of each training."""
    ablations: bool = False
    """Whether to train AutoMTN without each of its parts too."""
    seed: Seed = 42
    """Seed of the weights and of the order of equal times and of the rows."""
    reuse: bool = False
    """Read metrics.json of an earlier run in the output folder instead of a new run."""
    write: bool = True
    """Write the section to RESULTS.md."""
    output: Path = Path("artifacts/check_ins")
    """Folder of the run."""


@command
def main(config: Config) -> dict:
    """Runs the pipeline and writes the section `check_ins`.

    Args:
      config: flags of the benchmark.

    Returns:
      The content of metrics.json.
    """
    written = config.output / "metrics.json"
    if config.reuse and written.exists():
        metrics = json.loads(written.read_text(encoding="utf-8"))
    else:
        metrics = automtn.main(
            automtn.Config(
                data=CheckInConfig(
                    data=config.data, length=config.length, stride=config.stride
                ),
                epochs=config.epochs,
                ablations=config.ablations,
                seed=config.seed,
                output=config.output,
            )
        )
    if config.write:
        results.write_section("check_ins", section(metrics, config))
    return metrics


def section(metrics: dict, config: Config) -> str:
    """Formats the section of RESULTS.md.

    Args:
      metrics: content of metrics.json.
      config: flags of the benchmark.
    """
    test, values = metrics["test"], metrics["validation"]
    order = sorted(test, key=lambda name: -test[name]["ndcg_at_10"]["mean"])
    rows = [
        [
            f"**{name}**" if name == MODEL else name,
            *(_interval(test[name][metric]) for metric in METRICS.values()),
            f"{values[name]:.3f}" if name in values else "",
        ]
        for name in order
    ]
    header = ["", *METRICS, "NDCG@10 on validation"]
    return f"""\
{metrics["summary"]}.

One seed, traces of {config.length}, a target every {config.stride} check-ins of a user,
{config.epochs} epochs. AutoMTN, and the simple recommenders named "so far", count the
visits of the user up to the request, which is at the time of the target; the others
count those of training. [95% bootstrap interval over users].

{results.table(header, rows)}

{metrics["verdict"]}

Command: `python -m pipelines.benchmarks.check_ins --data FILE --length {config.length}
--stride {config.stride} --epochs {config.epochs}`; where the file is from is in its
docstring.
"""


def _interval(value: dict) -> str:
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
