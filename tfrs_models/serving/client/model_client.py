"""What the clients of both ports have in common."""

import abc
from typing import Self


class ModelClient(abc.ABC):
    """Knows the signatures of its model once it has asked for them."""

    _signatures = None

    @abc.abstractmethod
    def metadata(self) -> dict[str, dict]:
        """Signature -> `inputs` and `outputs` -> name -> `dtype` and `shape`."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known_signatures(self) -> dict[str, dict]:
        known = self._signatures
        if known is None:
            known = self._signatures = self.metadata()
        return known
