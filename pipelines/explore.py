"""Shows an exported model on a local web page: tfrs-models explore.

Pick a user or click a history together, and see what the model recommends, why, and by
which call. The same address answers the REST calls of TensorFlow Serving, so that a
client can be developed against it; it is not TensorFlow Serving.
"""

import contextlib
import dataclasses
import errno
import socket
import urllib.parse
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from tfrs_models._versions import number_of
from tfrs_models.serving.contents import read_contents

from .explore_page.facts import Export, blank_values, has_umap
from .explore_page.rest import RestModel
from .parts.command import command, ending, start
from .parts.exports import FallBackConfig, load_export
from .parts.flags import Range

_LISTS = {"history", "explain", "filtered", "similar_items"}


@dataclasses.dataclass(frozen=True)
class Config(FallBackConfig):
    """Flags of the page."""

    model: Path = Path("artifacts/retrieval/export")
    """A SavedModel, or a folder of numbered ones, whose newest is shown."""
    compare_with: Path | None = None
    """Another one of the same items: the page shows what changes for a user."""
    name: str | None = None
    """Name of the model in REST paths, /v1/models/NAME; by default that of its
    folder."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but the default lets other machines read the model, its
    users and their histories: there is no password."""
    port: Annotated[int, Range(0, 65_535)] = 8501
    """Port, that of TensorFlow Serving's REST by default; 0 for a free one."""
    projection: Literal["pca", "umap"] = "pca"
    """Method by which embeddings become points of the map; umap needs the package
    umap-learn, and a minute for 10,000 items."""

    def kept(self) -> str:
        """Returns a sentence on what the end of the server leaves."""
        return "The page wrote no files."


@command
def main(config: Config) -> None:
    """Serves the page until Ctrl-C."""
    try:
        import uvicorn

        from .explore_page.server import make_app
    except ImportError as error:
        raise SystemExit(
            f"`explore` needs the package {error.name}: "
            "pip install 'tfrs-models[explore]'."
        ) from error
    if config.projection == "umap" and not has_umap():
        raise ending(
            "`--projection umap` needs the package umap-learn: pip install "
            "umap-learn, or leave the flag out for PCA.",
            2,
        )
    with listening(config) as sock:
        exports = load_exports(config)
        app = make_app(exports, host=config.host)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                limit_concurrency=100,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=3,
            )
        )
        print(_welcome(config, exports, sock.getsockname()[1]), flush=True)
        server.run(sockets=[sock])


def load_exports(config: Config) -> list[Export]:
    """Loads the export to show, and the one to compare it with.

    Args:
      config: flags.

    Raises:
      SystemExit: an export is missing, damaged or of another kind, or the two have no
        item in common.
    """
    exports = [open_export(config, "model", config.name or folder_name(config.model))]
    if config.compare_with is not None:
        name = folder_name(config.compare_with)
        if name == exports[0].rest.name:
            name = f"{name}-other"
        exports.append(open_export(config, "compare_with", name))
        first, second = (set(export.contents.item_ids) for export in exports)
        if not first & second:
            raise SystemExit(
                "`--compare-with` must be an export of the same items. Got "
                f"{config.compare_with}, which has none of those of {config.model}."
            )
    return exports


def folder_name(model: Path) -> str:
    """Returns the name that a model has in REST paths, from its folder.

    Args:
      model: SavedModel, or a folder of numbered ones.
    """
    parts = list(model.resolve().parts[1:])
    if parts and number_of(parts[-1]) is not None:
        parts.pop()
    if len(parts) > 1 and parts[-1] == "export":
        parts.pop()
    return parts[-1] if parts else "model"


def open_export(config: Config, field: str, name: str) -> Export:
    """Loads an export and calls each of its signatures once.

    Args:
      config: flags.
      field: field of the flags that has its path.
      name: name of the model in REST paths.

    Raises:
      SystemExit: there is none, or it is damaged or of another kind.
    """
    model, flag = getattr(config, field), f"--{field.replace('_', '-')}"
    print(f"Loading {model} ...", flush=True)
    folder, loaded = load_export(
        model, flag=flag, fall_back=config.fall_back, further_inputs=True
    )
    try:
        contents = read_contents(loaded, folder)
    except ValueError as error:
        raise SystemExit(
            f"`{flag}` must be an export with a catalogue of items, as `python -m "
            f"pipelines.retrieval` writes it. Got {folder}, which has none."
        ) from error
    version = number_of(folder.name)
    rest = RestModel(
        name,
        1 if version is None else version,
        loaded.signatures,
        num_items=contents.num_items,
        owner=loaded,
    )
    _warm_up(rest)
    return Export(rest, contents, path=str(folder), projection=config.projection)


def _warm_up(rest: RestModel) -> None:
    """Calls each signature once, so that the first answer is as fast as the others."""
    for name, signature in rest.signatures.items():
        if name != "serving_default" and name not in _LISTS:
            continue
        specs = signature["inputs"]
        given = {key: blank_values(spec, 1) for key, spec in specs.items()}
        plain = {"k": np.int32([1]), "time": np.int64([0])}
        plain["history_time"] = np.int64([[0]])
        rest.call(name, given | {k: v for k, v in plain.items() if k in specs})


def listening(config: Config) -> socket.socket:
    """Returns a socket that listens, before anything is loaded.

    Args:
      config: flags.

    Raises:
      SystemExit: the address is none of this machine, or its port is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM
        )[0]
        # Named, or asyncio does not set TCP_NODELAY: each answer would take 40 ms more.
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.socket(family, kind, protocol))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(128)
            stack.pop_all()  # it stays open
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ending(
                f"`--port` must be free. {config.port} of {config.host} is in use: "
                "give another one, or 0 for any.",
                2,
            ) from error
        raise ending(
            f"`--host` must be an address of this machine and `--port` one that you "
            f"may use. Got {config.host} and {config.port}: {error.strerror}.",
            2,
        ) from error
    return sock


def _welcome(config: Config, exports: list[Export], port: int) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    url = f"http://{host}:{port}"
    name = urllib.parse.quote(exports[0].rest.name, safe="")
    return (
        f"\nThe page is at {url}\n"
        f"REST as of TensorFlow Serving, which this is not: {url}/v1/models/{name}\n"
        "Ctrl-C ends it."
    )


if __name__ == "__main__":
    start(main, Config, __doc__)
