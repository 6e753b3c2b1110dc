import numpy as np
import pytest

from tests.baselines.logs import known_rows, random_log
from tfrs_models.baselines import ItemKNN, item_knn


def oracle(data, *, num_neighbours, shrinkage):
    """Shrunk cosines of sets of users, the nearest ones of each item."""
    users = {item: set() for item in range(1, data.num_items + 1)}
    for user, item, _, is_earlier in known_rows(data, "test"):
        if is_earlier and user:
            users[item].add(user)
    weights = np.zeros((data.num_items, data.num_items))
    for item, own in users.items():
        for other, others in users.items():
            length = (len(own) * len(others)) ** 0.5 + shrinkage
            if item != other and length:
                weights[other - 1, item - 1] = len(own & others) / length
        column = weights[:, item - 1]
        last = sorted(column)[::-1][min(num_neighbours, len(column)) - 1]
        column[column < last] = 0
    return weights


@pytest.mark.parametrize("num_neighbours", [1, 3, 50])
@pytest.mark.parametrize("shrinkage", [0.0, 2.5])
def test_neighbours_are_the_items_with_the_largest_shrunk_cosine(
    num_neighbours, shrinkage, monkeypatch
):
    monkeypatch.setattr(item_knn, "_BLOCK", 5)  # several blocks
    data = random_log(1, rows=120, users=15, items=12, newcomers=4, split="global_time")
    options = {"num_neighbours": num_neighbours, "shrinkage": shrinkage}
    weights = ItemKNN(**options).fit(data).weights
    np.testing.assert_allclose(weights.toarray(), oracle(data, **options), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_neighbours": 0}, "`num_neighbours` must be at least 1"),
        ({"shrinkage": -1}, "`shrinkage` must be finite"),
        ({"shrinkage": np.nan}, "`shrinkage` must be finite"),
    ],
)
def test_wrong_parameters_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        ItemKNN(**options)
