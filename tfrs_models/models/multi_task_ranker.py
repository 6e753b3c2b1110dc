"""A ranker of several actions of a user on an item."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_models._keras import FromConfig, UnsavedMean, register
from tfrs_models.layers.embedding.hashed import HashedEmbedding
from tfrs_models.layers.mlp import MLP
from tfrs_models.model import Model, add_total
from tfrs_models.ops.features.read_features import dense_through, id_feature, required
from tfrs_models.tasks.multi_task import MultiTask
from tfrs_models.torch_weights import Arrays, Targets, TorchArray, TorchPort, linear
from tfrs_models.types import Features, VocabularyRows

SCORE = "score"


@register
class MultiTaskRanker(FromConfig, TorchPort, Model):
    """Predicts several actions of a user on an item, and one score to rank by.

    Five parts are concatenated: the user tower's embedding, dense layers of the user's,
    the item's and the cross features, and an embedding of the item's id. One dense
    layer, or several, computes a logit for each task from them. If items were clicked
    because of their position, `position_bias` models that share of the logits in
    training, and serving answers without it.

    Features: those of the user tower, `user_features`, `item_features` and
    `cross_features` `[batch, width]`, `item_id` `[batch]`, and for training `labels`
    `[batch, num_tasks]` in {0, 1} (-1 or NaN: not observed) and optionally
    `sample_weight` `[batch]`.

    Example:
      >>> model = tm.models.MultiTaskRanker(tm.towers.UserId(9, 4), num_tasks=2,
      ...     item_id_hash_size=7, item_id_embedding_dim=3, user_value_weights=[1, 0.5])
      >>> rows = {"user_id": np.array([1, 2]), "item_id": np.array([3, 4])}
      >>> for name in ("user_features", "item_features", "cross_features"):
      ...     rows[name] = np.ones([2, 5], "float32")
      >>> sorted(model.rank(rows))
      ['score', 'task_0', 'task_1']

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
          user_tower: layer from the features to `[batch, embedding_dim]`; the dense
            layer of the user's features has the same width.
          num_tasks: number of labels of a row.
          item_id_hash_size: number of rows of the table of items: integer ids are taken
            modulo it, strings are hashed.
          item_id_embedding_dim: width of the item's embedding and of the dense layer of
            the item's features.
          user_value_weights: values of the actions, in the order of the tasks or by
            name: the score is the sum of the probabilities, each times its value.
          cross_features_dim: width of the dense layer of the cross features.
          hidden_units: widths of ReLU layers before the logits; with a trunk, each
            task has its own.
          trunk: layer from the five concatenated parts to a tensor for each task
            (`layers.MultiGateExperts`, `layers.ProgressiveLayered`).
          position_bias: layer from the features to `[batch, num_tasks]`
            (`towers.PositionBias`), added to the logits of logged rows.
          task: task of the loss and its metrics; `tasks.MultiTask(num_tasks)` where
            None.
          **kwargs: arguments of `tf.keras.Model`.
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
        """Computes the logits of the tasks.

        Args:
          features: features of the model, as listed for the class.
          training: True in a training step: the rows are logged ones, whose position
            counts if they have one, and towers may drop values.

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
        """Computes the answer of a server.

        Args:
          features: features of the model, as listed for the class, without a position.

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
        """Computes the logits of logged rows, with the share of their positions.

        Args:
          features: features of the model, as listed for the class.
          training: True in a training step, where towers may drop values.

        Returns:
          `[batch, num_tasks]`.
        """
        logits = self._logits(features, training=training)
        if self.position_bias is None:
            return logits
        return logits + tf.cast(self.position_bias.logged(features), logits.dtype)

    def compute_loss(self, features: Features, training: bool = False) -> tf.Tensor:
        """Computes the task's loss of logged rows.

        Their position counts in evaluation too: the labels depend on it.

        Args:
          features: features and labels, as listed for the class.
          training: True in a training step, where towers may drop values.

        Returns:
          Scalar loss.
        """
        labels = required(features, "labels")
        logits = self.logged_logits(features, training=training)
        loss = self.task(labels, logits, sample_weight=features.get("sample_weight"))
        add_total(self._loss_per_example, loss, tf.shape(logits)[0])
        return loss

    def predict_step(self, features: Features) -> dict[str, tf.Tensor]:
        """Returns the outputs of `rank` for a batch of `predict`."""
        return self.rank(features)

    def torch_arrays(self, arrays: Arrays) -> Targets:
        """Returns the targets of all arrays of the original, with the user tower's.

        Args:
          arrays: state dict of the original.

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
        """Computes the logits without the share of the position."""
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

    def vocabulary_rows(self) -> list[VocabularyRows]:
        """Returns the table of items, of which several share a row."""
        return [VocabularyRows(self.item_embedding.table, "item_id", "refuse")]

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
