"""Where the model runs: a server of our own, or one that others share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from napari_nunext.core.errors import InputError
from napari_nunext.serving.client.relayed import RelayedClient

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    @property
    def answerers(self) -> tuple[str, ...]:
        """Models of other servers that it was given to ask, as its command line takes them."""
        ...

    def take_answerers(self, texts: Sequence[str]) -> None:
        """Have it ask these, and start it again; `InputError` where it is not ours to start."""
        ...

    def stop(self) -> None:
        """Let go of it; a server of our own ends."""
        ...


class SharedServer:
    """A server that runs elsewhere, by its address."""

    def __init__(self, url: str, token: str | None) -> None:
        self._client = RelayedClient(url, token)

    def client(self) -> Client:
        """Connect."""
        return self._client

    def restart(self) -> None:
        """Nothing: it is not ours to start."""

    @property
    def answerers(self) -> tuple[str, ...]:
        """None that were given here."""
        return ()

    def take_answerers(self, texts: Sequence[str]) -> None:
        """Refuse: whoever starts it gives it its answerers."""
        raise InputError(
            f"The model server at {self._client.url} is shared: its answerers are given where it "
            "is started, with napari-nunext serve --answerer NAME=URL#MODEL."
        )

    def stop(self) -> None:
        """Close the connection."""
        self._client.close()
