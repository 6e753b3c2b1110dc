"""Users and items that have enough interactions among themselves."""

import itertools

import numpy as np
import pytest

from tests.data.kuaisar.raw_files import START, write
from tfrs_models.data.kuaisar import Options, convert
from tfrs_models.data.kuaisar.k_core import k_core


def test_the_k_core_is_what_a_loop_leaves():
    rng = np.random.default_rng(2)
    for k, _ in itertools.product([1, 2, 3, 5], range(5)):
        user, item = rng.integers(12, size=60), rng.integers(15, size=60)
        needed = rng.random(60) < 0.5
        rows = set(range(60))
        while True:
            bad = {
                r
                for r in rows
                if sum(user[r] == user[o] for o in rows) < k
                or sum(item[r] == item[o] for o in rows) < k
                or not any(needed[o] and user[r] == user[o] for o in rows)
            }
            if not bad:
                break
            rows -= bad
        np.testing.assert_array_equal(
            np.flatnonzero(k_core(user, item, k, needed)), sorted(rows)
        )


@pytest.mark.parametrize(("both_services", "num_users"), [(True, 3), (False, 4)])
def test_a_user_whose_clicks_in_the_recommender_are_filtered_out_is_of_one_service(
    tmp_path, both_services, num_users
):
    clicks = [
        (user, item, START + item, 1)
        for user in (1, 2, 3)
        for item in range(10, 18)
        if item != 10 + user  # the user's negative
    ]
    searches = [
        (user, 10 * user + place, START + 20 + place, "[3]", 10 + place, 1)
        for user in (1, 2, 3, 4)
        for place in range(5)
        if place != user
    ]
    rare = (4, 99, START, 1)
    write(tmp_path, [*clicks, rare], searches, [1, 2, 3, 4], range(10, 100))
    options = Options(
        k_core=3,
        both_services=both_services,
        split="leave_last_out",
        avoid="earlier",
        num_train_negatives=1,
        num_eval_negatives=1,
        min_samples=1,
    )
    data = convert(tmp_path, options)
    assert (data.num_users, data.num_items) == (num_users, 8)
