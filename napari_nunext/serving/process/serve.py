"""Run a model server in this process."""

from __future__ import annotations

import logging
import signal
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from napari_nunext.core.errors import InputError
from napari_nunext.serving.http.app import create_app
from napari_nunext.serving.http.guard import GuardedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from napari_nunext.serving.models.shelf import ModelCatalog
    from napari_nunext.serving.service import Service
    from napari_nunext.serving.settings import ServerSettings

logger = logging.getLogger(__name__)

STOP_S = 2
"""How long streams may take to end once the server stops."""
SPARE_FILES = 256
"""What a server may have open beside its connections: checkpoints, libraries, uploads."""


def serve(
    settings: ServerSettings,
    catalog: ModelCatalog,
    *,
    ready: Callable[[str, Callable[[], None]], None],
    listening: socket.socket | None = None,
) -> bool:
    """Serve until told to stop, by a signal or by what `ready` is given.

    SIGTERM lets what runs go on to its end, for ``settings.drain_s``, while new requests are
    refused; a second one, and Ctrl+C, stop at once.

    Parameters
    ----------
    settings : ServerSettings
    catalog : ModelCatalog
    ready : callable
        Called once with the address, when connections are accepted, and with a function that stops
        the server, to be called from any thread.
    listening : socket, optional
        Where to accept connections; by default a new one at the address of `settings`.

    Returns
    -------
    bool
        Whether it ended as it should; False if a model hangs, and the process has to end.

    Raises
    ------
    InputError
        If the address cannot be listened on, or the keys file cannot be used.
    """
    _allow_files(settings.connections)
    with listening or listen(settings) as accepting:
        app = create_app(settings, catalog)
        server = _Server(app.state.service, app)
        ready(address_of(accepting, settings.host), server.stop)
        server.run(sockets=[accepting])
    return not server.hung


class _Server(uvicorn.Server):
    """Uvicorn's server, which ends what runs before it ends."""

    def __init__(self, service: Service, app: object) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                http=partial(GuardedProtocol, limits=service.settings),  # type: ignore[arg-type]
                ws="none",  # there are none, and a request for one passes by the limits
                timeout_keep_alive=service.settings.max_idle_s,  # type: ignore[arg-type]
                log_config=None,
                # It would name every path; `Gate` logs what may be told.
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=STOP_S,
            )
        )
        self._service = service
        self._drain_until: float | None = None
        self.hung = False

    def stop(self) -> None:
        """Stop at once. From any thread."""
        self._service.stop_runs()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if sig == signal.SIGTERM and self._drain_until is None:
            self._drain_until = time.monotonic() + self._service.settings.drain_s
            self._service.drain()
            return
        self._service.stop_runs()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether it is time to end."""
        if self._service.hangs and not self.hung:
            logger.critical("a model hangs: the server ends, to be started again")
            self.hung = self.should_exit = True
            self._service.fail_runs()
        if self._drain_until is not None and (
            not self._service.busy or time.monotonic() > self._drain_until
        ):
            logger.info("drained")
            self.stop()
        return await super().on_tick(counter)


def _allow_files(connections: int) -> None:
    """Let this process open as many files as it may have connections, and some more."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < wanted:
            logger.warning(
                "this process may open %d files, less than the %d that %d connections may take: "
                "raise the limit (ulimit -n)",
                most,
                wanted,
                connections,
            )


def listen(settings: ServerSettings) -> socket.socket:
    """A socket that already queues connections, so that the address may be told.

    Raises
    ------
    InputError
        If the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Connections inherit it. Without, the body of a short reply waits for the acknowledgement
        # of its head, which comes 40 ms late: most of what a click may take.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


def address_of(listening: socket.socket, host: str) -> str:
    """Where a socket listens, as a URL."""
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
