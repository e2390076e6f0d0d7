"""Where the model runs: a server of our own, or one that others share."""

from __future__ import annotations

from typing import Protocol

from napari_nunext.serving.client.client import Client


class ModelServer(Protocol):
    """What the review needs of a model server; `serving.launcher.LocalServer` is one.

    Every call may take seconds: not for the main thread.
    """

    def client(self) -> Client:
        """A client of the running server, which is started when it is not running."""
        ...

    def restart(self) -> None:
        """Start again after a failure."""
        ...

    def stop(self) -> None:
        """Let go of it; a server of our own ends."""
        ...


class SharedServer:
    """A server that runs elsewhere, by its address."""

    def __init__(self, url: str, token: str | None) -> None:
        self._client = Client(url, token)

    def client(self) -> Client:
        """Connect."""
        return self._client

    def restart(self) -> None:
        """Nothing: it is not ours to start."""

    def stop(self) -> None:
        """Close the connection."""
        self._client.close()
