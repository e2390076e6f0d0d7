"""What windows look like to segmenters, remembered: a click after the first costs no second look.

Without torch, so that a catalogue can hold one before any model is loaded.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from napari_nunext.core.process.bounded import BoundedCache

Embeddings: TypeAlias = BoundedCache[tuple[str, bytes], Any]
"""Tensors by the hashes of the segmenter's checkpoint and of the window's pixels. The same part of
the same image gives the same pixels, and so does every other copy of it."""

EMBEDDINGS_BYTES = 256 * 2**20
"""Of windows of 256 px, which take 256 kB with a standard SAM, a thousand."""


def new_embeddings(capacity_bytes: int = EMBEDDINGS_BYTES) -> Embeddings:
    """An empty cache; the embeddings used longest ago go first."""
    return BoundedCache(capacity_bytes, lambda embedding: embedding.nbytes)
