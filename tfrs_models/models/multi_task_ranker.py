"""The multi-task ranker."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_models._keras import FromConfig, UnsavedMean, register
from tfrs_models.layers.embedding.hashed import HashedEmbedding
from tfrs_models.layers.mlp import MLP
from tfrs_models.model import Model, add_total
from tfrs_models.ops.features.read_features import dense_through, id_feature, required
from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort, linear
from tfrs_models.types import Features

SCORE = "score"


@register
class MultiTaskRanker(FromConfig, TorchPort, Model):
    """Predicts several actions of a user on an item, and one score to rank by.

    Five parts lie side by side: the user tower's embedding, dense layers of the user's,
    the item's and the cross features, and an embedding of the item's id. One dense
    layer, or several, makes a logit for each task of them. Where items were clicked
    because of their position, `position_bias` takes that share of the logits in
    training and leaves it out at serving.

    Features: those of the user tower, `user_features`, `item_features` and
    `cross_features` `[batch, width]`, `item_id` `[batch]`, and for training `labels`
    `[batch, num_tasks]` in {0, 1} (-1 or NaN: not observed) and optionally
    `sample_weight` `[batch]`.

    Reference:
      Port of a public study, Multiple ways to model user preference in recommender
      systems. Zhao et al., Recommending what video to watch next: a multitask ranking
      system, RecSys 2019 (position bias, combined score).
    """

    nan_features = frozenset({"labels"})

    def __init__(
        self,
        user_tower: tf.keras.layers.Layer,
        *,
        num_tasks: int,
        item_id_hash_size: int,
        item_id_embedding_dim: int,
        user_value_weights: Sequence[float] | Mapping[str, float],
        cross_features_dim: int = 128,
        hidden_units: Sequence[int] = (),
        trunk: tf.keras.layers.Layer | None = None,
        position_bias: tf.keras.layers.Layer | None = None,
        task: MultiTask | None = None,
        **kwargs,
    ) -> None:
        """Initializes the model.

        Args:
          user_tower: From the features to `[batch, embedding_dim]`; the dense layer of
            the user's features has the same width.
          num_tasks: How many labels a row has.
          item_id_hash_size: Rows of the table of items: integer ids are taken modulo
            it, strings are hashed.
          item_id_embedding_dim: Width of the item's embedding and of the dense layer of
            the item's features.
          user_value_weights: What an action is worth, in the order of the tasks or by
            name: the score is the sum of the probabilities, each times its weight.
          cross_features_dim: Width of the dense layer of the cross features.
          hidden_units: Widths of ReLU layers before the logits; with a trunk, each
            task has its own.
          trunk: From the five parts side by side to a tensor for each task
            (`layers.MultiGateExperts`, `layers.ProgressiveLayered`).
          position_bias: From the features to `[batch, num_tasks]`
            (`towers.PositionBias`), added to the logits of logged rows.
          task: The loss and its metrics; `tasks.MultiTask(num_tasks)` where None.
          **kwargs: Of `tf.keras.Model`.
        """
        super().__init__(**kwargs)
        if num_tasks < 1:
            raise ValueError(f"`num_tasks` must be at least 1. Got {num_tasks}.")
        self.task = task or MultiTask(num_tasks)
        if self.task.num_tasks != num_tasks:
            raise ValueError(
                f"`num_tasks` must be that of `task`, {self.task.num_tasks}. "
                f"Got {num_tasks}."
            )
        if SCORE in self.task.task_names:
            raise ValueError(
                f"No task must be called `{SCORE}`: it is the name of the combined "
                f"score. Got {list(self.task.task_names)}."
            )
        if position_bias is not None and position_bias.num_tasks != num_tasks:
            raise ValueError(
                f"`position_bias` must have a bias for each of the {num_tasks} tasks. "
                f"Got {position_bias.num_tasks}."
            )
        if trunk is not None and trunk.num_tasks != num_tasks:
            raise ValueError(
                f"`trunk` must have an output for each of the {num_tasks} tasks. Got "
                f"{trunk.num_tasks}."
            )
        if cross_features_dim < 1:
            raise ValueError(
                f"`cross_features_dim` must be at least 1. Got {cross_features_dim}."
            )
        self.user_tower = user_tower
        self.num_tasks = num_tasks
        self.item_id_hash_size = item_id_hash_size
        self.item_id_embedding_dim = item_id_embedding_dim
        self.user_value_weights = user_value_weights
        self.cross_features_dim = cross_features_dim
        self.hidden_units = tuple(hidden_units)
        self.position_bias = position_bias
        self._values = self.task.per_task("user_value_weights", user_value_weights)
        self.item_embedding = HashedEmbedding(item_id_hash_size, item_id_embedding_dim)
        self._dense = {
            "user_features": tf.keras.layers.Dense(user_tower.embedding_dim),
            "item_features": tf.keras.layers.Dense(item_id_embedding_dim),
            "cross_features": tf.keras.layers.Dense(cross_features_dim),
        }
        self.trunk = trunk
        if trunk is None:
            self.heads = [MLP([*self.hidden_units, num_tasks])]
            width = 2 * (user_tower.embedding_dim + item_id_embedding_dim)
            self.heads[0].build((None, width + cross_features_dim))
        else:
            self.heads = [MLP([*self.hidden_units, 1]) for _ in range(num_tasks)]
        self._loss_per_example = UnsavedMean("loss_per_example")

    def call(self, features: Features, training: bool = False) -> tf.Tensor:
        """The logits of the tasks.

        Args:
          features: See the class.
          training: Whether the rows are logged ones, whose position counts where they
            have one, and passed on to the towers.

        Returns:
          `[batch, num_tasks]`.

        Raises:
          ValueError: a feature is missing or has the wrong dtype or width.
        """
        position = self.position_bias
        if position is None or (training and position.feature in features):
            return self.logged_logits(features, training=training)
        logits = self._logits(features, training=training)
        return logits + tf.cast(position(features), logits.dtype)

    def rank(self, features: Features) -> dict[str, tf.Tensor]:
        """What serving answers.

        Args:
          features: See the class; the position is not among them.

        Returns:
          The probability of each task by its name, and the combined `score`, `[batch]`
          float32 each.
        """
        probabilities = self.task.predictions(self(features))
        columns = tf.unstack(probabilities, axis=1)
        answer = dict(zip(self.task.task_names, columns, strict=True))
        score = tf.linalg.matvec(probabilities, tf.constant(self._values))
        return answer | {SCORE: score}

    def logged_logits(self, features: Features, training: bool = False) -> tf.Tensor:
        """The logits of logged rows, their positions' share included.

        Args:
          features: See the class.
          training: Passed on to the towers.

        Returns:
          `[batch, num_tasks]`.
        """
        logits = self._logits(features, training=training)
        if self.position_bias is None:
            return logits
        return logits + tf.cast(self.position_bias.logged(features), logits.dtype)

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """The task's loss of logged rows.

        Their position counts in evaluation too: it is part of how the labels came
        about.

        Args:
          features: See the class.
          training: Passed on to the towers.

        Returns:
          Scalar loss.
        """
        labels = required(features, "labels")
        logits = self.logged_logits(features, training=training)
        loss = self.task(labels, logits, sample_weight=features.get("sample_weight"))
        add_total(self._loss_per_example, loss, tf.shape(logits)[0])
        return loss

    def predict_step(self, features: Features) -> dict[str, tf.Tensor]:
        """What `predict` yields for a batch: see `rank`."""
        return self.rank(features)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """All arrays of the original, the user tower's among them.

        Args:
          arrays: The original's state dict.

        Raises:
          ValueError: the user tower or the trunk has no original.
        """
        if self.trunk is not None or self.hidden_units:
            raise ValueError(
                "`trunk` and `hidden_units` must not be given to load the original's "
                f"weights, which has neither. Got {self.trunk} and {self.hidden_units}."
            )
        if not isinstance(self.user_tower, TorchPort):
            raise ValueError(
                f"`user_tower` must be the port of one of the original's. Got "
                f"{type(self.user_tower).__name__}."
            )
        targets = self.user_tower.torch_arrays(arrays)
        for name, layer in self._dense.items():
            targets |= linear(f"{name}_layer", layer, arrays)
        targets["item_id_embedding_arch.weight"] = TorchArray(self.item_embedding.table)
        return targets | linear("task_arch", self.heads[0].stack[-1], arrays)

    def _logits(self, features: Features, *, training: bool) -> tf.Tensor:
        """The logits without the position's share."""
        dense = {
            name: dense_through(layer, features, name)
            for name, layer in self._dense.items()
        }
        user = self.user_tower(features, training=training)
        item = self.item_embedding(id_feature(features, "item_id"))
        parts = [  # in the original's order
            user,
            dense["user_features"],
            item,
            dense["item_features"],
            dense["cross_features"],
        ]
        parts = [tf.cast(part, user.dtype) for part in parts]
        inputs = tf.concat(parts, axis=1)
        if self.trunk is None:
            return self.heads[0](inputs)
        outputs = self.trunk(inputs, training=training)
        logits = [head(x) for head, x in zip(self.heads, outputs, strict=True)]
        return tf.concat(logits, axis=1)

    def get_config(self) -> dict:
        serialize = tf.keras.utils.serialize_keras_object
        return {
            "user_tower": serialize(self.user_tower),
            "num_tasks": self.num_tasks,
            "item_id_hash_size": self.item_id_hash_size,
            "item_id_embedding_dim": self.item_id_embedding_dim,
            "user_value_weights": self.user_value_weights,
            "cross_features_dim": self.cross_features_dim,
            "hidden_units": list(self.hidden_units),
            "trunk": None if self.trunk is None else serialize(self.trunk),
            "position_bias": (
                None if self.position_bias is None else serialize(self.position_bias)
            ),
            "task": serialize(self.task),
            "name": self.name,
        }
