"""The server as a child process: ``python -m napari_nunext.serving``.

The launcher starts it for one program: its token comes in the environment, its address goes out in
one line of JSON. The supervisor starts it for many: its settings come as a line of JSON on standard
input, and its socket is inherited. Either way it ends when its standard input does. People start a
server with ``napari-nunext serve``.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import NunextError
from napari_nunext.core.process.precision import PRECISIONS
from napari_nunext.core.process.ray_cluster import RayCluster
from napari_nunext.models.catalog import Catalog
from napari_nunext.serving.client.answerers import answerers_of
from napari_nunext.serving.client.local_server import (
    FILES_KEY_VARIABLE,
    RELAY_TOKEN_VARIABLE,
    TOKEN_VARIABLE,
)
from napari_nunext.serving.process.logs import start_logging
from napari_nunext.serving.process.serve import serve
from napari_nunext.serving.process.supervisor import BAD_INPUT, HANGS, INTERRUPTED
from napari_nunext.serving.settings import ServerSettings, model_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.models.packages.offers import EngineOffer
    from napari_nunext.serving.models.shelf import ModelCatalog

RUNS_ON_RAY = 16
"""Images whose windows are handed out at a time: small ones leave workers without any."""
GRACE_S = 4.0
"""How long the server may take to end by itself once its parent is gone."""


def main() -> int:
    """Serve the parent, for as long as it lives."""
    parser = argparse.ArgumentParser(prog="python -m napari_nunext.serving")
    parser.add_argument("--models", type=Path, action="append", default=[])
    parser.add_argument("--dtype", choices=PRECISIONS, default="auto")
    parser.add_argument("--answerer", action="append", default=[])
    parser.add_argument("--ray", help="JSON of a RayCluster, whose workers search")
    parser.add_argument("--relay", help="address of a server that is sent windows to search")
    parser.add_argument("--listen-fd", type=int)
    parser.add_argument("--log-json", action="store_true")
    args = parser.parse_args()
    start_logging(as_json=args.log_json)
    answer = _take_stdout()

    def ready(url: str, stop: Callable[[], None]) -> None:
        threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
        with os.fdopen(answer, "w", encoding="utf-8") as file:
            file.write(json.dumps({"url": url}) + "\n")

    try:
        if args.listen_fd is None:
            token = os.environ.pop(TOKEN_VARIABLE, None)
            files_key = os.environ.pop(FILES_KEY_VARIABLE, "")
            settings = ServerSettings(
                token=token,
                files_key=files_key,
                precision=args.dtype,
                answerers=answerers_of(args.answerer),
            )
            if args.relay is not None:
                settings = replace(settings, preload=False)
            if args.ray is not None:
                settings = replace(settings, preload=False, runs_at_once=RUNS_ON_RAY)
            listening = None
        else:
            settings = ServerSettings.from_json(_first_line())
            listening = socket.socket(fileno=args.listen_fd)
        folders = model_folders(args.models)
        own = Catalog(
            folders,
            engines=_engines(settings),
            embeddings_bytes=settings.embeddings_bytes,
            precision=settings.precision,
        )
        catalog: ModelCatalog = own
        if args.ray is not None:
            catalog = _on_ray(RayCluster.from_json(args.ray), own, folders, settings)
        elif args.relay is not None:
            catalog = _relayed(args.relay, own)
        well = serve(settings, catalog, ready=ready, listening=listening)
    except NunextError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    except KeyboardInterrupt:  # handed on by the supervisor, after the server has ended
        return INTERRUPTED
    return 0 if well else HANGS


def _engines(settings: ServerSettings) -> Sequence[EngineOffer]:
    """What other processes serve; asking them is not imported where there are none."""
    if settings.vllm is None:
        return ()
    from napari_nunext.models.vllm.offer import vllm_offers

    return vllm_offers(settings.vllm)


def _on_ray(
    cluster: RayCluster, catalog: ModelCatalog, folders: Sequence[Path], settings: ServerSettings
) -> ModelCatalog:
    """The same models, detectors searching on a cluster; Ray is not imported where there is none.

    Connecting comes before anybody is told where this server listens: one whose cluster is away
    does not start, and is waited for as any server that is away.
    """
    from napari_nunext.serving.models.elsewhere import ElsewhereCatalog
    from napari_nunext.serving.models.ray_workers import RayWorkers, connect

    connect(cluster)
    return ElsewhereCatalog(
        catalog, lambda id_: RayWorkers(cluster, id_, folders, settings.precision)
    )


def _relayed(url: str, own: Catalog) -> ModelCatalog:
    """The detectors of another server, which is sent the windows of images that are read here."""
    from napari_nunext.serving.client.client import Client
    from napari_nunext.serving.models.elsewhere import ElsewhereCatalog
    from napari_nunext.serving.models.remote_workers import RemoteCatalog, RemoteWorkers

    client = Client(url, os.environ.pop(RELAY_TOKEN_VARIABLE, None))
    return ElsewhereCatalog(RemoteCatalog(client, own), lambda id_: RemoteWorkers(client, id_))


def _take_stdout() -> int:
    """The pipe to the parent, for us alone: what libraries print goes to the log from now on."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    return pipe


def _first_line() -> str:
    """The first line of standard input, and not a byte more."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode()


def _end_with_parent(stop: Callable[[], None]) -> None:
    """Wait for the end of standard input, which comes with the parent's, however it ends."""
    while os.read(0, 4096):
        pass
    stop()
    threading.Event().wait(GRACE_S)
    os._exit(1)  # a model in the middle of a step, or a caller that does not let go


if __name__ == "__main__":
    sys.exit(main())
