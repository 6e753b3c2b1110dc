import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests import oracles
from tfrs_models.ops.ranks import rank_metrics

TIES = ("expected", "pessimistic", "optimistic")
ranks = st.tuples(st.integers(0, 12), st.integers(0, 4))
# Up to 4 ties are averaged over all 5! orders; the closed forms know nothing of them.


def closed_form(kind, above, tied, *, ties, k=None, competing=None):
    above, tied = rank_metrics.resolve_ties(
        tf.constant([above]), tf.constant([tied]), ties=ties
    )
    if kind == "hits":
        return rank_metrics.hit_rate(above, tied, k=k).numpy()[0]
    if kind == "ndcg":
        return rank_metrics.ndcg(above, tied, k=k).numpy()[0]
    if kind == "mrr":
        return rank_metrics.reciprocal_rank(above, tied).numpy()[0]
    return rank_metrics.auc(above, tied, tf.constant([competing])).numpy()[0]


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("kind", ["hits", "ndcg", "mrr", "auc"])
@given(ranks=ranks, k=st.integers(1, 20), worse=st.integers(0, 5))
def test_every_metric_is_the_mean_over_all_orders_of_the_ties(
    kind, ties, ranks, k, worse
):
    above, tied = ranks
    competing = max(above + tied + worse, 1)
    expected = oracles.expected(kind, above, tied, ties=ties, k=k, competing=competing)
    value = closed_form(kind, above, tied, ties=ties, k=k, competing=competing)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "k"), [("hits", 100), ("ndcg", 10), ("mrr", None)])
def test_a_collapsed_corpus_of_a_million_scores_at_chance(kind, k):
    tied = 999_999
    expected = {
        "hits": 1e-4,
        "ndcg": sum(1 / np.log2(np.arange(2, 12))) / 1e6,
        "mrr": (np.log(1e6) + np.euler_gamma) / 1e6,
    }[kind]
    value = closed_form(kind, 0, tied, ties="expected", k=k)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("above", [10**3, 10**6])
@pytest.mark.parametrize("tied", [1, 4])
def test_a_reciprocal_rank_far_down_keeps_its_digits(above, tied):
    expected = np.mean([1 / (above + 1 + place) for place in range(tied + 1)])
    value = closed_form("mrr", above, tied, ties="expected")
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["hits", "ndcg", "mrr", "auc"])
@given(above=st.integers(0, 50), tied=st.integers(0, 50), k=st.integers(1, 60))
def test_the_expectation_lies_between_bad_and_good_luck(kind, above, tied, k):
    low, middle, high = (
        closed_form(kind, above, tied, ties=ties, k=k, competing=101)
        for ties in ("pessimistic", "expected", "optimistic")
    )
    assert low - 1e-6 <= middle <= high + 1e-6


def test_an_unknown_rule_for_ties_is_refused_by_name():
    with pytest.raises(ValueError, match=r"`ties` must be one of .* Got 'random'"):
        rank_metrics.resolve_ties(tf.constant([0]), tf.constant([0]), ties="random")
