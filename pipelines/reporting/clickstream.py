"""Measures and reports a fine-tuning on clicks, before and after."""

import dataclasses
from pathlib import Path

import numpy as np

import tfrs_models as tm
from tfrs_models.training.hyper_parameters import SearchResult

from ..parts.click_data import ClickData
from . import evaluation, plots
from .page import render
from .tables import print_table

METRICS = evaluation.METRICS
OF_SESSIONS = (
    "pair_accuracy",
    "mean_gap",
    "not_irrelevant_dist_shift",
    "irrelevant_dist_shift",
    "loss_per_pair",
    "clamped_share",
)
_NUM_EXAMPLES = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """Measurements of the towers at one time.

    Args:
      sessions: metrics of the test sessions.
      corpus: ranks of the test rows over the whole catalogue.
      gaps: `[num_pairs]` score of a clicked result minus that of an unclicked one.
      accuracy: `[num_searches]` share of the pairs of a search in the right order; a
        pair with equal scores counts half. NaN for a search without a pair, and for one
        that is repeated because searches without a click outnumber those with one.
      users: `[num_searches]` user of each search.
      examples: result id -> score, for a few sessions.
    """

    sessions: dict[str, float]
    corpus: evaluation.Evaluation
    gaps: np.ndarray
    accuracy: np.ndarray
    users: np.ndarray
    examples: list[dict[str, float]]


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Measurements before and after the training.

    Args:
      before: measurements before the training.
      after: measurements after the training.
      metrics: the part of metrics.json about both.
      baselines: name of a baseline -> `[num_searches]` accuracy, as in `Measured`.
    """

    before: Measured
    after: Measured
    metrics: dict
    baselines: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def measure(
    model: tm.models.FineTuningModel,
    two_tower: tm.models.TwoTower,
    data: tm.data.Interactions,
    clicks: ClickData,
) -> Measured:
    """Scores the test sessions, and the test rows over the whole catalogue."""
    batches = clicks.batches("test", 256)
    figures = model.evaluate(batches, verbose=0, return_dict=True)
    gaps, accuracy = [], []
    for batch in batches:
        ranks = model.extractor.ranks(batch)
        for clicked, new in zip(
            batch["clicked"].to_list(), ranks.to_list(), strict=True
        ):
            clicked, new = np.array(clicked, bool), np.array(new)
            gap = (new[clicked][:, None] - new[~clicked][None, :]).ravel()
            gaps.append(gap)
            accuracy.append(_share_in_order(gap))
    pairs = tm.data.clickstream.pair_inputs(clicks.splits["test"])
    accuracy = np.where(_is_repeat(pairs), np.nan, accuracy)
    users = np.array([str(search.query) for search, _ in pairs])
    return Measured(
        sessions={name: figures[name] for name in OF_SESSIONS},
        corpus=evaluation.evaluate(two_tower, data),
        gaps=np.concatenate(gaps),
        accuracy=accuracy,
        users=users,
        examples=[
            tm.data.clickstream.calculate_ranks(
                search, clicks.items, model.extractor, query_features=clicks.queries
            )
            for search in _examples(clicks)
        ],
    )


def measure_baselines(clicks: ClickData) -> dict[str, np.ndarray]:
    """Orders the test sessions by popularity and by click rates of training sessions.

    Args:
      clicks: sessions.

    Returns:
      Name of a baseline -> `[num_searches]` share of the pairs of a session in the
      right order.
    """
    names = clicks.data.vocabularies["item_id"].tolist()
    popularity = dict(
        zip(names, clicks.data.candidate_probabilities[1:].tolist(), strict=True)
    )
    scorers = {"popularity": lambda results: np.array([popularity[r] for r in results])}
    for by in ("item", "position"):
        fitted = tm.baselines.ClickRate(by).fit(clicks.splits["train"])
        scorers[fitted.name] = fitted.score
    pairs = tm.data.clickstream.pair_inputs(clicks.splits["test"])
    found = {name: [] for name in scorers}
    for search, _ in pairs:
        clicked = np.isin(search.results, search.events)
        for name, score in scorers.items():
            scores = score(search.results)
            gap = (scores[clicked][:, None] - scores[~clicked][None, :]).ravel()
            found[name].append(_share_in_order(gap))
    repeat = _is_repeat(pairs)
    return {name: np.where(repeat, np.nan, values) for name, values in found.items()}


def _is_repeat(pairs: list) -> np.ndarray:
    """`[num_pairs]` bool, True where the first search of a pair was there before."""
    _, first = np.unique([id(search) for search, _ in pairs], return_index=True)
    return ~np.isin(np.arange(len(pairs)), first)


def _share_in_order(gap: np.ndarray) -> float:
    return np.mean((gap > 0) + 0.5 * (gap == 0)) if len(gap) else np.nan


def compare(
    before: Measured,
    after: Measured,
    data: tm.data.Interactions,
    baselines: dict[str, np.ndarray] | None = None,
) -> Comparison:
    """Compares both measurements, with paired differences by user."""
    rows = data.splits["test"]["user_id"]
    groups = np.where(rows > 0, rows, -np.arange(len(rows)))
    differences = {
        metric: _interval(
            after.corpus.tables["model"].values(metric)
            - before.corpus.tables["model"].values(metric),
            groups,
        )
        for metric in METRICS
    }
    has_pairs = ~np.isnan(before.accuracy)
    differences["pair_accuracy_of_a_session"] = _interval(
        (after.accuracy - before.accuracy)[has_pairs], before.users[has_pairs]
    )
    metrics = {
        name: {
            "sessions": measured.sessions,
            "corpus": measured.corpus.metrics["test"],
        }
        for name, measured in (("before", before), ("after", after))
    }
    baselines = baselines or {}
    metrics["baselines"] = {
        name: {
            "pair_accuracy_of_a_session": float(np.mean(accuracy[has_pairs])),
            "after_minus_baseline": _interval(
                (after.accuracy - accuracy)[has_pairs], before.users[has_pairs]
            ),
        }
        for name, accuracy in baselines.items()
    }
    metrics["after_minus_before"] = differences
    return Comparison(before, after, metrics, baselines)


def _interval(values: np.ndarray, groups: np.ndarray) -> dict:
    return tm.metrics.bootstrap_interval(values, groups)._asdict()


def verdict(comparison: Comparison) -> str:
    """Returns a sentence on the effect of the training."""
    sessions = comparison.metrics["after_minus_before"]["pair_accuracy_of_a_session"]
    corpus = comparison.metrics["after_minus_before"]["ndcg_at_10"]
    return (
        f"On the test sessions clicked results stand above others {_more(sessions)} "
        f"before ({_signed(sessions)} of the pairs of a session); on the "
        f"held-out rows over the whole catalogue NDCG@10 is {_better(corpus)} "
        f"({_signed(corpus)}).{_against_baselines(comparison)}"
    )


def _against_baselines(comparison: Comparison) -> str:
    """A sentence on the best simple order of the test sessions."""
    if not comparison.baselines:
        return ""
    found = comparison.metrics["baselines"]
    best = max(found, key=lambda name: found[name]["pair_accuracy_of_a_session"])
    figures = found[best]
    gain = figures["after_minus_baseline"]
    return (
        f" Ordered by {best}, {figures['pair_accuracy_of_a_session']:.3f} of the pairs "
        f"of a session are right: the model is {_than(gain)} "
        f"({_signed(gain)})."
    )


def _of_baselines(comparison: Comparison) -> list[list[str]]:
    """Rows of the pair accuracy of a session, of the model and of the baselines."""
    if not comparison.baselines:
        return []
    means = (
        f"{np.nanmean(measured.accuracy):+.4f}"
        for measured in (comparison.before, comparison.after)
    )
    gain = comparison.metrics["after_minus_before"]["pair_accuracy_of_a_session"]
    found = [["pair accuracy of a session", *means, _signed(gain)]]
    for name, figures in comparison.metrics["baselines"].items():
        value = f"{figures['pair_accuracy_of_a_session']:+.4f}"
        more = f"model after: {_signed(figures['after_minus_baseline'])}"
        found.append([f"  the same by {name}", value, "", more])
    return found


def _more(gain: dict) -> str:
    words = {1: "more often than", -1: "less often than", 0: "as often as"}
    return words[_sign(gain)]


def _than(gain: dict) -> str:
    return {1: "better", -1: "worse", 0: "not clearly better"}[_sign(gain)]


def _better(gain: dict) -> str:
    return {1: "higher", -1: "lower", 0: "not clearly another"}[_sign(gain)]


def _sign(gain: dict) -> int:
    return 1 if gain["low"] > 0 else -1 if gain["high"] < 0 else 0


def _signed(gain: dict) -> str:
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"


def rows(comparison: Comparison) -> list[list[str]]:
    """Makes a row for each metric: before, after and, if paired, the difference."""
    found = [
        [
            name.replace("_", " "),
            *(
                f"{measured.sessions[name]:+.4f}"
                for measured in (comparison.before, comparison.after)
            ),
            _signed(comparison.metrics["after_minus_before"][f"{name}_of_a_session"])
            if name == "pair_accuracy"
            else "",
        ]
        for name in OF_SESSIONS
    ]
    found += _of_baselines(comparison)
    for metric in METRICS:
        means = (
            f"{comparison.metrics[when]['corpus']['model'][metric]['mean']:.4f}"
            for when in ("before", "after")
        )
        gain = _signed(comparison.metrics["after_minus_before"][metric])
        found.append([f"corpus {metric.replace('_', ' ')}", *means, gain])
    return found


HEADER = ["", "before", "after", "difference [95%, by user]"]


def print_comparison(comparison: Comparison) -> None:
    """Prints the table and the verdict of a comparison."""
    print()
    print_table(HEADER, rows(comparison))
    print(f"\n{verdict(comparison)}")


@dataclasses.dataclass(frozen=True)
class ExampleResult:
    """A result of a session as a row of the report."""

    title: str
    clicked: bool
    before: float
    after: float


def write_report(
    target: Path,
    *,
    run: str,
    config: object,
    clicks: ClickData,
    history: dict,
    comparison: Comparison,
    search: SearchResult | None,
    params: tm.data.clickstream.FineTuningParams,
) -> Path:
    """Writes the report page."""
    popularity = comparison.metrics["before"]["corpus"]["popularity"]
    trials = [] if search is None else search.trials
    return render(
        "clickstream.html",
        target,
        run=run,
        config=dataclasses.asdict(config),
        clicks=clicks,
        data=clicks.data,
        verdict=verdict(comparison),
        header=HEADER,
        rows=rows(comparison),
        popularity=popularity["ndcg_at_10"]["mean"],
        curves=plots.click_curves(history),
        gaps=plots.gap_histogram(
            {"before": comparison.before.gaps, "after": comparison.after.gaps}
        ),
        examples=_example_results(clicks, comparison),
        trials=sorted(trials, key=lambda trial: -trial["value"])[:10],
        failed=[] if search is None else search.failed,
        params=params,
    )


def _examples(clicks: ClickData) -> list:
    clicked = [s for s in clicks.splits["test"] if not s.is_irrelevant]
    return clicked[:_NUM_EXAMPLES]


def _example_results(clicks: ClickData, comparison: Comparison) -> list:
    titles = dict(
        zip(
            clicks.data.vocabularies["item_id"].tolist(),
            clicks.data.titles[1:].tolist(),
            strict=True,
        )
    )
    found = []
    for number, search in enumerate(_examples(clicks)):
        before, after = (
            measured.examples[number]
            for measured in (comparison.before, comparison.after)
        )
        results = [
            ExampleResult(titles[r], r in search.events, before[r], after[r])
            for r in search.results
        ]
        results.sort(key=lambda result: -result.after)
        found.append((str(search.query), results[:10]))
    return found
