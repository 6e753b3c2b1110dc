"""Readers and one writer of a live index: python -m pipelines.benchmarks.live_stress.

Threads ask an index, or a `Recommender`, while another thread changes it by a seeded
schedule: upserts, additions, removals, new columns or trends, indexing anew with other
sizes, and changes that are refused. Each answer must be that of one state between its
request and its return, as NumPy computes it from the same schedule.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf
import tyro

from pipelines.benchmarks import results
from pipelines.parts.command import command
from tfrs_models import layers

WIDTH, MOST, FEWEST = 4, 60, 20  # embedding_dim; candidates
KINDS = ("a", "b", "c")


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    changes: int = 400
    """Number of changes of each subject."""
    readers: int = 3
    """Number of threads that ask."""
    anew: int = 100
    """Number of changes from one indexing anew to the next."""
    seeds: int = 1
    """Number of schedules."""
    write: bool = True
    """Whether to write the section of RESULTS.md."""


SMOKE = Config(changes=20, readers=2, anew=15, seeds=1, write=False)


class Change(NamedTuple):
    """One change of an index.

    Attributes:
      name: method of the index.
      ids: ids of the candidates.
      rows: embeddings of the candidates, or new last columns.
      kinds: values of the attribute `kind`.
      is_refused: whether the index must refuse it and stay as it is.
    """

    name: str
    ids: np.ndarray
    rows: np.ndarray
    kinds: np.ndarray
    is_refused: bool = False


class Answer(NamedTuple):
    """An answer, and between which changes it was given.

    Attributes:
      first: number of changes that were done before the request.
      last: number of changes that were begun before the return.
      request: queries, `k` and restrictions.
      found: scores and ids, or answers of a recommender.
    """

    first: int
    last: int
    request: dict
    found: tuple[np.ndarray, np.ndarray]


class Oracle(Protocol):
    """The expected state of a subject, change by change."""

    def change(self, change: Change) -> None:
        """Applies the next change.

        Args:
          change: change of the schedule.
        """

    def agrees(self, answer: Answer) -> bool:
        """Tells whether the answer is the one of this state.

        Args:
          answer: answer of a thread.
        """


def schedule(seed: int, number: int, *, anew: int) -> list[Change]:
    """Draws changes, each of them possible after those before it.

    Args:
      seed: seed of the draws.
      number: number of changes.
      anew: number of changes from one indexing anew to the next.
    """
    rng = np.random.default_rng(seed)
    there: list[int] = []
    changes = []

    def add(name: str, ids: list[int], width: int = WIDTH, refused: bool = False):
        rows = rng.normal(size=(len(ids), width)).astype("float32")
        kinds = rng.choice(KINDS, size=len(ids))
        changes.append(Change(name, np.array(ids, np.int64), rows, kinds, refused))

    def some(ids: list[int], most: int) -> list[int]:
        size = min(len(ids), int(rng.integers(1, most + 1)))
        return rng.choice(ids, size=size, replace=False).tolist()

    while len(changes) < number:
        others = [n for n in range(1, 2 * MOST) if n not in there]
        room = MOST - len(there)
        what = rng.choice(["upsert", "add", "remove", "update_columns", "refused"])
        if len(changes) % anew == 0:
            there = some(others, 1)
            there += rng.choice(others, size=rng.integers(FEWEST, 40)).tolist()
            there = sorted(set(there))
            while len(there) < FEWEST:
                there = sorted({*there, *some(others, 9)})
            add("index", there)
        elif what == "upsert":
            new = some(others, 5)[:room]
            add("upsert", some(there, 8) + new)
            there += new
        elif what == "add" and room:
            new = some(others, 6)[:room]
            add("add", new)
            there += new
        elif what == "remove" and len(there) >= FEWEST + 8:
            gone = some(there, 8)
            add("remove", gone)
            there = [n for n in there if n not in gone]
        elif what == "update_columns":
            add("update_columns", some(there, 9), 2)
        elif what == "refused":
            name = rng.choice(["add", "remove", "upsert"])
            wrong = {
                "add": some(others, 3) + there[:1],  # one is there
                "remove": there[:2] + others[:1],  # one is not
                "upsert": others[: room + 1],  # no room
            }
            add(str(name), wrong[name], refused=True)
    return changes


def request(rng: np.random.Generator) -> dict:
    """Draws two queries, `k` and restrictions of one kind or none."""
    ids = rng.integers(1, 2 * MOST, size=(2, 9))
    kinds = rng.choice(KINDS, size=(2, 1))
    restrictions = (
        {},
        {"exclusions": ids},
        {"allowed": ids},
        {"filters": {"kind": kinds}},
        {"exclusions": ids, "filters": {"kind": kinds}},
    )
    queries = rng.normal(size=(2, WIDTH)).astype("float32")
    chosen = restrictions[rng.integers(len(restrictions))]
    return {"queries": queries, "k": int(rng.choice([5, 13])), **chosen}


def apply(index: layers.BruteForce | layers.IVF, change: Change) -> None:
    """Changes an index."""
    attributes = {"attributes": {"kind": change.kinds}}
    rows = (change.rows, change.ids)
    expected = contextlib.nullcontext()
    if change.is_refused:
        expected = _refused()
    with expected:
        if change.name == "remove":
            index.remove(change.ids)
        elif change.name == "update_columns":
            index.update_columns(*rows)
        else:
            getattr(index, change.name)(*rows, **attributes)


@contextlib.contextmanager
def _refused():
    try:
        yield
    except ValueError:
        return
    raise AssertionError("A change was taken that must be refused.")


class Catalogue:
    """An index as a dictionary of candidates, queried by sorting."""

    def __init__(self) -> None:
        self._there: dict[int, tuple[np.ndarray, str]] = {}

    def change(self, change: Change) -> None:
        """Applies the next change.

        Args:
          change: change of the schedule.
        """
        if change.is_refused:
            return
        if change.name == "index":
            self._there = {}
        for number, id_ in enumerate(change.ids.tolist()):
            if change.name == "remove":
                del self._there[id_]
            elif change.name == "update_columns":
                row, kind = self._there[id_]
                row = np.append(row[:-2], change.rows[number])
                self._there[id_] = row, kind
            else:
                self._there[id_] = change.rows[number], str(change.kinds[number])

    def agrees(self, answer: Answer) -> bool:
        """Tells whether the answer is the one of this state.

        Args:
          answer: answer of a thread.
        """
        asked = answer.request
        ids = np.array([*self._there])
        rows = np.stack([row for row, _ in self._there.values()])
        kinds = np.array([kind for _, kind in self._there.values()])
        for number, query in enumerate(asked["queries"]):
            passes = np.ones(len(ids), bool)
            if "exclusions" in asked:
                passes &= ~np.isin(ids, asked["exclusions"][number])
            if "allowed" in asked:
                passes &= np.isin(ids, asked["allowed"][number])
            if "filters" in asked:
                passes &= kinds == asked["filters"]["kind"][number]
            own = dict(zip(ids[passes], rows[passes] @ query, strict=True))
            if not is_best(answer.found, number, own, missing=-1):
                return False
        return True


def is_best(
    found: tuple[np.ndarray, np.ndarray], row: int, own: Mapping, *, missing: object
) -> bool:
    """Tells whether a row of an answer has the best of all scores.

    Args:
      found: scores and ids `[batch, k]`.
      row: row of the answer.
      own: id -> score of all candidates that pass.
      missing: id at positions without a candidate.
    """
    scores, ids = found[0][row], found[1][row].tolist()
    best = sorted(own.values(), reverse=True)[: len(ids)]
    best += [-np.inf] * (len(ids) - len(best))
    there = [id_ for id_ in ids if id_ != missing]
    if len({*there}) < len(there) or not own.keys() >= {*there}:
        return False
    of_ids = [own.get(id_, -np.inf) for id_ in ids]
    return all(np.allclose(s, scores, rtol=1e-4, atol=1e-4) for s in (best, of_ids))


class Twin:
    """Another index, which no thread queries while it changes."""

    def __init__(self, index: layers.BruteForce | layers.IVF) -> None:
        self._index = index

    def change(self, change: Change) -> None:
        """Applies the next change.

        Args:
          change: change of the schedule.
        """
        apply(self._index, change)

    def agrees(self, answer: Answer) -> bool:
        """Tells whether the answer is the one of this state.

        Args:
          answer: answer of a thread.
        """
        found = self._index(**answer.request)
        return np.allclose(found[0], answer.found[0], atol=1e-4) and np.array_equal(
            found[1], answer.found[1]
        )


def run(
    ask: Callable[[dict], tuple],
    change: Callable[[Change], None],
    changes: list[Change],
    *,
    draw: Callable[[np.random.Generator], dict] = request,
    readers: int = 3,
) -> list[Answer]:
    """Makes the changes in this thread while other threads ask.

    Args:
      ask: function from a request to an answer.
      change: function that makes a change.
      changes: schedule, of which the first change fills the subject.
      draw: function that draws a request.
      readers: number of threads that ask.

    Returns:
      All answers.

    Raises:
      Exception: error of a thread of readers.
    """
    begun = done = 1
    answers, errors, stop = [], [], threading.Event()
    change(changes[0])

    def keep_asking(seed: int) -> None:
        rng = np.random.default_rng([seed, 77])
        while not stop.is_set():
            asked = draw(rng)
            first = done
            try:
                found = ask(asked)
            except Exception as error:
                errors.append(error)
                return
            answers.append(Answer(first, begun, asked, found))

    threads = [threading.Thread(target=keep_asking, args=[n]) for n in range(readers)]
    for thread in threads:
        thread.start()
    for one in changes[1:]:
        if errors:
            break
        begun += 1
        change(one)
        done += 1
        seen, end = len(answers), time.monotonic() + 1.0  # readers trace graphs
        while len(answers) == seen and time.monotonic() < end:
            time.sleep(0.0005)
    stop.set()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return answers


def without_state(
    answers: list[Answer], changes: list[Change], oracle: Oracle
) -> list[Answer]:
    """Returns the answers that no state between request and return gives.

    Args:
      answers: answers of `run`.
      changes: schedule of `run`.
      oracle: what the subject is, before the first change.
    """
    left = sorted(answers, key=lambda answer: answer.first)
    waiting, wrong = [], []
    for number, one in enumerate(changes, start=1):
        oracle.change(one)
        while left and left[0].first <= number:
            waiting.append(left.pop(0))
        waiting = [answer for answer in waiting if not oracle.agrees(answer)]
        wrong += [answer for answer in waiting if answer.last <= number]
        waiting = [answer for answer in waiting if answer.last > number]
    return wrong + waiting + left


def make(kind: str, num_probes: int = 999) -> layers.BruteForce | layers.IVF:
    """Makes an empty index of a kind."""
    options = {"capacity": MOST, "k": 5}
    if kind == "IVF":
        options |= {"block_size": 4, "num_partitions": 5, "num_probes": num_probes}
    return getattr(layers, kind)(**options)


def asked_eagerly(index: layers.BruteForce | layers.IVF) -> Callable:
    """Returns a function that asks an index."""

    def ask(asked: dict) -> tuple[np.ndarray, np.ndarray]:
        scores, ids = index(**asked)
        return scores.numpy(), ids.numpy()

    return ask


def asked_in_a_graph(index: layers.BruteForce | layers.IVF) -> Callable:
    """Returns a function that asks by graphs, exclusions alone by the index's own."""
    graphs = {}

    def ask(asked: dict) -> tuple[np.ndarray, np.ndarray]:
        asked = dict(asked)
        queries, k = tf.constant(asked.pop("queries")), asked.pop("k")
        if asked.keys() == {"exclusions"}:
            found = index.query_with_exclusions(queries, asked["exclusions"], k=k)
        else:
            # Graphs of an index that was made anew are out of date.
            key = (index.generation, k, *sorted(asked))
            if key not in graphs:
                graphs[key] = tf.function(lambda q, lists: index(q, k=k, **lists))
            lists = tf.nest.map_structure(tf.constant, asked)
            found = graphs[key](queries, lists)
        return found[0].numpy(), found[1].numpy()

    return ask


SUBJECTS = {
    "BruteForce, eager": ("BruteForce", 999, asked_eagerly),
    "BruteForce, graphs": ("BruteForce", 999, asked_in_a_graph),
    "IVF of all blocks, eager": ("IVF", 999, asked_eagerly),
    "IVF of 3 blocks, graphs": ("IVF", 3, asked_in_a_graph),
}


def stress(
    subject: str, changes: list[Change], *, readers: int
) -> tuple[list[Answer], list[Answer]]:
    """Asks a subject while it changes.

    Args:
      subject: one of `SUBJECTS`.
      changes: schedule.
      readers: number of threads that ask.

    Returns:
      All answers, and those that no state gives.
    """
    kind, num_probes, how = SUBJECTS[subject]
    index = make(kind, num_probes)
    oracle = Catalogue() if num_probes == 999 else Twin(make(kind, num_probes))
    answers = run(
        how(index), lambda change: apply(index, change), changes, readers=readers
    )
    return answers, without_state(answers, changes, oracle)


@command
def main(config: Config) -> dict[str, float]:
    """Runs all subjects and writes the section `live_stress`."""
    from pipelines.benchmarks import live_stress_recommender as recommender

    rows, wrong_of_all = [], 0
    for subject in (*SUBJECTS, recommender.SUBJECT):
        start, number, asked, between, wrong = time.perf_counter(), 0, 0, 0, 0
        for seed in range(config.seeds):
            run_it, draw = stress, schedule
            if subject == recommender.SUBJECT:
                run_it, draw = recommender.stress, recommender.schedule
            changes = draw(seed, config.changes, anew=config.anew)
            answers, bad = run_it(subject, changes, readers=config.readers)
            number += len(changes)
            asked += len(answers)
            between += sum(answer.last > answer.first for answer in answers)
            wrong += len(bad)
        seconds = time.perf_counter() - start
        rows.append(
            [
                subject,
                f"{number:,}",
                f"{asked:,}",
                f"{between:,}",
                f"{wrong:,}",
                f"{seconds:.0f} s",
            ]
        )
        wrong_of_all += wrong
    if config.write:
        header = ["subject", "changes", "answers", "during a change", "wrong", "time"]
        results.write_section(
            "live_stress",
            f"{(__doc__ or '').partition(chr(10))[2].strip()}\n\n"
            f"{results.table(header, rows)}\n\n"
            "Command: `python -m pipelines.benchmarks.live_stress`",
        )
    return {"wrong": float(wrong_of_all)}


if __name__ == "__main__":
    main(tyro.cli(Config))
