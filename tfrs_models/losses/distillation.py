"""Losses that teach a student the ranking of a teacher."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.approx_ndcg import check_temperature
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.losses.ordered_pairs import PAIRS, pairwise_loss
from tfrs_models.ops.lists.list_shapes import (
    Lists,
    read_scores,
    same_lists,
    split_labels,
)


def listwise_distillation_loss(
    teacher_scores: tf.Tensor,
    student_scores: tf.Tensor,
    *,
    temperature: float = 1.0,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes `T^2 KL(softmax(t / T) || softmax(s / T))` of a teacher and a student.

    The factor keeps the size of the gradient when the temperature changes. The teacher
    gets no gradient.

    Args:
      teacher_scores: `[batch, list_size]` scores of the teacher, any numbers.
      student_scores: `[batch, list_size]` scores of the student.
      temperature: `T`; the larger, the more the low scores count.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss; 0 where the student's scores are the teacher's, and for a list of
      less than two items.

    Raises:
      ValueError: a temperature that is not above 0, or shapes that differ.

    Example:
      >>> teacher = [[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]
      >>> student = [[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]
      >>> tm.losses.listwise_distillation_loss(teacher, student).numpy().round(2)
      array([0.  , 1.15], dtype=float32)

    Reference:
      Hinton et al., Distilling the knowledge in a neural network, 2015; Cao et al.,
      Learning to rank: from pairwise approach to listwise approach, ICML 2007.
    """
    check_temperature(temperature)
    teacher, student, mask = _read(teacher_scores, student_scores, mask)
    log_student, log_teacher = (
        tf.nn.log_softmax(tf.where(mask, scores / temperature, scores.dtype.min))
        for scores in (student, teacher)
    )
    gaps = tf.where(mask, log_teacher - log_student, 0)
    return temperature**2 * tf.reduce_sum(tf.exp(log_teacher) * gaps, axis=1)


@register
class ListwiseDistillationLoss(ListLoss):
    """The Keras class of `listwise_distillation_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.ListwiseDistillationLoss(temperature=2.0)
      >>> float(loss([[3.0, -1.0]], [[3.0, -1.0]]))  # teacher, student
      0.0
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        name: str = "listwise_distillation_loss",
        **kwargs,
    ) -> None:
        """Initializes the loss.

        Args:
          temperature: divisor of all scores; the larger, the more the low scores count.
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self.temperature = check_temperature(temperature)

    def call(self, teacher_scores: tf.Tensor, student_scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
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
    """Computes the mean of `log(1 + exp(s_j - s_i))` over pairs with `t_i > t_j`.

    `s` are the student's scores and `t` the teacher's, which get no gradient. The loss
    can be differentiated once, by the student's scores.

    Args:
      teacher_scores: `[batch, list_size]` scores of the teacher, any numbers.
      student_scores: `[batch, list_size]` scores of the student.
      k: number of the teacher's best items, ties with the last of them included, that
        are the better items of the pairs; the others are to stay behind, in any order.
        None takes all pairs.
      pairs: `"mean"` or `"sum"` over the pairs of a list.
      mask: `[batch, list_size]` bool, False for padding.

    Returns:
      `[batch]` loss; 0 for a list whose items the teacher scores all alike.

    Raises:
      ValueError: a `k` below 1, an unknown option, or shapes that differ.

    Example:
      >>> teacher = [[2.0, 1.0, 0.0]]
      >>> student = [[0.0, 3.0, 0.0]]
      >>> tm.losses.pairwise_distillation_loss(teacher, student, k=1).numpy().round(2)
      array([1.87], dtype=float32)

    Reference:
      Reddi et al., RankDistil: knowledge distillation for ranking, AISTATS 2021.
    """
    _check_pairs(k, pairs)
    teacher, student, mask = _read(teacher_scores, student_scores, mask)
    teacher = tf.where(mask, teacher, 0)
    if k is not None:
        ordered = tf.sort(tf.where(mask, teacher, teacher.dtype.min), axis=1)
        last = ordered[:, -k:][:, :1]
        lowest = tf.reduce_min(tf.pad(teacher, [[0, 0], [0, 1]]), axis=1, keepdims=True)
        teacher = tf.where(teacher >= last, teacher, lowest)
    return pairwise_loss(Lists(teacher, student, mask), "logistic", pairs=pairs)


@register
class PairwiseDistillationLoss(ListLoss):
    """The Keras class of `pairwise_distillation_loss`, reduced over the batch.

    Example:
      >>> loss = tm.losses.PairwiseDistillationLoss(k=10)
      >>> teacher, student = [[2.0, 1.0, 0.0]], [[0.3, 0.2, 0.1]]
      >>> round(float(loss(teacher, student)), 2)
      0.63
    """

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
          k: number of the teacher's best items that are the better items of pairs; None
            takes all pairs.
          pairs: `"mean"` or `"sum"` over the pairs of a list.
          name: name of the loss in logs.
          **kwargs: arguments of `tf.keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        _check_pairs(k, pairs)
        self.k, self.pairs = k, pairs

    def call(self, teacher_scores: tf.Tensor, student_scores: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each list, `[batch]`."""
        return pairwise_distillation_loss(
            teacher_scores, student_scores, k=self.k, pairs=self.pairs
        )

    def get_config(self) -> dict:
        return super().get_config() | {"k": self.k, "pairs": self.pairs}


def _read(
    teacher_scores: tf.Tensor, student_scores: tf.Tensor, mask: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Reads the teacher's scores without gradient, the student's, and their mask."""
    teacher_scores, mask = split_labels(teacher_scores, mask)
    student, mask = read_scores(student_scores, mask, name="student_scores")
    teacher = same_lists("teacher_scores", teacher_scores, student)
    return tf.stop_gradient(teacher), student, mask


def _check_pairs(k: int | None, pairs: str) -> None:
    if k is not None and k < 1:
        raise ValueError(f"`k` must be None or at least 1. Got {k}.")
    if pairs not in PAIRS:
        raise ValueError(f"`pairs` must be one of {PAIRS}. Got {pairs!r}.")
