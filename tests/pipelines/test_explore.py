"""The command of the page, over an export and a real server."""

import json
import shutil
import socket
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import explore
from pipelines.explore_page.facts import Export, has_umap
from pipelines.explore_page.limits import Rate
from pipelines.explore_page.rest import RestModel
from pipelines.explore_page.server import make_app
from tests.pipelines.explored import (
    INPUTS,
    NUM_ITEMS,
    OUTPUTS,
    Function,
    best,
    doubled,
    histories,
    recommender,
    serving,
)


@pytest.fixture(scope="module")
def exports(explored_export):
    config = explore.Config(model=explored_export)
    return [*explore.load_exports(config), doubled("others")]


@pytest.fixture(scope="module")
def address(exports):
    with serving(make_app(exports, rate=Rate(10**6, burst=10**6))) as address:
        yield address


def test_our_client_cannot_tell_the_page_from_a_model_server(address, explored_export):
    loaded = tf.saved_model.load(str(explored_export))
    request = {
        "user_id": ["u1", ""],
        "k": [4, 3],
        "exclude_seen": [True, False],
        "exclusions": [["i2"], [""]],
        "filter_kind": [["p", "q"], ["", ""]],
        "filter_year": [[-1], [-1]],
        "history": [["i5", "i9"], ["i3", "unheard of"]],
        "history_time": [[0, 0], [0, 0]],
        "time": [0, 0],
        "append": [True, False],
    }
    specs = loaded.signatures["explain"].structured_input_signature[1]
    expected = loaded.signatures["explain"](
        **{name: tf.constant(request[name], spec.dtype) for name, spec in specs.items()}
    )
    with tm.serving.client.RestClient(address, model="films") as client:
        assert client.status()[0].state == "AVAILABLE"
        answer = client.predict(request, signature="explain")
        refused = tm.serving.client.InvalidRequest
        words = "400 `k` must be from 1 to the number of items.$"
        with pytest.raises(refused, match=words):
            client.predict(request | {"k": [NUM_ITEMS + 1, 1]}, signature="explain")
        with pytest.raises(refused, match="since 1970, 0 if unknown: not milliseconds"):
            client.predict(request | {"time": [10**12, 0]}, signature="explain")
    for name, values in answer.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(values, expected[name], rtol=1e-6)
        else:
            np.testing.assert_array_equal(values, expected[name])
    with (
        tm.serving.client.RestClient(address, model="nobody") as client,
        pytest.raises(tm.serving.client.NotFound, match=r"Latest\(nobody\)"),
    ):
        client.status()


def test_the_past_and_the_attributes_of_an_export_reach_the_page(address, exports):
    def fact(what):
        with urllib.request.urlopen(f"{address}/explore/{what}") as answer:
            return json.loads(answer.read())

    _, times = histories()
    about = fact("about")["exports"]
    assert [export["name"] for export in about] == ["films", "others"]
    assert sorted(about[0]["attributes"]) == ["kind", "year"]
    user = fact("user?text=u4")
    assert [item["time"] for item in user["past"]] == times[5].tolist()
    assert fact("coverage")["num_users"] == 12
    assert len(fact("map?model=others")["x"]) == NUM_ITEMS
    assert exports[0].contents.embeddings.shape == (NUM_ITEMS, 5)


@pytest.mark.slow
def test_ten_thousand_requests_are_bounded_and_the_server_lives_on():
    with serving(make_app([doubled()], rate=Rate(50, burst=100))) as address:
        host, port = address.removeprefix("http://").split(":")
        codes = []
        with socket.create_connection((host, int(port))) as connection:
            read = connection.makefile("rb")
            ask = b"GET /v1/models/films HTTP/1.1\r\nHost: localhost\r\n\r\n"
            for _ in range(100):
                connection.sendall(100 * ask)  # pipelined
                for _ in range(100):
                    codes.append(int(read.readline().split()[1]))
                    size = 0
                    while line := read.readline().strip():
                        name, _, value = line.partition(b":")
                        if name.lower() == b"content-length":
                            size = int(value)
                    read.read(size)
        assert len(codes) == 10_000
        assert set(codes) == {200, 429}
        assert 100 <= codes.count(200) < 5_000


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("artifacts/retrieval/export", "retrieval"),
        ("artifacts/retrieval/export/12", "retrieval"),
        ("models/films", "films"),
        ("models/films/3", "films"),
        ("/export", "export"),
        ("/", "model"),
    ],
)
def test_a_model_has_the_name_of_its_folder(tmp_path, monkeypatch, model, name):
    monkeypatch.chdir(tmp_path)
    assert explore.folder_name(explore.Path(model)) == name


def test_no_export_is_a_line(tmp_path):
    config = explore.Config(model=tmp_path / "nothing", port=0)
    with pytest.raises(SystemExit, match="`--model` must be a SavedModel or a folder"):
        explore.main(config)


def test_an_export_of_a_ranker_is_a_line(tmp_path):
    module = tf.Module()
    module.rank = tf.function(
        lambda user_id, item_id: {"click": user_id == item_id},
        input_signature=[
            tf.TensorSpec([None], tf.string, "user_id"),
            tf.TensorSpec([None], tf.string, "item_id"),
        ],
        autograph=False,
    )
    folder = tm.serving.export(
        module, tmp_path, signatures={"serving_default": module.rank}, samples={}
    )
    words = r"takes \['item_id', 'user_id'\] and answers \['click'\]"
    with pytest.raises(SystemExit, match=words):
        explore.main(explore.Config(model=folder, port=0))


def test_a_changed_file_is_a_line(explored_export, tmp_path):
    shutil.copytree(explored_export, tmp_path / "1")
    (tmp_path / "1" / "assets" / "user_id.txt").write_text("u1\n")
    with pytest.raises(SystemExit, match="is not as it was exported"):
        explore.main(explore.Config(model=tmp_path, port=0))


def test_a_port_in_use_is_a_line_before_anything_is_loaded(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = explore.Config(model=tmp_path / "nothing", port=port)
        with pytest.raises(SystemExit) as end:
            explore.main(config)
    assert end.value.code == 2
    assert f"{port} of 127.0.0.1 is in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"port": 70_000}, "`--port` must be at most 65,535"),
        ({"port": -1}, "`--port` must be at least 0"),
        ({"host": "203.0.113.9"}, "`--host` must be an address of this machine"),
        ({"host": "no such host"}, "`--host` must be an address of this machine"),
        ({"host": ""}, "`--host` must not be empty"),
        ({"name": ""}, "`--name` must not be empty"),
    ],
)
def test_wrong_flags_are_a_line(flags, words, capsys):
    with pytest.raises(SystemExit) as end:
        explore.main(explore.Config(**({"port": 0} | flags)))
    assert end.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.skipif(has_umap(), reason="umap-learn is installed")
def test_umap_that_is_not_installed_is_a_line(capsys):
    with pytest.raises(SystemExit):
        explore.main(explore.Config(projection="umap", port=0))
    assert "pip install umap-learn" in capsys.readouterr().err


def test_exports_of_other_items_are_not_compared(monkeypatch):
    others = [f"other {n}" for n in range(NUM_ITEMS)]
    found = iter([doubled(), doubled(item_ids=others)])
    monkeypatch.setattr(explore, "open_export", lambda *_: next(found))
    with pytest.raises(SystemExit, match="must be an export of the same items"):
        explore.load_exports(explore.Config(compare_with=explore.Path("x")))


def test_an_old_export_without_later_parts_is_shown(tmp_path):
    """A module of which no more than the catalogue and one signature is there."""
    module = tf.Module()
    module.catalogue = recommender().catalogue
    contents = explore.read_contents(module, tmp_path)
    assert contents.attributes == {}
    assert contents.user_ids == []
    assert not contents.past(0).items.size
    rest = RestModel("old", 1, {"serving_default": Function(best, INPUTS, OUTPUTS)})
    about = Export(rest, contents).about()
    assert not about["has_map"]
    assert not about["has_popularity"]
