"""The first training step is traced once, and trains as if it had been traced twice."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm


class Pairs(tm.Model):
    """Logits of two ids, and a head that only the loss makes."""

    def __init__(self):
        super().__init__()
        self.embedding = tf.keras.layers.Embedding(7, 3)
        self.fixed = tf.keras.layers.Dense(3, trainable=False)
        self.head = None

    def call(self, features):
        left, right = (self.embedding(features[side]) for side in ("left", "right"))
        return tf.concat([left * right, self.fixed(left)], axis=1)

    def compute_loss(self, features, training=False):
        found = self(features, training=training)
        if self.head is None:
            self.head = tf.keras.layers.Dense(1, name="head")
        logits = self.head(found)[:, 0]
        label = features["label"]
        return tf.reduce_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(logits=logits, labels=label)
        )


class OwnStep(Pairs):
    """A step that also trains a variable that the loss does not know."""

    def __init__(self):
        super().__init__()
        self.scale = None

    def train_step(self, features):
        if self.scale is None:
            with tf.init_scope():
                self.scale = tf.Variable(1.0)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(features, training=True) + self.scale**2
        variables = [*self.trainable_variables]
        self.apply_gradients(tape.gradient(loss, variables), variables)
        return {"loss": loss}


RNG = np.random.default_rng(0)
DATA = {
    "left": RNG.integers(7, size=10),
    "right": RNG.integers(7, size=10),
    "label": RNG.integers(2, size=10).astype("float32"),
}


def fitted(optimizer, *, called=False, kind=Pairs, scope=None, **options):
    """A model after an epoch of a batch of 6 and one of 4, and the traces of its step.

    The sizes of the batches are unknown to the dataset.
    """
    tf.keras.backend.clear_session()  # names of layers are counted anew
    tf.keras.utils.set_random_seed(3)
    with scope or contextlib.nullcontext():
        model = kind()
        if called:  # its head does not exist afterwards
            model({name: values[:2] for name, values in DATA.items()})
        model.compile(optimizer(), **options)
    traces = []
    step = model.train_step
    model.train_step = lambda batch: traces.append(1) or step(batch)
    dataset = tf.data.Dataset.from_tensor_slices(DATA).batch(6)
    history = model.fit(dataset, epochs=2, verbose=0).history
    return model, len(traces), history


def momentum():
    return tf.keras.optimizers.SGD(0.1, momentum=0.9)


def scaled():
    return tf.keras.mixed_precision.LossScaleOptimizer(tf.keras.optimizers.Adam(0.1))


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [momentum, lambda: tm.training.LazyAdam(0.1), scaled],
    ids=["momentum", "LazyAdam", "loss scale"],
)
def test_the_step_is_traced_once_and_trains_as_eagerly(optimizer, called):
    model, traces, history = fitted(optimizer, called=called)
    assert traces == 1
    eager, steps, expected = fitted(optimizer, called=called, run_eagerly=True)
    assert steps == 4
    for left, right in zip(model.weights, eager.weights, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    ours, theirs = (
        [(v.name, v.shape) for v in m.optimizer.variables] for m in (model, eager)
    )
    assert ours == theirs


def test_an_optimizer_without_variables_needs_no_second_graph():
    model, traces, _ = fitted(lambda: tf.keras.optimizers.SGD(0.1), called=True)
    assert traces <= 2  # the head is made in the first
    again = tf.data.Dataset.from_tensor_slices(DATA).batch(6)
    calls = []
    loss = model.compute_loss
    model.compute_loss = lambda *args, **kw: calls.append(1) or loss(*args, **kw)
    model.compile(tf.keras.optimizers.SGD(0.1))
    model.fit(again, verbose=0)
    assert len(calls) == 1


def test_a_step_of_ones_own_makes_its_variables_itself():
    model, _, history = fitted(momentum, kind=OwnStep)
    assert model.scale.numpy() < 0.5
    assert history["loss"][1] < history["loss"][0]


def test_a_batch_that_a_model_cannot_read_fails_in_the_step():
    model = Pairs()
    model.compile(momentum())
    wrong = {name: values for name, values in DATA.items() if name != "right"}
    with pytest.raises(Exception, match="right"):
        model.fit(tf.data.Dataset.from_tensor_slices(wrong).batch(6), verbose=0)


def test_each_of_two_replicas_traces_its_step_once(strategy):
    model, traces, _ = fitted(momentum, scope=strategy.scope())
    assert traces == 2
    assert len(model.optimizer.variables) == 1 + len(model.trainable_variables)


def test_a_batch_alone_is_traced_once():
    tf.keras.utils.set_random_seed(3)
    model = Pairs()
    model.compile(momentum())
    traces = []
    step = model.train_step
    model.train_step = lambda batch: traces.append(1) or step(batch)
    before = model.train_on_batch(DATA)
    after = [model.train_on_batch(DATA) for _ in range(3)][-1]
    assert traces == [1]
    assert after[0] < before[0]
