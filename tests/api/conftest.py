"""A small picture, and a real server in a thread."""

from __future__ import annotations

from tests.serving.conftest import catalog, rgb, server, start

__all__ = ["catalog", "rgb", "server", "start"]
