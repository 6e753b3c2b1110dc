"""Models that predict a rating, or whether it is a like, from fields of user and item.

DeepFM and DCN beside the model of TensorFlow Recommenders' ranking tutorial and the
mean rating of the training rows.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

import tfrs_models as tm

from .flags import Rate, ShareBelowOne
from .resuming import Fit, fit_once

FieldModel = Literal["deep-fm", "dcn"]
Label = Literal["rating", "like"]
LIKE = 4.0
TUTORIAL, MEAN = "tutorial of TensorFlow Recommenders", "mean rating"
# Values of the tutorial, which trains with Adagrad.
TUTORIAL_EPOCHS, TUTORIAL_BATCH, TUTORIAL_RATE = 3, 8192, 0.1


@dataclasses.dataclass(frozen=True)
class Setting:
    """Size and training of a model over fields."""

    embedding_dim: int = 32
    """Number of dimensions of a field's embedding."""
    hidden_units: tuple[int, ...] = (64, 64)
    """Widths of the layers of the deep part."""
    dropout: ShareBelowOne = 0.2
    """Dropout of the deep part."""
    batch_size: int = 1024
    """Rows per batch."""
    learning_rate: Rate = 0.001
    """Learning rate of Adam."""
    epochs: int = 20
    """Largest number of epochs; the validation loss stops the training earlier."""
    patience: int = 2
    """Epochs without a better validation loss after which training stops."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """Metrics of a model on the test rows.

    Args:
      figures: RMSE of the ratings or log loss of the likes, and AUC of the likes.
      history: Keras's history, empty without training.
      model: trained model, None for a constant.
    """

    figures: dict[str, float]
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    model: tm.Model | None = None


def batches(
    data: tm.data.Interactions, split: str, batch_size: int, *, seed: int | None = None
) -> tf.data.Dataset:
    """Batches of a split with the labels `rating` and `like`.

    Args:
      data: interactions with ratings.
      split: "train", "validation" or "test".
      batch_size: rows per batch.
      seed: seed of a shuffled order; None for the order of the rows.
    """
    rows = data.batches(
        split, batch_size, shuffle=seed is not None, seed=seed, known_items=False
    )
    return rows.map(
        lambda row: row | {"like": tf.cast(row["rating"] >= LIKE, tf.float32)}
    )


def train(
    data: tm.data.Interactions,
    model_name: FieldModel,
    label: Label,
    setting: Setting,
    *,
    seed: int,
    callbacks: Sequence[tf.keras.callbacks.Callback] = (),
    fit: Fit = fit_once,
) -> Scored:
    """Trains one model and measures it on the test rows.

    Args:
      data: interactions with ratings.
      model_name: kind of the model.
      label: label that it predicts.
      setting: size and training.
      seed: seed of the weights and the order of the rows.
      callbacks: callbacks of Keras.
      fit: function that trains the compiled model.
    """
    tf.keras.utils.set_random_seed(seed)
    model = build_model(data, model_name, label, setting)
    model.compile(tf.keras.optimizers.Adam(setting.learning_rate))
    has_validation = len(data.splits["validation"]["user_id"]) > 0
    options = {"callbacks": list(callbacks)}
    if has_validation:
        stop = tm.training.StopOnMetric(
            "val_loss_per_example", patience=setting.patience
        )
        options = {
            "validation_data": batches(data, "validation", setting.batch_size),
            "callbacks": [*callbacks, stop],
        }
    history = fit(
        model,
        batches(data, "train", setting.batch_size, seed=seed),
        epochs=setting.epochs,
        **options,
    )
    answers = [model.rank(batch) for batch in batches(data, "test", setting.batch_size)]
    predicted, score = (
        np.concatenate([answer[name] for answer in answers])
        for name in (label, "score")
    )
    return Scored(score_rows(data, label, predicted, score), history, model)


def build_model(
    data: tm.data.Interactions, model_name: FieldModel, label: Label, setting: Setting
) -> tm.Model:
    """Builds DeepFM or DCN over all fields of user and item."""
    task = None
    if label == "rating":
        mean = float(data.splits["train"]["rating"].mean())
        task = tm.tasks.Regression(label, mean=mean)
    make = {"deep-fm": tm.models.DeepFM, "dcn": tm.models.DCN}[model_name]
    return make(
        (*data.user_features, *data.item_features),
        setting.embedding_dim,
        label=label,
        hidden_units=setting.hidden_units,
        dropout=setting.dropout,
        task=task,
    )


def train_tutorial(data: tm.data.Interactions, label: Label, *, seed: int) -> Scored:
    """Trains the tutorial's model, whose predicted rating also orders the likes."""
    tf.keras.utils.set_random_seed(seed)
    model = TutorialRanking(data.num_users, data.num_items)
    model.compile(tf.keras.optimizers.Adagrad(TUTORIAL_RATE))
    size = TUTORIAL_BATCH
    model.fit(
        batches(data, "train", size, seed=seed),
        epochs=TUTORIAL_EPOCHS,
        verbose=0,
    )
    predicted = np.concatenate([model(b)[:, 0] for b in batches(data, "test", size)])
    return Scored(score_rows(data, label, predicted, predicted, is_rating=True))


def mean_rating(data: tm.data.Interactions, label: Label) -> Scored:
    """Measures the mean of the training rows as the prediction of every row."""
    ratings = data.splits["train"]["rating"]
    known = ratings if label == "rating" else ratings >= LIKE
    constant = np.full(len(data.splits["test"]["rating"]), known.mean())
    return Scored(score_rows(data, label, constant, constant))


def score_rows(
    data: tm.data.Interactions,
    label: Label,
    predicted: np.ndarray,
    score: np.ndarray,
    *,
    is_rating: bool = False,
) -> dict[str, float]:
    """Computes RMSE or log loss of predictions, and the AUC of the likes by a score.

    Args:
      data: interactions with ratings.
      label: label that `predicted` predicts.
      predicted: `[num_rows]` predictions for the test rows.
      score: `[num_rows]` score that orders them.
      is_rating: whether `predicted` is a rating, which has no log loss as a like.
    """
    rating = data.splits["test"]["rating"]
    like = (rating >= LIKE).astype(np.float32)
    one_group = np.zeros(len(like), np.int64)
    _, (auc,) = tm.metrics.grouped_auc(like, score, one_group)
    figures = {"AUC of likes": float(auc)}
    if label == "rating":
        metric = tf.keras.metrics.RootMeanSquaredError()
        metric.update_state(rating, predicted)
        return {"RMSE": float(metric.result()), **figures}
    if is_rating:
        return {"log loss": float("nan"), **figures}
    metric = tf.keras.metrics.BinaryCrossentropy()
    metric.update_state(like[:, None], predicted[:, None])
    return {"log loss": float(metric.result()), **figures}


class TutorialRanking(tfrs.Model):
    """Embeddings of user and film and three dense layers that predict the rating."""

    def __init__(self, num_users: int, num_items: int) -> None:
        """Initializes the model.

        Args:
          num_users: Indices of users are in [0, num_users].
          num_items: Indices of items are in [0, num_items].
        """
        super().__init__()
        self.user = tf.keras.layers.Embedding(num_users + 1, 32)
        self.item = tf.keras.layers.Embedding(num_items + 1, 32)
        self.ratings = tf.keras.Sequential(
            [
                tf.keras.layers.Dense(256, activation="relu"),
                tf.keras.layers.Dense(64, activation="relu"),
                tf.keras.layers.Dense(1),
            ]
        )
        self.task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.MeanSquaredError(),
            metrics=[tf.keras.metrics.RootMeanSquaredError("rmse")],
        )

    def call(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """The predicted ratings, `[batch, 1]`."""
        embeddings = [self.user(features["user_id"]), self.item(features["item_id"])]
        return self.ratings(tf.concat(embeddings, axis=1))

    def compute_loss(self, features: dict, training: bool = False) -> tf.Tensor:
        """The mean squared error."""
        del training
        return self.task(labels=features["rating"][:, None], predictions=self(features))
