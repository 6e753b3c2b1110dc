"""SYNTHETIC clicks in two services, each of which predicts clicks in the other."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models._files import written_whole
from tfrs_models.data.kuaisar import Options, SearchAndRecommendation
from tfrs_models.data.kuaisar.convert import convert

_TOPICS = 32
_WORDS = 3  # words of a topic
_CLICKS = 6  # clicks of a user on the first day, each on another topic
_LATER_DAYS = 8
_DAY = 24 * 60 * 60 * 1000
_MINUTE = 60 * 1000
_START = 1_684_713_600_000  # 22 May 2023 in Beijing
_LONG_QUERY = 60
_LEAST_USERS = 20


def make_search_and_recommendation(
    seed: int,
    *,
    num_users: int = 12_000,
    num_items: int = 640,
    options: Options | None = None,
) -> SearchAndRecommendation:
    """Makes SYNTHETIC data in the layout of KuaiSAR, with a planted structure.

    The first day begins with a search for some topic by its words, and a click on a
    result. Then a user clicks six items in the recommender, each of another topic.
    After one of them the user stops for a search, in words that name no topic and
    without a click. On one later day the recommender shows the topic at which the user
    stopped: an item of the topic that was clicked just before that search. The clicks
    alone do not identify which of the six topics it is, and the searches alone contain
    no topic. Only both in their order do.

    Interests drift: the topics of a day are drawn around a centre that moves. Every
    user has a taste, one of two subtopics, which is visible in the clicks in the
    recommender. On the later day the user also searches, for any topic by its words;
    nine of ten clicks there are to the user's taste.

    A few more users are edge cases: very long and very short histories, one service
    only, events at the same time, searches without clicks and with many, an item
    without a caption, a query of 60 words and one of a single number.

    Args:
      seed: seed of all draws.
      num_users: number of users besides the edge cases; at least 20.
      num_items: number of items, a multiple of 64 from 320; each of the 32 topics and
        their two subtopics has equally many.
      options: options of the conversion. None: samples are from the later days, the
        last day is test, the day before it validation, and no user is filtered out.

    Returns:
      The data. `first_level_category_id` of an item is its topic, and
      `second_level_category_id` its subtopic.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> data = tm.data.synthetic.make_search_and_recommendation(0, num_users=40)
      >>> print(data)
      46 users, 305 items, 169 search sessions, 108 words
      recommendation: 35 train, 1 validation, 4 test
      search: 35 train, 1 validation, 4 test
    """
    options = options or Options(
        k_core=1,
        both_services=False,
        history_days=1,
        min_samples=1,
        max_words=10,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as directory:
        write_search_and_recommendation_log(
            directory, seed, num_users=num_users, num_items=num_items
        )
        return convert(directory, options)


def write_search_and_recommendation_log(
    directory: str | Path, seed: int, *, num_users: int = 12_000, num_items: int = 640
) -> None:
    """Writes the five raw files of `make_search_and_recommendation`.

    Args:
      directory: path of an existing folder for the files.
      seed: seed of all draws.
      num_users: number of users besides the edge cases; at least 20.
      num_items: number of items, a multiple of 64 from 320.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> import os
      >>> synthetic = tm.data.synthetic
      >>> synthetic.write_search_and_recommendation_log(".", seed=0, num_users=40)
      >>> sorted(os.listdir("."))[:3]
      ['item_features.csv', 'rec_inter.csv', 'social_network.csv']
    """
    if num_items < 320 or num_items % (2 * _TOPICS):
        raise ValueError(
            f"`num_items` must be a multiple of {2 * _TOPICS} from 320. Got "
            f"{num_items}."
        )
    if num_users < _LEAST_USERS:
        raise ValueError(
            f"`num_users` must be at least {_LEAST_USERS}, who click enough items to "
            f"draw negatives from. Got {num_users}."
        )
    log = _Log(np.random.default_rng(seed), num_items)
    for user in range(num_users):
        log.live(user)
    log.add_edge_cases(num_users)
    for name, frame in log.frames().items():
        with written_whole(Path(directory) / f"{name}.csv") as unfinished:
            frame.to_csv(unfinished, index=False)


class _Log:
    """Events in the order in which they happen, with raw ids like those of KuaiSAR."""

    def __init__(self, rng: np.random.Generator, num_items: int) -> None:
        self._rng, self._num_items = rng, num_items
        self._clicks, self._searches, self._num_sessions = [], [], 0

    def live(self, user: int) -> None:
        """Adds both days of an ordinary user."""
        rng, taste = self._rng, int(self._rng.integers(2))
        time = _START + int(rng.integers(12 * 60)) * _MINUTE
        topics, stop = self._drifting_topics(), int(rng.integers(_CLICKS))
        self._find(user, time, taste)
        for position, topic in enumerate(topics):
            time += 2 * _MINUTE
            self.click(user, time, self.item(topic, self._near(taste)))
            if position == stop:
                self.search(user, time + _MINUTE, None, [])
        time += int(rng.integers(1, _LATER_DAYS + 1)) * _DAY
        self.click(user, time, self.item(topics[stop], self._near(taste)))
        self._find(user, time + _MINUTE, taste)

    def _find(self, user: int, time: int, taste: int) -> None:
        """Adds a search for any topic, and a click on an item of it."""
        topic = int(self._rng.integers(_TOPICS))
        self.search(user, time, topic, [self.item(topic, self._near(taste))])

    def _drifting_topics(self) -> np.ndarray:
        """Distinct topics, each near the one before it."""
        center, left = int(self._rng.integers(_TOPICS)), np.arange(_TOPICS)
        topics = []
        for _ in range(_CLICKS):
            distance = np.abs(left - center)
            weight = np.exp(-np.minimum(distance, _TOPICS - distance))
            center = int(self._rng.choice(left, p=weight / weight.sum()))
            topics.append(center)
            left = left[left != center]
        return np.array(topics)

    def _near(self, taste: int) -> int:
        return taste if self._rng.uniform() < 0.9 else 1 - taste

    def item(self, topic: int, subtopic: int) -> int:
        """A random item of the topic and the subtopic."""
        per_kind = self._num_items // (2 * _TOPICS)
        kind = 2 * topic + subtopic
        return int(kind * per_kind + self._rng.integers(per_kind))

    def click(self, user: int, time: int, item: int) -> None:
        """Adds a click in the recommender, and an item of that list without a click."""
        other = int(self._rng.integers(self._num_items))
        self._clicks += [(user, item, time, 1), (user, other, time, 0)]

    def search(
        self,
        user: int,
        time: int,
        topic: int | None,
        clicked: list[int],
        keyword: object = None,
    ) -> None:
        """Adds a search: the clicked results and some results without a click."""
        if keyword is None:
            first = _WORDS * (_TOPICS if topic is None else topic)
            words = first + self._rng.integers(_WORDS, size=2)
            keyword = [int(word) + 1 for word in words]
        self._num_sessions += 1
        shown = [(item, 1) for item in clicked]
        shown += [(int(i), 0) for i in self._rng.integers(self._num_items, size=2)]
        self._searches += [
            (user, self._num_sessions, time, str(keyword), item, count)
            for item, count in shown
        ]

    def add_edge_cases(self, user: int) -> None:
        """Adds users `user`, `user + 1`, ... whose histories are hard to convert."""
        time = _START
        for step in range(36):  # longer than a history of either service
            self.click(user, time + 2 * step * _MINUTE, step)
            self.search(user, time + (2 * step + 1) * _MINUTE, step % _TOPICS, [step])
        self.click(user + 1, time, 3)  # one event in each service
        self.search(user + 1, time + _MINUTE, 0, [5])
        for step in range(4):  # the recommender only, then the search engine only
            self.click(user + 2, time + step * _MINUTE, step + 7)
            self.search(user + 3, time + step * _MINUTE, step, [step + 9])
        for step in range(4):  # both services at once, and a list clicked at once
            moment = time + step * _MINUTE
            self.search(user + 4, moment, step, [step, step + 40])
            self.click(user + 4, moment, step + 20)
            self.click(user + 4, moment, step + 30)
        moment = time + 10 * _MINUTE
        self.search(user + 5, moment, 0, [])
        self.search(user + 5, moment + 1, 0, [1, 2, 3, 4, 5, 6, 7], keyword=7)
        long = [1 + step % (_TOPICS * _WORDS) for step in range(_LONG_QUERY)]
        self.search(user + 5, moment + 2, 0, [8], keyword=long)
        self.search(user + 5, moment + 3, 0, [9], keyword=[])
        for step in range(4):
            self.click(user + 5, moment + 4 + step, step)

    def frames(self) -> dict[str, pd.DataFrame]:
        """The tables of the files, one user after the other."""
        clicks = pd.DataFrame(
            self._clicks, columns=["user_id", "item_id", "timestamp", "click"]
        )
        clicks["playing_time"], clicks["duration_ms"] = 1000.0, 9000.0
        clicks["time"] = _in_beijing(clicks["timestamp"])
        for name in ("forward", "like", "follow", "search", "search_item_related"):
            clicks[name] = 0
        searches = pd.DataFrame(
            self._searches,
            columns=[
                "user_id",
                "search_session_id",
                "search_session_timestamp",
                "keyword",
                "item_id",
                "click_cnt",
            ],
        )
        searches["search_session_time"] = _in_beijing(
            searches["search_session_timestamp"]
        )
        searches["search_source"], searches["item_type"] = "USER_INPUT", "VIDEO"
        for frame in (clicks, searches):
            frame["user_id"] += 1000
            frame["item_id"] += 5000
        for frame, name in [
            (clicks, "timestamp"),
            (searches, "search_session_timestamp"),
        ]:
            frame[name] = frame[name].astype(float)
        users = np.union1d(clicks["user_id"], searches["user_id"])
        follows = pd.DataFrame({"user_id": users[:1], "user_follow_id": users[-1:]})
        return {
            "rec_inter": clicks,
            "src_inter": searches,
            "user_features": self._users(users),
            "item_features": self._items(),
            "social_network": follows,
        }

    def _users(self, users: np.ndarray) -> pd.DataFrame:
        sizes = {
            "search_active_level": 7,
            "rec_active_level": 4,
            "onehot_feat1": 8,
            "onehot_feat2": 3,
        }
        drawn = {
            name: self._rng.integers(size, size=len(users))
            for name, size in sizes.items()
        }
        return pd.DataFrame({"user_id": users, **drawn})

    def _items(self) -> pd.DataFrame:
        number = np.arange(self._num_items)
        kind = number * 2 * _TOPICS // self._num_items
        common = (_TOPICS + 1) * _WORDS + 1 + number % 9
        words = [
            [1 + _WORDS * (k // 2) + n % _WORDS, c]
            for n, k, c in zip(
                number.tolist(), kind.tolist(), common.tolist(), strict=True
            )
        ]
        frame = pd.DataFrame(
            {
                "item_id": number + 5000,
                "caption": [str(caption) for caption in words],
                "author_id": 0,
                "item_type": "NORMAL",
                "upload_time": "1970-01-01",
                "upload_type": "UNKNOWN",
                "first_level_category_id": 1 + kind // 2,
                "second_level_category_id": 1 + kind,
                "third_level_category_id": -124,
                "fourth_level_category_id": -124,
            }
        )
        frame.loc[0, "caption"] = "[]"
        for level in ("first", "second", "third", "fourth"):
            for kind_of_name in ("name", "name_en"):
                frame[f"{level}_level_category_{kind_of_name}"] = "UNKNOWN"
        return frame


def _in_beijing(milliseconds: pd.Series) -> pd.Series:
    moment = pd.to_datetime(milliseconds + 8 * 60 * _MINUTE, unit="ms")
    return moment.dt.strftime("%Y-%m-%d %H:%M:%S")
