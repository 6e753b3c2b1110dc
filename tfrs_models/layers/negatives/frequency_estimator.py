"""Counts how often ids occur in a stream of batches."""

import math

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.ops.hashing import fingerprints, hash_buckets
from tfrs_models.ops.replicas import gather_rows

MODES = ("rate", "gap")


@register
class FrequencyEstimator(tf.keras.layers.Layer):
    """Estimates the sampling probability of ids from the batches that go by.

    For data that cannot be counted beforehand, because it is a stream or because
    popularity drifts. Ids need no vocabulary: `num_hashes` rows of `num_buckets`
    hash buckets hold the estimates, and the smallest of an id's buckets, the one that
    it shares with the rarest strangers, is its estimate.

    `mode="rate"` counts examples. A batch of `b` with `c` copies of an id moves
    `rate <- (1 - alpha) rate + alpha c / b`, where absence is `c = 0`. A mean that
    began at zero after `t` batches is only `1 - (1 - alpha)^t` of one, and is divided
    by that, as Adam's are: estimates sum to about one from the first batch on, and
    while `t` is below `1 / alpha` they are close to plain shares of all that was seen.

    `mode="gap"` counts batches, as in the paper: the mean gap between the batches that
    hold the id, `gap <- (1 - alpha) gap + alpha (t - last)`, corrected in the same way
    by the number of gaps; the estimate `1 / gap` is the chance that a batch holds the
    id, which saturates at one for whatever is in every batch.

    Whatever is rarer than one in all that was counted, and so every id that was never
    seen, has the probability `1 / (n + 1)` after `n` examples (in `"gap"`, a never seen
    one, after `n` batches): 1 before the first, which corrects nothing, and then less
    and less. In training the batch is counted first, so its own ids are never unseen.

    Under `tf.distribute` every replica counts the ids of all replicas, so that two
    replicas of `b` rows count what one counts of `2 b`.

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
          num_buckets: Of each hash; several times the number of ids that matter.
          num_hashes: Independent hashes; more of them separate popular ids better.
          alpha: Weight of the newest batch, in (0, 1): estimates remember about the
            last `1 / alpha` batches (in `"gap"`, gaps), and follow a drift as fast.
          mode: `"rate"` or `"gap"`.
          **kwargs: Of `tf.keras.layers.Layer`.
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
        self._last = self._state("last", size, tf.int64)  # step that last held it
        if mode == "gap":
            self._weight = self._state("weight", size, tf.float32)
        self._step = self._state("step", [], tf.int64)
        self._examples = self._state("examples", [], tf.int64)

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Estimates the probabilities of ids, after counting them in training.

        Args:
          ids: `[batch]` integers or strings.
          training: Whether the ids are a batch of the stream, to be counted.

        Returns:
          `[batch]` float32 in (0, 1].

        Raises:
          ValueError: ids that are neither integers nor strings.
        """
        keys = tf.reshape(fingerprints(ids), [-1])
        if training:
            self._count(gather_rows(keys))
        keys, rows = tf.unique(keys)  # a popular id is looked up once
        return tf.gather(self._estimate(self._places(keys)), rows)

    def _estimate(self, places: tf.Tensor) -> tf.Tensor:
        """`[n]` probabilities of ids in the buckets `[num_hashes, n]`."""
        mean = tf.gather(self._mean, places)
        if self.mode == "rate":
            passed = tf.cast(self._step - tf.gather(self._last, places), tf.float32)
            began = -tf.math.expm1(tf.cast(self._step, tf.float32) * self._log_decay)
            decayed = mean * tf.exp(passed * self._log_decay)
            found = tf.math.divide_no_nan(tf.reduce_min(decayed, axis=0), began)
            unseen = 1 / (tf.cast(self._examples, tf.float32) + 1)
            return tf.clip_by_value(found, unseen, 1.0)
        weight = tf.gather(self._weight, places)
        unseen = tf.cast(self._step, tf.float32) + 1
        gap = tf.where(weight > 0, tf.math.divide_no_nan(mean, weight), unseen)
        return tf.minimum(1 / tf.reduce_max(gap, axis=0), 1.0)

    def _count(self, keys: tf.Tensor) -> None:
        """Moves the estimates by one batch; an empty one is none."""
        total = tf.size(keys)
        self._step.assign_add(tf.cast(tf.minimum(total, 1), tf.int64))
        self._examples.assign_add(tf.cast(total, tf.int64))
        step = tf.convert_to_tensor(self._step)
        keys, _, copies = tf.unique_with_counts(keys)
        places, slots = tf.unique(tf.reshape(self._places(keys), [-1]))
        copies = tf.math.unsorted_segment_sum(
            tf.tile(copies, [self.num_hashes]), slots, tf.size(places)
        )
        passed = tf.cast(step - tf.gather(self._last, places), tf.float32)
        mean = tf.gather(self._mean, places)
        if self.mode == "rate":
            share = tf.cast(copies, tf.float32) / tf.cast(total, tf.float32)
            mean = mean * tf.exp(passed * self._log_decay) + self.alpha * share
        else:
            mean = (1 - self.alpha) * mean + self.alpha * passed
            weight = tf.gather(self._weight, places)
            weight = (1 - self.alpha) * weight + self.alpha
            self._weight.scatter_update(tf.IndexedSlices(weight, places))
        self._mean.scatter_update(tf.IndexedSlices(mean, places))
        self._last.scatter_update(
            tf.IndexedSlices(tf.fill(tf.shape(places), step), places)
        )

    def _places(self, keys: tf.Tensor) -> tf.Tensor:
        """`[num_hashes, n]` indices of the keys' buckets among those of all hashes."""
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
