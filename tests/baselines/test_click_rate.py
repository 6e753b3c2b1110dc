import numpy as np
import pytest

from tfrs_models.baselines import ClickRate
from tfrs_models.data.clickstream import FineTuningInput


def log(seed):
    """Searches whose later positions and larger items are clicked less."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(40):
        shown = rng.choice(9, size=rng.integers(1, 6), replace=False)
        clicked = [i for p, i in enumerate(shown) if rng.random() < 0.9 / (1 + p + i)]
        found.append(FineTuningInput("u", clicked, shown, dict.fromkeys(shown)))
    return found


@pytest.mark.parametrize("by", ["item", "position"])
@pytest.mark.parametrize("prior", [0.5, 10.0])
def test_rates_are_smoothed_towards_the_rate_of_all(by, prior):
    searches = log(0)
    cells = [
        (result if by == "item" else str(position), result in search.events)
        for search in searches
        for position, result in enumerate(search.results)
    ]
    rate = np.mean([clicked for _, clicked in cells])
    results = [str(i) for i in range(5)]  # item i at position i
    expected = []
    for key in results:
        own = [clicked for other, clicked in cells if other == key]
        expected.append((sum(own) + prior * rate) / (len(own) + prior))
    baseline = ClickRate(by, prior=prior).fit(searches)
    np.testing.assert_allclose(baseline.score(results), expected)
    if by == "item":
        np.testing.assert_allclose(baseline.score(["never shown"]), [rate])


def test_fit_returns_a_copy_and_what_cannot_be_used_is_refused():
    baseline = ClickRate()
    assert baseline.fit(log(1)).score(["1"]).shape == (1,)
    with pytest.raises(ValueError, match="must be fitted first"):
        baseline.score(["1"])
    with pytest.raises(ValueError, match="`searches` must have results"):
        baseline.fit([])
    with pytest.raises(ValueError, match="`prior` must be positive. Got 0"):
        ClickRate(prior=0.0)
    with pytest.raises(ValueError, match="`by` must be .* Got 'user'"):
        ClickRate("user")
