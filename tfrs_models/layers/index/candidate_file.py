"""Candidates of a dataset in a temporary file, from which an index is built."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.ops.features.checks import check_width
from tfrs_models.types import Tensor

CHUNK = 65_536  # rows that are handled at a time


class Rows:
    """Rows of a file, of which only the indexed ones are read into memory."""

    def __init__(self, file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]):
        self._file = file
        self.dtype = dtype
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        # Mapped anew each time: pages of an open map would count as memory in use.
        return np.array(np.memmap(self._file, self.dtype, "r", shape=self.shape)[rows])


class ComputedRows:
    """Rows of an array to which a function is applied when they are read."""

    def __init__(self, rows: np.ndarray | Rows, compute: Callable) -> None:
        self._rows, self._compute = rows, compute
        self.dtype, self.shape = rows.dtype, rows.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self._compute(self._rows[rows])


class Candidates(NamedTuple):
    """Candidates of a dataset.

    Attributes:
      embeddings: `[num_candidates, embedding_dim]` embeddings, in a file.
      identifiers: `[num_candidates]` ids, or None.
      attributes: `[num_candidates, ...]` values, by attribute.
    """

    embeddings: Rows
    identifiers: tf.Tensor | None
    attributes: dict[str, Tensor]


@contextlib.contextmanager
def write_candidates(candidates: tf.data.Dataset) -> Iterator[Candidates]:
    """Writes the embeddings of a dataset into a file that the context deletes.

    Args:
      candidates: batches of embeddings, of (identifiers, embeddings), or of
        (identifiers, embeddings, attributes).

    Raises:
      ValueError: elements of another structure, or none.
    """
    spec = getattr(candidates, "element_spec", None)
    rows = spec[1] if isinstance(spec, tuple) and len(spec) > 1 else spec
    if isinstance(spec, tuple) and len(spec) not in (2, 3):
        raise ValueError(
            "`candidates` must yield embeddings, (identifiers, embeddings) or "
            f"(identifiers, embeddings, attributes). Got {spec}."
        )
    if not isinstance(rows, tf.TensorSpec) or rows.shape.rank not in (None, 2):
        raise ValueError(
            "`candidates` must be a `tf.data.Dataset` of batches, whose embeddings are "
            f"`[batch, embedding_dim]`. Got {spec or type(candidates).__name__}. "
            "`.batch(1024)` makes batches."
        )
    identifiers, attributes = [], []
    shape = dtype = None
    num_rows = 0
    with tempfile.TemporaryFile() as file:
        for element in candidates:
            parts = element if isinstance(element, tuple) else (None, element)
            rows = tf.convert_to_tensor(parts[1]).numpy()
            if parts[0] is not None and len(parts[0]) != len(rows):
                raise ValueError(
                    "`candidates` must yield one identifier for each embedding. Got "
                    f"{len(parts[0])} for {len(rows)}."
                )
            shape, dtype = shape or rows.shape[1:], dtype or rows.dtype
            if rows.shape[1:] != shape or rows.dtype != dtype:
                raise ValueError(
                    "`candidates` must yield embeddings of one width and type. Got "
                    f"{rows.dtype} of shape {rows.shape} after {dtype} of width "
                    f"{shape[0]}."
                )
            file.write(rows.tobytes())
            num_rows += len(rows)
            identifiers.append(parts[0])
            attributes.append(parts[2] if len(parts) == 3 else {})
        if not num_rows:
            raise ValueError("`candidates` must hold at least one candidate. Got none.")
        check_width(shape[-1] if shape else None, "candidates")
        file.flush()
        names = attributes[0]
        yield Candidates(
            Rows(file, dtype, (num_rows, *shape)),
            None if identifiers[0] is None else tf.concat(identifiers, axis=0),
            {name: _joined([a[name] for a in attributes]) for name in names},
        )


def _joined(parts: list[Tensor]) -> Tensor:
    """Joins the values of all batches; ragged if they are padded to several widths."""
    if len({part.shape[1:].rank and part.shape[1] for part in parts}) > 1:
        parts = [
            part
            if isinstance(part, tf.RaggedTensor)
            else tf.RaggedTensor.from_tensor(part)
            for part in parts
        ]
    return tf.concat(parts, axis=0)
