"""The corpus of an evaluation is embedded once, and never stale."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models
from tfrs_models import layers, metrics, tasks

NUM_ITEMS, WIDTH = 9, 3


class Towers(tfrs_models.Model):
    """Queries are given; candidates are rows of a table, behind a nested function."""

    def __init__(self, *, query_learns=True, extra=()):
        super().__init__()
        self.embeddings = 0  # of candidates, counted where the data flows
        self.table = self.add_weight(
            "table", (NUM_ITEMS, WIDTH), initializer=tf.keras.initializers.Zeros()
        )
        self.shift = self.add_weight(
            "shift", (WIDTH,), initializer="zeros", trainable=query_learns
        )
        ids = tf.data.Dataset.range(NUM_ITEMS).batch(4)
        self.metric = metrics.FactorizedTopK(
            ids.map(lambda i: (i, self.embed(i))), ks=[1, 3], metrics=extra
        )
        self.task = tasks.Retrieval(metrics=self.metric)

    @tf.function
    def embed(self, ids):
        tf.numpy_function(self.count, [ids], [])
        return self.look_up(ids)

    @tf.function
    def look_up(self, ids):
        return tf.gather(self.table, ids)

    def count(self, ids):
        self.embeddings += len(ids)

    def compute_loss(self, features, training=False):
        query = features["query"] + self.shift
        if not training:
            query = tf.stop_gradient(query)
        return self.task(
            query,
            tf.gather(self.table, features["item"]),
            candidate_ids=features["item"],
            compute_metrics=not training,
        )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return {
        "query": rng.normal(size=(10, WIDTH)).astype("float32"),
        "item": rng.integers(NUM_ITEMS, size=10),
    }


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(1)
    return [rng.normal(size=(NUM_ITEMS, WIDTH)).astype("float32") for _ in range(3)]


def batches(data, batch=4):
    return tf.data.Dataset.from_tensor_slices(data).batch(batch)


def hits(data, table, shift=0.0):
    """Hit rates at 1 and 3 by sorting."""
    scores = (data["query"] + shift) @ table.T
    rank = (scores > scores[np.arange(10), data["item"]][:, None]).sum(axis=1)
    return [np.mean(rank < k) for k in (1, 3)]


def reported(results, prefix=""):
    name = prefix + "factorized_top_k/top_{}_categorical_accuracy"
    return [results[name.format(k)] for k in (1, 3)]


@pytest.fixture(scope="module", params=[True, False], ids=["eager", "graph"])
def evaluated(request, data, tables):
    """Results, and candidates embedded so far, after each of several evaluations.

    The first entry is before any evaluation, the last has batches of one row.
    """
    model = Towers()
    runs = [(None, model.embeddings)]
    model.compile("sgd", run_eagerly=request.param)
    for table in tables:
        model.table.assign(table)
        results = model.evaluate(batches(data), verbose=0, return_dict=True)
        runs.append((results, model.embeddings))
    results = model.evaluate(batches(data, batch=1), verbose=0, return_dict=True)
    return [*runs, (results, model.embeddings)]


def test_an_evaluation_sees_weights_that_changed_since_the_last(
    data, tables, evaluated
):
    for table, (results, _) in zip([*tables, tables[-1]], evaluated[1:], strict=True):
        np.testing.assert_allclose(reported(results), hits(data, table), rtol=1e-6)


def test_an_evaluation_embeds_every_candidate_exactly_once(evaluated):
    embedded = [number for _, number in evaluated]
    assert np.diff(embedded).tolist() == [NUM_ITEMS] * 4


def test_validation_in_fit_sees_the_weights_of_its_epoch(data, tables):
    model = Towers()
    looked_at = model.embeddings
    model.table.assign(tables[0])
    model.compile(tf.keras.optimizers.SGD(0.5))
    after = []
    record = tf.keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: after.append((model.table.numpy(), model.shift.numpy()))
    )
    history = model.fit(
        batches(data),
        validation_data=batches(data),
        epochs=4,
        verbose=0,
        callbacks=[record],
    ).history
    expected = np.transpose([hits(data, table, shift) for table, shift in after])
    assert len(set(expected[0])) > 1  # it moved, or this would prove nothing
    np.testing.assert_allclose(reported(history, "val_"), expected, rtol=1e-6)
    assert model.embeddings == looked_at + 4 * NUM_ITEMS


@pytest.mark.parametrize("eagerly", [True, False])
def test_an_assignment_between_two_batches_of_one_evaluation_is_noticed(
    data, tables, eagerly
):
    model = Towers(query_learns=False)
    model.compile("sgd", run_eagerly=eagerly)
    step = model.test_step if eagerly else tf.function(model.test_step)
    total = np.zeros(2)
    for number, table in enumerate(tables, start=1):
        model.table.assign(table)
        results = step({name: tf.constant(value) for name, value in data.items()})
        total += hits(data, table)
        np.testing.assert_allclose(reported(results), total / number, rtol=1e-6)


def test_a_training_step_between_two_updates_is_noticed(data, tables):
    model = Towers()
    model.table.assign(tables[0])
    model.compile(tf.keras.optimizers.SGD(1.0))
    features = {name: tf.constant(value) for name, value in data.items()}
    train, test = tf.function(model.train_step), tf.function(model.test_step)
    test(features)
    before = model.table.numpy(), model.shift.numpy()
    train(features)
    after = model.table.numpy(), model.shift.numpy()
    assert not np.allclose(before[0], after[0])
    results = test(features)
    mean = np.add(hits(data, *before), hits(data, *after)) / 2
    np.testing.assert_allclose(reported(results), mean, rtol=1e-6)


def test_training_steps_may_compute_corpus_metrics(data, tables):
    class Training(Towers):
        def compute_loss(self, features, training=False):
            del training
            return super().compute_loss(features, training=False)

    model = Training()
    model.table.assign(tables[0])
    model.compile(tf.keras.optimizers.SGD(0.5))
    tables_seen = []
    record = tf.keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda *_: tables_seen.append(model.table.numpy())
    )
    history = model.fit(batches(data, 5), verbose=0, callbacks=[record]).history
    scores = np.concatenate(
        [
            data["query"][rows] @ table.T
            for rows, table in zip(
                (slice(0, 5), slice(5, 10)), tables_seen, strict=True
            )
        ]
    )
    rank = (scores > scores[np.arange(10), data["item"]][:, None]).sum(axis=1)
    np.testing.assert_allclose(
        np.ravel(reported(history)), [np.mean(rank < k) for k in (1, 3)], rtol=1e-6
    )


def test_a_shuffled_corpus_keeps_ids_and_embeddings_together(data, tables):
    ids = tf.data.Dataset.range(NUM_ITEMS).shuffle(NUM_ITEMS).batch(4)
    metric = metrics.FactorizedTopK(
        ids.map(lambda i: (i, tf.gather(tables[0], i))), ks=[1, 3]
    )
    for _ in range(3):
        metric.reset_states()
        metric.update_state(data["query"], data["query"], data["item"])
        np.testing.assert_allclose(metric.result(), hits(data, tables[0]), rtol=1e-6)


def test_a_corpus_may_grow_between_evaluations(data, tables):
    size = tf.Variable(5, dtype=tf.int64)
    ids = tf.data.Dataset.range(NUM_ITEMS).filter(lambda i: i < size).batch(4)
    metric = metrics.FactorizedTopK(
        ids.map(lambda i: (i, tf.gather(tables[0], i))), ks=[1], metrics=["miss_rate"]
    )
    for limit in (5, NUM_ITEMS):
        size.assign(limit)
        metric.reset_states()
        metric.update_state(data["query"], data["query"], data["item"])
        misses = np.mean(data["item"] >= limit)
        assert float(metric.result()[1]) == pytest.approx(misses)


def test_a_rebuilt_index_is_evaluated_as_it_is_now(data, tables):
    index = layers.BruteForce().index(tables[0])
    metric = metrics.FactorizedTopK(index, ks=[1, 3])

    @tf.function
    def update(queries, items):
        metric.update_state(queries, queries, items)

    for table in tables:
        index.index(table)
        metric.reset_states()
        update(tf.constant(data["query"]), tf.constant(data["item"]))
        np.testing.assert_allclose(metric.result(), hits(data, table), rtol=1e-6)


def test_candidates_that_were_removed_or_added_count_at_once():
    index = layers.BruteForce(capacity=9).index(np.diag(np.float32([1, 2, 3])))
    metric = metrics.FactorizedTopK(index, ks=[1])

    @tf.function
    def update(queries, item):
        metric.update_state(queries, queries, item)

    def hit(item):
        metric.reset_states()
        update(tf.ones([1, 3]), tf.constant([item]))
        return float(metric.result()[0])

    assert hit(1) == 0
    index.remove([2])  # the last row: no embedding of another moves
    assert hit(1) == 1
    index.add(np.float32([[9, 9, 9]]), [7])
    assert hit(1) == 0
    assert hit(7) == 1


@pytest.mark.parametrize("extra", [(), ("coverage_at_3",)])
def test_the_corpus_is_not_in_the_checkpoint(data, tmp_path, extra):
    model = Towers(extra=extra)
    model.compile("sgd")
    model.evaluate(batches(data), verbose=0)
    model.save_weights(tmp_path / "weights")
    saved = tf.train.list_variables(str(tmp_path / "weights"))
    sizes = [int(np.prod(shape)) for name, shape in saved if "OBJECT_GRAPH" not in name]
    assert max(sizes) == NUM_ITEMS * WIDTH  # the table itself
    assert sizes.count(NUM_ITEMS * WIDTH) == 1


def test_a_large_corpus_in_batches_of_any_size_is_whole():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(1009, 5)).astype("float32")
    for batch in (1009, 128, 1):
        metric = metrics.FactorizedTopK(
            tf.data.Dataset.from_tensor_slices(table).batch(batch), ks=[1009]
        )
        metric.update_state(table[:3], table[:3], tf.constant([0, 500, 1008]))
        assert float(metric.result()[0]) == 1.0
