"""Which model, and which of its versions, a client asks."""

import dataclasses
import numbers
import urllib.parse
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
      model: Name of the model in the server's configuration.
      version: Number of the version; the newest where None.
      label: A label of the server's configuration, in place of a number.

    Raises:
      ValueError: both a number and a label, or what no model, version or label is
        called.
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

        for name, text in (("model", self.model), ("label", self.label)):
            is_none = text is None and name == "label"
            if not is_none and (not isinstance(text, str) or text in ("", ".", "..")):
                raise ValueError(
                    f"`{name}` must be a name of the server's configuration. Got "
                    f"{text!r}."
                )
        if self.version is not None and (
            isinstance(self.version, bool)
            or not isinstance(self.version, numbers.Integral)
            or not 0 <= self.version < 2**63
        ):
            raise ValueError(
                "`version` must be a whole number from 0 that int64 holds, or None. "
                f"Got {self.version!r}."
            )

    def path(self) -> str:
        """The path of HTTP; what separates its parts is quoted in names."""
        path = f"/v1/models/{urllib.parse.quote(self.model, safe='')}"
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        if self.label is None:
            return path
        return f"{path}/labels/{urllib.parse.quote(self.label, safe='')}"

    def fill(self, spec: object) -> None:
        """Writes it into gRPC's `ModelSpec`."""
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label
