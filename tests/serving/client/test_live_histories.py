"""Requests with a history over both wires, against the module itself."""

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tests.serving.client.rest_double import rest_double
from tfrs_models.serving import client

pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving")

from pipelines.benchmarks.prediction_service_double import serve

TYPES = {tf.string: "DT_STRING", tf.int32: "DT_INT32", tf.int64: "DT_INT64"}
TYPES |= {tf.bool: "DT_BOOL", tf.float32: "DT_FLOAT"}


@pytest.fixture(scope="module")
def connections(live_recommender, tmp_path_factory):
    """A client of each kind, of servers of one export."""
    folder = tmp_path_factory.mktemp("history")
    signatures = {"history": live_recommender.recommend_history}
    path = tm.serving.export(live_recommender, folder, signatures=signatures)
    function = tf.saved_model.load(str(path)).signatures["history"]
    specs = function.structured_input_signature[1]
    with rest_double() as rest, serve("echo", folder) as grpc:
        rest.signatures["history"] = {
            "inputs": types(specs),
            "outputs": types(function.structured_outputs),
        }
        rest.answers["history"] = lambda inputs: run(function, specs, inputs)
        with (
            client.RestClient(rest.address, model="echo") as over_http,
            client.GrpcClient(grpc, model="echo") as over_grpc,
        ):
            yield {"http": over_http, "grpc": over_grpc}


def types(specs):
    """Name -> type and sizes, as in the metadata of a server."""
    return {
        name: (TYPES[spec.dtype], [-1 if n is None else n for n in spec.shape])
        for name, spec in specs.items()
    }


def run(function, specs, inputs):
    """Answers JSON as the server does, that of an export."""
    tensors = {
        name: tf.reshape(tf.constant(inputs[name], spec.dtype), np.shape(inputs[name]))
        for name, spec in specs.items()
    }
    answer = {name: value.numpy() for name, value in function(**tensors).items()}
    return {
        name: np.char.decode(v.astype("S")).tolist()
        if v.dtype == object
        else v.tolist()
        for name, v in answer.items()
    }


def by_module(module, request):
    """The same request to the module, whose filters and histories are in dicts."""
    tensors = {name: tf.constant(value) for name, value in request.items()}
    live = {name: tensors.pop(name) for name in module.live_inputs}
    filters = {
        name.removeprefix("filter_"): tensors.pop(name)
        for name in [*tensors]
        if name.startswith("filter_")
    }
    return module.recommend_history(**tensors, live=live, filters=filters)


def assert_same(answer, expected):
    assert answer.keys() == expected.keys()
    for name, values in expected.items():
        assert answer[name].dtype == values.numpy().dtype
        if values.dtype.is_floating:
            np.testing.assert_allclose(answer[name], values, rtol=1e-6)
        else:
            np.testing.assert_array_equal(answer[name], values)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_the_samples_of_the_contract_are_answered_as_by_the_module(
    connections, live_recommender, kind
):
    for request in live_recommender.samples["history"]:
        answer = connections[kind].predict(request, signature="history")
        assert_same(answer, by_module(live_recommender, request))


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_session_of_clicks_changes_the_answers_over_the_wire(
    connections, live_recommender, dated, kind
):
    items = [*map(str, dated.vocabularies["item_id"][:4]), "unheard of", ""]
    answers = []
    for clicks in range(len(items) + 1):
        request = {
            "user_id": [""],
            "k": [6],
            "exclude_seen": [True],
            "exclusions": np.full([1, 0], "", object),
            "filter_kind": np.full([1, 0], "", object),
            "history": np.array([items[:clicks]], object).reshape(1, clicks),
            "history_time": np.full([1, clicks], 1_600_000_000),
            "time": [1_600_000_100],
            "append": [False],
        }
        answer = connections[kind].predict(request, signature="history")
        expected = live_recommender.ask(
            history=items[:clicks],
            history_time=[1_600_000_000] * clicks,
            time=1_600_000_100,
            k=6,
            exclude_seen=True,
        )[0]
        found = [i.decode() for i in answer["item_id"][0] if i]
        assert found == expected["item_id"]
        assert answer["num_unknown"].tolist() == [expected["num_unknown"]]
        assert answer["num_unknown"].tolist() == [max(0, min(clicks, 5) - 4)]
        assert not {*found} & {*items[:clicks]}
        answers.append(found)
    assert answers[0] != answers[1] != answers[2]
    assert answers[4] == answers[5] == answers[6]  # unknown, padding


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": [["i1"], ["i2"]]}, None),
        ({"time": [1_600_000_000_000]}, None),
        ({"history_time": [["now"]]}, "`history_time` must be int64. Got <U3"),
        ({"history": None}, r"Got \['append', .*'history_time'"),
    ],
)
def test_a_history_that_cannot_be_read_is_refused(connections, kind, changes, message):
    request = {
        "user_id": [""],
        "k": [2],
        "exclude_seen": [True],
        "exclusions": [[""]],
        "filter_kind": [[""]],
        "history": [["i1"]],
        "history_time": [[0]],
        "time": [0],
        "append": [False],
    }
    request = {k: v for k, v in (request | changes).items() if v is not None}
    if kind == "http" and message is None:
        pytest.skip("the double over HTTP has no errors of the model")
    words = message or "`history` must have a row|`time` must be seconds"
    with pytest.raises(client.InvalidRequest, match=words):
        connections[kind].predict(request, signature="history")
