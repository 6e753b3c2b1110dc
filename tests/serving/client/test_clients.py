"""Both clients against doubles of the wire; none of them is TensorFlow Serving."""

import concurrent.futures
import contextlib
import socket
import sys
import threading
import time

import numpy as np
import pytest

from tests.serving.client.rest_double import rest_double
from tfrs_models.serving import client

pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving")

from pipelines.benchmarks.prediction_service_double import serve

INPUTS = {
    "text": ["ann", "é", b"\xff\x00"],
    "dense": np.array([[1, 2], [np.inf, -0.5], [0.1, 1e-20]]),
    "k": 4,
    "flag": True,
}


@pytest.fixture(scope="module")
def addresses(versions):
    with rest_double() as rest, serve("echo", versions, labels={"stable": 1}) as grpc:
        yield {"RestClient": rest.address, "GrpcClient": grpc}


@pytest.fixture(params=["RestClient", "GrpcClient"])
def connect(request, addresses):
    """Makes clients of one kind, by default of the echo, and closes them."""
    with contextlib.ExitStack() as stack:

        def make(address=addresses[request.param], *, model="echo", **arguments):
            made = getattr(client, request.param)(address, model=model, **arguments)
            return stack.enter_context(made)

        yield make


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_arrays_go_in_and_come_out_with_the_types_of_the_signature(connect):
    answer = connect().predict(INPUTS)
    assert answer["text"].tolist() == [b"ann", "é".encode(), b"\xff\x00"]
    assert answer["dense"].dtype == np.float32
    np.testing.assert_array_equal(answer["dense"], -np.float32(INPUTS["dense"]))
    assert (answer["k"], answer["k"].dtype) == (5, np.int32)
    assert (answer["flag"], answer["flag"].dtype) == (False, np.bool_)


@pytest.mark.parametrize(
    "items", [[1, 2**53 + 1], np.array([5], "int32"), (), [[3]][0]]
)
def test_a_signature_is_asked_by_its_name(connect, items):
    answer = connect().predict({"item": items}, signature="next")
    assert answer.keys() == {"item"}
    assert answer["item"].dtype == np.int64
    np.testing.assert_array_equal(answer["item"], np.array(items, "int64") + 1)


def test_the_metadata_say_what_goes_in_and_comes_out(connect):
    found = connect().metadata()
    assert found.keys() == {"serving_default", "next"}
    assert found["serving_default"]["inputs"] == {
        "text": {"dtype": "string", "shape": [None]},
        "dense": {"dtype": "float32", "shape": [None, 2]},
        "k": {"dtype": "int32", "shape": []},
        "flag": {"dtype": "bool", "shape": []},
    }


def test_the_status_says_which_versions_are_there(connect):
    newest, oldest = connect().status()
    assert (newest.version, oldest.version) == (2, 1)
    assert oldest == (1, "AVAILABLE", "")


@pytest.mark.parametrize(
    ("inputs", "signature", "words"),
    [
        (INPUTS, "other", r"no signature `other`.*\['next', 'serving_default'\]"),
        ({"k": 3}, "serving_default", r"must be \['dense', .*Got \['k'\]"),
        ({"item": ["a"]}, "next", "`item` must be int64. Got <U1"),
        ({"item": [1.5]}, "next", "`item` must be int64. Got float64"),
        ({**INPUTS, "text": [1]}, "serving_default", "`text` must be string. Got int"),
        ({**INPUTS, "text": [None]}, "serving_default", "must be string. Got None"),
        ({**INPUTS, "k": 0}, "serving_default", "`k` must be positive"),
    ],
)
def test_a_request_that_the_model_cannot_answer_says_why(
    connect, inputs, signature, words
):
    made = connect()
    with pytest.raises(client.InvalidRequest, match=rf"(?s){words}"):
        made.predict(inputs, signature=signature)
    assert made.predict({"item": [1]}, signature="next")["item"] == [2]


def test_a_model_that_the_server_does_not_have_is_not_found(connect):
    with pytest.raises(client.NotFound, match="Servable not found"):
        connect(model="nobody").predict(INPUTS)


def test_without_a_server_it_is_unavailable_after_all_retries(connect):
    made = connect_nowhere(connect, retries=2, backoff=0.02)
    start = time.monotonic()
    with pytest.raises(client.Unavailable):
        made.predict(INPUTS)
    assert 0.03 <= time.monotonic() - start < 3  # pauses of at least 0.01 and 0.02


def connect_nowhere(connect, **arguments):
    made = connect()
    address = f"localhost:{free_port()}"
    if isinstance(made, client.RestClient):
        address = f"http://{address}"
    return connect(address, **arguments)


def test_retries_end_with_the_time(connect):
    made = connect_nowhere(connect, retries=50, timeout=0.3, backoff=0.05)
    start = time.monotonic()
    with pytest.raises((client.Unavailable, client.DeadlineExceeded)):
        made.predict(INPUTS)
    assert time.monotonic() - start < 1.5


def test_a_server_that_says_nothing_is_a_deadline(connect):
    made = connect()
    with socket.create_server(("localhost", 0)) as silent:
        address = f"localhost:{silent.getsockname()[1]}"
        if isinstance(made, client.RestClient):
            address = f"http://{address}"
        slow = connect(address, timeout=0.2, retries=5)
        start = time.monotonic()
        # Before gRPC has shaken hands there is no server for it.
        with pytest.raises((client.DeadlineExceeded, client.Unavailable)):
            slow.predict(INPUTS)
        assert time.monotonic() - start < 1.5


def test_threads_share_a_client(connect):
    made = connect()

    def ask(number):
        answer = made.predict({"item": [number, -number]}, signature="next")
        return answer["item"].tolist()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(64)))
    assert answers == [[n + 1, 1 - n] for n in range(64)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"version": 1, "label": "stable"}, "`version` or a `label`, not both"),
        ({"timeout": 0.0}, "`timeout` and `backoff` must be above 0"),
        ({"retries": -1}, "`retries` at least 0. Got 10.0, 0.1 and -1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(connect, arguments, words):
    with pytest.raises(ValueError, match=words):
        connect(**arguments)


@pytest.mark.parametrize(
    ("kind", "module"),
    [("RestClient", "requests"), ("GrpcClient", "tensorflow_serving.apis")],
)
def test_a_missing_package_is_named_with_how_to_get_it(kind, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'tfrs-models\[serving\]'"):
        getattr(client, kind)("localhost:1", model="m")


def test_a_version_is_named_by_number_or_label_over_grpc(addresses):
    for arguments, version in (({"version": 2}, 2), ({"label": "stable"}, 1)):
        with client.GrpcClient(
            addresses["GrpcClient"], model="echo", **arguments
        ) as made:
            assert [status.version for status in made.status()] == [version]
            assert made.predict({"item": [1]}, signature="next")["item"] == [2]
    for arguments in ({"version": 3}, {"label": "canary"}):
        with (
            client.GrpcClient(
                addresses["GrpcClient"], model="echo", **arguments
            ) as made,
            pytest.raises(client.NotFound),
        ):
            made.predict(INPUTS)


def test_grpc_reaches_a_server_that_comes_late(versions):
    port, answers = free_port(), []
    with client.GrpcClient(
        f"localhost:{port}", model="echo", timeout=20, retries=40, backoff=0.05
    ) as made:
        thread = threading.Thread(
            target=lambda: answers.append(made.predict({"item": [1]}, signature="next"))
        )
        thread.start()
        time.sleep(0.2)
        with serve("echo", versions, port=port):
            thread.join()
    assert answers[0]["item"] == [2]


@pytest.fixture
def rest():
    with rest_double() as server:
        yield server


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({}, "/v1/models/echo"),
        ({"version": 7}, "/v1/models/echo/versions/7"),
        ({"label": "canary"}, "/v1/models/echo/labels/canary"),
    ],
)
def test_the_addresses_of_http_name_model_version_and_label(rest, arguments, path):
    with client.RestClient(rest.address + "/", model="echo", **arguments) as made:
        made.predict({"item": [1]}, signature="next")
        made.status()
    assert [asked for asked, _ in rest.requests] == [
        f"{path}/metadata",
        f"{path}:predict",
        path,
    ]
    assert rest.requests[1][1] == {"signature_name": "next", "inputs": {"item": [1]}}


def test_text_goes_out_as_text_and_other_bytes_in_base64(rest):
    with client.RestClient(rest.address, model="echo") as made:
        made.predict(INPUTS)
    assert rest.requests[-1][1]["inputs"]["text"] == ["ann", "é", {"b64": "/wA="}]


@pytest.mark.parametrize("status", [502, 503])
def test_unavailable_is_asked_again(rest, status):
    with client.RestClient(rest.address, model="echo", backoff=0.01) as made:
        made.metadata()
        rest.requests.clear()
        rest.faults += [(status, {"error": "loading"}), (status, "<html>")]
        assert made.predict(INPUTS)["k"] == 5
    assert len(rest.requests) == 3 + 1  # the metadata that it reads first


@pytest.mark.parametrize(
    ("status", "content", "kind", "words"),
    [
        (400, {"error": "bad shape"}, client.InvalidRequest, "400 bad shape"),
        (404, {"error": "gone"}, client.NotFound, "404 gone"),
        (500, "<html>an error", client.ServerError, "500 <html>an error"),
        (201, "<html>who", client.ServerError, "201 <html>who"),
        (504, {"error": "slow"}, client.DeadlineExceeded, "504 slow"),
    ],
)
def test_every_other_error_is_raised_at_once(rest, status, content, kind, words):
    rest.faults.append((status, content))
    with (
        client.RestClient(rest.address, model="echo") as made,
        pytest.raises(kind, match=words),
    ):
        made.predict(INPUTS)
    assert len(rest.requests) == 1


def test_a_server_that_hangs_is_a_deadline_and_is_not_asked_again(rest):
    rest.faults.append((200, "hang"))
    with (
        client.RestClient(rest.address, model="echo", timeout=0.2) as made,
        pytest.raises(client.DeadlineExceeded, match="did not answer in 0.2 s"),
    ):
        made.predict(INPUTS)
    assert len(rest.requests) == 1


def test_after_a_refusal_the_signatures_are_read_again(rest):
    with client.RestClient(rest.address, model="echo") as made:
        made.predict(INPUTS)
        rest.requests.clear()
        made.predict(INPUTS)
        assert [path[-8:] for path, _ in rest.requests] == [":predict"]
        with pytest.raises(client.InvalidRequest):
            made.predict({**INPUTS, "k": 0})
        rest.requests.clear()
        made.predict(INPUTS)
        assert [path[-8:] for path, _ in rest.requests] == ["metadata", ":predict"]
