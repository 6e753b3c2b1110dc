"""The section `sequences` of RESULTS.md."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.benchmarks import results
from pipelines.benchmarks.figures import bars
from pipelines.benchmarks.protocols import Protocol
from tfrs_models.data import Interactions
from tfrs_models.data.times import SECOND

METRICS = {"hit_rate_at_100": "hit rate at 100", "ndcg_at_10": "NDCG@10"}


def of_data(
    name: str,
    protocol: Protocol,
    values: Mapping[str, Mapping[str, np.ndarray]],
    *,
    models: Sequence[str],
    peer: str,
) -> str:
    """Formats the results on one data set.

    Args:
      name: name of the plot.
      protocol: data set.
      values: case -> metric -> `[num_seeds, num_rows]`.
      models: names of our cases, the main one first.
      peer: name of the case with which others are compared.
    """
    gap = gaps(protocol.measure)
    slices = {
        "tied in time": gap == 0,
        "not tied": gap > 0,
        "gap up to 1 h": gap <= 3600,
        "gap above 1 h": gap > 3600,
    }
    reference = values[peer]["ndcg_at_10"].mean(axis=0)

    def lead(found: np.ndarray, rows: np.ndarray | slice = slice(None)) -> str:
        return results.gain((found.mean(axis=0) - reference)[rows])

    rows = [
        [
            case,
            *(results.with_spread(found[metric]) for metric in METRICS),
            lead(found["ndcg_at_10"]) if case != peer else "",
        ]
        for case, found in values.items()
    ]
    by_slice = [
        [case]
        + [
            f"{found['ndcg_at_10'][:, part].mean():.4f}"
            + (f", {lead(found['ndcg_at_10'], part)}" if case in models else "")
            for part in slices.values()
        ]
        for case, found in values.items()
    ]
    figure = bars(
        {case: float(found["ndcg_at_10"].mean()) for case, found in values.items()},
        title=f"NDCG@10, known items excluded: {protocol.name}",
        own=models[0],
    )
    header = ["model", *METRICS.values(), f"NDCG@10 above {peer}"]
    titles = [f"{title} ({part.sum():,} rows)" for title, part in slices.items()]
    return f"""\
### {protocol.name}

{len(gap):,} test rows, {protocol.measure.num_items:,} candidates.

{results.table(header, rows)}

NDCG@10 by the time since the row before, for ours with the paired difference to
{peer}:

{results.table(["model", *titles], by_slice)}

{results.save_plot(figure, f"sequences_{name}")}
"""


def section(
    reports: Sequence[str], *, settings: Mapping[str, object], seeds: int
) -> str:
    """Formats the section of RESULTS.md.

    Args:
      reports: results of the data sets.
      settings: name of a model or a peer -> its settings.
      seeds: number of trainings of every random case.
    """
    listed = "\n".join(f"- {name}: `{value}`" for name, value in settings.items())
    return f"""\
Each user's last row is the test row. Mean over {seeds} seeds ± standard
deviation over seeds [95% bootstrap interval over users]; EASE, item-kNN and popularity
have no seed. The peers' parameters are chosen on the row before the last (`--search`),
then everybody trains on all rows but the last. The towers have one setting for both
data sets, and their search was uneven: of recency pooling a dozen variants were tried
on the row before the last of both sets and none replaced the first; then of seven more
(attention, a vector for the user, times, the scale of side features), on the five rows
before the last, times did. (Times told from that of the request instead of the newest
item were better still, but a served answer does not know its request's.) Of GRU and
SASRec two each were tried, of the SASRec with one negative one, these on MovieLens-100K
with one seed.
That last model also differs from the SASRec above it by more than the loss: ids only,
no unit norm. Differences are paired by user, against one peer; the towers are not
compared with each other. Most last rows come within an hour of the row before, and many
share its time, where a drawn order says which came first: read the second table before
the first. Its rows above an hour are few, and its peer is no strong one
there: look at EASE and ALS beside it.

{listed}

{chr(10).join(reports)}
Command: `python -m pipelines.benchmarks.sequences`
"""


def gaps(data: Interactions) -> np.ndarray:
    """Returns `[num_rows]` seconds from a user's last train row to the test row."""
    train, test = data.splits["train"], data.splits["test"]
    newest = np.zeros(data.num_users + 1, np.int64)
    np.maximum.at(newest, train["user_id"], train["timestamp_us"])
    return (test["timestamp_us"] - newest[test["user_id"]]) / SECOND
