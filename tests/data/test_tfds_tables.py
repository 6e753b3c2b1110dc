import http.server
import threading
import time

import pytest

from tfrs_models.data import tfds_tables


@pytest.fixture
def server():
    """An address on this machine that answers HEAD requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(404 if "missing" in self.path else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def test_a_server_that_has_the_file_answers(server):
    assert tfds_tables._answers(f"{server}/ml-100k.zip")


def test_a_server_without_the_file_does_not(server):
    assert not tfds_tables._answers(f"{server}/missing.zip")


def test_a_server_that_stays_silent_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(tfds_tables, "PROBE_SECONDS", 0.3)
    over = threading.Event()

    def stay_silent(*_, **__):
        over.wait(10)
        raise TimeoutError

    monkeypatch.setattr(tfds_tables.urllib.request, "urlopen", stay_silent)
    start = time.perf_counter()
    assert not tfds_tables._answers("http://example.invalid/ml-100k.zip")
    assert time.perf_counter() - start < 2
    over.set()
