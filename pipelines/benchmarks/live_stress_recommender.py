"""Readers and one writer of a live `Recommender`, for the benchmark `live_stress`."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from pipelines.benchmarks.live_stress import (
    KINDS,
    WIDTH,
    Answer,
    is_best,
    run,
    without_state,
)

SUBJECT = "Recommender with trends"
FIRST, MOST, USERS = 24, 400, 5
START, HOUR = 1_600_000_000, 3_600
HALF_LIFE = 2.0  # days
_TRENDS = 3  # features of one half-life


class Update(NamedTuple):
    """One update of a recommender.

    Attributes:
      name: method of the recommender, or "index" to index the same items anew.
      ids: ids of items; of trends, an id for each event.
      rows: embeddings of the items.
      kinds: values of the attribute `kind`.
      titles: titles of the items; None to leave them.
      times: seconds of each event.
      time: seconds of the update of the trends.
      is_refused: whether the recommender must refuse it.
    """

    name: str
    ids: list[str]
    rows: np.ndarray
    kinds: np.ndarray
    titles: list[str] | None = None
    times: np.ndarray | None = None
    time: int = 0
    is_refused: bool = False


def schedule(seed: int, number: int, *, anew: int) -> list[Update]:
    """Draws updates, each of them possible after those before it.

    Args:
      seed: seed of the draws.
      number: number of updates.
      anew: number of updates from one indexing anew to the next.
    """
    rng = np.random.default_rng([seed, 5])
    known = [f"i{n}" for n in range(FIRST)]
    there, time = set(known), START
    updates = []

    def add(name: str, ids: list[str], **values: object) -> None:
        rows = rng.normal(size=(len(ids), WIDTH)).astype("float32")
        updates.append(Update(name, ids, rows, rng.choice(KINDS, len(ids)), **values))

    add("upsert_items", [*known])  # all of the first items, as they begin
    while len(updates) < number:
        what = rng.choice(["upsert", "new", "remove", "trends", "refused"])
        some = rng.choice(sorted(there), size=4, replace=False).tolist()
        if len(updates) % anew == 0:
            add("index", [])
        elif what == "trends":
            ids = rng.choice(known, size=rng.integers(0, 9)).tolist()
            new = time + int(rng.integers(2, 9 * HOUR))
            times = np.sort(rng.integers(time, new, size=len(ids)))
            add("update_trends", ids, times=times, time=new)
            time = new
        elif what == "upsert" or (what == "new" and len(known) >= MOST):
            add("upsert_items", some)
            there |= {*some}
        elif what == "new":
            new = f"new {len(known)}"
            titles = [f"Title {len(updates)}.{n}" for n in range(3)]
            add("upsert_items", [new, *some[:2]], titles=titles)
            known.append(new)
            there.add(new)
        elif what == "remove" and len(there) >= FIRST:
            add("remove_items", some)
            there -= {*some}
        elif what == "refused":
            add("remove_items", [*some[:2], "nobody"], is_refused=True)
    return updates


def request(rng: np.random.Generator) -> dict:
    """Draws arguments of `Recommender.ask`."""
    ids = [f"i{n}" for n in rng.integers(0, FIRST, size=4)]
    users = [f"u{n}" for n in rng.integers(0, USERS + 1, size=2)]  # one is unknown
    kinds = [str(rng.choice(KINDS))]
    restrictions = (
        {},
        {"exclusions": ids},
        {"filters": {"kind": kinds}},
        {"allowed": ids, "filters": {"kind": kinds}},
    )
    return {
        "user_id": users,
        "k": int(rng.choice([1, 4, 9])),
        "exclude_seen": bool(rng.integers(2)),
        **restrictions[rng.integers(len(restrictions))],
    }


def _users() -> tuple[np.ndarray, list[list[int]]]:
    """Returns query vectors and known items by row, row 0 for the unknown user."""
    rng = np.random.default_rng(3)
    tastes = rng.normal(size=(USERS + 1, WIDTH + _TRENDS)).astype("float32")
    known = [[], *(rng.integers(1, FIRST, size=4).tolist() for _ in range(USERS))]
    return tastes, known


def make() -> tm.serving.Recommender:
    """Makes a recommender of the first items, without an event so far."""
    tastes, known = _users()
    nothing = np.zeros(FIRST + 1)
    trends = tm.serving.LiveTrends(
        nothing[:, None], nothing, time=START, half_lives_days=[HALF_LIFE]
    )
    index = tm.layers.IVF(
        capacity=MOST + 9, block_size=8, num_partitions=4, num_probes=999
    ).index(
        np.zeros([FIRST, WIDTH + _TRENDS], "float32"),
        np.arange(1, FIRST + 1),
        attributes={"kind": np.resize(KINDS, FIRST)},
    )
    return tm.serving.Recommender(
        tf.keras.layers.Lambda(lambda users: users["taste"]),
        index,
        user_ids=[f"u{n}" for n in range(USERS)],
        user_features={"taste": tastes},
        item_ids=[f"i{n}" for n in range(FIRST)],
        titles=["", *(f"First {n}" for n in range(FIRST))],
        known_items=tf.ragged.constant(known, dtype=tf.int64),
        candidate_probabilities=np.full(FIRST + 1, 1 / FIRST),
        trends=trends,
    )


def apply(module: tm.serving.Recommender, state: "Items", update: Update) -> None:
    """Updates a recommender, and the state with it."""
    if update.name == "upsert_items":
        module.upsert_items(
            update.ids,
            embeddings=update.rows,
            titles=update.titles,
            attributes={"kind": update.kinds},
        )
    elif update.name == "update_trends":
        module.update_trends(update.ids, update.time, event_times=update.times)
    elif update.name == "remove_items":
        try:
            module.remove_items(update.ids)
        except ValueError:
            if not update.is_refused:
                raise
    else:  # in a new order, and in another number of blocks
        ids, rows, kinds = state.contents()
        order = np.random.default_rng(len(ids)).permutation(len(ids))
        module.index.index(rows[order], ids[order], attributes={"kind": kinds[order]})
    state.change(update)


class Items:
    """A recommender as dictionaries of items, and a list of events."""

    def __init__(self) -> None:
        self._rows = {f"i{n}": n + 1 for n in range(FIRST)}
        self._titles = {f"i{n}": {f"First {n}"} for n in range(FIRST)}
        self._there: dict[str, tuple[np.ndarray, str]] = {}
        self._events: list[tuple[int, int]] = []
        self._time = START
        self._columns = {}
        self._users = _users()

    def change(self, update: Update) -> None:
        """Applies the next update.

        Args:
          update: update of the schedule.
        """
        if update.is_refused:
            return
        for number, item in enumerate(update.ids):
            if update.name == "upsert_items":
                self._rows.setdefault(item, len(self._rows) + 1)
                kind = str(update.kinds[number])
                self._there[item] = update.rows[number], kind
                titles = self._titles.setdefault(item, {""})
                if update.titles is not None:
                    titles.add(update.titles[number])
            elif update.name == "remove_items":
                del self._there[item]
            elif update.name == "update_trends":
                self._events.append((self._rows[item], int(update.times[number])))
        if update.name == "update_trends":
            self._time = update.time
        if update.name in ("update_trends", "upsert_items"):
            self._columns = self._trends()

    def _trends(self) -> dict[str, np.ndarray]:
        """Computes the trends of all items from all events."""
        if not self._events:  # no table begins without a row
            return {item: np.zeros(_TRENDS) for item in self._rows}
        items, times = np.array(self._events, np.int64).reshape(-1, 2).T
        table = tm.data.TrendTable(
            items, times, num_items=len(self._rows), half_lives_days=[HALF_LIFE]
        )
        now = tm.serving.LiveTrends.of(table, self._time)
        columns = now.columns(np.arange(len(self._rows) + 1))
        return {item: columns[row] for item, row in self._rows.items()}

    def contents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns rows, embeddings with trends and kinds of the items."""
        ids = np.array([self._rows[item] for item in self._there])
        rows = [
            np.append(row, self._columns[item])
            for item, (row, _) in self._there.items()
        ]
        kinds = np.array([kind for _, kind in self._there.values()])
        return ids, np.float32(rows), kinds

    def agrees(self, answer: Answer) -> bool:
        """Tells whether the answer is the one of this state.

        Args:
          answer: answer of a thread.
        """
        asked = answer.request
        tastes, known = self._users
        ids, rows, kinds = self.contents()
        names = np.array([*self._there])
        for number, user in enumerate(asked["user_id"]):
            user = int(user[1:]) + 1
            user = user if user <= USERS else 0
            passes = np.ones(len(ids), bool)
            if asked["exclude_seen"]:
                passes &= ~np.isin(ids, known[user])
            if "exclusions" in asked:
                passes &= ~np.isin(names, asked["exclusions"])
            if "allowed" in asked:
                passes &= np.isin(names, asked["allowed"])
            if "filters" in asked:
                passes &= kinds == asked["filters"]["kind"][0]
            scores = dict(
                zip(names[passes].tolist(), rows[passes] @ tastes[user], strict=True)
            )
            found = answer.found[number]
            size = min(asked["k"], len(scores))
            if len(found["item_id"]) != size:
                return False
            lists = np.array([found["score"]]), np.array([found["item_id"]])
            if size and not is_best(lists, 0, scores, missing=""):
                return False
            pairs = zip(found["item_id"], found["title"], strict=True)
            # Titles are read last: they may be of a later state.
            if not all(title in self._titles[item] for item, title in pairs):
                return answer.last > answer.first
        return True


def stress(
    subject: str, updates: list[Update], *, readers: int
) -> tuple[list[Answer], list[Answer]]:
    """Asks a recommender while it is updated.

    Args:
      subject: `SUBJECT`.
      updates: schedule.
      readers: number of threads that ask.

    Returns:
      All answers, and those that no state gives.
    """
    del subject
    module, state = make(), Items()
    answers = run(
        lambda asked: module.ask(**asked),
        lambda update: apply(module, state, update),
        updates,
        draw=request,
        readers=readers,
    )
    return answers, without_state(answers, updates, Items())
