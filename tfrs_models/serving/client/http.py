"""HTTP requests with one deadline for all steps, no redirects and a size limit."""

import contextvars
import email.utils
import http.client
import io
import socket
import time
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

import requests
import requests.adapters
import urllib3

from tfrs_models.serving.client.errors import (
    InvalidAddress,
    InvalidRequest,
    ServerError,
    Unavailable,
)
from tfrs_models.serving.client.retry_policy import seconds_left

_PIECE = 2**16  # bytes that are read from an answer in one step
_OPENED = contextvars.ContextVar("opened", default=())  # readers opened by this request
_RAW = (
    OSError,  # includes the errors of requests
    ValueError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
)


class Response(NamedTuple):
    """A complete answer of the server."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def retry_after(self) -> float:
        """Returns the seconds of the header `Retry-After`; 0 if it is missing."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdecimal():
            return float(text[:12])
        try:
            then = email.utils.parsedate_to_datetime(text).timestamp()
        except (ValueError, TypeError, OverflowError):
            return 0.0
        return max(0.0, then - time.time())


class HttpSession(requests.Session):
    """A session of `requests` for one thread at a time."""

    def __init__(
        self, *, auth: object | None, headers: Mapping[str, str], max_bytes: int
    ) -> None:
        """Initializes the session.

        Args:
          auth: user and password, or another `auth` of `requests`; None for none.
          headers: header name -> value, sent with every request.
          max_bytes: largest size of an answer in bytes.
        """
        super().__init__()
        self.auth = auth
        self.headers.update(headers)
        self._max_bytes = max_bytes
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Returns None: features are sent only to the server of the address."""

    def ask(
        self, method: str, url: str, *, data: bytes | None, left: float
    ) -> Response:
        """Sends a request and reads the answer.

        Args:
          method: "GET" or "POST".
          url: URL without user and password; error messages show it.
          data: body of the request.
          left: seconds that are left for sending and reading.

        Raises:
          TimeoutError: the request did not end in time.
          ServingError: one of its subclasses in `serving.client`, by cause.
        """
        _OPENED.set([])
        try:
            with self.request(
                method, url, data=data, timeout=left, stream=True
            ) as response:
                body = self._read(response, url)
                return Response(response.status_code, body, response.headers)
        except _RAW as error:
            for opened in _OPENED.get():
                opened.close()  # now, not when the error is garbage-collected
            seconds_left()  # the deadline is the cause of any error after it
            if isinstance(error, requests.Timeout):
                raise TimeoutError from error
            raise _as_serving_error(error, url) from error

    def _read(self, response: requests.Response, url: str) -> bytes:
        body = bytearray()
        for piece in response.iter_content(_PIECE):
            body += piece
            if len(body) > self._max_bytes:
                raise ServerError(
                    f"{url}: the answer is larger than {self._max_bytes:,} bytes. Ask "
                    "for less, or pass a larger `max_answer_bytes`."
                )
        return bytes(body)


def split_address(address: str) -> tuple[str, tuple[str, str] | None]:
    """Splits an address into the URL and the pair of user and password.

    Raises:
      InvalidAddress: the address is malformed.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname, parts.port
        wrong = not host or port == 0 or parts.query or parts.fragment
        wrong = wrong or any(c.isspace() or not c.isprintable() for c in address)
        if not wrong:
            host.encode("ascii" if host.isascii() else "idna")
    except ValueError:
        wrong = True
    if wrong:
        shown = address.rpartition("@")[2]  # the part before it may be a password
        raise InvalidAddress(
            "`address` must be http:// or https://, a host, and a port where it is not "
            f"the usual one. Got {shown!r}."
        )
    place = parts.netloc.rpartition("@")[2]
    url = f"{parts.scheme}://{place}{parts.path.rstrip('/')}"
    if parts.username is None:
        return url, None
    user, password = parts.username, parts.password or ""
    return url, (urllib.parse.unquote(user), urllib.parse.unquote(password))


def _as_serving_error(error: Exception, url: str) -> Exception:
    if isinstance(error, requests.exceptions.SSLError):
        return ServerError(f"{url}: {error}")  # a retry does not help
    if isinstance(error, requests.exceptions.InvalidURL):
        return InvalidRequest(f"{url}: {error}")
    if isinstance(
        error,
        (requests.ConnectionError, requests.exceptions.ChunkedEncodingError),
    ):
        return Unavailable(f"{url}: {error}")
    return ServerError(f"{url}: {type(error).__name__}: {error}")


class _Adapter(requests.adapters.HTTPAdapter):
    """Opens connections that observe the deadline."""

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: object, **kwargs: object) -> object:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Connection(urllib3.connection.HTTPConnection):
    """A connection that connects, sends and reads only until the deadline."""

    def connect(self) -> None:
        super().connect()
        if not isinstance(self.sock, _Socket):  # TLS has wrapped it
            self.sock = _Socket(self.sock)

    def _new_conn(self) -> "_Socket":
        error, found = OSError("the host has no address"), []
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as unknown:
            error = unknown
        for *kind, _, address in found:
            own = socket.socket(*kind)
            try:
                own.settimeout(seconds_left())
                own.connect(address)
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _Socket(own)  # a proxy's tunnel uses it too
            except OSError as failed:
                own.close()
                error = failed
        raise urllib3.exceptions.NewConnectionError(self, str(error)) from error


class _SecureConnection(_Connection, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Socket:
    """A socket whose steps share one deadline, not one timeout each."""

    def __init__(self, own: socket.socket) -> None:
        self._own = own

    def __getattr__(self, name: str) -> object:
        return getattr(self._own, name)

    def sendall(self, *args: object) -> None:
        self._own.settimeout(seconds_left())
        self._own.sendall(*args)

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        reader = io.BufferedReader(_Reads(self._own))
        _OPENED.get().append(reader)
        return reader


class _Reads(io.RawIOBase):
    def __init__(self, own: socket.socket) -> None:
        self._own = own
        self._raw = own.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:
        self._own.settimeout(seconds_left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
