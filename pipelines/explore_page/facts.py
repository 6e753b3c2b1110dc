"""Users, items and the picture of an export, as the page shows them."""

import functools
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from tfrs_models.serving.contents import Contents

from .rest import RequestError, RestModel

MOST_POINTS = 20_000
_MOST_FOUND = 20
_SAMPLE = 200  # users whose answers the coverage is measured on
_K = 10


class Export:
    """An export with its contents, as the page reads it.

    Attributes:
      rest: model that answers requests.
      contents: items, attributes and users.
    """

    def __init__(
        self,
        rest: RestModel,
        contents: Contents,
        *,
        path: str = "",
        projection: Literal["pca", "umap"] = "pca",
    ) -> None:
        """Initializes the export.

        Args:
          rest: model that answers requests.
          contents: items, attributes and users.
          path: folder of the version, for the page.
          projection: method by which embeddings become points of the map.
        """
        self.rest = rest
        self.contents = contents
        self._path = path
        self._projection = projection
        self._lock = threading.Lock()
        self._rows = {item: row for row, item in enumerate(contents.item_ids)}
        self._users = {user: row for row, user in enumerate(contents.user_ids)}
        self._keys = [
            f"{title}\n{item}".casefold()
            for title, item in zip(contents.titles, contents.item_ids, strict=True)
        ]
        self._by_popularity = np.argsort(-self._popularity, kind="stable")
        self._pictures = {}

    @property
    def _popularity(self) -> np.ndarray:
        if self.contents.popularity is None:
            return np.zeros(self.contents.num_items, np.float32)
        return self.contents.popularity

    def about(self) -> dict:
        """Returns what the page needs to know before the first request."""
        contents = self.contents
        times = contents.history_times
        known = times[times > 0] if times is not None else np.zeros(0)
        return {
            "name": self.rest.name,
            "version": self.rest.version,
            "path": self._path,
            "signatures": self.rest.signatures,
            "num_items": contents.num_items,
            "num_users": len(contents.user_ids),
            "has_titles": any(contents.titles),
            "exclude_seen": contents.exclude_seen,
            "attributes": {
                name: attribute.values
                for name, attribute in contents.attributes.items()
            },
            "times": [int(known.min()), int(known.max())] if len(known) else None,
            "has_map": contents.embeddings is not None and contents.num_items > 1,
            "has_popularity": contents.popularity is not None,
            "projection": self._projection,
        }

    def users(self, text: str) -> list[str]:
        """Finds users whose id begins with or contains a text, at most 20."""
        text = text.casefold().strip()
        starts, others = [], []
        for user in self.contents.user_ids:
            folded = user.casefold()
            if folded.startswith(text):
                starts.append(user)
                if len(starts) == _MOST_FOUND:
                    break
            elif text in folded and len(others) < _MOST_FOUND:
                others.append(user)
        starts.sort(key=len)  # the whole id comes before longer ones
        return (starts + others)[:_MOST_FOUND]

    def user(self, user_id: str) -> dict:
        """Returns the known past of a user, the newest item last."""
        if user_id not in self._users:
            return {"user_id": user_id, "is_known": False, "past": []}
        past = self.contents.past(self._users[user_id])
        described = self._described(past.items)
        for item, time in zip(described, past.times.tolist(), strict=True):
            item["time"] = time
        return {"user_id": user_id, "is_known": True, "past": described}

    def search(self, text: str) -> list[dict]:
        """Finds items by title or id, the most popular first, at most 20."""
        words = text.casefold().split()
        found = []
        for row in self._by_popularity.tolist():
            key = self._keys[row]
            if all(word in key for word in words):
                found.append(row)
                if len(found) == _MOST_FOUND:
                    break
        return self._described(found)

    def items(self, ids: Sequence[str]) -> list[dict]:
        """Describes items by their ids; unknown ones are left out."""
        return self._described([self._rows[i] for i in ids if i in self._rows])

    def picture(self) -> dict:
        """Returns the map of the items, the most popular ones if there are many."""
        with self._lock:  # computed once
            if "map" not in self._pictures:
                self._pictures["map"] = self._map()
            return self._pictures["map"]

    def coverage(self) -> dict:
        """Returns how the rows of training and the answers spread over the items."""
        with self._lock:
            if "coverage" not in self._pictures:
                self._pictures["coverage"] = self._coverage()
            return self._pictures["coverage"]

    def _described(self, rows: Sequence[int]) -> list[dict]:
        return [self._item(int(row)) for row in rows]

    def _item(self, row: int) -> dict:
        contents = self.contents
        values = {
            name: [attribute.values[n] for n in attribute.rows[row] if n >= 0]
            for name, attribute in contents.attributes.items()
        }
        return {
            "item_id": contents.item_ids[row],
            "title": contents.titles[row] or contents.item_ids[row],
            "attributes": values,
            "popularity": float(self._popularity[row]),
            "rank": int(self._ranks[row]),
        }

    @functools.cached_property
    def _ranks(self) -> np.ndarray:
        """Ranks of the items by popularity, 1 for the most popular one."""
        ranks = np.empty(len(self._by_popularity), np.int64)
        ranks[self._by_popularity] = np.arange(1, len(ranks) + 1)
        return ranks

    def _map(self) -> dict:
        contents = self.contents
        if contents.embeddings is None or contents.num_items < 2:
            raise RequestError(404, "The items of this export have no embeddings.")
        rows = self._by_popularity[:MOST_POINTS]
        points = project(contents.embeddings[rows], self._projection)
        return {
            "x": points[:, 0].round(4).tolist(),
            "y": points[:, 1].round(4).tolist(),
            "items": self._described(rows),
            "num_items": contents.num_items,
        }

    def _coverage(self) -> dict:
        contents = self.contents
        users = contents.user_ids
        if contents.popularity is None or not users:
            raise RequestError(404, "This export has no users or no popularity.")
        some = np.random.default_rng(0).permutation(len(users))[:_SAMPLE]
        number = min(_K, contents.num_items)
        specs = self.rest.signatures["serving_default"]["inputs"]
        counts = np.zeros(contents.num_items, np.int64)
        for start in range(0, len(some), 50):
            batch = some[start : start + 50]
            given = {
                "user_id": np.array([users[n] for n in batch], object),
                "k": np.full(len(batch), number, np.int32),
                "exclude_seen": np.full(len(batch), contents.exclude_seen),
            }
            blanks = {
                name: blank_values(spec, len(batch)) for name, spec in specs.items()
            }
            answer = self.rest.call("serving_default", blanks | given)
            for item in answer["item_id"].ravel().tolist():
                if (row := self._rows.get(item.decode())) is not None:
                    counts[row] += 1
        order = self._by_popularity
        at = np.unique(np.linspace(0, len(order), 101).round().astype(int))
        curve = {
            name: np.append(0, np.cumsum(values[order]))[at] / max(values.sum(), 1e-12)
            for name, values in (("rows", self._popularity), ("answers", counts))
        }
        return {
            "items": (at / len(order)).round(4).tolist(),
            "rows": curve["rows"].round(4).tolist(),
            "answers": curve["answers"].round(4).tolist(),
            "num_reached": int((counts > 0).sum()),
            "num_items": contents.num_items,
            "num_users": len(some),
            "k": number,
        }


def blank_values(spec: Mapping, rows: int) -> np.ndarray:
    """Returns values of an input that stand for none.

    Args:
      spec: `dtype` and `shape` of the input.
      rows: number of rows.
    """
    shape = [rows, *(1 if size is None else size for size in spec["shape"][1:])]
    if spec["dtype"] == "string":
        return np.full(shape, "", object)
    blanks = {"b": False, "f": np.nan}
    kind = np.dtype(spec["dtype"]).kind
    return np.full(shape, blanks.get(kind, -1), spec["dtype"])


def project(
    embeddings: np.ndarray, method: Literal["pca", "umap"] = "pca"
) -> np.ndarray:
    """Projects embeddings to points of a plane, in [-1, 1].

    Args:
      embeddings: `[n, embedding_dim]` embeddings, `n` at least 2.
      method: "pca", or "umap", which needs the package umap-learn.

    Returns:
      `[n, 2]` float points; their signs are the same in every process.
    """
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = embeddings / np.maximum(lengths, 1e-12)
    if method == "umap":
        import umap

        points = umap.UMAP(random_state=0, n_jobs=1).fit_transform(directions)
    else:
        centred = directions - directions.mean(axis=0)
        # The axes are of the small matrix [embedding_dim, embedding_dim].
        _, axes = np.linalg.eigh(centred.T @ centred)
        axes = axes[:, ::-1][:, :2]
        largest = axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])]
        points = centred @ (axes * np.where(largest < 0, -1, 1))
        points = np.pad(points, [[0, 0], [0, 2 - points.shape[1]]])
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return points / max(np.abs(points).max(), 1e-12)


def has_umap() -> bool:
    """Returns whether the package umap-learn is installed."""
    return importlib.util.find_spec("umap") is not None
