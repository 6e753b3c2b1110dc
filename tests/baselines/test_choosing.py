import math

import numpy as np
import pandas as pd
import pytest

from tests.baselines.logs import random_log, with_rows
from tfrs_models import baselines
from tfrs_models.baselines import Popularity, RecentPopularity, UserHistory, choose
from tfrs_models.data import from_frame
from tfrs_models.metrics import rank_scores


def ndcg(baseline, data, split, *, exclude):
    table = rank_scores(
        baseline.fit(data, split=split).score,
        data.splits[split],
        exclusions=data.exclusions(split) if exclude else None,
    )
    return table.take(~table.hidden).values("ndcg_at_10").mean(dtype=np.float64)


def planted(*, trends, repeats, seed=0, num_rows=4000):
    """A log in which some rows take the item of the day, and some the user's own."""
    rng = np.random.default_rng(seed)
    user = rng.integers(40, size=num_rows)
    day = np.sort(rng.integers(60, size=num_rows))
    item = rng.integers(200, size=num_rows)
    kind = rng.random(num_rows)
    item = np.where(kind < trends, 200 + day, item)
    item = np.where(kind > 1 - repeats, 300 + user * 3 + rng.integers(3), item)
    time = 1_400_000_000 + 86_400 * day + rng.integers(86_400, size=num_rows)
    frame = pd.DataFrame({"user_id": user, "item_id": item, "timestamp": time})
    return from_frame(frame, split="global_time")


def test_recent_popularity_wins_where_there_are_trends():
    data = planted(trends=0.5, repeats=0)
    choices = choose(data, names=["popularity", "recent_popularity"])
    assert [choice.kind for choice in choices] == ["recent_popularity", "popularity"]
    recent, popular = (
        ndcg(choice.baseline, data, "test", exclude=True) for choice in choices
    )
    assert recent > 2 * popular


def test_the_history_of_the_user_wins_where_users_repeat():
    data = planted(trends=0, repeats=0.6)
    names = ["popularity", "recent_popularity", "user_history"]
    best, *others = choose(data, names=names, exclude=False)
    assert best.kind == "user_history"
    measured = ndcg(best.baseline, data, "test", exclude=False)
    for other in others:
        assert measured > 2 * ndcg(other.baseline, data, "test", exclude=False)


def test_the_value_is_that_of_the_validation_rows():
    data = random_log(3, rows=200)
    for choice in choose(data, names=["popularity", "user_history"], exclude=False):
        expected = ndcg(choice.baseline, data, "validation", exclude=False)
        assert choice.value == pytest.approx(expected)


def test_test_rows_have_no_influence():
    data = random_log(3, rows=200)
    blind = {name: column[:1] for name, column in data.splits["test"].items()}
    first, second = (
        [(c.name, c.value) for c in choose(d)]
        for d in (data, with_rows(data, test=blind))
    )
    assert first == second


def test_a_sum_joins_the_best_popularity_and_the_best_personal_baseline():
    data = planted(trends=0.4, repeats=0.4)
    by_kind = {choice.kind: choice for choice in choose(data, exclude=False)}
    total = by_kind["weighted_sum"]
    assert isinstance(total.baseline.parts[0], RecentPopularity)
    assert total.baseline.parts[1].is_personal
    assert total.value > by_kind["popularity"].value
    with_one = choose(data, names=["popularity", "weighted_sum"])[-1]
    assert (with_one.kind, with_one.baseline) == ("weighted_sum", None)
    assert "needs a popularity and a personal baseline" in with_one.note


def test_baselines_that_need_times_are_left_out_and_the_result_has_a_note():
    data = random_log(1, timestamp_column=None, split="random")
    choices = choose(data)
    by_kind = {choice.kind: choice for choice in choices}
    assert by_kind["popularity"].num_tried
    for kind in ("recent_popularity", "user_history"):
        choice = by_kind[kind]
        assert (choice.baseline, choice.note) == (None, "needs timestamps")
        assert math.isnan(choice.value)


def test_what_does_not_fit_into_the_budget_is_left_out():
    data = random_log(1)
    choices = choose(data, budget_seconds=1e-9)
    assert [c.kind for c in choices if c.baseline] == ["popularity"]
    for choice in choices[1:]:
        assert choice.note


def test_a_sample_of_the_validation_rows_is_drawn_with_the_seed():
    data = random_log(3, rows=400)
    values = [
        [
            choice.value
            for choice in choose(
                data, names=["popularity"], exclude=False, num_rows=10, seed=seed
            )
        ]
        for seed in (1, 1, 2, 3)
    ]
    assert values[0] == values[1]
    assert len({tuple(v) for v in values}) > 1


def test_nonsense_is_refused():
    data = random_log(1)
    with pytest.raises(ValueError, match="`names` must be among"):
        choose(data, names=["popular"])
    with pytest.raises(ValueError, match="`budget_seconds` must be positive"):
        choose(data, budget_seconds=0)
    with pytest.raises(ValueError, match="follow from the rank"):
        choose(data, metric="coverage_at_10")
    with pytest.raises(ValueError, match="must have validation rows"):
        choose(random_log(1, validation_fraction=0))


def test_everything_public_is_a_baseline_or_chooses_one():
    for kind in (Popularity, RecentPopularity, UserHistory):
        assert issubclass(kind, baselines.Baseline)
