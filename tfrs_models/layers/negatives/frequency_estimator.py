"""Counts how often ids occur in a stream of batches."""

import math

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.hashing import fingerprints, hash_buckets
from tfrs_models.ops.replicas import gather_rows

MODES = ("rate", "gap")


@register
class FrequencyEstimator(tf.keras.layers.Layer):
    """Estimates the sampling probability of ids from the batches of training.

    For data that cannot be counted beforehand, because it is a stream or because
    popularity drifts. Ids need no vocabulary: `num_hashes` rows of `num_buckets` hash
    buckets hold the estimates. The estimate of an id is the smallest of its buckets,
    the one that it shares with the rarest other ids.

    `mode="rate"` counts examples. A batch of `b` examples with `c` copies of an id
    moves `rate <- (1 - alpha) rate + alpha c / b`; `c = 0` if the id is absent. A mean
    that started at zero reaches only the share `1 - (1 - alpha)^t` after `t` batches
    and is divided by it, as Adam's means are. So estimates sum to about one from the
    first batch on, and while `t` is below `1 / alpha` they are close to the plain
    shares of all counted examples.

    `mode="gap"` counts batches, as in the paper. It averages the gap between the
    batches that hold the id, `gap <- (1 - alpha) gap + alpha (t - last)`, corrected in
    the same way by the number of gaps. The estimate `1 / gap` is the probability that a
    batch holds the id; it is one for every id that is in each batch.

    The lowest estimate after `n` examples is `1 / (n + 1)`, which unseen ids have. In
    `"gap"` only unseen ids have it, after `n` batches. It is 1, and corrects nothing,
    before the first batch. Training counts the batch first, so the ids of the batch
    are never unseen.

    Under `tf.distribute` every replica counts the ids of all replicas: two replicas
    with `b` rows count the same as one with `2 b` rows.

    Example:
      >>> layer = tm.layers.FrequencyEstimator(num_buckets=1000)
      >>> for _ in range(5):
      ...     _ = layer(tf.constant(["a", "a", "a", "b"]), training=True)
      >>> layer(tf.constant(["a", "b", "unseen"])).numpy().round(2)
      array([0.75, 0.25, 0.05], dtype=float32)

    Reference:
      Yi et al., Sampling-bias-corrected neural modeling for large corpus item
      recommendations, RecSys 2019.
    """

    def __init__(
        self,
        num_buckets: int,
        num_hashes: int = 4,
        alpha: float = 0.01,
        *,
        mode: str = "rate",
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          num_buckets: number of buckets of each hash; several times the number of
            popular ids.
          num_hashes: number of independent hashes; more of them separate popular ids
            better.
          alpha: weight of the newest batch, in (0, 1). Estimates average about the last
            `1 / alpha` batches (in `"gap"`, gaps), and follow a drift as fast.
          mode: `"rate"` or `"gap"`.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        for name, value in (("num_buckets", num_buckets), ("num_hashes", num_hashes)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1. Got {value}.")
        if not 0 < alpha < 1:
            raise ValueError(f"`alpha` must be above 0 and below 1. Got {alpha}.")
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {MODES}. Got {mode!r}.")
        self._autocast = False
        self.num_buckets = num_buckets
        self.num_hashes = num_hashes
        self.alpha = alpha
        self.mode = mode
        self._log_decay = math.log1p(-alpha)
        size = [num_hashes * num_buckets]
        self._mean = self._state("mean", size, tf.float32)  # of shares, or of gaps
        self._last = self._state(
            "last", size, tf.int64
        )  # step with the last occurrence
        if mode == "gap":
            self._weight = self._state("weight", size, tf.float32)
        self._step = self._state("step", [], tf.int64)
        self._examples = self._state("examples", [], tf.int64)

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Estimates the probabilities of ids, after counting them in training.

        Args:
          ids: `[batch]` ids, integers or strings.
          training: whether to count the ids as a batch of the stream.

        Returns:
          `[batch]` float32 probabilities in (0, 1].

        Raises:
          ValueError: ids that are neither integers nor strings.
        """
        keys = tf.reshape(fingerprints(ids), [-1])
        if training:
            self._count(gather_rows(keys))
        keys, rows = tf.unique(keys)  # a popular id is looked up once
        return tf.gather(self._estimate(self._buckets(keys)), rows)

    def _estimate(self, buckets: tf.Tensor) -> tf.Tensor:
        """Returns probabilities `[n]` of ids in the buckets `[num_hashes, n]`."""
        mean = tf.gather(self._mean, buckets)
        if self.mode == "rate":
            passed = tf.cast(self._step - tf.gather(self._last, buckets), tf.float32)
            began = -tf.math.expm1(tf.cast(self._step, tf.float32) * self._log_decay)
            decayed = mean * tf.exp(passed * self._log_decay)
            found = tf.math.divide_no_nan(tf.reduce_min(decayed, axis=0), began)
            unseen = 1 / (tf.cast(self._examples, tf.float32) + 1)
            return tf.clip_by_value(found, unseen, 1.0)
        weight = tf.gather(self._weight, buckets)
        unseen = tf.cast(self._step, tf.float32) + 1
        gap = tf.where(weight > 0, tf.math.divide_no_nan(mean, weight), unseen)
        return tf.minimum(1 / tf.reduce_max(gap, axis=0), 1.0)

    def _count(self, keys: tf.Tensor) -> None:
        """Updates the estimates by one batch; an empty one does not count."""
        total = tf.size(keys)
        self._step.assign_add(tf.cast(tf.minimum(total, 1), tf.int64))
        self._examples.assign_add(tf.cast(total, tf.int64))
        step = tf.convert_to_tensor(self._step)
        keys, _, copies = tf.unique_with_counts(keys)
        buckets, slots = tf.unique(tf.reshape(self._buckets(keys), [-1]))
        copies = tf.math.unsorted_segment_sum(
            tf.tile(copies, [self.num_hashes]), slots, tf.size(buckets)
        )
        passed = tf.cast(step - tf.gather(self._last, buckets), tf.float32)
        mean = tf.gather(self._mean, buckets)
        if self.mode == "rate":
            share = tf.cast(copies, tf.float32) / tf.cast(total, tf.float32)
            mean = mean * tf.exp(passed * self._log_decay) + self.alpha * share
        else:
            mean = (1 - self.alpha) * mean + self.alpha * passed
            weight = tf.gather(self._weight, buckets)
            weight = (1 - self.alpha) * weight + self.alpha
            self._weight.scatter_update(tf.IndexedSlices(weight, buckets))
        self._mean.scatter_update(tf.IndexedSlices(mean, buckets))
        self._last.scatter_update(
            tf.IndexedSlices(tf.fill(tf.shape(buckets), step), buckets)
        )

    def _buckets(self, keys: tf.Tensor) -> tf.Tensor:
        """Returns `[num_hashes, n]` indices of the buckets of keys."""
        buckets = hash_buckets(
            keys, num_buckets=self.num_buckets, num_hashes=self.num_hashes
        )
        rows = tf.range(self.num_hashes, dtype=tf.int64) * self.num_buckets
        return rows[:, None] + buckets

    def _state(self, name: str, shape: list[int], dtype: tf.DType) -> tf.Variable:
        return self.add_weight(
            name,
            shape,
            dtype=dtype,
            initializer="zeros",
            trainable=False,
            # Replicas compute the same values from the same gathered ids.
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            experimental_autocast=False,
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_buckets": self.num_buckets,
            "num_hashes": self.num_hashes,
            "alpha": self.alpha,
            "mode": self.mode,
        }
