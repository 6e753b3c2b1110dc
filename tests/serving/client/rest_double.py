"""A test double for the HTTP of TensorFlow Serving, for the echo of conftest.py."""

import contextlib
import http.server
import json
import threading

SIGNATURES = {
    "serving_default": {
        "inputs": {
            "text": ("DT_STRING", [-1]),
            "dense": ("DT_FLOAT", [-1, 2]),
            "k": ("DT_INT32", []),
            "flag": ("DT_BOOL", []),
        },
        "outputs": {
            "text": ("DT_STRING", [-1]),
            "dense": ("DT_FLOAT", [-1, 2]),
            "k": ("DT_INT32", []),
            "flag": ("DT_BOOL", []),
        },
    },
    "next": {
        "inputs": {"item": ("DT_INT64", [-1])},
        "outputs": {"item": ("DT_INT64", None)},
    },
}


def tensor_info(dtype, sizes):
    dims = [{"size": str(size), "name": ""} for size in sizes or []]
    shape = {"dim": dims, "unknown_rank": sizes is None}
    return {"dtype": dtype, "tensor_shape": shape, "name": "x:0"}


def metadata(signatures):
    found = {
        name: {
            side: {key: tensor_info(*info) for key, info in signature[side].items()}
            for side in ("inputs", "outputs")
        }
        for name, signature in signatures.items()
    }
    found["__saved_model_init_op"] = {"inputs": {}, "outputs": {}}
    return {"metadata": {"signature_def": {"signature_def": found}}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        double = self.server.double
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with double.lock:
            double.requests.append((self.path, json.loads(body) if body else None))
            status, content = double.faults.pop(0) if double.faults else (200, None)
        if content == "hang":
            double.released.wait()
        if status == 200:
            status, content = self.respond(json.loads(body) if body else None)
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(OSError):  # who waited has gone
            self.wfile.write(text.encode())

    def respond(self, body):
        if not self.path.startswith("/v1/models/echo"):
            return 404, {"error": "Servable not found for request: Latest(nobody)"}
        if self.path.endswith("/metadata"):
            return 200, metadata(self.server.double.signatures)
        if body is None:
            entry = {"version": "1", "state": "AVAILABLE", "status": {}}
            failed = {"error_code": "ABORTED", "error_message": "no memory"}
            other = {"version": "2", "state": "END", "status": failed}
            return 200, {"model_version_status": [entry, other]}
        if body["signature_name"] in self.server.double.answers:
            answer = self.server.double.answers[body["signature_name"]]
            return 200, {
                "outputs": answer(body["inputs"]) if callable(answer) else answer
            }
        inputs = body["inputs"]
        if body["signature_name"] == "next":  # a single output has no name
            return 200, {"outputs": [item + 1 for item in inputs["item"]]}
        if inputs["k"] <= 0:
            return 400, {"error": "`k` must be positive."}
        outputs = {
            "text": inputs["text"],
            "dense": [[-x for x in row] for row in inputs["dense"]],
            "k": inputs["k"] + 1,
            "flag": not inputs["flag"],
        }
        return 200, {"outputs": outputs}

    def log_message(self, *_):
        pass


class RestDouble(http.server.ThreadingHTTPServer):
    """Answers as the echo does; the next answers may be faults, or of a new version."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("localhost", 0), Handler)
        self.double = self
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.requests, self.faults = [], []
        self.signatures, self.answers = dict(SIGNATURES), {}

    def switch(self, signature, *, outputs, answer, metadata=True):
        """The signature of a new version; without its metadata, half a switch."""
        self.answers[signature] = answer
        if metadata:
            changed = {**self.signatures[signature], "outputs": outputs}
            self.signatures[signature] = changed

    @property
    def address(self):
        return f"http://localhost:{self.server_port}"


@contextlib.contextmanager
def rest_double():
    server = RestDouble()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
