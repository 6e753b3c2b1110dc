"""Readers in several threads while an index changes: every answer is of one state."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

SIZE, WIDTH, EXCLUDED = 40, 4, 3
RNG = np.random.default_rng(0)
IDS = np.arange(SIZE) + 2**40
# Scores and order differ from state to state, and so do candidates.
FIRST = RNG.normal(size=(SIZE, WIDTH)).astype("float32")
SECOND = RNG.normal(size=(SIZE, WIDTH)).astype("float32")
QUERY = tf.constant(RNG.normal(size=(2, WIDTH)), tf.float32)
LISTS = tf.constant(IDS[RNG.permutation(SIZE)[: 2 * EXCLUDED]].reshape(2, EXCLUDED))
POPULARITY = tf.constant(RNG.uniform(size=(1, SIZE)), tf.float32)


def make(kind):
    options = {"block_size": 8, "num_probes": 99} if kind == "IVF" else {}
    index = getattr(layers, kind)(k=5, capacity=2 * SIZE, **options)
    return index.index(FIRST, IDS, attributes={"odd": IDS % 2 == 1})


def changes(index):
    """Changes that go through three states and come back to the first."""
    odd = {"odd": IDS % 2 == 1}
    few = slice(0, SIZE, 3)
    return [
        lambda: index.upsert(SECOND, IDS, attributes=odd),
        lambda: index.remove(IDS[few]),
        lambda: index.add(SECOND[few], IDS[few], attributes={"odd": odd["odd"][few]}),
        lambda: index.upsert(FIRST, IDS, attributes=odd),
    ]


def readers(index):
    odd = {"odd": tf.constant([[True]] * 2)}
    return {
        "eager": lambda: index(QUERY),
        "eager, exclusions": lambda: index(QUERY, exclusions=LISTS),
        "eager, filters": lambda: index(QUERY, filters=odd),
        "graph": tf.function(lambda: index(QUERY)),
        "graph, exclusions": lambda: index.query_with_exclusions(QUERY, LISTS),
        "graph, allowed": tf.function(lambda: index(QUERY, allowed=LISTS)),
        "similar": lambda: index.similar(IDS[1:3]),
        "contents": lambda: sorted_contents(*index.contents()),
    }


def sorted_contents(ids, embeddings):
    order = np.argsort(ids)
    return tf.gather(ids, order), tf.gather(embeddings, order)


def as_bytes(answer):
    return b"|".join(np.round(part.numpy(), 4).tobytes() for part in answer)


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_every_answer_is_that_of_one_state(kind):
    index = make(kind)
    ask = readers(index)
    states = {name: [as_bytes(read())] for name, read in ask.items()}
    for change in changes(index):
        change()
        for name, read in ask.items():
            states[name].append(as_bytes(read()))
    for name, answers in states.items():
        assert answers[0] == answers[-1], name
        assert len(set(answers)) > 1, name
    torn, done = [], threading.Event()

    def keep_asking(name):
        while not done.is_set():
            try:
                if as_bytes(ask[name]()) not in states[name]:
                    torn.append(name)
            except Exception as error:
                torn.append(f"{name}: {error}")

    threads = [threading.Thread(target=keep_asking, args=[name]) for name in ask]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        for change in changes(index):
            change()
    done.set()
    for thread in threads:
        thread.join()
    assert not torn


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_a_graph_waits_for_an_update_that_is_half_written(kind):
    index = make(kind)
    ask = tf.function(lambda: index(QUERY))
    first = as_bytes(ask())
    index.upsert(SECOND, IDS, attributes={"odd": IDS % 2 == 1})
    whole = [weight.numpy() for weight in index.weights]
    second = as_bytes(ask())
    index.upsert(FIRST, IDS, attributes={"odd": IDS % 2 == 1})
    assert as_bytes(ask()) == first
    table = index.snapshot().table
    table.begun.assign_add(1)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(as_bytes(ask())))
    thread.start()
    for weight, value in zip(index.weights, whole, strict=True):
        if weight is not table.begun and weight is not table.done:
            weight.assign(value)
        assert not answers
    table.done.assign_add(1)
    thread.join()
    assert answers == [second]


def test_an_update_that_fails_half_way_is_not_seen(monkeypatch):
    index = make("IVF")
    before = [weight.numpy() for weight in index.weights]

    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(index, "_settle", fail)
    with pytest.raises(RuntimeError):
        index.upsert(SECOND[:5], IDS[:5], attributes={"odd": IDS[:5] % 2 == 1})
    for weight, value in zip(index.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_an_update_that_fails_half_way_is_not_counted(monkeypatch):
    index = make("IVF")
    monkeypatch.setattr(index, "_free", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index.remove(IDS[:5])
    assert index.staleness == 0


def test_an_index_that_could_not_be_made_anew_is_saved_as_it_was(monkeypatch, tmp_path):
    index = make("IVF")
    before = as_bytes(index(QUERY))
    with monkeypatch.context() as broken:
        broken.setattr(index, "_settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.index(SECOND[:9], IDS[:9])
    assert as_bytes(index(QUERY)) == before
    for path in (tmp_path / "index", tmp_path / "index.keras"):
        index.save(path)
        assert as_bytes(tf.keras.models.load_model(path)(QUERY)) == before


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_a_snapshot_keeps_answering_as_it_was(kind):
    index = make(kind)
    snapshot, before = index.snapshot(), as_bytes(index(QUERY))
    popular = index.largest(POPULARITY, 3)
    index.upsert(SECOND, IDS, attributes={"odd": IDS % 2 == 1})
    assert as_bytes(index(QUERY)) != before
    assert as_bytes(index(QUERY, snapshot=snapshot)) == before
    index.index(SECOND[:9], IDS[:9])  # of other shapes
    assert as_bytes(index(QUERY, snapshot=snapshot)) == before
    again = index.largest(POPULARITY, 3, snapshot=snapshot)
    assert as_bytes(again) == as_bytes(popular)


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_indexing_anew_is_seen_whole_by_eager_readers(kind):
    corpora = [(FIRST, IDS), (SECOND[:9], IDS[:9] + 500)]
    index = make(kind)
    states = []
    for rows, ids in corpora:
        index.index(rows, ids)
        states.append(as_bytes(index(QUERY)))
    torn, done = [], threading.Event()

    def keep_asking():
        while not done.is_set():
            if as_bytes(index(QUERY)) not in states:
                torn.append(1)

    threads = [threading.Thread(target=keep_asking) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        for rows, ids in corpora:
            index.index(rows, ids)
    done.set()
    for thread in threads:
        thread.join()
    assert not torn


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_no_reader_misses_an_attribute_that_is_being_replaced(kind, monkeypatch):
    """Keras deletes an attribute before it sets it anew: readers run in between."""
    index = make(kind)
    deleted, failed, read = threading.Event(), [], []
    delete = tf.keras.layers.Layer.__delattr__

    def delete_and_wait(self, name):
        delete(self, name)
        if self is index:
            deleted.set()
            time.sleep(0.05)

    def keep_reading():
        while len(read) < 3:
            deleted.wait()
            deleted.clear()
            try:
                read.append((index(QUERY), index.num_candidates, index.id_dtype))
            except AttributeError as error:
                failed.append(str(error))
                return

    monkeypatch.setattr(tf.keras.layers.Layer, "__delattr__", delete_and_wait)
    thread = threading.Thread(target=keep_reading, daemon=True)
    thread.start()
    while thread.is_alive():
        index.index(SECOND[:9], IDS[:9])
        index.index(FIRST, IDS)
    assert not failed
    assert {count for _, count, _ in read} <= {9, SIZE}


def test_indexing_anew_lets_go_of_what_graphs_have_read():
    index = make("BruteForce")
    for k in (2, 3):
        tf.function(lambda query, k=k: index(query, k=k))(QUERY)
    old = [weakref.ref(variable) for variable in index.variables]
    assert old
    index.index(SECOND[:9], IDS[:9])  # of other shapes
    gc.collect()
    assert not [variable for variable in old if variable() is not None]


def test_what_is_saved_is_of_one_state():
    index = make("BruteForce")
    saved, done = [], threading.Event()

    def keep_saving():
        while not done.is_set():
            saved.append(index.get_weights())

    thread = threading.Thread(target=keep_saving)
    thread.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        for change in changes(index):
            change()
    done.set()
    thread.join()
    copy = layers.BruteForce.from_config(index.get_config())
    states = {as_bytes(index(QUERY))}
    for change in changes(index):
        change()
        states.add(as_bytes(index(QUERY)))
    for weights in saved[:: max(1, len(saved) // 20)]:
        copy.set_weights(weights)
        assert as_bytes(copy(QUERY)) in states
