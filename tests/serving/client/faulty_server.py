"""A server that sends whatever bytes it is told to, after a good start or at once."""

import contextlib
import json
import socketserver
import threading
import time

from tests.serving.client.rest_double import metadata

SIGNATURES = {
    "serving_default": {
        "inputs": {"x": ("DT_FLOAT", [-1])},
        "outputs": {"y": ("DT_FLOAT", [-1]), "name": ("DT_STRING", [-1])},
    }
}
GOOD = {"outputs": {"y": [2.0], "name": ["a"]}}


def answer(status=200, body=b"", **headers):
    """An HTTP answer; `Content_Length` and others may be wrong on purpose."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content_Length": len(body), "Connection": "close"} | headers
    lines = [f"HTTP/1.1 {status} Words"]
    lines += [f"{k.replace('_', '-')}: {v}" for k, v in fields.items() if v is not None]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError):  # who asked has gone
            while self.answer():
                pass

    def answer(self):
        first = self.rfile.readline()
        headers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        if not first:
            return False
        path = first.split()[1].decode()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.requests.append((path, headers, body))
        pieces = self.server.pieces.get(path.rpartition("/")[2])
        if pieces is None:
            self.wfile.write(answer(200, metadata(SIGNATURES), Connection=None))
            return True
        for piece in pieces() if callable(pieces) else pieces:
            if isinstance(piece, float):
                self.server.released.wait(piece)
            else:
                self.wfile.write(piece)
        return False  # and hangs up


class FaultyServer(socketserver.ThreadingTCPServer):
    """What it sends where a path ends with `m:predict`, `metadata` or `m`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.released = threading.Event()
        self.pieces, self.requests = {}, []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, *pieces, end="m:predict"):
        """Sends these from now on, and has forgotten what it was asked."""
        self.requests.clear()
        self.pieces = {end: pieces[0] if callable(pieces[0]) else pieces}


@contextlib.contextmanager
def faulty_server():
    with FaultyServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


def forever(piece, pause=0.0):
    """A piece again and again, for far longer than anybody should read."""

    def pieces():
        for _ in range(3000 if not pause else round(3 / pause)):
            yield piece
            if pause:
                time.sleep(pause)

    return pieces


def after(start, pieces):
    """A start, and then pieces."""

    def both():
        yield start
        yield from pieces()

    return both
