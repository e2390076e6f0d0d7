"""A server on another machine, for images of any size.

An image that it would not take is read by a server of our own, which sends it windows' pixels as
they are searched: little is held there, and what lies beyond the region never travels.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from napari_nunext.core.image.source import MOST_PIXELS
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.client.local_server import LocalServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.client.patience import Patience
    from napari_nunext.serving.protocol import (
        DetectEvent,
        DetectRequest,
        SegmentReply,
        SegmentRequest,
    )


class RelayedClient(Client):
    """A client that reads large images here; see `Client`.

    Parameters
    ----------
    url : str
    token : str, optional
    transport : httpx.BaseTransport, optional
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, token, transport=transport)
        self._token = token
        self._lock = threading.Lock()
        self._reader: LocalServer | None = None
        self._read_here: set[str] = set()

    def put_image(self, image: ImageSource, *, patience: Patience | None = None) -> str:
        """Send an image, or have it read here if it is too large for that."""
        if image.path is None or image.box.width * image.box.height <= MOST_PIXELS:
            return super().put_image(image, patience=patience)
        with self._lock:
            self._reader = self._reader or LocalServer(relay=self.url, relay_token=self._token)
            reader = self._reader
        id_ = reader.client().put_image(image, patience=patience)
        self._read_here.add(id_)
        return id_

    def detect(
        self, request: DetectRequest, *, patience: Patience | None = None
    ) -> Iterator[DetectEvent]:
        """Find nuclei; see `Client.detect`."""
        here = self._here(request.image)
        if here is None:
            return super().detect(request, patience=patience)
        return here.detect(request, patience=patience)

    def segment(self, request: SegmentRequest, *, patience: Patience | None = None) -> SegmentReply:
        """Draw a mask for every prompt; of an image that is read here, by this machine."""
        here = self._here(request.image)
        if here is None:
            return super().segment(request, patience=patience)
        return here.segment(request, patience=patience)

    def cancel(self, run: str) -> bool:
        """Stop a job at its next step, whoever does it."""
        reader = self._reader
        here = reader is not None and reader.alive and reader.client().cancel(run)
        return super().cancel(run) or here

    def close(self) -> None:
        """Close the connections, and end the server of our own."""
        with self._lock:
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        super().close()

    def _here(self, image: str) -> Client | None:
        reader = self._reader
        return reader.client() if reader is not None and image in self._read_here else None
