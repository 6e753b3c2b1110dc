"""SYNTHETIC search sessions over real interactions, by a stated click model."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfrs_models.data.interactions import Interactions
from tfrs_models.data.synthetic.position_biased_clicks import examination

LIKED, RATED, UNKNOWN = 0.9, 0.3, 0.05


def make_click_sessions(
    data: Interactions,
    scores: Callable[[np.ndarray], np.ndarray],
    seed: int,
    *,
    splits: Sequence[str] = ("train", "validation"),
    sessions_per_user: int = 10,
    list_size: int = 20,
    known_share: float = 0.4,
    noise: float = 1.0,
    eta: float = 0.5,
    like_rating: float = 4.0,
) -> Iterator[dict]:
    """Makes SYNTHETIC sessions in the form of `data.clickstream.session_to_input`.

    A session is a user who is shown `list_size` items in the order of their scores plus
    noise. A share of them is what the user has in the splits, wherever it would have
    stood; the others are of the user's best by score. The click model:

    - relevance is 0.9 of an item that the user likes (a rating of `like_rating` or
      more; any item where there are no ratings), 0.3 of another one that they rated,
      and 0.05 of one they did not;
    - the user looks at position `i` with `(1 / (1 + i)) ** eta`;
    - `click ~ Bernoulli(relevance * look)`, independently.

    So clicks know of the splits and of nothing else; rows of other splits stay unseen.
    The ranks of a session are the scores, without the noise.

    Args:
      data: Users and what they have.
      scores: From indices of users `[n]` to scores `[n, num_items]` of items 1 to
        `num_items`: the search that the sessions come from.
      seed: The same seed makes the same sessions.
      splits: What users are known to have.
      sessions_per_user: Of each user with a row in the splits.
      list_size: Items of a session.
      noise: Of the order, in standard deviations of a user's scores: 0 shows the best
        first, and then clicks say little that the search did not know.
      known_share: Share of the items that are taken from what the user has.
      eta: How fast looks fall with the position; 0 looks at everything.
      like_rating: The least rating of what is liked.

    Yields:
      Sessions whose `search_query` is the user's id and whose `search_meta` says that
      they are synthetic, in a random order of the users.

    Raises:
      ValueError: numbers out of range.
    """
    if not 1 <= list_size <= data.num_items:
        raise ValueError(
            f"`list_size` must be from 1 to the number of items, {data.num_items}. Got "
            f"{list_size}."
        )
    if noise < 0:
        raise ValueError(f"`noise` must not be negative. Got {noise}.")
    if sessions_per_user < 1:
        raise ValueError(
            f"`sessions_per_user` must be at least 1. Got {sessions_per_user}."
        )
    if not 0 <= known_share <= 1:
        raise ValueError(f"`known_share` must be in [0, 1]. Got {known_share}.")
    rng = np.random.default_rng(seed)
    relevance = _relevance(data, splits, like_rating)
    look = examination(np.arange(list_size), eta)
    turns = np.repeat(sorted(relevance), sessions_per_user)
    for number, user in enumerate(rng.permutation(turns)):
        own = scores(np.array([user]))[0]
        items = _shown(
            rng, own, np.array(list(relevance[user])), list_size, known_share, noise
        )
        worth = np.array([relevance[user].get(item, UNKNOWN) for item in items])
        clicked = items[rng.uniform(size=list_size) < worth * look]
        yield _session(data, number, user, items, own[items - 1], clicked)


def _relevance(
    data: Interactions, splits: Sequence[str], like_rating: float
) -> dict[int, dict[int, float]]:
    """User -> item -> relevance, of what they have in the splits."""
    found = {}
    for split in splits:
        columns = data.splits[split]
        liked = np.ones(len(columns["user_id"]), bool)
        if "rating" in columns:
            liked = columns["rating"] >= like_rating
        for user, item, good in zip(
            columns["user_id"].tolist(), columns["item_id"].tolist(), liked, strict=True
        ):
            if user > 0:
                found.setdefault(user, {})[item] = LIKED if good else RATED
    return found


def _shown(
    rng: np.random.Generator,
    scores: np.ndarray,
    known: np.ndarray,
    list_size: int,
    known_share: float,
    noise: float,
) -> np.ndarray:
    """Items of a session in the order in which they are shown."""
    count = min(round(known_share * list_size), len(known))
    chosen = rng.choice(known, count, replace=False)
    noisy = scores + rng.normal(scale=noise * scores.std(), size=len(scores))
    order = np.argsort(-noisy) + 1
    best = order[~np.isin(order, chosen)][: list_size - count]
    items = np.concatenate([chosen, best]).astype(np.int64)
    return items[np.argsort(-noisy[items - 1], kind="stable")]


def _session(
    data: Interactions,
    number: int,
    user: int,
    items: np.ndarray,
    scores: np.ndarray,
    clicked: np.ndarray,
) -> dict:
    names, name = data.vocabularies["item_id"], f"synthetic-{number}"
    return {
        "session_id": name,
        "search_query": str(data.vocabularies["user_id"][user - 1]),
        "created_at": number,
        "search_results": [
            {"object_id": str(names[item - 1]), "rank": float(score)}
            for item, score in zip(items, scores, strict=True)
        ],
        "events": [
            {
                "event_id": f"{name}-{place}",
                "session_id": name,
                "object_id": str(names[item - 1]),
                "event_type": "click",
                "created_at": number,
            }
            for place, item in enumerate(clicked)
        ],
        "search_meta": {"synthetic": True},
    }
