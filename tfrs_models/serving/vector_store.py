"""A vector store of candidates, queried with the embeddings of a query tower."""

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

_MAX_K = 16_384  # limit of Milvus
_REFUSED = (6, 1100)  # error codes of Milvus for a malformed filter


class Neighbours(NamedTuple):
    """The best candidates of each query, best first."""

    scores: np.ndarray
    """`[batch, k]` float32 scores; `-inf` if too few candidates are left."""
    identifiers: np.ndarray
    """`[batch, k]` ids; -1, or "" for strings, if too few candidates are left."""
    attributes: dict[str, np.ndarray]
    """Name -> `[batch, k]` objects; None if too few candidates are left."""


class VectorStore:
    """A collection of candidates in Milvus, on a server or embedded (Milvus Lite).

    Use it if candidates change all day or are too many for a SavedModel; then only the
    query tower is served. The name of the collection is an alias, which each `write`
    moves to a new collection. Close the store after use, or use it in a `with`.

    Example:
      >>> films = np.float32([[1, 0], [0, 1], [1, 1]])
      >>> with tm.serving.VectorStore("store.db", "films") as store:
      ...     _ = store.write(films, ["Alien", "Brazil", "Cube"],
      ...                     attributes={"year": [1979, 1985, 1997]})
      ...     store.query([[2.0, 1.0]], k=2, where="year < 1990").identifiers
      array([['Alien', 'Brazil']], dtype=object)
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
        """Opens the store; an existing collection can be queried at once.

        Args:
          place: path that ends with `.db`, for the embedded engine, or address of a
            server, `http://host:19530`.
          collection: name of the collection: letters, digits and underscores.
          query_model: layer from raw features to query embeddings; None if queries are
            embeddings.
          index: type and parameters of the index; None for `VectorIndex()`.
          token: access token of the server's user.

        Raises:
          ImportError: `pymilvus` is not installed.
          ValueError: the path or address is malformed or cannot be opened, or the name
            is malformed.
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
        """Replaces all candidates of the collection.

        The new candidates are written into a new collection, which replaces the old one
        in one step when it is complete. Until then, and if an error occurs, queries
        read the old one. Upserts and deletions made meanwhile are lost with it.

        Args:
          candidates: `[num_candidates, embedding_dim]` embeddings.
          identifiers: `[num_candidates]` unique whole numbers or strings.
          attributes: name -> `[num_candidates]` numbers, strings, booleans or lists of
            one of these, by which queries can filter and which they can return; None
            for a missing value.

        Returns:
          The store.

        Raises:
          ValueError: shapes do not match, an id repeats or is -1 or "", or a value is
            not finite, too long or of another type than its column.
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
        """Adds candidates, and replaces those with the same ids.

        Args:
          candidates: `[num_candidates, embedding_dim]` embeddings.
          identifiers: `[num_candidates]` unique whole numbers or strings.
          attributes: name -> `[num_candidates]` values. An attribute that is not given
            becomes None.

        Raises:
          ValueError: a value is one that `write` refuses, nothing was written before,
            or ids, embeddings or attributes have other types than the stored ones.
        """
        live = self._live()
        rows = read_rows(candidates, identifiers, attributes)
        live.check_rows(rows)
        self._collections.send(live.name, rows.values)

    def delete(self, identifiers: Sequence | np.ndarray | tf.Tensor) -> None:
        """Removes candidates; unknown ids are ignored.

        Args:
          identifiers: `[num_ids]` ids of candidates.

        Raises:
          ValueError: nothing was written before, or the ids have another type.
        """
        live = self._live()
        ids = read_ids(identifiers)
        if ids:
            live.check_id_type(type(ids[0]))
        for start in range(0, len(ids), MESSAGE_ROWS):
            some = ids[start : start + MESSAGE_ROWS]
            # Not as `ids=`: pymilvus quotes ids without escaping them.
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
        """Finds the best candidates of each query.

        Args:
          queries: `[batch, embedding_dim]` embeddings, or features of `query_model`.
          k: number of candidates for each query.
          where: filter in the language of Milvus, `genre == "Drama" and year > 1990`;
            empty for all candidates. Pass values from untrusted sources in
            `where_params`, and name them: `genre in {genres} and year > {year}`.
          where_params: name in braces -> string, number, boolean, or list of these. A
            string cannot change the filter, whatever it contains.
          attributes: names of attributes to return with ids and scores.

        Returns:
          Scores, ids and attributes, `[batch, k]` each, best first.

        Raises:
          ValueError: nothing was written before, `k` is below 1 or above 16,384, there
            is no query, a query is not finite or has another width, an attribute is
            unknown, or the engine refuses the filter.
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
            for rank, hit in enumerate(hits):
                scores[row, rank] = hit["distance"]
                identifiers[row, rank] = hit[ID]
                for name, column in values.items():
                    column[row, rank] = hit["entity"].get(name)
        if live.id_type is int:
            identifiers = identifiers.astype("int64")
        return Neighbours(scores, identifiers, values)

    def __len__(self) -> int:
        """Returns the number of candidates."""
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
