"""Guards of the server: who may call it, how often, and what browsers may load."""

import ipaddress
import json
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, MutableMapping

SERVER = "tfrs-models explore; this is not TensorFlow Serving"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "server": SERVER,
}

Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Mapping]]
Send = Callable[[Mapping], Awaitable[None]]


class Rate:
    """A bound on the requests of a second, with short bursts above it."""

    def __init__(
        self,
        per_second: float,
        *,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Initializes the bound.

        Args:
          per_second: number of requests of a second, on average.
          burst: number of requests that may come at once.
          clock: function that returns seconds.
        """
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left, self._at = float(burst), clock()

    def take(self) -> bool:
        """Takes one request, and returns whether it may be answered."""
        now = self._clock()
        new = (now - self._at) * self._per_second
        self._left, self._at = min(self._burst, self._left + new), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Guard:
    """Checks each request before the app, and gives each answer its headers.

    A page of another site must not reach the server: the `Host` must be an address, a
    name of this machine or the one that the server is bound to (a name that someone
    else lets point here is none of them), and an `Origin` must be the server itself.
    """

    def __init__(self, app: Callable, *, host: str, rate: Rate) -> None:
        """Initializes the guard.

        Args:
          app: application of ASGI.
          host: name or address that the server is bound to.
          rate: bound on the requests.
        """
        self._app = app
        self._host = host
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or passes it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: MutableMapping) -> None:
            if message["type"] == "http.response.start":
                given = [(k, v) for k, v in message["headers"] if k != b"server"]
                own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": given + own}
            await send(message)

        headers = {
            k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]
        }
        if problem := self._problem(headers):
            await _refuse(with_headers, *problem)
        elif not self._rate.take():
            await _refuse(
                with_headers,
                429,
                "Too many requests for this server: try again in a second.",
                {"retry-after": "1"},
            )
        else:
            await self._app(scope, receive, with_headers)

    def _problem(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Returns status and message for a request of another site, or None."""
        host = headers.get("host", "")
        name = host_name(host)
        if not is_own_name(name, self._host):
            return 421, (
                "The header `Host` must be an address, localhost or the --host of this "
                f"server. Got {host[:100]!r}."
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, f"Pages of {origin[:100]!r} must not call this server."
        return None


def host_name(host: str) -> str:
    """Returns the name of a `Host` header without its port; "" if it is malformed."""
    try:
        parts = urllib.parse.urlsplit(f"//{host}")
        parts.port  # noqa: B018  raises an error for a port that is none
    except ValueError:
        return ""
    plain = parts.netloc == host and "@" not in host
    return (parts.hostname or "") if plain else ""


def is_own_name(name: str, host: str) -> bool:
    """Returns whether a name is of this machine, and cannot be pointed here by others.

    Args:
      name: name of the `Host` header, in lower case.
      host: name or address that the server is bound to.
    """
    if name in ("localhost", host.lower()) and name:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(
    send: Send, status: int, message: str, headers: Mapping[str, str] | None = None
) -> None:
    body = json.dumps({"error": message}).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **(headers or {}),
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
