"""Masks as bytes: some fifty of them a nucleus, and no object before somebody asks for one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, overload

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.masks import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_FRAME = np.dtype("<i8")
"""Of the five numbers before a mask's runs: x0, y0, height, width, how many runs there are."""
_RUN = np.dtype("<u4")
_MOST_BYTES = 2**30
"""Unpacked: a few bytes may stand for any number of them."""
_REMEMBERED = 1024
"""Packs that stay unpacked, some 20 MB: who reads one mask reads its neighbours."""


@dataclass(frozen=True)
class PackedMasks(Sequence[Mask]):
    """Masks of some nuclei that were found together.

    To read one raises `RecordError` where the bytes are not what `of` writes.
    """

    data: bytes
    """Compressed by zlib: the frames of all, little-endian int64, then their runs, uint32."""
    size: int
    """How many there are."""

    @classmethod
    def of(cls, masks: Iterable[Mask]) -> PackedMasks:
        """Pack masks."""
        masks = tuple(masks)
        frames = [(m.x0_px, m.y0_px, m.height_px, m.width_px, len(m.counts)) for m in masks]
        runs = [count for m in masks for count in m.counts]
        raw = np.array(frames, dtype=_FRAME).tobytes() + np.array(runs, dtype=_RUN).tobytes()
        return cls(zlib.compress(raw, 1), len(masks))

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, at: int) -> Mask: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Mask, ...]: ...
    def __getitem__(self, at: int | slice) -> Mask | tuple[Mask, ...]:
        if isinstance(at, slice):
            return tuple(self[i] for i in range(self.size)[at])
        frames, runs, ends = _unpacked(self.data, self.size)
        x0_px, y0_px, height_px, width_px, length = frames[at].tolist()
        end = int(ends[at])
        return Mask(x0_px, y0_px, height_px, width_px, tuple(runs[end - length : end].tolist()))

    @property
    def boxes_px(self) -> NDArray[np.int64]:
        """Crop of each from corner to corner: x0, y0, x1, y1, shape (N, 4); no mask is made."""
        x0, y0, height, width = _unpacked(self.data, self.size)[0][:, :4].T
        return np.column_stack((x0, y0, x0 + width, y0 + height))

    def to_bytes(self, wanted: Sequence[int]) -> list[bytes]:
        """What `Mask.to_bytes` gives for some of them; no mask is made."""
        frames, runs, ends = _unpacked(self.data, self.size)
        frames, ends = frames[wanted], ends[wanted]
        heads, tails = frames[:, :4].tobytes(), runs.astype(_FRAME).tobytes()
        step, item = 4 * _FRAME.itemsize, _FRAME.itemsize
        starts, ends = (ends - frames[:, 4]) * item, ends * item
        return [
            heads[at * step : (at + 1) * step] + tails[start:end]
            for at, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
        ]


@lru_cache(maxsize=_REMEMBERED)
def _unpacked(
    data: bytes, size: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
    """The frames of masks, shape (N, 5), the runs of all, and where those of each end."""
    decompress = zlib.decompressobj()
    try:
        raw = decompress.decompress(data, _MOST_BYTES)
        cut = size * 5 * _FRAME.itemsize
        frames = np.frombuffer(raw[:cut], dtype=_FRAME).reshape(size, 5)
        runs = np.frombuffer(raw[cut:], dtype=_RUN)
        lengths = frames[:, 4]
        if not decompress.eof or (lengths < 0).any() or lengths.sum() != len(runs):
            raise ValueError("their runs are cut off")
    except (zlib.error, ValueError) as error:
        raise RecordError(
            f"{size} masks cannot be unpacked ({error}). Restore them from a copy."
        ) from error
    return frames, runs, np.cumsum(lengths)
