"""Learning a teacher's distribution over a list."""

import tensorflow as tf

from tfrs_models._keras import register
from tfrs_models.losses.list_loss import ListLoss
from tfrs_models.losses.smooth_places import check_temperature
from tfrs_models.ops.lists.list_shapes import read_scores, same_lists


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
