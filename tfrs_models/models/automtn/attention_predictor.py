"""Scores candidates by every step of a trace."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.models.automtn.attention_scores import (
    DistanceMode,
    SoftmaxAxis,
    attention_scores,
    step_scores,
)
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort


@register
class AttentionPredictor(TorchPort, tf.keras.layers.Layer):
    """A learned weight for every step sums up what the steps say of a candidate.

    `Y = S(SM(E M^T + D^T))` in the paper, where `E` are the candidates, `M` the steps,
    `D` how close they are, and `S` the sum over the steps with a weight for each; the
    original code has `Y = S(E M^T * D^T)`, without the softmax. One over the steps
    must not be followed by a plain sum, of which every candidate would get 1.

    The weights count from the newest step, the last one.

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
          seq_len: Steps of a trace.
          distance_mode: "multiply" as the original code, "add" as the paper.
          softmax: Normalises the scores of a candidate over "time", or those of a step
            over the "candidates"; None for neither, as the original code.
          **kwargs: Of `tf.keras.layers.Layer`.
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
          candidates: `[num_candidates, embedding_dim]`.
          memory: `[batch, seq_len, embedding_dim]`.
          closeness: `[batch, seq_len, num_candidates]`; None for none.
          mask: `[batch, seq_len]` bool, False for padding; None for none.

        Returns:
          `[batch, num_candidates]` float32.

        Raises:
          ValueError: a trace of another length.
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
        log_mass: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """What `call` says, as a function of the layer's weights too.

        Args:
          candidates: As in `call`, or some of them.
          memory: As in `call`.
          value: `[seq_len, 1]`.
          bias: `[1]`.
          closeness: As in `call`.
          mask: As in `call`.
          log_mass: `[batch, seq_len]` of `log_mass`, where the candidates are some.

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
            log_mass=log_mass,
        )

    def step_mass(
        self,
        candidates: tf.Tensor,
        memory: tf.Tensor,
        closeness: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The log-sum-exp of every step's scores over some candidates.

        Args:
          candidates: As in `call`.
          memory: As in `call`.
          closeness: As in `call`.

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
