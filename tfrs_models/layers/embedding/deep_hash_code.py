"""A dense code of every id, without a table."""

from typing import Literal

import numpy as np
import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.hashing import fingerprints, random_integers, universal_hashes

_LIMBS = 3  # of 30 bits, so that each is below the prime


@register
class DeepHashCode(tf.keras.layers.Layer):
    """Encodes an id by many universal hashes, as numbers of order one.

    The hash is drawn once from the seed, does not change in training, and is saved
    with the weights. It depends on all 64 bits of an integer id, and on the 63-bit
    fingerprint of a string.

    Reference:
      Kang et al., Learning to embed categorical features without embedding tables for
      recommendation, KDD 2021. Carter and Wegman, Universal classes of hash functions,
      JCSS 1979.
    """

    def __init__(
        self,
        num_hashes: int,
        *,
        num_buckets: int = 1_000_000,
        encoding: Literal["uniform", "normal"] = "uniform",
        seed: int = 0,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          num_hashes: width of the code; even for the normal encoding.
          num_buckets: number of values of a hash, in [2, 2^31 - 1).
          encoding: distribution of the code, `"uniform"` in [-1, 1] or standard
            `"normal"`.
          seed: seed of the hashes.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if num_hashes < 1:
            raise ValueError(f"`num_hashes` must be at least 1. Got {num_hashes}.")
        if not 2 <= num_buckets < 2**31 - 1:
            raise ValueError(
                f"`num_buckets` must be in [2, 2^31 - 1). Got {num_buckets}."
            )
        if encoding not in ("uniform", "normal"):
            raise ValueError(
                f"`encoding` must be 'uniform' or 'normal'. Got {encoding!r}."
            )
        if encoding == "normal" and num_hashes % 2:
            raise ValueError(
                "`num_hashes` must be even for the normal encoding, which takes them "
                f"in pairs. Got {num_hashes}."
            )
        self.num_hashes = num_hashes
        self.num_buckets = num_buckets
        self.encoding = encoding
        self.seed = seed
        drawn = random_integers(num_hashes * (_LIMBS + 1), seed=seed)
        drawn = np.reshape(drawn, (_LIMBS + 1, num_hashes))
        self.multipliers = self._constant("multipliers", drawn[:_LIMBS])
        self.offsets = self._constant("offsets", drawn[_LIMBS])

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Encodes ids.

        Args:
          ids: `[batch]` ids, integers or strings.

        Returns:
          `[batch, num_hashes]` float32 codes.

        Raises:
          ValueError: ids of another dtype.
        """
        hashes = universal_hashes(
            fingerprints(ids),
            tf.convert_to_tensor(self.multipliers),
            tf.convert_to_tensor(self.offsets),
            num_buckets=self.num_buckets,
        )
        if self.encoding == "uniform":
            return 2 * tf.cast(hashes, tf.float32) / (self.num_buckets - 1) - 1
        share = tf.cast(hashes + 1, tf.float32) / (self.num_buckets + 1)
        radius = tf.sqrt(-2 * tf.math.log(share[:, ::2]))  # Box and Muller
        angle = 2 * np.pi * share[:, 1::2]
        return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=1)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_hashes": self.num_hashes,
            "num_buckets": self.num_buckets,
            "encoding": self.encoding,
            "seed": self.seed,
        }

    def _constant(self, name: str, values: np.ndarray) -> tf.Variable:
        return self.add_weight(
            name,
            values.shape,
            dtype="int64",
            initializer=lambda shape, dtype: tf.constant(values, dtype, shape),
            trainable=False,
        )
