"""Hashes of ids into buckets."""

import tensorflow as tf

from tfrs_models.ops.ranks.lookup import id_keys

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: SplitMix64's step
_PRIME = 2**31 - 1
_FACTORS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def fingerprints(ids: tf.Tensor) -> tf.Tensor:
    """Turns ids into int64: integers as they are, strings by their 63-bit hash.

    Args:
      ids: integer or string ids.

    Returns:
      int64 of the same shape.

    Raises:
      ValueError: ids of another dtype.
    """
    ids = tf.convert_to_tensor(ids)
    if not (ids.dtype.is_integer or ids.dtype == tf.string):
        raise ValueError(f"`ids` must be integers or strings. Got {ids.dtype.name}.")
    return id_keys(ids)


def hash_buckets(keys: tf.Tensor, *, num_buckets: int, num_hashes: int) -> tf.Tensor:
    """Computes the buckets of integer keys under several independent hashes.

    Every hash is the finaliser of SplitMix64 with another starting value: all 64 bits
    of the key count, and consecutive keys spread like random ones.

    Args:
      keys: ids as int64, `[n]`.
      num_buckets: number of values of each hash.
      num_hashes: number of hashes.

    Returns:
      `[num_hashes, n]` int64 in `[0, num_buckets)`.

    Reference:
      Steele et al., Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    # Plain multiples of a number would make one row a shifted copy of another.
    starts = [_mixed_int(row * _GOLDEN) for row in range(1, num_hashes + 1)]
    starts = tf.constant([_signed(start) for start in starts], tf.int64)
    mixed = _mixed(tf.bitwise.bitwise_xor(starts[:, None], keys[None, :]))
    return _shifted(mixed, 1) % num_buckets


def random_integers(count: int, *, seed: int) -> list[int]:
    """Draws integers in [1, 2^31 - 1), the same for a seed on every machine.

    Args:
      count: number of integers.
      seed: any integer.

    Returns:
      `count` integers.

    Reference:
      Steele et al., Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    start = _mixed_int(seed)
    return [
        _mixed_int(start + number * _GOLDEN) % (_PRIME - 1) + 1
        for number in range(1, count + 1)
    ]


def universal_hashes(
    keys: tf.Tensor,
    multipliers: tf.Tensor,
    offsets: tf.Tensor,
    *,
    num_buckets: int,
) -> tf.Tensor:
    """Computes universal hashes `(sum_l a_l x_l + b) mod P mod num_buckets` of keys.

    A key is first mixed (one to one); otherwise consecutive keys would have hashes at
    equal distances. Then it is cut into limbs of 30 bits, so that every limb is below
    the prime P = 2^31 - 1 and no product overflows: distinct keys have distinct limbs,
    however large they are.

    Args:
      keys: ids as int64, `[n]`.
      multipliers: factors `a` of the three limbs, the lowest limb first, `[3,
        num_hashes]` int64 in [1, 2^31 - 1).
      offsets: summands `b`, `[num_hashes]` int64 in [0, 2^31 - 1).
      num_buckets: number of values of each hash, below 2^31 - 1.

    Returns:
      `[n, num_hashes]` int64 in `[0, num_buckets)`.

    Reference:
      Carter and Wegman, Universal classes of hash functions, JCSS 1979.
    """
    keys = _mixed(keys)
    low = 2**30 - 1
    limbs = keys & low, _shifted(keys, 30) & low, _shifted(keys, 60)
    total = offsets[None, :]  # below 2^31, and each product below 2^61
    for multiplier, limb in zip(tf.unstack(multipliers), limbs, strict=True):
        total += limb[:, None] * multiplier
    return total % _PRIME % num_buckets


def _mixed(value: tf.Tensor) -> tf.Tensor:
    """SplitMix64's finaliser on int64, whose products wrap like those of uint64.

    On uint64, TensorFlow gives wrong values in a graph whose constants are folded.
    """
    for shift, factor in _FACTORS:
        value = tf.bitwise.bitwise_xor(value, _shifted(value, shift)) * _signed(factor)
    return tf.bitwise.bitwise_xor(value, _shifted(value, 31))


def _shifted(value: tf.Tensor, shift: int) -> tf.Tensor:
    """Shifts to the right and fills with zeros; int64 itself fills with the sign."""
    return tf.bitwise.right_shift(value, tf.constant(shift, tf.int64)) & (
        2 ** (64 - shift) - 1
    )


def _mixed_int(value: int) -> int:
    """SplitMix64's finaliser on a Python integer."""
    value %= 2**64
    for shift, factor in _FACTORS:
        value = (value ^ value >> shift) * factor % 2**64
    return value ^ value >> 31


def _signed(value: int) -> int:
    """The int64 with the bits of a uint64."""
    return value - 2**64 if value >= 2**63 else value
