"""What a server of gRPC may answer, without a server."""

import types

import numpy as np
import pytest

from tfrs_models.serving import client

pytest.importorskip("tensorflow_serving")

import grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

FLOATS = {"x": {"dtype": "float32", "shape": [None]}}


def made(method, answer, **options):
    """A client whose method is answered so; it knows its signature."""
    options = {"model": "m", "backoff": 1e-3} | options
    found = client.GrpcClient("localhost:1", **options)
    found._signatures = {"serving_default": {"inputs": FLOATS, "outputs": FLOATS}}

    def answered(_, timeout):
        assert 0 < timeout <= 10
        asked.append(timeout)
        if isinstance(answer, Exception):
            raise answer
        return answer

    asked = found.asked = []
    found._predictions = found._models = types.SimpleNamespace(**{method: answered})
    return found


def predicted(tensor):
    with made("Predict", predict_pb2.PredictResponse(outputs={"y": tensor})) as one:
        return one.predict({"x": [1.0]})["y"]


def tensor(dtype, sizes, **values):
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


def of_unknown_rank():
    proto = tensor("DT_FLOAT", [], float_val=[1.0])
    proto.tensor_shape.unknown_rank = True
    return proto


TENSORS = {
    "nothing": tensor_pb2.TensorProto(),
    "no dtype": tensor(0, [1], float_val=[1.0]),
    "an unknown dtype": tensor(999, [1], float_val=[1.0]),
    "a resource": tensor("DT_RESOURCE", [1]),
    "a variant": tensor("DT_VARIANT", [1]),
    "too many values": tensor("DT_FLOAT", [1], float_val=[1.0, 2.0]),
    "too few bytes": tensor("DT_FLOAT", [2], tensor_content=b"1234"),
    "too many bytes": tensor("DT_FLOAT", [2], tensor_content=b"1234" * 3),
    "half a number": tensor("DT_INT64", [1], tensor_content=b"1234567"),
    "an open size": tensor("DT_FLOAT", [-1], float_val=[1.0]),
    "a size below 0": tensor("DT_FLOAT", [-2], float_val=[1.0]),
    "an unknown rank": of_unknown_rank(),
    "more than memory": tensor("DT_FLOAT", [10**6, 10**6], float_val=[1.0]),
    "more than any memory": tensor("DT_FLOAT", [2**62, 2], float_val=[1.0]),
}


@pytest.mark.parametrize("proto", TENSORS.values(), ids=TENSORS)
def test_an_output_that_is_no_tensor_is_the_servers_error(proto):
    with pytest.raises(client.ServerError, match=r"localhost:1.*none of TensorFlow"):
        predicted(proto)


def test_an_output_of_one_value_may_say_how_often_it_is_there():
    array = predicted(tensor("DT_FLOAT", [2, 3], float_val=[0.5]))
    np.testing.assert_array_equal(array, np.full([2, 3], 0.5, "float32"))


@pytest.mark.parametrize("dtype", [0, 999])
def test_metadata_without_signatures_or_dtypes_are_the_servers_error(dtype):
    broken = get_model_metadata_pb2.GetModelMetadataResponse()
    with (
        made("GetModelMetadata", broken) as one,
        pytest.raises(client.ServerError, match="no `signature_def`"),
    ):
        one.metadata()
    broken.metadata["signature_def"].value = b"\xff\xff"
    broken.metadata[
        "signature_def"
    ].type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    with made("GetModelMetadata", broken) as one, pytest.raises(client.ServerError):
        one.metadata()
    found = get_model_metadata_pb2.SignatureDefMap()
    found.signature_def["serving_default"].inputs["x"].dtype = dtype
    broken.metadata["signature_def"].Pack(found)
    with made("GetModelMetadata", broken) as one, pytest.raises(client.ServerError):
        one.metadata()


def test_an_unknown_state_is_the_servers_error():
    broken = get_model_status_pb2.GetModelStatusResponse()
    broken.model_version_status.add(version=1, state=77)
    with made("GetModelStatus", broken) as one, pytest.raises(client.ServerError):
        one.status()


class Fault(grpc.RpcError):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "words"


KINDS = {
    "DEADLINE_EXCEEDED": client.DeadlineExceeded,
    "FAILED_PRECONDITION": client.InvalidRequest,
    "INVALID_ARGUMENT": client.InvalidRequest,
    "NOT_FOUND": client.NotFound,
    "OUT_OF_RANGE": client.InvalidRequest,
    "RESOURCE_EXHAUSTED": client.Unavailable,
    "UNAVAILABLE": client.Unavailable,
}


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c.name != "OK"])
def test_every_code_is_an_error_of_its_kind(code):
    kind = KINDS.get(code.name, client.ServerError)
    with made("Predict", Fault(code), retries=2) as one:
        with pytest.raises(kind, match=f"localhost:1: {code.name} words") as caught:
            one.predict({"x": [1.0]})
        assert type(caught.value) is kind
        assert len(one.asked) == (3 if kind is client.Unavailable else 1)


@pytest.mark.parametrize(
    ("address", "write"),
    [
        ("http://h:8500", "h:8500"),
        ("HTTPS://us:s3cret@h:8500/", "h:8500"),
        ("", "host:8500"),
    ],
)
def test_an_address_of_http_is_refused_with_what_to_write(address, write):
    with pytest.raises(client.InvalidAddress, match=f"Write '{write}'") as caught:
        client.GrpcClient(address, model="m")
    assert "s3cret" not in str(caught.value)
