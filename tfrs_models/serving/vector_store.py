"""Candidates in a vector store, found by the query tower."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.serving.vector_collections import (
    MESSAGE_ROWS,
    Collections,
    Live,
    VectorIndex,
)
from tfrs_models.serving.vector_values import (
    EMBEDDING,
    ID,
    filled,
    matrix,
    read_ids,
    read_rows,
)
from tfrs_models.types import Features

_MAX_K = 16_384  # Milvus's, as are the two codes with which it refuses a filter
_REFUSED = (6, 1100)


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

    The name of the collection is an alias of the one that `write` made last.
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
          collection: Name of letters, digits and underscores.
          query_model: Maps raw features to query embeddings; None where queries are
            embeddings.
          index: How neighbours are found; `VectorIndex()` where None.
          token: Of the server's user.

        Raises:
          ImportError: `pymilvus` is not installed.
          ValueError: a place that is neither, or that cannot be opened; a name that no
            collection can have.
        """
        try:
            from pymilvus import MilvusClient, MilvusException
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
        if not re.fullmatch(r"[A-Za-z_]\w{0,199}", collection, re.ASCII):
            raise ValueError(
                "`collection` must be a letter or `_`, and then letters, digits and "
                f"`_`, at most 200 of them. Got {collection!r}."
            )
        self.query_model = query_model
        self._index = index or VectorIndex()
        self._name = collection
        try:
            self._client = MilvusClient(place, token=token)
            if self._client.has_collection(collection):
                self._client.load_collection(collection)
        except MilvusException as error:
            if "://" in place:
                raise
            raise ValueError(
                f"`place` cannot be opened: {place!r} must be a folder that Milvus "
                "Lite has written, open in no other process, or not be there. The "
                f"engine says: {error.message}."
            ) from error
        self._collections = Collections(self._client, collection)

    def write(
        self,
        candidates: np.ndarray | tf.Tensor,
        identifiers: Sequence | np.ndarray | tf.Tensor,
        *,
        attributes: Mapping[str, Sequence] | None = None,
    ) -> "VectorStore":
        """Makes the collection of these candidates, in place of what was there before.

        They are written beside it, and take its place in one step when all of them are
        there: until then, and where anything goes wrong, queries find what they found
        before. What is upserted or deleted meanwhile goes with the old collection.

        Args:
          candidates: `[num_candidates, embedding_dim]`.
          identifiers: `[num_candidates]` unique whole numbers or strings.
          attributes: Name -> `[num_candidates]` numbers, strings, booleans or lists of
            one of these, which queries filter by and return; None where a candidate has
            none.

        Raises:
          ValueError: shapes do not match, an id repeats or is -1 or "", a value is not
            finite, too long or of another kind than its column.
        """
        rows = read_rows(candidates, identifiers, attributes)
        self._collections.replace(rows, self._index)
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
          ValueError: as `write`, nothing was written yet, or ids, embeddings or
            attributes are not of the kinds that were written.
        """
        live = self._live()
        rows = read_rows(candidates, identifiers, attributes)
        live.check_rows(rows)
        self._collections.send(live.name, rows.values)

    def delete(self, identifiers: Sequence | np.ndarray | tf.Tensor) -> None:
        """Removes candidates; ids that are not there are ignored.

        Raises:
          ValueError: nothing was written yet, or ids of another kind.
        """
        live = self._live()
        ids = read_ids(identifiers)
        if ids:
            live.check_id_type(type(ids[0]))
        for start in range(0, len(ids), MESSAGE_ROWS):
            some = ids[start : start + MESSAGE_ROWS]
            # Not as `ids=`: pymilvus puts quotes around them, whatever is in them.
            self._client.delete(
                live.name, filter=filled(f"{ID} in {{ids}}", {"ids": some})
            )

    def query(
        self,
        queries: np.ndarray | tf.Tensor | Features,
        *,
        k: int = 10,
        where: str = "",
        where_params: Mapping[str, object] | None = None,
        attributes: Sequence[str] = (),
    ) -> Neighbours:
        """The best candidates of each query.

        Args:
          queries: `[batch, embedding_dim]` embeddings, or what `query_model` takes.
          k: How many.
          where: Which candidates may be found, as Milvus writes it:
            `genre == "Drama" and year > 1990`; all where empty. Values that come from
            elsewhere belong into `where_params`: `genre in {genres} and year > {year}`.
          where_params: Name in braces -> its value: a string, number, boolean, or list
            of them, which stays a value whatever is in it.
          attributes: Names of what to return beside ids and scores.

        Raises:
          ValueError: nothing was written yet, `k` below 1 or above 16,384, no query, or
            one that is not finite or of another width, an attribute that was not
            written, a filter that the engine refuses.
        """
        from pymilvus import MilvusException

        live = self._live()
        if not isinstance(k, (int, np.integer)) or not 1 <= k <= _MAX_K:
            raise ValueError(f"`k` must be at least 1 and at most {_MAX_K}. Got {k}.")
        if isinstance(attributes, str):
            raise ValueError(f"`attributes` must be a list. Got {attributes!r}.")
        live.check_attributes(attributes)
        where = filled(where, where_params or {})
        if self.query_model is not None:
            queries = self.query_model(queries)
        queries = matrix("queries", queries)
        if not len(queries):
            raise ValueError("`queries` must be at least one. Got none.")
        live.check_embedding_dim("queries", queries.shape[1])
        try:
            found = self._client.search(
                self._name,
                data=queries.tolist(),
                anns_field=EMBEDDING,
                limit=int(k),
                filter=where,
                output_fields=list(attributes),
                search_params=self._index.search_params(k),
            )
        except MilvusException as error:
            if not where or error.code not in _REFUSED:
                raise
            raise ValueError(
                f"`where` must be a filter that Milvus takes. Got {where!r}: "
                f"{error.message}"
            ) from error
        shape = (len(queries), k)
        scores = np.full(shape, -np.inf, "float32")
        identifiers = np.full(shape, "" if live.id_type is str else -1, object)
        values = {name: np.full(shape, None, object) for name in attributes}
        for row, hits in enumerate(found):
            for place, hit in enumerate(hits):
                scores[row, place] = hit["distance"]
                identifiers[row, place] = hit[ID]
                for name, column in values.items():
                    column[row, place] = hit["entity"].get(name)
        if live.id_type is int:
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

    def _live(self) -> Live:
        live = self._collections.live()
        if live is None:
            raise ValueError(
                f"The collection `{self._name}` is not there. Call `write` first."
            )
        return live
