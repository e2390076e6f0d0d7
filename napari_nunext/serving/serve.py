"""Run a model server in this process."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import uvicorn

from napari_nunext.core.errors import InputError
from napari_nunext.serving.app import create_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.serving.service import ModelCatalog
    from napari_nunext.serving.settings import ServerSettings

logger = logging.getLogger(__name__)

DRAIN_S = 2
"""How long streams may take to end once the server is told to stop."""


def serve(
    settings: ServerSettings,
    catalog: ModelCatalog,
    *,
    ready: Callable[[str, Callable[[], None]], None],
) -> None:
    """Serve until told to stop, by a signal or by what `ready` is given.

    Parameters
    ----------
    settings : ServerSettings
    catalog : ModelCatalog
    ready : callable
        Called once with the address, when connections are accepted, and with a function that stops
        the server, to be called from any thread.

    Raises
    ------
    InputError
        If the address cannot be listened on.
    """
    with _listen(settings) as listening:
        app = create_app(settings, catalog)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                # It would name every request; what matters is logged by those who know what it is.
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )

        def stop() -> None:
            app.state.service.stop_runs()
            server.should_exit = True

        port = listening.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        ready(f"http://{host}:{port}", stop)
        server.run(sockets=[listening])


def _listen(settings: ServerSettings) -> socket.socket:
    """A socket that already queues connections, so that the address may be told."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows lets others share a port otherwise
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise InputError(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}. "
            "Choose another port (0 for any free one)."
        ) from error
    return listening
