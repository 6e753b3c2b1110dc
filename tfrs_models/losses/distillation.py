"""Learning a teacher's distribution over a list."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.approx_ndcg import check_temperature
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.losses.ordered_pairs import PAIRS, pairwise_loss
from tfrs_models.ops.lists.list_shapes import Lists, read_scores, same_lists


def listwise_distillation_loss(
    teacher_scores: tf.Tensor,
    student_scores: tf.Tensor,
    *,
    temperature: float = 1.0,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """`T^2 KL(softmax(t / T) || softmax(s / T))`.

    The factor keeps the gradient's size when the temperature changes.

    Args:
      teacher_scores: `[batch, list_size]`, any numbers.
      student_scores: `[batch, list_size]`.
      temperature: `T`; the larger, the more the low scores count.
      mask: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch]` loss; 0 where the student's scores are the teacher's, and for a list of
      less than two items.

    Raises:
      ValueError: a temperature that is not above 0, or shapes that differ.

    Reference:
      Hinton et al., Distilling the knowledge in a neural network, 2015; Cao et al.,
      Learning to rank: from pairwise approach to listwise approach, ICML 2007.
    """
    check_temperature(temperature)
    student, valid = read_scores(student_scores, mask, name="student_scores")
    teacher = tf.stop_gradient(same_lists("teacher_scores", teacher_scores, student))
    log_student, log_teacher = (
        tf.nn.log_softmax(tf.where(valid, scores / temperature, scores.dtype.min))
        for scores in (student, teacher)
    )
    gaps = tf.where(valid, log_teacher - log_student, 0)
    return temperature**2 * tf.reduce_sum(tf.exp(log_teacher) * gaps, axis=1)


@register
class ListwiseDistillationLoss(ListLoss):
    """`listwise_distillation_loss` of a teacher and a student, reduced."""

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        name: str = "listwise_distillation_loss",
        **kwargs,
    ) -> None:
        """Initializes the loss.

        Args:
          temperature: As in `listwise_distillation_loss`.
          name: Of the loss.
          **kwargs: Of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self.temperature = check_temperature(temperature)

    def call(self, teacher_scores: tf.Tensor, student_scores: tf.Tensor) -> tf.Tensor:
        """`[batch]` losses."""
        return listwise_distillation_loss(
            teacher_scores, student_scores, temperature=self.temperature
        )

    def get_config(self) -> dict:
        return super().get_config() | {"temperature": self.temperature}


def pairwise_distillation_loss(
    teacher_scores: tf.Tensor,
    student_scores: tf.Tensor,
    *,
    k: int | None = None,
    pairs: str = "mean",
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Mean of `log(1 + exp(s_j - s_i))` over pairs that the teacher scores `t_i > t_j`.

    Can be differentiated once, by the student's scores.

    Args:
      teacher_scores: `[batch, list_size]`, any numbers.
      student_scores: `[batch, list_size]`.
      k: Only pairs whose better item is among the teacher's first `k`, ties with the
        last of them included: what comes behind is to stay behind, in any order. All
        pairs where None.
      pairs: `"mean"` or `"sum"` over a list's pairs.
      mask: `[batch, list_size]` bool, False where there is no item.

    Returns:
      `[batch]` loss; 0 for a list which the teacher scores all alike.

    Raises:
      ValueError: a `k` below 1, an unknown option, or shapes that differ.

    Reference:
      Reddi et al., RankDistil: knowledge distillation for ranking, AISTATS 2021.
    """
    _check(k, pairs)
    student, valid = read_scores(student_scores, mask, name="student_scores")
    teacher = same_lists("teacher_scores", teacher_scores, student)
    teacher = tf.stop_gradient(tf.where(valid, teacher, 0))
    if k is not None:
        ordered = tf.sort(tf.where(valid, teacher, teacher.dtype.min), axis=1)
        last = ordered[:, -k:][:, :1]
        lowest = tf.reduce_min(tf.pad(teacher, [[0, 0], [0, 1]]), axis=1, keepdims=True)
        teacher = tf.where(teacher >= last, teacher, lowest)
    return pairwise_loss(Lists(teacher, student, valid), "logistic", pairs=pairs)


@register
class PairwiseDistillationLoss(ListLoss):
    """`pairwise_distillation_loss` of a teacher and a student, reduced."""

    def __init__(
        self,
        *,
        k: int | None = None,
        pairs: str = "mean",
        name: str = "pairwise_distillation_loss",
        **kwargs,
    ) -> None:
        """Initializes the loss.

        Args:
          k: As in `pairwise_distillation_loss`.
          pairs: As there.
          name: Of the loss.
          **kwargs: Of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        _check(k, pairs)
        self.k, self.pairs = k, pairs

    def call(self, teacher_scores: tf.Tensor, student_scores: tf.Tensor) -> tf.Tensor:
        """`[batch]` losses."""
        return pairwise_distillation_loss(
            teacher_scores, student_scores, k=self.k, pairs=self.pairs
        )

    def get_config(self) -> dict:
        return super().get_config() | {"k": self.k, "pairs": self.pairs}


def _check(k: int | None, pairs: str) -> None:
    if k is not None and k < 1:
        raise ValueError(f"`k` must be None or at least 1. Got {k}.")
    if pairs not in PAIRS:
        raise ValueError(f"`pairs` must be one of {PAIRS}. Got {pairs!r}.")
