"""Application of the page: its files, its facts and the REST interface."""

import asyncio
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import rest
from .facts import Export
from .limits import Guard, Rate
from .rest import RequestError

MOST_BYTES = 2**20
_SECONDS = 10  # for a whole body
_FILES = Path(__file__).parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LONGEST = 200  # letters of a search
_MOST_IDS = 200


class JSON(JSONResponse):
    """An answer in JSON as TensorFlow Serving writes it: NaN and infinities as such."""

    def render(self, content: object) -> bytes:
        """Returns the bytes of the content."""
        return json.dumps(content, ensure_ascii=False).encode()


def make_app(
    exports: Sequence[Export],
    *,
    host: str = "127.0.0.1",
    rate: Rate | None = None,
) -> Guard:
    """Makes the application of ASGI.

    Args:
      exports: the export that the page explores, and one to compare it with, if any.
      host: name or address that the server is bound to.
      rate: bound on the requests; None for one that a person does not reach.
    """
    by_name = {export.rest.name: export for export in exports}
    models = {name: export.rest for name, export in by_name.items()}
    # TensorFlow uses all cores for one request: more at once would only wait.
    predictions = anyio.CapacityLimiter(2)

    async def model(request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        found, what = rest.find(models, path)
        if what == ":predict":
            if request.method != "POST":
                raise RequestError(405, "A prediction is a POST with a JSON body.")
            body = await _body(request)
            answer = await anyio.to_thread.run_sync(
                found.predict, body, limiter=predictions
            )
            return JSON(answer)
        if request.method == "POST":
            raise RequestError(405, f"There is no POST to {path[:200]}. Try :predict.")
        return JSON(found.metadata() if what else found.status())

    def of_export(read: Callable[[Export, Request], object]) -> Callable:
        async def answer(request: Request) -> Response:
            name = request.query_params.get("model") or next(iter(by_name))
            if name not in by_name:
                raise RequestError(404, f"There is no model {name[:200]}.")
            return JSON(await run_in_threadpool(read, by_name[name], request))

        return answer

    async def about(_: Request) -> Response:
        return JSON({"exports": [export.about() for export in exports]})

    return Guard(
        Starlette(
            routes=[
                *(Route(path, answer) for path, answer in _files()),
                Route("/v1/{rest:path}", model, methods=["GET", "POST"]),
                Route("/explore/about", about),
                Route("/explore/users", of_export(lambda e, r: e.users(_text(r)))),
                Route("/explore/user", of_export(lambda e, r: e.user(_text(r)))),
                Route("/explore/search", of_export(lambda e, r: e.search(_text(r)))),
                Route("/explore/items", of_export(lambda e, r: e.items(_ids(r)))),
                Route("/explore/map", of_export(lambda e, _: e.picture())),
                Route("/explore/coverage", of_export(lambda e, _: e.coverage())),
            ],
            exception_handlers={
                RequestError: _refused,
                HTTPException: _refused_by_starlette,
                Exception: _failed,
            },
        ),
        host=host,
        rate=rate or Rate(100, burst=300),
    )


async def _body(request: Request) -> object:
    """Reads JSON of a bounded size in a bounded time."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise RequestError(
                        413, f"A body must have at most {MOST_BYTES:,} bytes."
                    )
                parts.append(part)
    except TimeoutError as error:
        raise RequestError(408, f"The body took more than {_SECONDS} s.") from error
    except ClientDisconnect as error:
        raise RequestError(400, "The body has no end.") from error
    try:
        return json.loads(b"".join(parts))
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"The body must be JSON: {error}") from error


def _text(request: Request) -> str:
    """Returns the text of a search."""
    text = request.query_params.get("text", "")
    if len(text) > _LONGEST:
        raise RequestError(400, f"`text` must have at most {_LONGEST} letters.")
    return text


def _ids(request: Request) -> list[str]:
    """Returns the ids of a request for items."""
    ids = request.query_params.getlist("id")
    if len(ids) > _MOST_IDS:
        raise RequestError(400, f"There must be at most {_MOST_IDS} of `id`.")
    return ids


def _files() -> list[tuple[str, Callable]]:
    """Returns path -> answer for the files of the page, read once."""

    async def answer(_: Request, *, content: bytes, kind: str) -> Response:
        return Response(content, media_type=kind)

    files = {}
    for path in sorted(_FILES.iterdir()):
        if path.suffix in _KINDS:
            url = "/" if path.name == "index.html" else f"/static/{path.name}"
            files[url] = functools.partial(
                answer, content=path.read_bytes(), kind=_KINDS[path.suffix]
            )
    return [*files.items()]


async def _refused(_: Request, error: RequestError) -> Response:
    return JSON({"error": str(error)}, status_code=error.status)


async def _refused_by_starlette(_: Request, error: HTTPException) -> Response:
    message = f"{error.detail}. The page is at /, models at /v1/models/NAME."
    return JSON({"error": message}, status_code=error.status_code)


async def _failed(_: Request, error: Exception) -> Response:
    message = f"The server failed: {type(error).__name__}. Its terminal shows more."
    return JSON({"error": message}, status_code=500)
