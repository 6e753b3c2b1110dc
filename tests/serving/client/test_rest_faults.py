"""Servers, proxies and others that answer wrongly, slowly, or without end."""

import email.utils
import gzip
import json
import socket
import sys
import threading
import time
import zlib

import pytest

from tests.serving.client.faulty_server import (
    GOOD,
    SIGNATURES,
    after,
    answer,
    faulty_server,
    forever,
)
from tests.serving.client.rest_double import metadata
from tfrs_models.serving import client
from tfrs_models.serving.client import (
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    ServerError,
    Unavailable,
)

pytest.importorskip("requests")

INPUTS = {"x": [1.0]}
CHUNKED = {"Transfer_Encoding": "chunked", "Content_Length": None}
PACKED = gzip.compress(json.dumps(GOOD).encode())


@pytest.fixture(scope="module")
def server():
    with faulty_server() as server:
        yield server


@pytest.fixture
def connect(server):
    def make(**arguments):
        options = {"model": "m", "timeout": 5.0, "retries": 1, "backoff": 1e-3}
        return client.RestClient(server.address, **options | arguments)

    return make


DEEP = ["a"]
for _ in range(700):  # a parser of JSON takes it, what calls itself for each does not
    DEEP = [DEEP]


def outputs(**changes):
    return answer(200, {"outputs": {**GOOD["outputs"], **changes}})


FAULTS = {
    # Answers that are no answers.
    "null": (answer(200, None), ServerError),
    "a list": (answer(200, [1]), ServerError),
    "a number": (answer(200, 7), ServerError),
    "a text": (answer(200, "text"), ServerError),
    "no outputs": (answer(200, {}), ServerError),
    "predictions for outputs": (answer(200, {"predictions": [1]}), ServerError),
    "nothing": (answer(200), ServerError),
    "no JSON": (answer(200, b"{"), ServerError),
    "a proxy's page": (answer(200, b"<html>Log in"), ServerError),
    "no UTF-8": (answer(200, b'{"outputs": "\xff"}'), ServerError),
    "lists without end": (answer(200, b"[" * 100_000), ServerError),
    "a number without end": (answer(200, b"1" * 5000), ServerError),
    "200 with an error": (answer(200, {"error": "no"}), ServerError),
    "outputs of nothing": (answer(200, {"outputs": None}), ServerError),
    "an output less": (answer(200, {"outputs": {"y": [2.0]}}), ServerError),
    "an output more": (outputs(z=[1]), ServerError),
    "text for a number": (outputs(y=["a"]), ServerError),
    "an object for a number": (outputs(y=[{"a": 1}]), ServerError),
    "a number for text": (outputs(name=[1]), ServerError),
    "null for text": (outputs(name=[None]), ServerError),
    "ragged lists": (outputs(y=[[1.0], [1.0, 2.0]]), ServerError),
    "another rank": (outputs(y=[[1.0]]), ServerError),
    "a scalar for a list": (outputs(y=1.0), ServerError),
    "too large a number": (outputs(y=[10**400]), ServerError),
    "no base64": (outputs(name=[{"b64": "?"}]), ServerError),
    "base64 of a number": (outputs(name=[{"b64": 1}]), ServerError),
    "deep lists of text": (outputs(name=DEEP), ServerError),
    "deep lists of numbers": (outputs(y=DEEP), ServerError),
    # Errors, some of them of proxies.
    "400": (answer(400, {"error": "shape"}), InvalidRequest),
    "400 with a list": (answer(400, [1]), InvalidRequest),
    "401": (answer(401, b"who?", WWW_Authenticate="Basic"), ServerError),
    "403": (answer(403, b"no"), ServerError),
    "404 with a list": (answer(404, [1]), NotFound),
    "404 of a proxy": (answer(404, b"<html>"), NotFound),
    "405": (answer(405), ServerError),
    "413": (answer(413, b"too large"), ServerError),
    "429": (answer(429, b"slow down"), Unavailable),
    "500": (answer(500, b"\xff\xfe"), ServerError),
    "502": (answer(502, b"<html>"), Unavailable),
    "503 with null": (answer(503, None), Unavailable),
    "503 with a number": (answer(503, 7), Unavailable),
    "504": (answer(504), DeadlineExceeded),
    "999": (answer(999), ServerError),
    "204": (answer(204, Content_Length=None), ServerError),
    "206": (answer(206, GOOD), ServerError),
    "an error that is an object": (answer(400, {"error": {"a": 1}}), InvalidRequest),
    # Redirects.
    "301": (answer(301, Location="/v1/models/m:predict"), ServerError),
    "302 to itself": (answer(302, Location="/v1/models/m:predict"), ServerError),
    "303": (answer(303, Location="http://127.0.0.1:9/"), ServerError),
    "307": (answer(307, Location="http://127.0.0.1:9/"), ServerError),
    "308 to nowhere": (answer(308, Location="http://[::1"), ServerError),
    "308 to another scheme": (answer(308, Location="file:///etc/passwd"), ServerError),
    "302 without a place": (answer(302), ServerError),
    "300": (answer(300, b"choose"), ServerError),
    "304": (answer(304, Content_Length=None), ServerError),
    # Wrong HTTP.
    "a hang-up at once": (b"", Unavailable),
    "a hang-up in a line": (b"HTTP/1.1 20", Unavailable),
    "a hang-up in the headers": (b"HTTP/1.1 200 OK\r\nContent-Le", ServerError),
    "a hang-up in the body": (answer(200, b"{", Content_Length=99), Unavailable),
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Unavailable),
    "a status of letters": (b"HTTP/1.1 abc OK\r\n\r\n", Unavailable),
    "HTTP of no version": (b"HTTP/9.9 200 OK\r\n\r\n", Unavailable),
    "too long a line": (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000, Unavailable),
    "too many headers": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, Unavailable),
    "too long a status": (b"HTTP/1.1 200 " + b"a" * 70_000, Unavailable),
    "two lengths": (answer(200, GOOD, Content_Length="2, 3"), ServerError),
    "a length of letters": (answer(200, b"{", Content_Length="abc"), ServerError),
    "a length below 0": (answer(200, b"{", Content_Length="-5"), ServerError),
    "a chunk of letters": (answer(200, b"xyz\r\n", **CHUNKED), Unavailable),
    "half a chunk": (answer(200, b"ff\r\nabc", **CHUNKED), Unavailable),
    "bad gzip": (answer(200, b"\x1f\x8bx", Content_Encoding="gzip"), ServerError),
    "gzip cut off": (answer(200, PACKED[:30], Content_Encoding="gzip"), ServerError),
    "no gzip": (answer(200, GOOD, Content_Encoding="gzip"), ServerError),
    "bad deflate": (answer(200, b"abc", Content_Encoding="deflate"), ServerError),
    "unknown encoding": (answer(200, PACKED, Content_Encoding="zz"), ServerError),
}


@pytest.mark.parametrize(("pieces", "kind"), FAULTS.values(), ids=FAULTS)
def test_whatever_comes_is_an_error_of_its_kind(server, connect, pieces, kind):
    server.fault(pieces)
    with connect() as made, pytest.raises(kind) as caught:
        made.predict(INPUTS)
    assert type(caught.value) is kind
    assert server.address in str(caught.value)
    asked = [path for path, *_ in server.requests]
    attempts = 2 if kind is Unavailable else 1
    assert asked.count("/v1/models/m:predict") == attempts


HEAD = answer(200, Content_Length=10**9)
ENDLESS = {
    "silence": [60.0],
    "a body a byte at a time": after(HEAD, forever(b" ", 0.02)),
    "a status a byte at a time": after(b"HTTP/1.1 200 ", forever(b"O", 0.02)),
    "a header a byte at a time": after(b"HTTP/1.1 200 O\r\nA: ", forever(b"a", 0.02)),
    "chunks a byte at a time": after(
        answer(200, **CHUNKED), forever(b"1\r\n \r\n", 0.02)
    ),
    "to be continued": forever(answer(100, Content_Length=None), 0.01),
    "half a body": [HEAD + b"{", 60.0],
}


@pytest.mark.parametrize("pieces", ENDLESS.values(), ids=ENDLESS)
def test_the_timeout_is_of_the_whole_call(server, connect, pieces):
    server.fault(pieces) if callable(pieces) else server.fault(*pieces)
    start = time.monotonic()
    with connect(timeout=0.15, retries=5) as made, pytest.raises(DeadlineExceeded):
        made.predict(INPUTS)
    assert 0.1 < time.monotonic() - start < 0.6


def test_reading_the_metadata_first_counts_too(server, connect):
    server.requests.clear()
    slow = [0.12, answer(200, metadata(SIGNATURES))]
    server.pieces = {"metadata": slow, "m:predict": [0.12, answer(200, GOOD)]}
    start = time.monotonic()
    with connect(timeout=0.2) as made, pytest.raises(DeadlineExceeded):
        made.predict(INPUTS)
    assert time.monotonic() - start < 0.6
    assert len(server.requests) == 2


def test_a_proxy_has_no_more_time(server, monkeypatch):
    monkeypatch.setenv("https_proxy", server.address)
    server.fault(
        after(b"HTTP/1.1 200 O\r\nA: ", forever(b"a", 0.02)), end="far.test:443"
    )
    start = time.monotonic()
    with (
        client.RestClient("https://far.test", model="m", timeout=0.15) as made,
        pytest.raises(DeadlineExceeded),
    ):
        made.status()
    assert time.monotonic() - start < 0.6
    assert server.requests


def test_every_address_of_a_host_gets_what_is_left(monkeypatch):
    with socket.socket() as full:  # whoever comes second waits at the door
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = full.getsockname()
        with socket.create_connection(place):
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)] * 5
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            start = time.monotonic()
            with (
                client.RestClient(
                    f"http://many.test:{place[1]}", model="m", timeout=0.15
                ) as made,
                pytest.raises(DeadlineExceeded),
            ):
                made.status()
            assert time.monotonic() - start < 0.6


@pytest.mark.parametrize(
    "pieces",
    [
        after(answer(200, Content_Length=None), forever(b" " * 9999)),
        after(answer(200, **CHUNKED), forever(b"ff\r\n" + b" " * 255 + b"\r\n")),
        [
            answer(
                200,
                gzip.compress(b" " * 10**7),
                Content_Encoding="gzip",
                Connection="x",
            )
        ],
        [answer(200, zlib.compress(b" " * 10**7), Content_Encoding="deflate")],
        [answer(500, b" " * 10**6)],
    ],
    ids=["endless", "endless chunks", "packed by gzip", "packed by zlib", "an error"],
)
def test_an_answer_has_a_largest_size(server, connect, pieces):
    server.fault(pieces) if callable(pieces) else server.fault(*pieces)
    with (
        connect(max_answer_bytes=100_000) as made,
        pytest.raises(ServerError, match="larger than 100,000 bytes"),
    ):
        made.predict(INPUTS)


def changed(path, value):
    """The metadata with something else at a path."""
    content = json.loads(json.dumps(metadata(SIGNATURES)))
    *parents, last = path
    node = content
    for key in parents:
        node = node[key]
    node[last] = value
    return content


MAP = ("metadata", "signature_def", "signature_def")
X = (*MAP, "serving_default", "inputs", "x")


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"metadata": None},
        {"metadata": {"signature_def": []}},
        changed(MAP, None),
        changed(MAP, [1]),
        changed((*MAP, "serving_default"), None),
        changed((*MAP, "serving_default", "inputs"), [1]),
        changed(X, None),
        changed(X, {}),
        changed((*X, "dtype"), "DT_ZZ"),
        changed((*X, "dtype"), 1),
        changed((*X, "tensor_shape"), None),
        changed((*X, "tensor_shape"), {"dim": [{"size": "a"}]}),
        changed((*X, "tensor_shape"), {"dim": [{}]}),
        changed((*X, "tensor_shape"), {"dim": 3}),
        changed((*X, "tensor_shape"), {"dim": [{"size": float("inf")}]}),
    ],
)
def test_metadata_of_another_form_are_the_servers_error(server, connect, content):
    server.fault(answer(200, content), end="metadata")
    with (
        connect() as made,
        pytest.raises(ServerError, match="none of TensorFlow Serving's|200"),
    ):
        made.predict(INPUTS)


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"model_version_status": None},
        {"model_version_status": [7]},
        {"model_version_status": [{"version": "a", "state": "AVAILABLE"}]},
        {"model_version_status": [{"version": "1"}]},
        {"model_version_status": [{"version": float("inf"), "state": "END"}]},
        {"model_version_status": [{"version": "1", "state": "END", "status": None}]},
    ],
)
def test_a_status_of_another_form_is_the_servers_error(server, connect, content):
    server.fault(answer(200, content), end="m")
    with connect() as made, pytest.raises(ServerError):
        made.status()


def test_no_feature_goes_to_another_host(server, connect):
    with faulty_server() as other:
        other.fault(answer(200, GOOD))
        for status in (301, 302, 303, 307, 308):
            to = (
                other.address.replace("://", "://user:s3cret@") + "/v1/models/m:predict"
            )
            server.fault(answer(status, Location=to))
            with connect() as made, pytest.raises(ServerError) as caught:
                made.predict(INPUTS)
            assert f"{status}, a redirect to '{other.address}'" in str(caught.value)
            assert "s3cret" not in str(caught.value)
        assert other.requests == []


ODD_ADDRESSES = [
    "http://",
    "http://:8501",
    "http://[::1",
    "http://host:port",
    "http://host:99999",
    "http://host:-1",
    "http://host:0",
    "http://a host:8501",
    "http://host\n:8501",
    "http://host:8501?x=1",
    "http://host:8501#here",
    "http://host\ud800:8501",
    "http://" + "ä" * 99 + ":8501",
    "http:///v1",
    "HTTP://@:1",
]


@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_an_address_that_nothing_can_be_at_is_refused(address):
    with pytest.raises(client.InvalidAddress, match="`address` must be http"):
        client.RestClient(address, model="m")


@pytest.mark.parametrize("host", ["a..b", "*", "%zz", "-", "x" * 70, "256.256.256.256"])
def test_a_host_that_there_is_not_is_an_error_in_time(host):
    with (
        client.RestClient(f"http://{host}:8501", model="m", retries=0) as made,
        pytest.raises(client.ServingError),
    ):
        made.status()


@pytest.mark.parametrize(
    ("address", "auth"),
    [
        ("http://us%40er:s3%3Acret@", None),
        ("http://nobody:wrong@", ("us@er", "s3:cret")),
        ("http://", ("us@er", "s3:cret")),
    ],
)
def test_passwords_are_sent_and_not_shown(server, address, auth):
    address = server.address.replace("http://", address)
    server.fault(answer(401, b"no"))
    for place in (address, f"{address.rpartition('@')[0] or 'http://'}@127.0.0.1:9"):
        with (
            client.RestClient(place, model="m", auth=auth, retries=0) as made,
            pytest.raises(client.ServingError) as caught,
        ):
            made.predict(INPUTS)
        text, error = "", caught.value
        while error:  # a traceback shows what came before, too
            text, error = text + str(error), error.__cause__ or error.__context__
        assert "s3" not in text
        assert "wrong" not in text
    assert [headers["authorization"] for _, headers, _ in server.requests] == [
        "Basic dXNAZXI6czM6Y3JldA=="
    ] * 2


def test_headers_and_passwords_of_any_letters_are_sent(server, connect):
    server.fault(answer(200, GOOD))
    headers = {"X-Key": "a b", "Authorization": "Bearer s3cret"}
    with connect(headers=headers) as made:
        made.predict(INPUTS)
    for _, sent, _ in server.requests:
        assert (sent["x-key"], sent["authorization"]) == ("a b", "Bearer s3cret")
    with connect(auth=("ü", "€")) as made:
        made.metadata()
    assert server.requests[-1][1]["authorization"] == "Basic w7w64oKs"


@pytest.mark.parametrize("value", ["s3cret\r\nX: y", " s3cret", "s3crét", 3, b"s3cret"])
def test_a_header_of_several_lines_is_refused_and_not_shown(value):
    with pytest.raises(ValueError, match=r"`headers\['X-Key'\]` must be one") as caught:
        client.RestClient("http://h", model="m", headers={"X-Key": value})
    assert "s3cr" not in str(caught.value)


def pauses(monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


@pytest.mark.parametrize(
    ("header", "least"),
    [
        ("2", 2.0),
        (1000, 900.0),  # as the date that it is so many seconds from now
        ("0", 0.0),
        ("-3", 0.0),
        ("soon", 0.0),
        ("nan", 0.0),
        (email.utils.formatdate(1), 0.0),
    ],
)
def test_a_server_is_left_alone_for_as_long_as_it_says(
    server, connect, header, least, monkeypatch
):
    if isinstance(header, int):
        header = email.utils.formatdate(time.time() + header)
    server.fault(answer(503, b"", Retry_After=header))
    waited = pauses(monkeypatch)
    with (
        connect(timeout=10_000, retries=4, backoff=0.5) as made,
        pytest.raises(Unavailable),
    ):
        made.predict(INPUTS)
    assert len(waited) == 4
    for turn, pause in enumerate(waited):
        most = least + 200 if least > 100 else least  # the clock has run on since
        assert least + 0.25 * 2**turn <= pause <= most + 0.5 * 2**turn
    assert waited[0] != 2 * waited[1]  # and a random part


@pytest.mark.parametrize("header", ["3", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_it_does_not_wait_where_no_time_would_be_left(
    server, connect, header, monkeypatch
):
    server.fault(answer(429, b"", Retry_After=header))
    waited = pauses(monkeypatch)
    with connect(timeout=2.0, retries=9) as made, pytest.raises(Unavailable):
        made.predict(INPUTS)
    assert waited == []
    assert len(server.requests) == 2


def test_each_attempt_gets_what_the_ones_before_left(monkeypatch):
    given = []

    def attempt(left):
        given.append(left)
        now[0] += 2.0
        raise Unavailable("no")

    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))
    monkeypatch.setattr("random.uniform", lambda _, high: high)
    patience = sys.modules["tfrs_models.serving.client.retry_policy"].RetryPolicy
    with pytest.raises(Unavailable):
        patience(timeout=10.0, retries=5000, backoff=0.5).call(attempt)
    assert given == [10.0, 7.5, 4.5, 0.5]  # the next pause would end too late


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": 1e30},
        {"backoff": float("nan")},
        {"retries": 1.5},
        {"max_answer_bytes": 0},
        {"model": ""},
        {"model": ".."},
        {"model": None},
        {"label": ""},
        {"label": "."},
        {"version": -1},
        {"version": True},
        {"version": "3"},
        {"version": 2**63},
    ],
)
def test_what_makes_no_sense_is_refused(connect, arguments):
    name = next(iter(arguments))
    with pytest.raises(ValueError, match=f"(must be .*)?`{name}`( must be|.*at least)"):
        connect(**arguments)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"model": "a/b?c#d%20 é:e"}, "a%2Fb%3Fc%23d%2520%20%C3%A9%3Ae"),
        ({"model": "m", "label": "../x"}, "m/labels/..%2Fx"),
        ({"model": "m", "version": 0}, "m/versions/0"),
    ],
)
def test_names_are_names_and_no_paths(server, connect, arguments, path):
    server.fault(answer(404, b"", Content_Length=0), end="nothing")
    with connect(**arguments) as made:
        made.metadata()
    assert [asked for asked, *_ in server.requests] == [f"/v1/models/{path}/metadata"]


def test_threads_that_ended_leave_no_connection(server, connect):
    server.fault([], end="nothing")
    with connect() as made:
        for _ in range(20):
            thread = threading.Thread(target=made.metadata)
            thread.start()
            thread.join()
        assert len(server.requests) == 20
        assert len(connections(made)) == 1
    assert connections(made) == []


def connections(made):
    pools = [a.poolmanager.pools for s in made._sessions for a in s.adapters.values()]
    return [pool[key] for pool in pools for key in pool.keys()]  # noqa: SIM118


def test_a_client_that_is_closed_keeps_no_connection(server, connect):
    server.fault([], end="nothing")
    made = connect()
    made.close()
    made.metadata()
    assert made._sessions == []
