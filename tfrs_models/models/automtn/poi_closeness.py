"""Closeness of POIs to each other."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.features.checks import require
from tfrs_models.ops.geography import haversine


@register
class POICloseness(tf.keras.layers.Layer):
    """Computes `weight exp(-distance / scale)` of POIs, from a matrix or coordinates.

    The scale is one number for all batches: a score that is normalised by the batch
    would depend on the other rows, and be 0 / 0 if all POIs are equally far. The table
    of the POIs is part of the weights, the scale of the config: both are saved, and
    neither is trained.

    Example:
      >>> one_way = [[0.0, 1.0], [3.0, 0.0]]  # kilometres from the row to the column
      >>> layer = tm.models.automtn.POICloseness(distances=one_way, scale=1.0)
      >>> layer(tf.constant([[0, 1]])).numpy().round(3)  # a trace of two check-ins
      array([[[1.   , 0.368],
              [0.05 , 1.   ]]], dtype=float32)
    """

    def __init__(
        self,
        *,
        coordinates: np.ndarray | Mapping | None = None,
        distances: np.ndarray | Mapping | None = None,
        scale: float | None = None,
        weight: float = 1.0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          coordinates: `[num_pois, 2]` latitudes and longitudes in degrees, from which
            distances are computed when they are needed: for catalogues whose matrix
            does not fit in memory. Or `{"shape": ...}`, for a checkpoint to fill.
          distances: `[num_pois, num_pois]` kilometres from the POI of the row to that
            of the column, or `{"shape": ...}`; exactly one of the two arguments.
          scale: kilometres at which closeness falls by a factor of `e`; None for the
            largest distance (of coordinates, the largest on a walk that goes to the
            farthest POI again and again). 0 makes all POIs equally close.
          weight: closeness of a POI to itself. If closeness is added to scores, it is
            the initial weight of being near: 1 takes long to be learned.
          **kwargs: arguments of `tf.keras.layers.Layer`.

        Raises:
          ValueError: both or neither are given, a shape is wrong, or coordinates,
            distances, scale or weight are out of range.
        """
        super().__init__(**kwargs)
        self._autocast = False
        if (coordinates is None) == (distances is None):
            raise ValueError(
                "Exactly one of `coordinates` and `distances` must be given. Got "
                f"{'neither' if coordinates is None else 'both'}."
            )
        name, given = "coordinates", coordinates
        if given is None:
            name, given = "distances", distances
        values = _parsed(name, given)
        if scale is None:
            if isinstance(given, Mapping):
                raise ValueError("`scale` must be given where only a shape is.")
            scale = _largest(name, values)
        if not (np.isfinite(scale) and scale >= 0):
            raise ValueError(f"`scale` must be finite, not negative. Got {scale}.")
        if not np.isfinite(weight):
            raise ValueError(f"`weight` must be finite. Got {weight}.")
        self.scale = float(scale)
        self.weight = float(weight)
        self.num_pois = values.shape[0]
        self._kind = name
        self._table = self.add_weight(
            name,
            values.shape,
            tf.float32,
            initializer=lambda *_, **__: tf.constant(values, tf.float32),
            trainable=False,
            experimental_autocast=False,
        )

    def call(self, visited: tf.Tensor, pois: tf.Tensor | None = None) -> tf.Tensor:
        """Computes the closeness of visited POIs to others.

        Args:
          visited: `[batch, seq_len]` indices of visited POIs.
          pois: `[num_candidates]` indices of POIs; None for all.

        Returns:
          `[batch, seq_len, num_candidates]` float32; no temporary tensor is larger than
          a few times that.

        Raises:
          ValueError: indices are no integers.
          InvalidArgumentError: an index is out of range; it names the rows.
        """
        visited = self._indices("visited", visited)
        if pois is not None:
            pois = self._indices("pois", pois)
        if self._kind == "coordinates":
            others = self._table if pois is None else tf.gather(self._table, pois)
            found = haversine(tf.gather(self._table, visited)[:, :, None], others)
        elif pois is None:
            found = tf.gather(self._table, visited)
        else:  # neither whole rows nor whole columns, which may be many
            cells = visited[:, :, None] * self.num_pois + pois
            found = tf.gather(tf.reshape(self._table, [-1]), cells)
        return self.weight * tf.exp(-tf.math.divide_no_nan(found, self.scale))

    def _indices(self, name: str, pois: tf.Tensor) -> tf.Tensor:
        pois = tf.convert_to_tensor(pois)
        if not pois.dtype.is_integer:
            raise ValueError(f"`{name}` must be integers. Got {pois.dtype.name}.")
        pois = tf.cast(pois, tf.int64)
        ok = (pois >= 0) & (pois < self.num_pois)
        last = self.num_pois - 1
        return require(pois, ok, f"`{name}` must be POIs from 0 to {last}")

    def get_config(self) -> dict:
        layout = {"shape": list(self._table.shape)}
        return super().get_config() | {
            "coordinates": layout if self._kind == "coordinates" else None,
            "distances": layout if self._kind == "distances" else None,
            "scale": self.scale,
            "weight": self.weight,
        }


def _parsed(name: str, given: np.ndarray | Mapping) -> np.ndarray:
    if isinstance(given, Mapping):
        return np.zeros(given["shape"], "float32")
    values = np.asarray(given, np.float32)
    columns = 2 if name == "coordinates" else len(values) if values.ndim else 0
    if values.ndim != 2 or values.shape[1] != columns or not len(values):
        shape = "num_pois, 2" if name == "coordinates" else "num_pois, num_pois"
        raise ValueError(f"`{name}` must be [{shape}]. Got shape {values.shape}.")
    highest = np.array([90, 180]) if name == "coordinates" else np.inf
    lowest = -highest if name == "coordinates" else 0
    wrong = ~(np.isfinite(values) & (values >= lowest) & (values <= highest))
    if wrong.any():
        rule = (
            "latitudes in [-90, 90] and longitudes in [-180, 180]"
            if name == "coordinates"
            else "finite kilometres, none negative"
        )
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise ValueError(f"`{name}` must be {rule}. Got {values[row]} of {row}.")
    return values


def _largest(name: str, values: np.ndarray) -> float:
    if name == "distances":
        return float(values.max())
    pois = tf.constant(values, tf.float64)
    poi, largest = 0, -1.0
    while True:
        found = haversine(pois[poi], pois).numpy()
        if found.max() <= largest:
            return largest
        poi, largest = int(found.argmax()), float(found.max())
