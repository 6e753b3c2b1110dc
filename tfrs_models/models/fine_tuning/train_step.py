"""One step of fine-tuning, with its gradients."""

from typing import NamedTuple

import tensorflow as tf

from tfrs_models.models.fine_tuning.fine_tuning import FineTuningModel


class TrainStep(NamedTuple):
    """What one step of training did.

    Attributes:
      loss: Scalar of the pairs, before the step; regularisers are in the gradients.
      query_gradients: One for each trainable variable of the query tower.
      item_gradients: One for each trainable variable of the item tower.
    """

    loss: tf.Tensor
    query_gradients: list[tf.Tensor]
    item_gradients: list[tf.Tensor]


def fine_tuning_train_step(model: FineTuningModel, batch: dict) -> TrainStep:
    """One step, for whoever wants to see its gradients; `fit` is the way to train.

    Args:
      model: Compiled.
      batch: See `layers.FeaturesExtractor`.
    """
    with tf.GradientTape() as tape:
        loss, penalty = model.loss_and_penalty(batch, training=True)
        total = loss + penalty
    variables = model.trainable_variables
    gradients = tape.gradient(total, variables)
    model.apply_gradients(gradients, variables)
    found = {v.ref(): g for v, g in zip(variables, gradients, strict=True)}
    return TrainStep(
        loss,
        *(
            [found[variable.ref()] for variable in tower.trainable_variables]
            for tower in (model.query_tower, model.item_tower)
        ),
    )
