from __future__ import annotations

import socket

from napari_nunext.serving.process.serve import listen
from napari_nunext.serving.settings import ServerSettings


def test_replies_are_sent_without_waiting_for_acknowledgements():
    """Nagle's algorithm held the body of every short reply back for 40 ms."""
    with (
        listen(ServerSettings(token="x" * 32, port=0)) as listening,
        socket.create_connection(listening.getsockname()[:2]),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.proto == socket.IPPROTO_TCP  # asyncio looks at this
