"""The collections of a vector store: an alias, and the collection that it names."""

import contextlib
import dataclasses
import re
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tfrs_models.serving.vector_values import (
    EMBEDDING,
    ID,
    MAX_ID_BYTES,
    MAX_LIST_LENGTH,
    MAX_TEXT_BYTES,
    Kind,
    Rows,
)

MESSAGE_ROWS = 1000  # largest number of rows in a message
_MESSAGE_VALUES = 2**22  # largest number of values in a message


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorIndex:
    """The type and parameters of an index in Milvus.

    Attributes:
      kind: `HNSW`, `IVF_FLAT`, `FLAT` (exact), or another type of the server.
      metric: `IP` for the dot product, or `COSINE`; a larger score is better.
      build: parameters for building the index.
      search: parameters of a query.

    Raises:
      ValueError: the metric is another one.

    Example:
      >>> exact = tm.serving.VectorIndex(kind="FLAT", build={}, search={})
      >>> exact.search_params(k=10)
      {'metric_type': 'IP', 'params': {}}
    """

    kind: str = "HNSW"
    metric: str = "IP"
    build: Mapping[str, int] = dataclasses.field(
        default_factory=lambda: {"M": 16, "efConstruction": 200}
    )
    search: Mapping[str, int] = dataclasses.field(default_factory=lambda: {"ef": 128})

    def __post_init__(self) -> None:
        if self.metric not in ("IP", "COSINE"):
            raise ValueError(
                f"`metric` must be 'IP' or 'COSINE'. Got {self.metric!r}. Scores rank "
                "from the largest down."
            )

    def search_params(self, k: int) -> dict:
        """Returns the parameters of a query for `k` candidates."""
        params = dict(self.search)
        if "ef" in params:
            params["ef"] = max(params["ef"], k)  # HNSW refuses less
        return {"metric_type": self.metric, "params": params}


class Live(NamedTuple):
    """The collection that queries read, and the values that it accepts."""

    name: str
    id_type: type
    embedding_dim: int
    kinds: dict[str, Kind]
    """Attribute name -> type of its values."""
    is_open: bool
    """Whether it accepts attributes of any name; other programs may set this."""

    def check_rows(self, rows: Rows) -> None:
        """Checks that rows have the types and the width of the stored ones.

        Raises:
          ValueError: they do not; the message names the argument.
        """
        self.check_id_type(rows.id_type)
        self.check_embedding_dim("candidates", rows.embedding_dim)
        self.check_attributes(rows.kinds)
        for name, kind in rows.kinds.items():
            stored = self.kinds.get(name)
            if stored and kind and not stored.takes(kind):
                raise ValueError(
                    f"The attribute `{name}` must be {stored}, as it was written. Got "
                    f"{kind}."
                )

    def check_id_type(self, id_type: type) -> None:
        """Checks that ids are numbers or strings, as the stored ones."""
        if id_type is not self.id_type:
            raise ValueError(
                f"`identifiers` must be {self.id_type.__name__}, as they were written. "
                f"Got {id_type.__name__}."
            )

    def check_embedding_dim(self, name: str, got: int) -> None:
        """Checks that embeddings have the width of the stored ones."""
        if got != self.embedding_dim:
            raise ValueError(
                f"`{name}` must have {self.embedding_dim} columns, as the candidates "
                f"that were written. Got {got}."
            )

    def check_attributes(self, names: Iterable[str]) -> None:
        """Checks that the collection has the attributes."""
        unknown = [name for name in names if name not in self.kinds]
        if unknown and not self.is_open:
            raise ValueError(
                f"`attributes` must be of those that were written, "
                f"{sorted(self.kinds)}. Got {unknown}."
            )


class Collections:
    """Replaces a whole collection behind an alias, so that queries see no gap.

    Each `replace` makes a new collection, named after the alias and the time, and then
    moves the alias. It drops all older collections: the previous one, and those of
    killed processes.
    """

    def __init__(self, client: object, alias: str) -> None:
        """Initializes the collections.

        Args:
          client: a `pymilvus.MilvusClient`.
          alias: name by which queries read the newest collection.
        """
        self._client = client
        self._alias = alias

    def live(self) -> Live | None:
        """Returns the collection that queries read; None if there is none."""
        from pymilvus import DataType, MilvusException

        try:
            found = self._client.describe_collection(self._alias)
        except MilvusException:
            if self._client.has_collection(self._alias):
                raise
            return None
        fields = {field["name"]: field for field in found["fields"]}
        if not {ID, EMBEDDING} <= fields.keys():
            raise ValueError(
                f"The collection `{self._alias}` must have the fields `{ID}` and "
                f"`{EMBEDDING}`. Got {sorted(fields)}: it is not of `VectorStore`."
            )
        is_text = fields[ID]["type"] == DataType.VARCHAR
        dim = fields[EMBEDDING]["params"]["dim"]
        kinds = {n: _kind(f) for n, f in fields.items() if n not in (ID, EMBEDDING)}
        return Live(
            found["collection_name"],
            str if is_text else int,
            int(dim),
            kinds,
            bool(found["enable_dynamic_field"]),
        )

    def replace(self, rows: Rows, index: VectorIndex) -> None:
        """Writes rows into a new collection, and then moves the alias to it."""
        from pymilvus import MilvusException

        stamp = time.time_ns()
        name = f"{self._alias}__{stamp}"
        try:
            self._create(name, rows, index)
            self.send(name, rows.values)
        except BaseException:
            with contextlib.suppress(MilvusException):  # report the first error
                self._client.drop_collection(name)
            raise
        self._ask(name)
        for other in self._client.list_collections():
            made = re.fullmatch(rf"{re.escape(self._alias)}__(\d+)", other)
            if made and int(made[1]) < stamp:
                self._client.drop_collection(other)

    def send(self, name: str, rows: list[dict]) -> None:
        """Writes rows into a collection, in messages that the engine accepts."""
        size = _MESSAGE_VALUES // len(rows[0][EMBEDDING])
        size = max(1, min(MESSAGE_ROWS, size))
        for start in range(0, len(rows), size):
            self._client.upsert(name, rows[start : start + size])

    def _create(self, name: str, rows: Rows, index: VectorIndex) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False)
        if rows.id_type is str:
            schema.add_field(
                ID, DataType.VARCHAR, is_primary=True, max_length=MAX_ID_BYTES
            )
        else:
            schema.add_field(ID, DataType.INT64, is_primary=True)
        schema.add_field(EMBEDDING, DataType.FLOAT_VECTOR, dim=rows.embedding_dim)
        for attribute, kind in rows.kinds.items():
            kind = kind or Kind("VARCHAR")  # all values are None
            values, options = DataType[kind.name], {"nullable": True}
            if kind.name == "VARCHAR":
                options["max_length"] = MAX_TEXT_BYTES
            if kind.is_list:
                options |= {"element_type": values, "max_capacity": MAX_LIST_LENGTH}
                values = DataType.ARRAY
            schema.add_field(attribute, values, **options)
        params = self._client.prepare_index_params()
        params.add_index(
            EMBEDDING,
            index_type=index.kind,
            metric_type=index.metric,
            params=dict(index.build),
        )
        self._client.create_collection(
            name,
            schema=schema,
            index_params=params,
            consistency_level="Strong",  # a query sees what was written before it
        )

    def _ask(self, name: str) -> None:
        live = self.live()
        if live is None:
            self._client.create_alias(name, self._alias)
        elif live.name != self._alias:
            self._client.alter_alias(name, self._alias)
        else:  # another program made a collection of this name: rename that
            aside = f"{self._alias}__0"
            self._client.rename_collection(self._alias, aside)
            try:
                self._client.create_alias(name, self._alias)
            except BaseException:
                self._client.rename_collection(aside, self._alias)
                self._client.load_collection(self._alias)
                raise


def _kind(field: dict) -> Kind:
    is_list = field["type"].name == "ARRAY"
    return Kind((field["element_type"] if is_list else field["type"]).name, is_list)
