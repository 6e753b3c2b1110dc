import numpy as np
import pandas as pd
import pytest

from tfrs_models.data import from_frame
from tfrs_models.data.clickstream import read_sessions
from tfrs_models.data.synthetic import make_click_sessions


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    pairs = rng.permutation(40 * 30)[:600]  # each pair once
    return from_frame(
        pd.DataFrame(
            {
                "user_id": [f"u{pair // 30}" for pair in pairs],
                "item_id": [f"i{pair % 30}" for pair in pairs],
                "rating": rng.integers(1, 6, size=len(pairs)),
                "timestamp": rng.integers(10_000, size=len(pairs)),
            }
        )
    )


@pytest.fixture(scope="module")
def make(data):
    shape = (data.num_users + 1, data.num_items)
    scores = np.random.default_rng(0).normal(size=shape)

    def make(seed, **options):
        sessions = make_click_sessions(
            data, lambda users: scores[users], seed, **({"list_size": 8} | options)
        )
        return list(read_sessions(sessions, strict=True))

    return make


def test_synthetic_clicks_know_of_the_splits_that_they_are_made_of_only(data, make):
    searches = make(1, sessions_per_user=60)
    assert len(searches) == 60 * data.num_users
    users = {n: i for i, n in enumerate(data.vocabularies["user_id"].tolist(), 1)}
    items = {n: i for i, n in enumerate(data.vocabularies["item_id"].tolist(), 1)}
    rated = {}
    for split in ("train", "validation", "test"):
        c = data.splits[split]
        for user, item, rating in zip(
            c["user_id"], c["item_id"], c["rating"], strict=True
        ):
            rated[int(user), int(item)] = (split == "test", rating >= 4)
    # A click model that is stated is one that can be checked: look * relevance.
    seen, chances = {}, {"liked": 0.9, "rated": 0.3, "none": 0.05, "test": 0.05}
    for search in searches:
        for position, result in enumerate(search.results):
            is_test, liked = rated.get(
                (users[search.query], items[result]), (None, None)
            )
            kind = "none" if is_test is None else "test" if is_test else "liked"
            kind = "rated" if kind == "liked" and not liked else kind
            seen.setdefault((kind, position), []).append(result in search.events)
    for (kind, position), clicks in seen.items():
        chance = chances[kind] / (1 + position) ** 0.5
        error = np.sqrt(chance * (1 - chance) / len(clicks))
        assert abs(np.mean(clicks) - chance) < 4.5 * error + 1e-9, (kind, position)


def test_a_seed_decides_about_users_items_and_clicks(make):
    def session(seed):
        searches = make(seed, sessions_per_user=2)
        return [(s.query, s.results, s.events) for s in searches]

    assert session(1) == session(1)
    for one, other in zip(
        zip(*session(1), strict=True), zip(*session(2), strict=True), strict=True
    ):
        assert one != other


def test_options_of_the_click_model_are_followed(data, make):
    train_only = make(0, splits=("train",), known_share=1.0)
    had = {}
    names = {kind: data.vocabularies[kind] for kind in ("user_id", "item_id")}
    columns = data.splits["train"]
    for user, item in zip(columns["user_id"], columns["item_id"], strict=True):
        user, item = names["user_id"][user - 1], names["item_id"][item - 1]
        had.setdefault(str(user), set()).add(str(item))
    for search in train_only:
        known = len(had[search.query] & set(search.results))
        assert known == min(8, len(had[search.query]))
    for search in make(0, noise=0.0):
        scores = list(search.ranks.values())
        assert scores == sorted(scores, reverse=True)
    assert any(
        list(s.ranks.values()) != sorted(s.ranks.values(), reverse=True)
        for s in make(0)
    )
    blind = make(0, eta=50.0, sessions_per_user=20)
    assert all(s.events in ([], s.results[:1]) for s in blind)
    clicks = {
        rating: sum(len(s.events) for s in make(0, like_rating=rating, eta=0.0))
        for rating in (1.0, 6.0)
    }
    assert clicks[1.0] > 2 * clicks[6.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"list_size": 99}, "`list_size` must be from 1 to the number of items, 30"),
        ({"sessions_per_user": 0}, "`sessions_per_user` must be at least 1"),
        ({"known_share": 2}, r"`known_share` must be in \[0, 1\]"),
        ({"noise": -1}, "`noise` must not be negative"),
    ],
)
def test_wrong_arguments_of_the_click_model_are_named(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(0, **arguments)
