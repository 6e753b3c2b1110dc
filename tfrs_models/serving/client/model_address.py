"""Which model, and which of its versions, a client asks."""

import dataclasses
from typing import NamedTuple


class VersionStatus(NamedTuple):
    """What the server says about a version."""

    version: int
    state: str
    """`AVAILABLE`, or `START`, `LOADING`, `UNLOADING`, `END`."""
    error: str
    """Why it is not available; empty where nothing is wrong."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelAddress:
    """A model by name, and a version by number or label.

    Attributes:
      model: As the server's configuration calls it.
      version: A number; the newest where None.
      label: A label of the server's configuration, in place of a number.

    Raises:
      ValueError: both a number and a label.
    """

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ValueError(
                "Give a `version` or a `label`, not both. Got "
                f"{self.version} and {self.label!r}."
            )

    def path(self) -> str:
        """As HTTP has it."""
        path = f"/v1/models/{self.model}"
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        return path if self.label is None else f"{path}/labels/{self.label}"

    def fill(self, spec: object) -> None:
        """Writes it into gRPC's `ModelSpec`."""
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label
