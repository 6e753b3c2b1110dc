import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,  # noqa: F401  in the pool
)
from tensorflow_serving.config import model_server_config_pb2

from tfrs_models.serving import (
    Batching,
    ServedModel,
    list_versions,
    write_server_config,
)


def parsed(directory):
    text = (directory / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    return {entry.name: entry for entry in config.model_config_list.config}


def batching_parameters():
    """The server's message, which its Python package leaves out, field by field."""
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto",
        package="test",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    names = ["max_batch_size", "batch_timeout_micros", "max_enqueued_batches"]
    for number, name in enumerate([*names, "num_batch_threads"], start=1):
        message.field.add(
            name=name,
            number=number,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
            type_name=".google.protobuf.Int64Value",
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )
    message.field.add(
        name="allowed_batch_sizes",
        number=6,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED,
    )
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("test.BatchingParameters")
    )()


def test_the_server_reads_models_with_policies_and_labels(tmp_path):
    written = write_server_config(
        tmp_path,
        {
            "retrieval": ServedModel(
                base_path='/models/a "b"', labels={"stable": 3, "canary": 4}
            ),
            "ranking": ServedModel(base_path="/models/ranking", newest=2),
            "pinned-1": ServedModel(base_path="/p", versions=(7, 5), labels={"a": 5}),
        },
    )
    assert written == [tmp_path / "models.config"]
    models = parsed(tmp_path)
    assert models.keys() == {"retrieval", "ranking", "pinned-1"}
    assert {model.model_platform for model in models.values()} == {"tensorflow"}
    assert models["retrieval"].base_path == '/models/a "b"'
    assert dict(models["retrieval"].version_labels) == {"stable": 3, "canary": 4}
    assert list(models["retrieval"].model_version_policy.specific.versions) == [3, 4]
    assert models["ranking"].model_version_policy.latest.num_versions == 2
    assert list(models["pinned-1"].model_version_policy.specific.versions) == [5, 7]


def test_the_server_reads_batching_parameters(tmp_path):
    batching = Batching(max_batch_size=32, threads=3, allowed_batch_sizes=(8, 32))
    models = {"m": ServedModel(base_path="/models/m")}
    written = write_server_config(tmp_path, models, batching=batching)
    read = text_format.Parse(written[1].read_text(), batching_parameters())
    assert read.max_batch_size.value == 32
    assert read.batch_timeout_micros.value == 1000
    assert read.num_batch_threads.value == 3
    assert read.max_enqueued_batches.value == 100
    assert list(read.allowed_batch_sizes) == [8, 32]


def test_beside_the_versions_it_is_no_version(tmp_path):
    write_server_config(tmp_path, {"m": ServedModel(base_path="/models/m")})
    assert list_versions(tmp_path) == []
    for name in ("3", "00000123"):
        with pytest.raises(ValueError, match="must not be a version"):
            write_server_config(tmp_path / name, {"m": ServedModel(base_path="/m")})


@pytest.mark.parametrize(
    "path", ["artifacts/export", "./m", "~/m", "", "gs:/bucket/m", "gs://", "m:8500"]
)
def test_a_path_that_the_server_dies_of_is_refused(path):
    words = f"`base_path` must be an absolute path or an address.*Got '{path}'"
    with pytest.raises(ValueError, match=words):
        ServedModel(base_path=path)


def test_addresses_and_odd_characters_reach_the_server(tmp_path):
    paths = {"a": "gs://bucket/m", "b": '/m\n\r\t\x01"é\\n', "c": tmp_path}
    write_server_config(
        tmp_path, {name: ServedModel(base_path=path) for name, path in paths.items()}
    )
    for name, model in parsed(tmp_path).items():
        assert model.base_path == str(paths[name])


@pytest.mark.parametrize("models", [{}, {"a/b": ServedModel(base_path="/m")}])
def test_a_name_that_no_address_can_have_is_refused(models, tmp_path):
    with pytest.raises(ValueError, match="`models` must have names"):
        write_server_config(tmp_path, models)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"newest": 0}, "at least 1"),
        ({"versions": (0, 1)}, "at least 1"),
        ({"versions": (1.0,)}, r"whole numbers.*Got \[1.0\]"),
        ({"versions": (2**63,)}, "whole numbers that int64 holds"),
        ({"newest": True}, r"whole numbers.*Got \[True\]"),
        ({"labels": {"stable": "3"}}, r"whole numbers.*Got \['3'\]"),
        ({"versions": (1, 2), "labels": {"stable": 3}}, r"\[1, 2\].*\{'stable': 3\}"),
    ],
)
def test_a_model_that_could_not_be_served_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        ServedModel(base_path="/m", **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_batch_size": 0},
        {"threads": 0},
        {"threads": 2.0},
        {"max_batch_size": "64"},
        {"timeout_micros": -1},
        {"allowed_batch_sizes": (8, 4, 64)},
        {"allowed_batch_sizes": (8, 32)},
    ],
)
def test_batches_that_no_server_could_make_are_refused(arguments):
    with pytest.raises(ValueError, match=r"Batching needs|`allowed_batch_sizes` must"):
        Batching(**arguments)
