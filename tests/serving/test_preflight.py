import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tfrs_models.serving import contract, export
from tfrs_models.serving.preflight import CustomOpsError, preflight, stock_ops

SPEC = [tf.TensorSpec([None, 4], tf.float32, "query")]


class Searcher(tf.Module):
    def __init__(self, index):
        super().__init__()
        self.index = index

    @tf.function(input_signature=SPEC)
    def search(self, query):
        scores, items = self.index(query, k=2)
        return {"score": scores, "item_id": items}

    @property
    def signatures(self):
        return {"serving_default": self.search}


def calls_python(query):
    y = tf.numpy_function(lambda x: x, [query], tf.float32)
    return {"y": tf.ensure_shape(y, [None, 4])}


def calls_python_within_a_loop(query):
    def step(x):
        return tf.ensure_shape(tf.py_function(lambda x: x, [x], tf.float32), [4])

    return {"y": tf.map_fn(step, query)}


def compiles_a_part(query):
    return {"y": tf.function(lambda x: 2 * x, jit_compile=True)(query)}


def doubled(query):
    return {"y": 2 * query}


def scann():
    pytest.importorskip("scann")
    candidates = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    return tm.layers.ScaNN(num_leaves=4).index(candidates)


def brute_force():
    candidates = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    return tm.layers.BruteForce().index(candidates)


def test_the_registry_knows_tensorflow_and_no_library_of_this_process():
    pytest.importorskip("scann")  # registers its operations here and now
    assert {"MatMul", "TopKV2", "StatefulPartitionedCall"} <= stock_ops()
    assert not any("scann" in name.lower() for name in stock_ops())
    assert len(stock_ops()) > 1000


def test_an_index_of_stock_operations_needs_nothing(tmp_path):
    path = export(Searcher(brute_force()), tmp_path)
    needs = preflight(path)
    assert {"MatMul", "TopKV2"} <= set(needs.ops)
    assert needs.reasons() == contract.read(path)["server"]["needs"] == []


def test_scann_is_refused_before_a_server_could_see_it(tmp_path):
    searcher = Searcher(scann())
    with pytest.raises(
        CustomOpsError,
        match=r"(?s)custom operations Scann>ScannSearchBatched.*`layers.BruteForce`.*"
        "`allow_custom_ops=True`",
    ):
        export(searcher, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_scann_is_allowed_the_contract_says_what_the_server_needs(tmp_path):
    path = export(Searcher(scann()), tmp_path, allow_custom_ops=True)
    server = contract.verify(path)["server"]
    assert "Scann>ScannSearchBatched" in server["custom_ops"]
    assert any("Scann>ScannSearchBatched" in need for need in server["needs"])


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (calls_python, {}, "needs the Python process that made PyFunc: no server"),
        (calls_python_within_a_loop, {}, "Python process that made EagerPyFunc: no"),
        (compiles_a_part, {}, "--xla_cpu_compilation_enabled=true"),
        (doubled, {"jit_compile": True}, "enabled=true for functions .* doubled"),
    ],
)
def test_what_no_stock_server_runs_is_named(function, arguments, words, tmp_path):
    module = tf.Module()
    module.f = tf.function(function, input_signature=SPEC, **arguments)
    with pytest.raises(CustomOpsError, match=words):
        export(module, tmp_path, signatures={"f": module.f})
