"""Candidates in a vector store, found by the query tower."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.serving.vector_index import VectorIndex
from tfrs_models.types import Features

_ID, _EMBEDDING = "id", "embedding"
_MAX_ID_BYTES = 512


class Neighbours(NamedTuple):
    """The best candidates of each query, best first."""

    scores: np.ndarray
    """`[batch, k]` float32; `-inf` where too few candidates are left."""
    identifiers: np.ndarray
    """`[batch, k]`; -1, or "" for strings, where too few are left."""
    attributes: dict[str, np.ndarray]
    """Name -> `[batch, k]` objects; None where too few are left."""


class VectorStore:
    """A collection of Milvus: embedded (Milvus Lite), or a server's.

    Where candidates change all day, or are too many for a SavedModel, they live in a
    store, and only the query tower is served. Close it, or use it in a `with`.
    """

    def __init__(
        self,
        place: str | os.PathLike,
        collection: str,
        *,
        query_model: tf.keras.layers.Layer | None = None,
        index: VectorIndex | None = None,
        token: str = "",
    ) -> None:
        """Opens the store; a collection that is there can be asked at once.

        Args:
          place: A path that ends with `.db`, for the embedded engine, or a server's
            address, `http://host:19530`.
          collection: Letters, digits and underscores.
          query_model: Maps raw features to query embeddings; None where queries are
            embeddings.
          index: How neighbours are found; `VectorIndex()` where None.
          token: Of the server's user.

        Raises:
          ImportError: `pymilvus` is not installed.
          ValueError: a place that is neither.
        """
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise ImportError(
                "VectorStore needs the package `pymilvus`: "
                "pip install 'tfrs-models[vector-store]'."
            ) from error
        place = os.fspath(place)
        if "://" not in place and not place.endswith(".db"):
            raise ValueError(
                "`place` must be a path that ends with `.db`, or an address with "
                f"`http://`. Got {place!r}."
            )
        self.query_model = query_model
        self._index = index or VectorIndex()
        self._name = collection
        self._client = MilvusClient(place, token=token)
        self._has_text_ids = False
        if self._client.has_collection(collection):
            self._client.load_collection(collection)
            self._has_text_ids = self._declares_text_ids()

    def write(
        self,
        candidates: np.ndarray | tf.Tensor,
        identifiers: Sequence | np.ndarray | tf.Tensor,
        *,
        attributes: Mapping[str, Sequence] | None = None,
    ) -> "VectorStore":
        """Makes the collection of these candidates; what was there before is dropped.

        Args:
          candidates: `[num_candidates, embedding_dim]`.
          identifiers: `[num_candidates]` unique whole numbers or strings.
          attributes: Name -> `[num_candidates]` numbers, strings, booleans or lists,
            which queries filter by and return.

        Raises:
          ValueError: shapes do not match, an id repeats, an embedding is not finite.
        """
        from pymilvus import DataType

        rows = _rows(candidates, identifiers, attributes)
        if self._client.has_collection(self._name):
            self._client.drop_collection(self._name)
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=True)
        if isinstance(rows[0][_ID], str):
            schema.add_field(
                _ID, DataType.VARCHAR, is_primary=True, max_length=_MAX_ID_BYTES
            )
        else:
            schema.add_field(_ID, DataType.INT64, is_primary=True)
        schema.add_field(
            _EMBEDDING, DataType.FLOAT_VECTOR, dim=len(rows[0][_EMBEDDING])
        )
        indexes = self._client.prepare_index_params()
        indexes.add_index(
            _EMBEDDING,
            index_type=self._index.kind,
            metric_type=self._index.metric,
            params=dict(self._index.build),
        )
        self._client.create_collection(
            self._name,
            schema=schema,
            index_params=indexes,
            consistency_level="Strong",  # a query sees what was written before it
        )
        self._has_text_ids = isinstance(rows[0][_ID], str)
        self._send(rows)
        return self

    def upsert(
        self,
        candidates: np.ndarray | tf.Tensor,
        identifiers: Sequence | np.ndarray | tf.Tensor,
        *,
        attributes: Mapping[str, Sequence] | None = None,
    ) -> None:
        """Adds candidates, in place of those with the same ids. Arguments as `write`.

        Raises:
          ValueError: as `write`, or nothing was written yet.
        """
        self._check_written()
        self._send(_rows(candidates, identifiers, attributes))

    def delete(self, identifiers: Sequence | np.ndarray | tf.Tensor) -> None:
        """Removes candidates; ids that are not there are ignored.

        Raises:
          ValueError: nothing was written yet.
        """
        self._check_written()
        ids = _ids(identifiers)
        if ids:
            self._client.delete(self._name, ids=ids)

    def query(
        self,
        queries: np.ndarray | tf.Tensor | Features,
        *,
        k: int = 10,
        where: str = "",
        attributes: Sequence[str] = (),
    ) -> Neighbours:
        """The best candidates of each query.

        Args:
          queries: `[batch, embedding_dim]` embeddings, or what `query_model` takes.
          k: How many.
          where: Which candidates may be found, as Milvus writes it:
            `genre == "Drama" and year > 1990`; all where empty.
          attributes: Names of what to return beside ids and scores.

        Raises:
          ValueError: nothing was written yet, `k` below 1, a query that is not finite.
        """
        self._check_written()
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Got {k}.")
        if self.query_model is not None:
            queries = self.query_model(queries)
        queries = _matrix("queries", queries)
        found = self._client.search(
            self._name,
            data=queries.tolist(),
            anns_field=_EMBEDDING,
            limit=k,
            filter=where,
            output_fields=list(attributes),
            search_params=self._index.search_params(k),
        )
        shape = (len(queries), k)
        scores = np.full(shape, -np.inf, "float32")
        identifiers = np.full(shape, "" if self._has_text_ids else -1, object)
        values = {name: np.full(shape, None, object) for name in attributes}
        for row, hits in enumerate(found):
            for place, hit in enumerate(hits):
                scores[row, place] = hit["distance"]
                identifiers[row, place] = hit[_ID]
                for name, column in values.items():
                    column[row, place] = hit["entity"].get(name)
        if not self._has_text_ids:
            identifiers = identifiers.astype("int64")
        return Neighbours(scores, identifiers, values)

    def __len__(self) -> int:
        """How many candidates there are."""
        if not self._client.has_collection(self._name):
            return 0
        [row] = self._client.query(self._name, filter="", output_fields=["count(*)"])
        return int(row["count(*)"])

    def close(self) -> None:
        """Closes the connection; the embedded engine ends with the process."""
        self._client.close()

    def __enter__(self) -> "VectorStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _declares_text_ids(self) -> bool:
        from pymilvus import DataType

        fields = self._client.describe_collection(self._name)["fields"]
        return any(f["name"] == _ID and f["type"] == DataType.VARCHAR for f in fields)

    def _send(self, rows: list[dict], *, batch_size: int = 1000) -> None:
        for start in range(0, len(rows), batch_size):
            self._client.upsert(self._name, rows[start : start + batch_size])

    def _check_written(self) -> None:
        if not self._client.has_collection(self._name):
            raise ValueError(
                f"The collection `{self._name}` is not there. Call `write` first."
            )


def _rows(
    candidates: np.ndarray | tf.Tensor,
    identifiers: Sequence | np.ndarray | tf.Tensor,
    attributes: Mapping[str, Sequence] | None,
) -> list[dict]:
    embeddings, ids = _matrix("candidates", candidates), _ids(identifiers)
    columns = {_ID: ids, _EMBEDDING: embeddings.tolist()}
    for name, values in (attributes or {}).items():
        if name in columns:
            raise ValueError(f"An attribute must not be called `{name}`.")
        columns[name] = [_plain(value) for value in values]
    lengths = {name: len(values) for name, values in columns.items()}
    if not ids or len(set(lengths.values())) > 1 or len(set(ids)) < len(ids):
        raise ValueError(
            "`candidates`, `identifiers` and all `attributes` must have one row for "
            f"each candidate, and ids must not repeat. Got {lengths}, with "
            f"{len(set(ids))} different ids."
        )
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def _ids(identifiers: Sequence | np.ndarray | tf.Tensor) -> list[int] | list[str]:
    if isinstance(identifiers, tf.Tensor):
        identifiers = identifiers.numpy()
    ids = [_plain(value) for value in identifiers]
    kinds = {type(value) for value in ids}
    if len(kinds) > 1 or not kinds <= {int, str}:
        raise ValueError(
            "`identifiers` must be whole numbers or strings, all of one kind. Got "
            f"{sorted(kind.__name__ for kind in kinds)}."
        )
    return ids


def _matrix(name: str, values: np.ndarray | tf.Tensor) -> np.ndarray:
    array = np.asarray(values, "float32")
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` must be a table of finite numbers, a row each. Got the shape "
            f"{array.shape} with {int((~np.isfinite(array)).sum())} that are not "
            "finite."
        )
    return array


def _plain(value: object) -> object:
    """A value of an array as Python has it; bytes are text."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    return value.decode() if isinstance(value, bytes) else value
