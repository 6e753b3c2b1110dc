"""Reads or makes the sessions of the clickstream pipeline, splits and batches them."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.data import clickstream
from tfrs_models.data.clickstream import FineTuningInput, ItemSet

from .artifacts import write_text
from .query_towers import without_trends

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class ClickData:
    """Sessions that a retrieval model is fine-tuned on.

    Args:
      data: interactions that the model was trained on.
      two_tower: the retrieval model.
      items: ids of the items and their rows.
      user_features: feature -> `[num_users + 1, ...]` values; row 0 is an unknown user.
      splits: "train", "validation" and "test" -> searches.
      counts: how many sessions were read, skipped and split.
      is_synthetic: whether the sessions are synthetic.
      seed: seed of the order of the batches.
    """

    data: tm.data.Interactions
    two_tower: tm.models.TwoTower
    items: ItemSet
    user_features: dict[str, np.ndarray]
    splits: dict[str, list[FineTuningInput]]
    counts: dict[str, int | float]
    is_synthetic: bool
    seed: int

    @property
    def query_tower(self) -> tf.keras.layers.Layer:
        """The layer from users to embeddings, without weights of trends.

        Sessions have no time, so clicks cannot teach these weights.
        """
        return without_trends(self.two_tower, self.two_tower.query_tower)

    def item_tower(self) -> tf.keras.layers.Layer:
        """Makes the candidate tower over rows of items, without their trends."""
        tower = without_trends(self.two_tower, self.two_tower.candidate_tower)
        return tm.towers.FeatureLookup(tower, self.data.items)

    @property
    def summary(self) -> str:
        """The counts, one in each line."""
        kind = "SYNTHETIC sessions" if self.is_synthetic else "Sessions"
        lines = [
            f"  {name:<32}{value:>12,}"
            if isinstance(value, int)
            else f"  {name:<32}{value:>12.3f}"
            for name, value in self.counts.items()
        ]
        return "\n".join([kind, *lines])

    def queries(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns features of users by id; an unknown user has those of row 0."""
        rows = self._users(names)
        return {name: column[rows] for name, column in self.user_features.items()}

    def batches(
        self, split: str, batch_size: int, *, shuffle: bool = False
    ) -> tf.data.Dataset:
        """Makes batches of the searches of a split."""
        return clickstream.click_batches(
            clickstream.pair_inputs(self.splits[split]),
            self.items,
            batch_size,
            query_features=self.queries,
            shuffle=shuffle,
            seed=self.seed,
        )

    def _users(self, names: Sequence[str]) -> np.ndarray:
        return _rows(self.data.vocabularies["user_id"], names)


def load_clicks(
    two_tower: tm.models.TwoTower,
    data: tm.data.Interactions,
    *,
    user_features: dict[str, np.ndarray],
    sessions: Path | None,
    strict: bool,
    model_ranks: bool,
    by_time: bool = False,
    sessions_per_user: int,
    output: Path,
    seed: int,
) -> ClickData:
    """Reads sessions, synthetic ones by default; an error ends the program.

    Args:
      two_tower: the retrieval model.
      data: interactions that the model was trained on.
      user_features: feature -> `[num_users + 1, ...]` values.
      sessions: file of sessions, or None for synthetic ones.
      strict: whether a session that cannot be used is an error.
      model_ranks: whether all scores are those of the model.
      by_time: whether sessions are split at the first validation and test row of the
        data, instead of by the items that they show.
      sessions_per_user: number of synthetic sessions of each user.
      output: folder of the synthetic sessions.
      seed: seed of the synthetic sessions and of the split.
    """
    path = sessions
    if path is None:
        path = output / "sessions.jsonl"
        _write_sessions(path, two_tower, data, user_features, sessions_per_user, seed)
    try:
        reader = clickstream.read_sessions(path, strict=strict)
        inputs = list(reader)
    except (ValueError, OSError) as error:
        raise SystemExit(f"Cannot read the sessions: {error}") from error
    print(reader)
    names = data.vocabularies["item_id"].tolist()
    items = ItemSet(names, rows=np.arange(1, len(names) + 1))
    found, removed = items.known_results(inputs)
    if strict and removed:
        raise SystemExit(
            f"{removed} results are no items of the model, and `--strict` was given: "
            "leave it out to read the others, or start from a model that knows them."
        )
    if not found:
        user = str(data.vocabularies["user_id"][0])
        raise SystemExit(
            f"No session of {path} has two results that the model knows: its "
            f"`object_id` must be like {str(names[0])!r}, its `search_query` like "
            f"{user!r}. Start from a model of the same data with --retrieval."
        )
    clicks = ClickData(
        data=data,
        two_tower=two_tower,
        items=items,
        user_features=user_features,
        splits={},
        counts={},
        is_synthetic=sessions is None,
        seed=seed,
    )
    ranked = _ranked(clicks, found, model_ranks)
    parts = split_by_time(ranked, data) if by_time else _split(ranked, seed)
    clicks.splits.update(parts)
    clicks.counts.update(_counts(clicks, inputs, reader.num_skipped, removed))
    return clicks


def _write_sessions(
    path: Path,
    two_tower: tm.models.TwoTower,
    data: tm.data.Interactions,
    user_features: dict[str, np.ndarray],
    sessions_per_user: int,
    seed: int,
) -> None:
    batches = two_tower.embed_candidates(data.candidate_batches())
    candidates = np.concatenate([embedding for _, embedding in batches])
    features = {name: tf.constant(column) for name, column in user_features.items()}
    users = np.concatenate(
        [
            two_tower.query_tower({n: c[i : i + 1024] for n, c in features.items()})
            for i in range(0, data.num_users + 1, 1024)
        ]
    )
    made = tm.data.synthetic.make_click_sessions(
        data,
        lambda rows: users[rows] @ candidates.T,
        seed,
        sessions_per_user=sessions_per_user,
        list_size=min(20, data.num_items),
    )
    write_text(path, "".join(json.dumps(session) + "\n" for session in made))


def _ranked(
    clicks: ClickData, inputs: list[FineTuningInput], model_ranks: bool
) -> list[FineTuningInput]:
    """Returns searches whose scores are all known."""
    if model_ranks:
        inputs = [
            dataclasses.replace(search, ranks=dict.fromkeys(search.results))
            for search in inputs
        ]
    extractor = tm.layers.FeaturesExtractor(clicks.query_tower, clicks.item_tower())
    return clickstream.fill_ranks(
        inputs, clicks.items, extractor, query_features=clicks.queries
    )


def _split(inputs: list[FineTuningInput], seed: int) -> dict:
    try:
        rest, test = clickstream.split_inputs(inputs, 0.2, random_state=seed)
        train, validation = clickstream.split_inputs(rest, 0.1, random_state=seed)
    except ValueError as error:
        raise SystemExit(
            f"Cannot split the sessions: {error} At least three must have a click, one "
            "for each of training, validation and testing."
        ) from error
    return dict(zip(SPLITS, (train, validation, test), strict=True))


def split_by_time(inputs: list[FineTuningInput], data: tm.data.Interactions) -> dict:
    """Splits sessions where the rows of the data are split.

    Args:
      inputs: sessions with times.
      data: interactions whose first validation and test row are the cuts.

    Raises:
      SystemExit: there are no times, or a part has no session with a click.
    """
    times = [data.splits[name].get("timestamp") for name in SPLITS[1:]]
    if any(time is None or not len(time) for time in times):
        raise SystemExit(
            "`--session-split time` needs validation and test rows with times in the "
            f"data. Got {data.summary.rows}: use --split global_time."
        )
    if any(search.timestamp is None for search in inputs):
        raise SystemExit(
            "`--session-split time` needs `created_at` in every session: add it, or "
            "use --session-split items."
        )
    cuts = [int(time.min()) for time in times]
    parts = {name: [] for name in SPLITS}
    for search in inputs:
        part = SPLITS[np.searchsorted(cuts, search.timestamp, side="right")]
        parts[part].append(search)
    without = [n for n, part in parts.items() if all(s.is_irrelevant for s in part)]
    if without:
        sizes = ", ".join(f"{len(part):,} {name}" for name, part in parts.items())
        raise SystemExit(
            f"Each split must have a session with a click. Got none in {without}; "
            f"sessions: {sizes}. Change --validation-fraction or --test-fraction."
        )
    return parts


def _counts(
    clicks: ClickData, inputs: list[FineTuningInput], skipped: int, removed: int
) -> dict[str, int | float]:
    shown = {
        name: {result for search in searches for result in search.results}
        for name, searches in clicks.splits.items()
    }
    users = [str(search.query) for search in inputs]
    known = _rows(clicks.data.vocabularies["user_id"], users) > 0
    return {
        "sessions": len(inputs),
        "lines that could not be used": skipped,
        "results of unknown items": removed,
        "sessions of unknown users": int((~known).sum()),
        "sessions without a click": sum(s.is_irrelevant for s in inputs),
        **{f"{name} sessions": len(part) for name, part in clicks.splits.items()},
        "test items shown in training": len(shown["test"] & shown["train"])
        / len(shown["test"]),
    }


def _rows(vocabulary: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns the row of each name, 0 if it is unknown."""
    numbers = {str(name): row for row, name in enumerate(vocabulary, 1)}
    return np.array([numbers.get(str(name), 0) for name in names], np.int64)
