"""SYNTHETIC clicks in two services, where one says what the other will bring."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tfrs_models.data.kuaisar import Options, SearchAndRecommendation, convert

_TOPICS = 8
_WORDS = 3  # of a topic
_BLOCKS = 4  # of an episode, each of another topic
_DAY = 24 * 60 * 60 * 1000
_MINUTE = 60 * 1000
_START = 1_684_713_600_000  # 22 May 2023 in Beijing
_LONG_QUERY = 60


def make_search_and_recommendation(
    seed: int,
    *,
    num_users: int = 1000,
    num_items: int = 320,
    num_episodes: int = 3,
    options: Options | None = None,
) -> SearchAndRecommendation:
    """Makes SYNTHETIC data in the layout of KuaiSAR, with a planted structure.

    A user lives through episodes, one a day. In an episode they turn to four topics in
    a random order, and to each of them in both services:

    - two topics stay *open*: first a click on a recommended item, then a search;
    - two are *closed*: first the search, then the click.

    Then the recommender brings what is open: one more click on each of both topics, the
    one met last first. So the topics of the clicks alone, and of the searches alone, do
    not tell what comes: only the order of a click and a search of the same topic does.
    Interests drift: each day's topics are drawn around a centre that moves on. And a
    click in search prefers, in eight of ten cases, items of the subtopic that was
    clicked last in the recommender.

    A few more users are edge cases: very long and very short histories, one service
    only, events at the same time, searches without clicks and with many, an item
    without a caption, a query of 60 words and one of a single number.

    Args:
      seed: The same seed makes the same data.
      num_users: Besides the edge cases.
      num_items: At least 160, the same number of each of eight topics.
      num_episodes: Of each user.
      options: Of the conversion. None: each user's last click of a task is test, and
        nobody is filtered out.

    Returns:
      Data whose last click of the recommender, a user's test sample, is on an open
      topic; the topic is `first_level_category_id`.

    Raises:
      ValueError: numbers out of range.
    """
    options = options or Options(
        split="leave_last_out", k_core=1, both_services=False, max_words=10, seed=seed
    )
    with tempfile.TemporaryDirectory() as directory:
        write_search_and_recommendation_log(
            directory,
            seed,
            num_users=num_users,
            num_items=num_items,
            num_episodes=num_episodes,
        )
        return convert(directory, options)


def write_search_and_recommendation_log(
    directory: str | Path,
    seed: int,
    *,
    num_users: int = 1000,
    num_items: int = 320,
    num_episodes: int = 3,
) -> None:
    """Writes the five raw files of `make_search_and_recommendation`.

    Args:
      directory: Where to.
      seed: The same seed writes the same files.
      num_users: Besides the edge cases.
      num_items: At least 160, the same number of each of eight topics.
      num_episodes: Of each user.

    Raises:
      ValueError: numbers out of range.
    """
    if num_items < 160 or num_items % (2 * _TOPICS):
        raise ValueError(
            f"`num_items` must be a multiple of {2 * _TOPICS} from 160. Got "
            f"{num_items}."
        )
    for name, number in [("num_users", num_users), ("num_episodes", num_episodes)]:
        if number < 1:
            raise ValueError(f"`{name}` must be at least 1. Got {number}.")
    log = _Log(np.random.default_rng(seed), num_items)
    for user in range(num_users):
        log.live(user, num_episodes)
    log.add_edge_cases(num_users)
    for name, frame in log.frames().items():
        frame.to_csv(Path(directory) / f"{name}.csv", index=False)


class _Log:
    """Events as they happen. Items, users and words have KuaiSAR-like raw ids."""

    def __init__(self, rng: np.random.Generator, num_items: int) -> None:
        self._rng, self._num_items = rng, num_items
        self._clicks, self._searches, self._num_sessions = [], [], 0

    def live(self, user: int, num_episodes: int) -> None:
        """The days of an ordinary user."""
        rng = self._rng
        center, last = rng.integers(_TOPICS), int(rng.integers(self._num_items))
        for day in range(num_episodes):
            time = _START + day * _DAY + int(rng.integers(12 * 60)) * _MINUTE
            distance = np.abs(np.arange(_TOPICS) - center)
            distance = np.minimum(distance, _TOPICS - distance)
            weight = np.exp(-distance / 2)
            topics = rng.choice(
                _TOPICS, _BLOCKS, replace=False, p=weight / weight.sum()
            )
            is_open = rng.permutation(np.arange(_BLOCKS) < _BLOCKS // 2)
            for topic, stays_open in zip(topics, is_open, strict=True):
                if not stays_open:
                    self.search(user, time, topic, [self.item_like(last, topic)])
                    time += _MINUTE
                last = self.item(topic, int(rng.integers(2)))
                self.click(user, time, last)
                time += _MINUTE
                if stays_open:
                    self.search(user, time, topic, [self.item_like(last, topic)])
                    time += _MINUTE
            for topic in topics[is_open][::-1]:
                last = self.item(topic, int(rng.integers(2)))
                self.click(user, time, last)
                time += _MINUTE
            center = (center + rng.integers(-1, 2)) % _TOPICS

    def item(self, topic: int, subtopic: int) -> int:
        """A random item of the topic and the subtopic."""
        per_kind = self._num_items // (2 * _TOPICS)
        kind = 2 * topic + subtopic
        return int(kind * per_kind + self._rng.integers(per_kind))

    def item_like(self, last: int, topic: int) -> int:
        """A random item of the topic, in eight of ten cases of the last's subtopic."""
        subtopic = last * 2 * _TOPICS // self._num_items % 2
        if self._rng.uniform() > 0.8:
            subtopic = 1 - subtopic
        return self.item(topic, subtopic)

    def click(self, user: int, time: int, item: int) -> None:
        """A click in the recommender, and an item of the same list that got none."""
        other = int(self._rng.integers(self._num_items))
        self._clicks += [(user, item, time, 1), (user, other, time, 0)]

    def search(
        self,
        user: int,
        time: int,
        topic: int,
        clicked: list[int],
        keyword: object = None,
    ) -> None:
        """A search, the items that were clicked and some that were not."""
        if keyword is None:
            words = _WORDS * topic + self._rng.integers(_WORDS, size=2)
            keyword = [int(word) + 1 for word in words]
        self._num_sessions += 1
        shown = [(item, 1) for item in clicked]
        shown += [(int(i), 0) for i in self._rng.integers(self._num_items, size=2)]
        self._searches += [
            (user, self._num_sessions, time, str(keyword), item, count)
            for item, count in shown
        ]

    def add_edge_cases(self, user: int) -> None:
        """Users `user`, `user + 1`, ... whose histories are hard to get right."""
        time = _START
        for step in range(36):  # longer than what is kept of either service
            self.click(user, time + 2 * step * _MINUTE, step)
            self.search(user, time + (2 * step + 1) * _MINUTE, step % _TOPICS, [step])
        self.click(user + 1, time, 3)  # one event of each
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
        """The files, rows in a random order of the users."""
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
        common = _TOPICS * _WORDS + 1 + number % 9
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
