"""Scores of candidates by a learned weighted sum over the steps of a trace."""

from typing import Literal

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort

DistanceMode = Literal["multiply", "add"]
SoftmaxAxis = Literal["time", "candidates"]


def step_scores(
    candidates: tf.Tensor,
    memory: tf.Tensor,
    closeness: tf.Tensor | None,
    *,
    distance_mode: DistanceMode,
) -> tf.Tensor:
    """Computes products of candidates and steps, times or plus their closeness.

    Args:
      candidates: `[num_candidates, embedding_dim]` vectors of candidates.
      memory: `[batch, seq_len, embedding_dim]` vectors of steps.
      closeness: `[batch, seq_len, num_candidates]` closeness of steps and candidates;
        None to leave it out.
      distance_mode: "multiply" or "add", the use of the closeness.

    Returns:
      `[batch, seq_len, num_candidates]`.
    """
    scores = tf.einsum("bsd,cd->bsc", memory, candidates)
    if closeness is None:
        return scores
    return scores * closeness if distance_mode == "multiply" else scores + closeness


def attention_scores(
    candidates: tf.Tensor,
    memory: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor,
    *,
    mask: tf.Tensor,
    closeness: tf.Tensor | None = None,
    distance_mode: DistanceMode = "multiply",
    softmax: SoftmaxAxis | None = None,
    log_sum: tf.Tensor | None = None,
) -> tf.Tensor:
    """Scores `y_c = bias + sum_t value_t softmax(candidates_c memory_t closeness_tc)`.

    Args:
      candidates: `[num_candidates, embedding_dim]` vectors of candidates.
      memory: `[batch, seq_len, embedding_dim]` vectors of steps.
      value: `[seq_len]` weights of the steps.
      bias: scalar that is added to all scores.
      mask: `[batch, seq_len]` bool, False for padding, whose weight is 0.
      closeness: `[batch, seq_len, num_candidates]` closeness of steps and candidates;
        None to leave it out.
      distance_mode: "multiply" or "add", the use of the closeness.
      softmax: axis over which scores are normalised; None for neither.
      log_sum: `[batch, seq_len]` log-sum-exp over all candidates if `candidates` are a
        part of them; None if they are all.

    Returns:
      `[batch, num_candidates]`.
    """
    weights = tf.where(mask, value, 0.0)  # [batch, seq_len]
    if softmax is None and (closeness is None or distance_mode == "add"):
        pooled = tf.einsum("bs,bsd->bd", weights, memory)
        scores = tf.matmul(pooled, candidates, transpose_b=True)
        if closeness is not None:
            scores += tf.einsum("bs,bsc->bc", weights, closeness)
        return scores + bias
    scores = step_scores(candidates, memory, closeness, distance_mode=distance_mode)
    if softmax == "time":
        scores = tf.where(mask[:, :, None], scores, scores.dtype.min)
        scores = tf.nn.softmax(scores, axis=1)
    elif softmax == "candidates" and log_sum is None:
        scores = tf.nn.softmax(scores, axis=2)
    elif softmax == "candidates":
        scores = tf.exp(scores - log_sum[:, :, None])
    return tf.einsum("bs,bsc->bc", weights, scores) + bias


@register
class AttentionPredictor(TorchPort, tf.keras.layers.Layer):
    """Scores candidates by a learned weighted sum over the steps of a trace.

    `Y = S(SM(E M^T + D^T))` in the paper, where `E` are the candidates, `M` the steps,
    `D` their closeness, and `S` the sum over the steps with a weight for each; the
    original code has `Y = S(E M^T * D^T)`, without the softmax. A softmax over the
    steps must not be followed by a plain sum, which is 1 for every candidate.

    The weights count from the newest step, the last one.

    Example:
      >>> predictor = tm.models.automtn.AttentionPredictor(seq_len=2)
      >>> predictor.value.assign([[1.0], [10.0]])  # the newest step counts most
      <...>
      >>> candidates, memory = tf.constant([[1.0], [2.0]]), tf.ones([1, 2, 1])
      >>> predictor(candidates, memory).numpy()
      array([[11., 22.]], dtype=float32)

    Reference:
      Qin et al., Next point-of-interest recommendation with auto-correlation enhanced
      multi-modal transformer network, SIGIR 2022.
    """

    def __init__(
        self,
        seq_len: int,
        *,
        distance_mode: DistanceMode = "multiply",
        softmax: SoftmaxAxis | None = None,
        **kwargs,
    ) -> None:
        """Initializes the layer.

        Args:
          seq_len: number of steps of a trace.
          distance_mode: "multiply" as in the original code, "add" as in the paper.
          softmax: "time" normalises the scores of a candidate over the steps,
            "candidates" those of a step; None for neither, as in the original code.
          **kwargs: arguments of `tf.keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self._autocast = False  # the scores are float32
        if seq_len < 1:
            raise ValueError(f"`seq_len` must be at least 1. Got {seq_len}.")
        if distance_mode not in ("multiply", "add"):
            raise ValueError(
                f"`distance_mode` must be 'multiply' or 'add'. Got {distance_mode!r}."
            )
        if softmax not in (None, "time", "candidates"):
            raise ValueError(
                f"`softmax` must be None, 'time' or 'candidates'. Got {softmax!r}."
            )
        self.seq_len = seq_len
        self.distance_mode = distance_mode
        self.softmax = softmax
        options = {"dtype": tf.float32, "experimental_autocast": False}
        self.value = self.add_weight(
            "value", (seq_len, 1), initializer="glorot_uniform", **options
        )
        self.bias = self.add_weight("bias", (1,), initializer="zeros", **options)

    def call(
        self,
        candidates: tf.Tensor,
        memory: tf.Tensor,
        closeness: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Scores all candidates.

        Args:
          candidates: `[num_candidates, embedding_dim]` vectors of candidates.
          memory: `[batch, seq_len, embedding_dim]` vectors of steps.
          closeness: `[batch, seq_len, num_candidates]` closeness of steps and
            candidates; None to leave it out.
          mask: `[batch, seq_len]` bool, False for padding; None without padding.

        Returns:
          `[batch, num_candidates]` float32.

        Raises:
          ValueError: the traces have another number of steps.
        """
        return self.score(
            candidates, memory, self.value, self.bias, closeness=closeness, mask=mask
        )

    def score(
        self,
        candidates: tf.Tensor,
        memory: tf.Tensor,
        value: tf.Tensor,
        bias: tf.Tensor,
        *,
        closeness: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        log_sum: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the output of `call` as a function of the layer's weights too.

        Args:
          candidates: `[num_candidates, embedding_dim]` vectors of candidates.
          memory: `[batch, seq_len, embedding_dim]` vectors of steps.
          value: `[seq_len, 1]` weights of the steps.
          bias: `[1]` number that is added to all scores.
          closeness: `[batch, seq_len, num_candidates]` closeness of steps and
            candidates; None to leave it out.
          mask: `[batch, seq_len]` bool, False for padding; None without padding.
          log_sum: `[batch, seq_len]` log-sum-exp over all candidates if `candidates`
            are a part of them; None if they are all.

        Returns:
          `[batch, num_candidates]` float32.
        """
        candidates, memory, closeness = _float32(candidates, memory, closeness)
        if memory.shape[1] not in (None, self.seq_len):
            raise ValueError(
                f"`memory` must have {self.seq_len} steps, each of which has a weight. "
                f"Got {memory.shape[1]}."
            )
        if mask is None:
            mask = tf.ones(tf.shape(memory)[:2], tf.bool)
        return attention_scores(
            candidates,
            memory,
            value[:, 0],
            bias[0],
            mask=mask,
            closeness=closeness,
            distance_mode=self.distance_mode,
            softmax=self.softmax,
            log_sum=log_sum,
        )

    def step_log_sum(
        self,
        candidates: tf.Tensor,
        memory: tf.Tensor,
        closeness: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the log-sum-exp of every step's scores over some candidates.

        Args:
          candidates: `[num_candidates, embedding_dim]` vectors of candidates.
          memory: `[batch, seq_len, embedding_dim]` vectors of steps.
          closeness: `[batch, seq_len, num_candidates]` closeness of steps and
            candidates; None to leave it out.

        Returns:
          `[batch, seq_len]` float32.
        """
        candidates, memory, closeness = _float32(candidates, memory, closeness)
        scores = step_scores(
            candidates, memory, closeness, distance_mode=self.distance_mode
        )
        return tf.reduce_logsumexp(scores, axis=2)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        del arrays
        return {
            "value.weight": TorchArray(self.value, lambda weight: weight.T),
            "value.bias": TorchArray(self.bias),
        }

    def get_config(self) -> dict:
        return super().get_config() | {
            "seq_len": self.seq_len,
            "distance_mode": self.distance_mode,
            "softmax": self.softmax,
        }


def _float32(*tensors: tf.Tensor | None) -> list[tf.Tensor | None]:
    return [None if t is None else tf.cast(t, tf.float32) for t in tensors]
