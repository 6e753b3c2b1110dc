"""Makes SYNTHETIC search sessions over real interactions, by a stated click model."""

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

    In a session a user is shown `list_size` items in the order of their scores plus
    noise. A share of them are items that the user has in the splits, at the position
    that their score gives them; the others are the user's best by score. The click
    model:

    - the relevance is 0.9 for an item that the user likes (a rating of `like_rating` or
      more; any item if there are no ratings), 0.3 for another item that they rated, and
      0.05 for one that they did not rate;
    - the user looks at position `i` with probability `(1 / (1 + i)) ** eta`;
    - `click ~ Bernoulli(relevance * look)`, independently.

    So clicks depend on the given splits only; rows of other splits stay unseen. The
    stored scores of a session are those without the noise.

    Args:
      data: users and the items that they have.
      scores: function from indices of users `[n]` to scores `[n, num_items]` of items 1
        to `num_items`: the search engine of the sessions.
      seed: seed of the sessions; the same seed makes the same sessions.
      splits: names of the splits that relevance is read from.
      sessions_per_user: number of sessions of each user with a row in the splits.
      list_size: number of items in a session.
      known_share: share of the shown items that are drawn from the user's items.
      noise: noise of the order, in standard deviations of a user's scores. With 0 the
        best items come first, and clicks add little to the scores.
      eta: exponent of the decay of looks with the position; 0 looks at every position.
      like_rating: least rating of an item that the user likes.

    Yields:
      Sessions in a random order of the users. `search_query` is the user's id, and
      `search_meta` marks them as synthetic.

    Raises:
      ValueError: numbers out of range.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"user_id": list("aabb"), "item_id": list("xyyz")})
      >>> data = tm.data.from_frame(frame.assign(timestamp=range(4)))
      >>> sessions = tm.data.synthetic.make_click_sessions(
      ...     data, lambda users: np.ones([len(users), data.num_items]), seed=0,
      ...     list_size=2, sessions_per_user=1)
      >>> [len(session["search_results"]) for session in sessions]
      [2, 2]
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
        user_scores = scores(np.array([user]))[0]
        items = _shown(
            rng,
            user_scores,
            np.array(list(relevance[user])),
            list_size,
            known_share,
            noise,
        )
        worth = np.array([relevance[user].get(item, UNKNOWN) for item in items])
        clicked = items[rng.uniform(size=list_size) < worth * look]
        yield _session(data, number, user, items, user_scores[items - 1], clicked)


def _relevance(
    data: Interactions, splits: Sequence[str], like_rating: float
) -> dict[int, dict[int, float]]:
    """Returns user -> item -> relevance for the items that users have in the splits."""
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
    """Draws the items of a session, in display order."""
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
                "event_id": f"{name}-{number}",
                "session_id": name,
                "object_id": str(names[item - 1]),
                "event_type": "click",
                "created_at": number,
            }
            for number, item in enumerate(clicked)
        ],
        "search_meta": {"synthetic": True},
    }
