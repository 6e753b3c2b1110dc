"""How close places are to each other."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.features.checks import require
from tfrs_models.ops.geography import haversine


@register
class POICloseness(tf.keras.layers.Layer):
    """`weight exp(-distance / scale)` of places, from a matrix or from coordinates.

    The scale is one number for all batches: a score that is normalised by the batch
    would depend on who else is in it, and be 0 / 0 where all are equally far. Places
    are part of the weights, the scale of the config: saved, but not trained.
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
          coordinates: `[num_places, 2]` latitudes and longitudes in degrees, from which
            distances are computed when they are asked for: for catalogues whose matrix
            does not fit. Or their `{"shape": ...}`, where a checkpoint will fill them.
          distances: `[num_places, num_places]` kilometres, or their `{"shape": ...}`;
            exactly one of the two.
          scale: Kilometres at which closeness falls by a factor of `e`; where None, the
            largest distance (of coordinates, the largest on a walk that goes to the
            farthest place again and again). 0 makes all places alike.
          weight: Closeness of a place to itself. Where closeness is added to scores, it
            is what being near is worth to begin with: 1 takes long to be learned.
          **kwargs: Of `tf.keras.layers.Layer`.

        Raises:
          ValueError: both or neither, a wrong shape, numbers that are no places, or
            a scale or weight out of range.
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
        self.num_places = values.shape[0]
        self._kind = name
        self._table = self.add_weight(
            name,
            values.shape,
            tf.float32,
            initializer=lambda *_, **__: tf.constant(values, tf.float32),
            trainable=False,
            experimental_autocast=False,
        )

    def call(self, visited: tf.Tensor, places: tf.Tensor | None = None) -> tf.Tensor:
        """How close visited places are to others.

        Args:
          visited: `[batch, seq_len]` numbers of places.
          places: `[num_candidates]` numbers of places; all where None.

        Returns:
          `[batch, seq_len, num_candidates]` float32; nothing else that is held is
          larger than a few times that.

        Raises:
          ValueError: numbers that are no integers.
          InvalidArgumentError: a number of no place; it names the rows.
        """
        visited = self._numbers("visited", visited)
        if places is not None:
            places = self._numbers("places", places)
        if self._kind == "coordinates":
            others = self._table if places is None else tf.gather(self._table, places)
            found = haversine(tf.gather(self._table, visited)[:, :, None], others)
        elif places is None:
            found = tf.gather(self._table, visited)
        else:  # neither whole rows nor whole columns, which may be many
            cells = visited[:, :, None] * self.num_places + places
            found = tf.gather(tf.reshape(self._table, [-1]), cells)
        return self.weight * tf.exp(-tf.math.divide_no_nan(found, self.scale))

    def _numbers(self, name: str, places: tf.Tensor) -> tf.Tensor:
        places = tf.convert_to_tensor(places)
        if not places.dtype.is_integer:
            raise ValueError(f"`{name}` must be integers. Got {places.dtype.name}.")
        places = tf.cast(places, tf.int64)
        ok = (places >= 0) & (places < self.num_places)
        last = self.num_places - 1
        return require(places, ok, f"`{name}` must be places from 0 to {last}")

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
        shape = "num_places, 2" if name == "coordinates" else "num_places, num_places"
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
        place = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise ValueError(f"`{name}` must be {rule}. Got {values[place]} of {place}.")
    return values


def _largest(name: str, values: np.ndarray) -> float:
    if name == "distances":
        return float(values.max())
    places = tf.constant(values, tf.float64)
    place, largest = 0, -1.0
    while True:
        found = haversine(places[place], places).numpy()
        if found.max() <= largest:
            return largest
        place, largest = int(found.argmax()), float(found.max())
