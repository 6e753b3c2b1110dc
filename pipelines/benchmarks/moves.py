"""Counts how often one step changes the file: python -m pipelines.benchmarks.moves.

A profile of the eager Python of one training step (or request) gives the sequence of
calls of the package's named functions. Its files are those that have a call in it; a
move is a call whose file is not that of the call before it. Comprehensions, generator
expressions and lambdas belong to the function around them. Dropout has the arguments
and the meaning of Keras's layer and counts like it: no reader of a step opens it.
"""

import functools
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import tfrs_models as tm

_PACKAGE = Path(tm.__file__).parent
_AS_IN_KERAS = str(_PACKAGE / "layers" / "dropout.py")
_USERS, _ITEMS, _WORDS = 7, 23, 19


class Moves(NamedTuple):
    """The path of one step through the files of the package.

    Attributes:
      files: number of files with a call.
      moves: number of calls whose file is not that of the call before.
      calls: number of calls whose caller in the package lies in another file.
    """

    files: int
    moves: int
    calls: int


def count_moves(step: Callable[[], object]) -> Moves:
    """Runs a step and counts its moves between the files of the package.

    Args:
      step: function without arguments.
    """
    files, crossings = [], []

    def profile(frame: types.FrameType, event: str, _: object) -> None:
        name = _file(frame)
        if event != "call" or name is None or frame.f_code.co_name.startswith("<"):
            return
        if _is_as_in_keras(frame):
            return
        files.append(name)
        caller = frame.f_back
        while caller is not None and _file(caller) is None:
            caller = caller.f_back
        crossings.append(caller is not None and _file(caller) != name)

    sys.setprofile(profile)
    try:
        step()
    finally:
        sys.setprofile(None)
    before = [None, *files][: len(files)]
    moves = sum(old != new for old, new in zip(before, files, strict=True))
    return Moves(len(set(files)), moves, sum(crossings))


def two_tower_step() -> Callable[[], object]:
    """Makes a training step of a small two-tower model."""
    rng = np.random.default_rng(0)
    feature = tm.data.Feature
    model = tm.models.TwoTower(
        tm.towers.FeatureTower(
            [feature("user_id", "id", _USERS), feature("age", "number")], 4
        ),
        tm.towers.FeatureTower(
            [feature("item_id", "id", _ITEMS), feature("genres", "bag", 3)], 4
        ),
    )
    features = {
        "user_id": rng.integers(1, _USERS, size=16),
        "item_id": rng.integers(1, _ITEMS, size=16),
        "age": rng.normal(size=16).astype("float32"),
        "genres": rng.integers(4, size=(16, 2)),
        "candidate_sampling_probability": np.full(16, 0.1, "float32"),
    }
    return _training_step(model, features)


def unisar_step() -> Callable[[], object]:
    """Makes a training step of a small UniSAR with attributes of items and users."""
    rng = np.random.default_rng(0)
    caption = rng.integers(1, _WORDS, size=(_ITEMS + 1, 6))
    genre = rng.integers(1, 4, size=_ITEMS + 1)
    caption[0], genre[0] = 0, 0
    model = tm.models.UniSAR.from_attributes(
        items={"caption": caption, "genre": genre},
        users={"age": np.arange(_USERS) % 3},
        num_users=_USERS,
        num_items=_ITEMS,
        num_words=_WORDS,
        num_sessions=4,
        embedding_dim=4,
        width=8,
        num_shared=1,
        num_specific=2,
        expert_units=[16],
        tower_units=[16],
        head_units=[16],
    )
    random = {
        "item_id": rng.integers(1, _ITEMS, size=7),
        "query": rng.integers(_WORDS, size=(5, 6)),
    }
    recommendation, search = _unisar_example(rng, 6), _unisar_example(rng, 3)
    search["query"] = rng.integers(_WORDS, size=(3, 6))
    features = {"recommendation": recommendation, "search": search, "random": random}
    return _training_step(model, features)


def recommender_request() -> Callable[[], object]:
    """Makes a request to a small recommender."""
    users, items = [f"u{i}" for i in range(_USERS)], [f"i{i}" for i in range(_ITEMS)]
    rng = np.random.default_rng(0)
    index = tm.layers.BruteForce().index(
        tf.constant(rng.normal(size=(_ITEMS, 4)), tf.float32),
        tf.range(1, _ITEMS + 1, dtype=tf.int64),
    )
    tower = tm.towers.FeatureTower([tm.data.Feature("user_id", "id", _USERS)], 4)
    recommender = tm.serving.Recommender(
        tower,
        index,
        user_ids=users,
        user_features={"user_id": np.arange(_USERS + 1)},
        item_ids=items,
        titles=["", *items],
        known_items=tf.ragged.constant(
            [[], *([1, 2] for _ in users)], dtype=tf.int64, row_splits_dtype=tf.int64
        ),
        candidate_probabilities=np.full(_ITEMS + 1, 1 / _ITEMS),
    )

    def request() -> None:
        tf.config.run_functions_eagerly(True)
        try:
            recommender.recommend(
                user_id=tf.constant(["u1"]),
                k=tf.constant([4]),
                exclude_seen=tf.constant([True]),
            )
        finally:
            tf.config.run_functions_eagerly(False)

    return request


def _unisar_example(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    def times(length: int) -> np.ndarray:
        return np.sort(rng.integers(1, 1000, size=(rows, length)), axis=1)

    return {
        "user_id": rng.integers(_USERS, size=rows),
        "item_history": rng.integers(1, _ITEMS, size=(rows, 5)),
        "item_history_time": times(5),
        "session_query": rng.integers(1, _WORDS, size=(rows, 4, 6)),
        "session_items": rng.integers(_ITEMS, size=(rows, 4, 3)),
        "session_time": times(4),
        "item_id": rng.integers(1, _ITEMS, size=(rows, 4)),
    }


def _training_step(model: tf.keras.Model, features: dict) -> Callable[[], object]:
    features = tf.nest.map_structure(tf.constant, features)
    model.compile(optimizer="adam")
    return lambda: model.train_step(features)


def _file(frame: types.FrameType) -> str | None:
    return _own(frame.f_code.co_filename)


def _is_as_in_keras(frame: types.FrameType | None) -> bool:
    """Returns whether a call is one of a layer like Keras's, or below one."""
    while frame is not None:
        if frame.f_code.co_filename == _AS_IN_KERAS:
            return True
        frame = frame.f_back
    return False


@functools.cache
def _own(name: str) -> str | None:
    """Gives a file's name if it is one of the package. Every call of a step asks."""
    return name if Path(name).is_relative_to(_PACKAGE) else None


def main() -> dict[str, Moves]:
    """Prints the files and moves of three steps as a table."""
    makers = {
        "TwoTower training step": two_tower_step,
        "UniSAR training step": unisar_step,
        "Recommender request": recommender_request,
    }
    found = {}
    print("| step | files | moves | calls across files |")
    print("| --- | ---: | ---: | ---: |")
    for name, make in makers.items():
        step = make()
        step()  # variables of an optimizer and graphs are made once
        found[name] = count_moves(step)
        print(f"| {name} | {' | '.join(map(str, found[name]))} |", flush=True)
    return found


if __name__ == "__main__":
    main()
