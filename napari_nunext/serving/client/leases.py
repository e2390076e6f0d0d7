"""One model server for all windows of an application.

A model takes a gigabyte and all cores, so windows share the server of this process: it is made for
the first that asks, and ends with the last that lets go.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ServerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.process.precision import Precision
    from napari_nunext.serving.client.client import Client
    from napari_nunext.serving.client.local_server import LocalServer


class SharedServers:
    """Hands out one server to many. Safe to share between threads.

    Parameters
    ----------
    make : callable
        Makes the server, for an arithmetic of its detectors; it is not started yet.
    """

    def __init__(self, make: Callable[[Precision], LocalServer]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._server: LocalServer | None = None
        self._leases: set[Lease] = set()

    def lease(self, started: LocalServer | None = None, *, precision: Precision = "auto") -> Lease:
        """Take part in the server.

        Parameters
        ----------
        started : LocalServer, optional
            One that was started ahead: it becomes the shared one, or ends where there is one, or
            where it computes in another arithmetic.
        precision : {"auto", "float32", "bfloat16"}
            Arithmetic of the server that is made. One that others share keeps its own until the
            last of them lets go.
        """
        with self._lock:
            if self._server is None:
                fits = started is not None and started.precision == precision
                self._server = started if started is not None and fits else self._make(precision)
                if started is not None and not fits:
                    self._server.take_answerers(started.answerers)
            if started is not None and started is not self._server:
                # It may yet be starting, which is nothing to wait for here.
                threading.Thread(target=started.close, name="nunext-server-end").start()
            lease = Lease(self, self._server)
            self._leases.add(lease)
            return lease

    def release(self, lease: Lease) -> None:
        """Let go; the server ends with the last. Nothing, if it was let go before."""
        with self._lock:
            if lease not in self._leases:
                return
            self._leases.remove(lease)
            if self._leases:
                return
            server, self._server = self._server, None
        if server is not None:
            server.close()


class Lease:
    """One window's part in the shared server; a `ModelServer`."""

    def __init__(self, servers: SharedServers, server: LocalServer) -> None:
        self._servers = servers
        self._server = server
        self._released = False

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while there is none."""
        return self._server.pid

    def client(self) -> Client:
        """A client of the running server, which is started when it is not running."""
        self._check()
        return self._server.client()

    def restart(self) -> None:
        """Start again after a failure, for all who share it."""
        self._check()
        self._server.restart()

    @property
    def answerers(self) -> tuple[str, ...]:
        """Models of other servers that it was given to ask."""
        return self._server.answerers

    def take_answerers(self, texts: Sequence[str]) -> None:
        """Have it ask these, for all who share it; it is started again."""
        self._check()
        self._server.take_answerers(texts)

    def stop(self) -> None:
        """Let go of it."""
        self._released = True
        self._servers.release(self)

    def _check(self) -> None:
        if self._released:
            raise ServerUnavailableError("The window was closed, and its model server with it.")
