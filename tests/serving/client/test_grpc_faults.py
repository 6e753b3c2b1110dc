"""What a server of gRPC may answer, without a server."""

import numpy as np
import pytest

from tfrs_models.serving import client

pytest.importorskip("tensorflow_serving")

import grpc
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)


class Channel:
    """A channel whose methods are answered from a dict: name -> message or error."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def unary_unary(self, path, **_):
        def ask(_, timeout):
            assert 0 < timeout <= 10
            method = path.rpartition("/")[2]
            self.asked.append(method)
            if isinstance(answer := self.answers[method], Exception):
                raise answer
            return answer

        return ask

    def close(self):
        pass


def signature_of(**outputs):
    """Metadata of a model from `x` to outputs: name -> dtype and sizes."""
    found = get_model_metadata_pb2.SignatureDefMap()
    signature = found.signature_def["serving_default"]
    for infos, specs in (
        (signature.inputs, {"x": ("DT_FLOAT", [-1])}),
        (signature.outputs, outputs),
    ):
        for name, (dtype, sizes) in specs.items():
            infos[name].dtype = types_pb2.DataType.Value(dtype)
            for size in sizes:
                infos[name].tensor_shape.dim.add(size=size)
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    answer.metadata["signature_def"].Pack(found)
    return answer


@pytest.fixture
def connect(monkeypatch):
    """Makes a client of a channel with these answers."""

    def make(answers, **options):
        known = {"GetModelMetadata": signature_of(y=("DT_FLOAT", [-1]))}
        channel = Channel(known | answers)
        monkeypatch.setattr(grpc, "insecure_channel", lambda *_, **__: channel)
        options = {"model": "m", "backoff": 1e-3} | options
        return client.GrpcClient("localhost:1", **options), channel

    return make


def response(**outputs):
    return predict_pb2.PredictResponse(outputs=outputs)


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
def test_an_output_that_is_no_tensor_is_the_servers_error(connect, proto):
    made, _ = connect({"Predict": response(y=proto)})
    with pytest.raises(client.ServerError, match=r"localhost:1.*none of TensorFlow"):
        made.predict({"x": [1.0]})


def test_an_output_of_one_value_may_say_how_often_it_is_there(connect):
    made, _ = connect(
        {
            "Predict": response(y=tensor("DT_FLOAT", [2, 3], float_val=[0.5])),
            "GetModelMetadata": signature_of(y=("DT_FLOAT", [-1, 3])),
        }
    )
    array = made.predict({"x": [1.0]})["y"]
    np.testing.assert_array_equal(array, np.full([2, 3], 0.5, "float32"))


ONE = tensor("DT_FLOAT", [1], float_val=[1.0])
OTHERS = {
    "an output less": {},
    "an output more": {"y": ONE, "z": ONE},
    "another name": {"z": ONE},
    "another dtype": {"y": tensor("DT_DOUBLE", [1], double_val=[1.0])},
    "text": {"y": tensor("DT_STRING", [1], string_val=[b"1"])},
    "another rank": {"y": tensor("DT_FLOAT", [1, 1], float_val=[1.0])},
    "a scalar": {"y": tensor("DT_FLOAT", [], float_val=[1.0])},
}


@pytest.mark.parametrize("outputs", OTHERS.values(), ids=OTHERS)
def test_outputs_that_are_not_those_of_the_metadata_are_the_servers_error(
    connect, outputs
):
    made, channel = connect({"Predict": response(**outputs)})
    with pytest.raises(client.ServerError, match="localhost:1.*do not fit the meta"):
        made.predict({"x": [1.0]})
    assert channel.asked == ["GetModelMetadata", "Predict", "GetModelMetadata"]


@pytest.mark.parametrize("dtype", [0, 999])
def test_metadata_without_signatures_or_dtypes_are_the_servers_error(connect, dtype):
    broken = get_model_metadata_pb2.GetModelMetadataResponse()
    made, _ = connect({"GetModelMetadata": broken})
    with pytest.raises(client.ServerError, match="no `signature_def`"):
        made.metadata()
    broken.metadata["signature_def"].value = b"\xff\xff"
    broken.metadata[
        "signature_def"
    ].type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    with pytest.raises(client.ServerError):
        made.metadata()
    found = get_model_metadata_pb2.SignatureDefMap()
    found.signature_def["serving_default"].inputs["x"].dtype = dtype
    broken.metadata["signature_def"].Pack(found)
    with pytest.raises(client.ServerError):
        made.metadata()


def test_an_unknown_state_is_the_servers_error(connect):
    broken = get_model_status_pb2.GetModelStatusResponse()
    broken.model_version_status.add(version=1, state=77)
    made, _ = connect({"GetModelStatus": broken})
    with pytest.raises(client.ServerError):
        made.status()


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
def test_every_code_is_an_error_of_its_kind(connect, code):
    kind = KINDS.get(code.name, client.ServerError)
    made, channel = connect({"Predict": Fault(code)}, retries=2)
    with pytest.raises(kind, match=f"localhost:1: {code.name} words") as caught:
        made.predict({"x": [1.0]})
    assert type(caught.value) is kind
    assert channel.asked.count("Predict") == (3 if kind is client.Unavailable else 1)


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
