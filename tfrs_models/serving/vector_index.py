"""How a vector store finds neighbours."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorIndex:
    """An index of Milvus. Without one every query is a scan.

    Attributes:
      kind: `HNSW`, `IVF_FLAT`, `FLAT` (exact), or another of the server's.
      metric: `IP`, the dot product, or `COSINE`: a larger score is better.
      build: Parameters of the index when it is built.
      search: Parameters of a query.

    Raises:
      ValueError: a metric by which smaller is better.
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
        """What a query for `k` neighbours is sent with."""
        params = dict(self.search)
        if "ef" in params:
            params["ef"] = max(params["ef"], k)  # HNSW refuses less
        return {"metric_type": self.metric, "params": params}
