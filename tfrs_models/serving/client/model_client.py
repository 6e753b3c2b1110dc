"""The parts that the clients of both protocols share."""

import abc
import dataclasses
import urllib.parse
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self, TypeVar

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfrs_models.ops.numbers import is_whole
from tfrs_models.serving.client.arrays import pick_signature, to_arrays
from tfrs_models.serving.client.errors import InvalidRequest, ServerError
from tfrs_models.serving.client.retry_policy import RetryPolicy

Content = TypeVar("Content")


class VersionStatus(NamedTuple):
    """The state of one version of a model, as the server reports it."""

    version: int
    state: str
    """`AVAILABLE`, or `START`, `LOADING`, `UNLOADING`, `END`."""
    error: str
    """Reason why the version is not available; empty if there is none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelAddress:
    """A model by name, and a version of it by number or label.

    Attributes:
      model: name of the model in the server's configuration.
      version: number of the version; None for the newest one.
      label: label of a version in the server's configuration, instead of a number.

    Raises:
      ValueError: both a number and a label are given, or a value cannot be a model,
        version or label.
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
        if self.version is not None and not (
            is_whole(self.version, 0) and self.version < 2**63
        ):
            raise ValueError(
                "`version` must be a whole number from 0 that int64 holds, or None. "
                f"Got {self.version!r}."
            )

    def path(self) -> str:
        """Returns the path of an HTTP request, with separators in names quoted."""
        path = f"/v1/models/{urllib.parse.quote(self.model, safe='')}"
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        if self.label is None:
            return path
        return f"{path}/labels/{urllib.parse.quote(self.label, safe='')}"

    def fill(self, spec: object) -> None:
        """Writes the address into gRPC's `ModelSpec`."""
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label


class ModelClient(abc.ABC):
    """Predicts with a model of a server; the signatures are requested once and cached.

    Threads may share a client. Close it after use, or use it in a `with`.
    """

    def __init__(self, address: str, model: ModelAddress, retries: RetryPolicy) -> None:
        """Initializes the client.

        Args:
          address: address of the server or model, as error messages show it.
          model: model and version that requests name.
          retries: deadline and retries of a call.
        """
        self._address = address
        self._model = model
        self._retries = retries
        self._signatures = None

    @abc.abstractmethod
    def metadata(self) -> dict[str, dict]:
        """Returns signature -> `inputs`, `outputs` -> name -> `dtype`, `shape`."""

    @abc.abstractmethod
    def status(self) -> list[VersionStatus]:
        """Returns the state of each version on the server, the newest first."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the connections."""

    @abc.abstractmethod
    def _predict(self, inputs: Mapping[str, np.ndarray], signature: str) -> object:
        """Sends one request and returns the outputs as the protocol encodes them."""

    @abc.abstractmethod
    def _decoded(self, outputs: object, specs: Mapping) -> dict[str, np.ndarray]:
        """Returns the outputs as arrays.

        Raises:
          InvalidRequest: the outputs are not those of `specs`.
        """

    def predict(
        self, inputs: Mapping[str, object], *, signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """Returns the model's outputs for one request.

        Args:
          inputs: input name -> array, list or scalar with the dtype of the signature.
          signature: name of the signature.

        Returns:
          Output name -> array; strings are bytes.

        Raises:
          ServingError: one of its subclasses in `serving.client`, by cause.
        """
        with self._retries.one_deadline():
            try:
                specs = pick_signature(self._known_signatures(), signature)
                arrays = to_arrays(inputs, specs["inputs"])
                outputs = self._predict(arrays, signature)
            except InvalidRequest:
                self._signatures = None  # a new version may have others
                raise
            try:
                return self._checked(outputs, specs["outputs"])
            except InvalidRequest:
                return self._read_anew(outputs, signature)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known_signatures(self) -> dict[str, dict]:
        known = self._signatures
        if known is None:
            known = self._signatures = self.metadata()
        return known

    def _checked(self, outputs: object, specs: Mapping) -> dict[str, np.ndarray]:
        arrays = self._decoded(outputs, specs)
        if arrays.keys() != specs.keys():
            raise InvalidRequest(
                f"The outputs must be {sorted(specs)}. Got {sorted(arrays)}."
            )
        for name, array in arrays.items():
            dtype, shape = specs[name]["dtype"], specs[name]["shape"]
            # The shape of an empty JSON list is unknown.
            fits = not array.size or tf.TensorShape(shape).is_compatible_with(
                array.shape
            )
            if not fits or tf.as_dtype(array.dtype).name != dtype:
                raise InvalidRequest(
                    f"The output `{name}` must be {dtype} of the shape {shape}. Got "
                    f"{array.dtype} of {array.shape}."
                )
        return arrays

    def _read_anew(self, outputs: object, signature: str) -> dict[str, np.ndarray]:
        self._signatures = None  # the answer may be of a new version
        try:
            specs = pick_signature(self._known_signatures(), signature)
            return self._checked(outputs, specs["outputs"])
        except InvalidRequest:
            self._signatures = None
            got = sorted(outputs) if isinstance(outputs, dict) else "one without a name"
            raise ServerError(
                f"{self._address}: the outputs of `{signature}` do not fit the "
                f"metadata, though these were read again. Got {got}. The server may be "
                "between two versions; ask again."
            ) from None

    def _read(
        self, read: Callable[[object], Content], answer: object, words: str = ""
    ) -> Content:
        """Returns what `read` extracts from an answer.

        Raises:
          ServerError: the answer has another form than TensorFlow Serving's.
        """
        try:
            return read(answer)
        except (
            AttributeError,
            KeyError,
            OverflowError,  # an infinite size or version
            TypeError,
            ValueError,
            DecodeError,
        ) as error:
            raise ServerError(
                f"{self._address}: the answer is none of TensorFlow Serving's "
                f"({type(error).__name__}: {error}).{words}"
            ) from error
