"""The server of the page, in this process, over a double of an export."""

import asyncio
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from starlette.testclient import TestClient

from pipelines.explore_page.facts import project
from pipelines.explore_page.limits import HEADERS, Guard, Rate, host_name, is_own_name
from pipelines.explore_page.server import MOST_BYTES, make_app
from tests.pipelines.explored import NUM_ITEMS, SCRIPT, doubled

PREDICT = "/v1/models/films:predict"
ROW = {"user_id": "u1", "k": 3, "exclude_seen": False}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def client_of(*exports, base_url="http://127.0.0.1:8501", **options):
    return TestClient(
        make_app(exports, **options), base_url=base_url, raise_server_exceptions=False
    )


@pytest.fixture(scope="module")
def client():
    free = Rate(10**6, burst=10**6)
    return client_of(doubled(), doubled("others"), rate=free)


def predict(client, body, path=PREDICT):
    return client.post(
        path, content=body if isinstance(body, str) else json.dumps(body)
    )


def test_rows_are_answered_one_for_one_and_columns_as_a_whole(client):
    rows = [ROW, ROW | {"user_id": "nobody"}]
    columns = {name: [row[name] for row in rows] for name in ROW}
    by_row = predict(client, {"instances": rows}).json()["predictions"]
    by_column = predict(client, {"inputs": columns}).json()["outputs"]
    assert [row["known_user"] for row in by_row] == [True, False]
    assert by_row[1]["item_id"] == ["i1", "i2", "i3"]
    for name, values in by_column.items():
        assert values == [row[name] for row in by_row]


def test_a_single_output_comes_without_its_name(client):
    body = {"signature_name": "double", "inputs": {"x": [[1, 2]]}}
    assert predict(client, body).json() == {"outputs": [[2, 4]]}
    assert predict(client, body | {"inputs": [[1, 2]]}).json() == {"outputs": [[2, 4]]}
    body = {"signature_name": "double", "instances": [[3, 4], [5, 6]]}
    assert predict(client, body).json() == {"predictions": [[6, 8], [10, 12]]}


def test_a_missing_item_has_the_score_that_tensorflow_serving_writes(client):
    answer = predict(client, {"instances": [ROW | {"exclude_seen": True}]})
    assert "-Infinity" in answer.text
    assert answer.json()["predictions"][0]["item_id"] == ["i1", "i2", ""]


def test_status_and_metadata_are_those_of_a_version(client):
    status = client.get("/v1/models/films").json()
    assert status["model_version_status"][0] == {
        "version": "3",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    found = client.get("/v1/models/films/versions/3/metadata").json()
    assert found["model_spec"] == {
        "name": "films",
        "signature_name": "",
        "version": "3",
    }
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["k"]["dtype"] == "DT_INT32"
    assert signature["outputs"]["score"]["dtype"] == "DT_FLOAT"
    dims = signature["outputs"]["score"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in dims] == ["-1", "-1"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "The body must be JSON: Expecting property name"),
        ("", "The body must be JSON"),
        ("\xff\xfe", "The body must be JSON"),
        ("[" * 100_000, "The body must be JSON"),
        ([1], "The body must be a JSON object. Got list."),
        ({}, "must have `inputs` .* or `instances` .* Got \\[\\]"),
        ({"inputs": {}, "instances": []}, "one of the two"),
        ({"instances": [ROW], "signature": "x"}, "Got \\['signature'\\] too"),
        ({"instances": [ROW], "signature_name": 3}, "must be text. Got 3"),
        (
            {"instances": [ROW], "signature_name": "histories"},
            "There is no signature `histories`. The model has \\['double', 'serving_d",
        ),
        ({"instances": []}, "`instances` must be a list with an object for each row"),
        ({"instances": [ROW, 7]}, "The inputs must be .* Got int"),
        (
            {"instances": [{"user_id": "u1"}]},
            "The inputs must be .* Got \\['user_id'\\]",
        ),
        ({"inputs": {"user_id": ["u1"]}}, "The inputs must be"),
        ({"inputs": 3}, "The inputs must be"),
        ({"instances": [ROW | {"k": 10**9}]}, "^`k` must be from 1 to the number of i"),
        (
            {"instances": [ROW | {"k": 0}]},
            "^`k` must be from 1 to the number of items.$",
        ),
        ({"instances": [ROW | {"k": 10**10}]}, "`k` is int32 and 10000000000 does not"),
        ({"instances": [ROW | {"k": "3"}]}, "The input `k` must be int32. Got"),
        ('{"instances": [{"user_id": "u", "k": NaN, "exclude_seen": false}]}', "`k`"),
        ({"instances": [ROW | {"user_id": 5}]}, "`user_id` must be string. Got int"),
        ({"instances": [ROW | {"user_id": ["u1"]}]}, "must have the shape \\[None\\]"),
        ({"instances": [ROW | {"user_id": {"b64": "!"}}]}, "is no base64"),
        (
            {"instances": [ROW, ROW | {"k": [1]}]},
            "The lists of the input `k` are not of one width",
        ),
        ({"instances": [ROW] * 1_001}, "at most 1,000 rows .* not TensorFlow Serving"),
    ],
)
def test_a_wrong_request_is_answered_with_a_line(client, body, words):
    answer = predict(client, body)
    assert answer.status_code == 400
    (error,) = answer.json().values()
    assert "\n" not in error
    assert re.search(words, error), error


def test_a_reason_without_an_assertion_is_the_first_line_about_it():
    def refuse(**_):
        raise tf.errors.InvalidArgumentError(
            None, None, "Graph execution error:\n\nDetected at node x\nwidths differ\n"
        )

    export = doubled(double=refuse)
    body = {"signature_name": "double", "inputs": {"x": [[1, 2]]}}
    answer = predict(client_of(export), body)
    assert (answer.status_code, answer.json()) == (400, {"error": "widths differ"})


def test_an_answer_of_all_rows_is_bounded():
    export = doubled()
    export.rest.num_items = None
    body = {"instances": [ROW | {"k": 200}] * 900}
    answer = predict(client_of(export), body)
    assert answer.status_code == 400
    assert "`k` of at most 100,000 in all" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/models/nobody", 404, "Servable not found for request: Latest(nob"),
        (
            "GET",
            "/v1/models/films/versions/9",
            404,
            "Specific(films, 9). It has versio",
        ),
        ("GET", "/v1/models/films/labels/best", 404, "has no label"),
        ("GET", "/v1/models", 404, "/v1/models/NAME"),
        ("POST", "/v1/models/films:explode", 404, "Try films:predict"),
        ("POST", "/v1/models/films:classify", 400, "no signature for classify"),
        ("GET", PREDICT, 405, "A prediction is a POST"),
        ("POST", "/v1/models/films/metadata", 405, "Try :predict"),
        ("DELETE", PREDICT, 405, "The page is at /"),
        ("GET", "/nowhere", 404, "Not Found. The page is at /"),
        ("GET", "/static/../server.py", 404, "The page is at /"),
        ("GET", "/static/%2e%2e%2fserver.py", 404, "The page is at /"),
        ("GET", "/explore/map?model=nobody", 404, "There is no model nobody"),
        ("GET", f"/explore/users?text={'x' * 201}", 400, "at most 200 letters"),
        ("GET", "/explore/items?" + "&".join(["id=i1"] * 201), 400, "at most 200 of"),
    ],
)
def test_a_wrong_path_is_answered_with_a_line(client, method, path, status, words):
    answer = client.request(method, path, content="{}" if method == "POST" else None)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True)


def test_a_large_body_is_refused(client):
    answer = client.post(PREDICT, content=b" " * (MOST_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json() == {"error": "A body must have at most 1,048,576 bytes."}


@pytest.mark.parametrize(
    ("host", "is_answered"),
    [
        ("127.0.0.1:8501", True),
        ("localhost:8501", True),
        ("LOCALHOST", True),
        ("[::1]:8501", True),
        ("192.168.0.7", True),  # a name can be pointed here; an address cannot
        ("evil.example", False),
        ("evil.example:8501", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("user@localhost", False),
        ("localhost:port", False),
        ("localhost/x", False),
        ("", False),
    ],
)
def test_names_that_others_can_point_here_are_refused(client, host, is_answered):
    answer = client.get("/v1/models/films", headers={"host": host})
    assert answer.status_code == (200 if is_answered else 421)
    if not is_answered:
        assert "`Host` must be an address, localhost or the --host" in answer.text


def test_the_host_that_the_server_is_bound_to_is_a_name_of_it():
    assert is_own_name("studio.local", "Studio.local")
    assert not is_own_name("", "")
    assert host_name("[::1") == ""


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8501", 200),
        ("http://127.0.0.1:9999", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
def test_pages_of_other_sites_must_not_ask(client, origin, status):
    answer = client.post(
        PREDICT, content=json.dumps({"instances": [ROW]}), headers={"origin": origin}
    )
    assert answer.status_code == status


def test_every_answer_has_the_headers_that_keep_scripts_out(client):
    for path in ("/", "/static/page.js", "/v1/models/films", "/nowhere"):
        headers = client.get(path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "not TensorFlow Serving" in HEADERS["server"]
    refused = client.get("/", headers={"host": "evil.example"})
    assert refused.headers["content-security-policy"] == policy


def test_the_page_loads_nothing_from_elsewhere_and_has_no_inline_script(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for text in (page.text, client.get("/static/style.css").text):
        assert "http://" not in text
        assert "https://" not in text
    assert page.text.count("<script") == page.text.count('<script type="module" src')
    assert "onclick" not in page.text
    assert "style=" not in page.text
    assert "not TensorFlow Serving" in page.text
    for name in ("combobox", "lists", "map", "page", "popularity", "rest"):
        script = client.get(f"/static/{name}.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "innerHTML" not in script.text
        assert "eval(" not in script.text


def test_requests_above_the_rate_are_refused_and_later_ones_answered():
    clock = Clock()
    client = client_of(doubled(), rate=Rate(10, burst=25, clock=clock))
    codes = [client.get("/v1/models/films").status_code for _ in range(40)]
    assert codes == [200] * 25 + [429] * 15
    clock.now += 0.5
    codes = [client.get("/v1/models/films").status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    clock.now += 1e6
    answers = [client.get("/v1/models/films") for _ in range(26)]
    assert [answer.status_code for answer in answers] == [200] * 25 + [429]
    assert answers[-1].headers["retry-after"] == "1"
    assert "Too many requests" in answers[-1].json()["error"]


def test_the_page_learns_of_both_exports(client):
    first, second = client.get("/explore/about").json()["exports"]
    assert (first["name"], second["name"]) == ("films", "others")
    assert first["num_items"] == NUM_ITEMS
    assert first["attributes"] == {"kind": ["a", "b", "c"]}
    assert first["signatures"]["serving_default"]["inputs"]["k"]["dtype"] == "int32"
    assert first["has_titles"]
    assert first["times"] is None


def test_users_are_found_by_their_ids_the_exact_one_first(client):
    def users(text):
        return client.get("/explore/users", params={"text": text}).json()

    assert users("1") == ["u1", "u10", "u11"]
    assert users("U1") == ["u1", "u10", "u11"]
    assert users("nobody") == []
    assert len(users("")) == 12


def test_items_are_found_by_words_of_their_titles(client):
    def found(text):
        answer = client.get("/explore/search", params={"text": text}).json()
        return [item["title"] for item in answer]

    assert found("AMÉLIE") == ["Amélie"]
    assert found("12 film") == ["Film 12"]
    assert found("script") == [SCRIPT]
    assert found("i7") == ["Film 7"]  # by its id
    assert len(found("film")) == 20
    assert found("film")[:2] == ["Film 3", "Film 4"]  # the most popular first


def test_a_user_comes_with_the_known_past(client):
    user = client.get("/explore/user", params={"text": "u2"}).json()
    assert user["is_known"]
    past = [(item["item_id"], item["attributes"]["kind"]) for item in user["past"]]
    assert past == [("i3", ["c"]), ("i4", ["a"])]
    unknown = client.get("/explore/user", params={"text": "<b>"}).json()
    assert unknown == {"user_id": "<b>", "is_known": False, "past": []}


def test_unknown_items_are_left_out(client):
    found = client.get("/explore/items", params={"id": ["i2", "nothing", "i1"]}).json()
    assert [item["title"] for item in found] == ["Amélie", SCRIPT]
    assert [item["rank"] for item in found] == [2, 1]


def test_the_coverage_counts_the_items_of_the_answers(client):
    found = client.get("/explore/coverage").json()
    assert (found["num_reached"], found["num_users"]) == (9, 12)  # 10, less the last
    assert (found["rows"][0], found["rows"][-1]) == (0, 1)
    assert found["answers"][-1] == pytest.approx(1)
    assert np.all(np.diff(found["answers"]) >= 0)
    shares = np.arange(NUM_ITEMS, 0, -1) / 820
    at = round(found["items"][10] * NUM_ITEMS)
    assert found["rows"][10] == pytest.approx(shares[:at].sum(), abs=1e-4)


def test_the_map_has_the_items_by_popularity(client):
    found = client.get("/explore/map").json()
    assert [item["item_id"] for item in found["items"][:2]] == ["i1", "i2"]
    assert len(found["x"]) == len(found["y"]) == NUM_ITEMS
    assert max(map(abs, found["x"] + found["y"])) == pytest.approx(1, abs=1e-3)


def test_the_map_shows_the_plane_of_the_largest_spread():
    rng = np.random.default_rng(3)
    angles = rng.uniform(0, 2 * np.pi, 60)
    circle = np.stack([np.cos(angles), 0.4 * np.sin(angles)], axis=1)
    rotation, _ = np.linalg.qr(rng.normal(size=(7, 7)))
    noise = 0.01 * rng.normal(size=(60, 7))
    values = 0.05 * circle @ rotation[:2] + rotation[2] + 0.01 * noise
    points = project(values)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    expected = np.linalg.norm(circle[:, None] - circle, axis=2)
    assert np.corrcoef(distances.ravel(), expected.ravel())[0, 1] > 0.99
    assert np.isfinite(project(np.zeros((3, 1)))).all()


def test_an_export_without_embeddings_users_or_titles_shows_what_it_can():
    export = doubled(
        embeddings=None, user_ids=[], titles=[""] * NUM_ITEMS, popularity=None
    )
    client = client_of(export)
    about = client.get("/explore/about").json()["exports"][0]
    assert not about["has_map"]
    assert not about["has_titles"]
    assert not about["has_popularity"]
    assert client.get("/explore/map").status_code == 404
    assert client.get("/explore/coverage").status_code == 404
    (item, *_) = client.get("/explore/search", params={"text": "i4"}).json()
    assert item["title"] == item["item_id"] == "i4"


def test_a_failure_of_the_server_is_a_line_without_its_inside():
    export = doubled()
    export.rest.status = lambda: 1 / 0
    answer = client_of(export).get("/v1/models/films")
    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.json()["error"]
    assert "Traceback" not in answer.text


def test_the_guard_passes_on_what_is_no_request():
    asked = []

    async def app(scope, *_):
        asked.append(scope["type"])

    guard = Guard(app, host="localhost", rate=Rate(1, burst=1))
    asyncio.run(guard({"type": "lifespan"}, None, None))
    assert asked == ["lifespan"]
