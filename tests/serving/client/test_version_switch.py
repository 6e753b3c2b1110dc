"""Clients that know the signatures of a version that the server no longer has."""

import pytest
import tensorflow as tf

from tests.serving.client.rest_double import rest_double
from tfrs_models.serving import client, export

pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving")

from pipelines.benchmarks.prediction_service_double import serve

ITEM, SCORE, TEXT = ("DT_INT64", [-1]), ("DT_FLOAT", [-1]), ("DT_STRING", [-1])
FIT = {
    "a further output": (
        {"item": ITEM, "score": SCORE},
        {"item": [3], "score": [0.5]},
        {"item": ([3], "int64"), "score": ([0.5], "float32")},
    ),
    "another kind": ({"item": SCORE}, [1.5], {"item": ([1.5], "float32")}),
    "bytes": ({"item": TEXT}, [{"b64": "/wA="}], {"item": ([b"\xff\x00"], object)}),
    "unsigned and text": (
        {"item": ("DT_UINT8", [-1]), "text": TEXT},
        {"item": [255], "text": ["é"]},
        {"item": ([255], "uint8"), "text": (["é".encode()], object)},
    ),
}


@pytest.fixture
def rest():
    with rest_double() as server:
        yield server


@pytest.fixture
def made(rest):
    """A client that knows the first version; its next call is the first recorded."""
    with client.RestClient(rest.address, model="echo") as made:
        made.predict({"item": [1]}, signature="next")
        rest.requests.clear()
        yield made


def ask(made):
    return made.predict({"item": [2]}, signature="next")


def asked(rest):
    return [path.removeprefix("/v1/models/echo") for path, _ in rest.requests]


@pytest.mark.parametrize(("outputs", "answer", "expected"), FIT.values(), ids=FIT)
def test_an_answer_of_a_new_version_is_read_with_its_metadata(
    rest, made, outputs, answer, expected
):
    rest.switch("next", outputs=outputs, answer=answer)
    for _ in range(2):
        found = ask(made)
        assert found.keys() == expected.keys()
        for name, (values, dtype) in expected.items():
            assert found[name].tolist() == values
            assert found[name].dtype == dtype
    assert asked(rest) == [":predict", "/metadata", ":predict"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"item": [1], "score": [0.5]}, {"item": [1]}),
        ({"item": [1], "score": [0.5]}, {"item": [1], "rank": [0.5]}),
        ({"item": [1], "score": [0.5]}, {"item": [1], "rank": [2.0], "score": [0.5]}),
        ({"text": ["a"]}, {"text": ["b"], "item": [1]}),
    ],
)
def test_outputs_come_and_go(rest, made, before, after):
    kinds = {"item": ITEM, "score": SCORE, "rank": SCORE, "text": TEXT}
    for answer in (before, after):
        outputs = {name: kinds[name] for name in answer}
        single = len(answer) == 1  # then the server leaves the name out
        content = next(iter(answer.values())) if single else answer
        rest.switch("next", outputs=outputs, answer=content)
        assert ask(made).keys() == answer.keys()


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        ({"item": [3], "score": [0.5]}, r"\['item', 'score'\]"),
        ([0.5], "one without a name"),
        ([[1], [2, 3]], "one without a name"),
    ],
)
def test_between_two_versions_it_says_so_and_later_calls_work(rest, made, answer, got):
    rest.switch("next", outputs=None, answer=answer, metadata=False)
    words = f"outputs of `next` do not fit the metadata.*Got {got}.*ask again"
    with pytest.raises(client.ServerError, match=words):
        ask(made)
    assert asked(rest) == [":predict", "/metadata"]
    rest.answers.clear()
    assert ask(made)["item"] == [3]
    assert asked(rest)[2:] == ["/metadata", ":predict"]


class Renamed(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "film")])
    def next_film(self, film):
        return {"film": film + 1, "score": tf.cast(film, tf.float32)}

    @property
    def signatures(self):
        return {"next": self.next_film, "newest": self.next_film}

    @property
    def samples(self):
        return {}


@pytest.mark.parametrize("signature", ["next", "newest"])
def test_grpc_asks_for_new_inputs_at_the_second_call(versions, tmp_path, signature):
    export(Renamed(), tmp_path)
    with serve("echo", versions) as address:
        made = client.GrpcClient(address, model="echo")
        assert ask(made)["item"] == [3]
    with made, serve("echo", tmp_path, port=int(address.rpartition(":")[2])):
        with pytest.raises(client.InvalidRequest):
            made.predict({"film": [2]}, signature=signature)
        found = made.predict({"film": [2]}, signature=signature)
        assert (found["film"], found["score"]) == ([3], [2.0])


def test_http_asks_for_new_inputs_at_the_second_call(rest, made):
    changed = {"inputs": {"film": ITEM}, "outputs": {"film": ITEM}}
    rest.signatures["next"], rest.answers["next"] = changed, [3]
    with pytest.raises(client.InvalidRequest):
        made.predict({"film": [2]}, signature="next")
    assert made.predict({"film": [2]}, signature="next")["film"] == [3]
