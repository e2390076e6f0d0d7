"""The next-point detector: a checkpoint that points at nuclei while it decodes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_nunext.core.codec import TOKENS_PER_POINT
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.models.checkpoint import checkpoint_sha256
from napari_nunext.models.detector import WindowEnd, WindowPoints
from napari_nunext.models.generate import DecodeStep, decode_batch, last_position
from napari_nunext.models.loading import LoadedCheckpoint, load_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.detector import DetectorInfo, WindowEvent

logger = logging.getLogger(__name__)

CONFIDENCE_RADIUS_UM = 1.5
"""Probability within this distance of the chosen bin, along each axis, speaks for the point.

Half the customary matching radius. Soft supervision (NuNext, Eq. 7) spreads a sure model's mass
over the neighbouring bins, so the chosen bin's own probability says little.
"""

BATCHES = {"cpu": (4, 16), "cuda": (64, 64)}
"""Windows in the first batch and in those after it, by kind of device.

Reading the prompts of a batch comes before its first point: on a CPU, a small first batch shows
points three times sooner. 64 windows of 400 tokens cost a 3B model 1 GB for its cache.
"""


class NextPointDetector:
    """A `napari_nunext.models.detector.Detector` made of a checkpoint.

    Decoding is greedy. The confidence of a point is **ours**, not the paper's: the probability mass
    of x within `CONFIDENCE_RADIUS_UM` of the chosen bin, times that of y, times one minus the
    probability of the end where the end was the alternative to the point. Soft-maxes run over the
    tokens that the grammar allows. The category does not enter.

    A model that repeats a point of the same window (same bins) is not heard twice.

    Parameters
    ----------
    folder : Path
        A detector's checkpoint.
    device : str, optional
        The first CUDA device, else the CPU, when None.
    windows_at_once : int, optional
        Size of every batch; `BATCHES` when None. When the GPU's memory does not hold a batch, the
        detector goes on with half.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be served.
    """

    def __init__(
        self, folder: Path, device: str | None = None, *, windows_at_once: int | None = None
    ) -> None:
        self._set(
            load_checkpoint(folder, device=device), checkpoint_sha256(folder), windows_at_once
        )

    @classmethod
    def from_loaded(
        cls, checkpoint: LoadedCheckpoint, *, windows_at_once: int | None = None
    ) -> NextPointDetector:
        """Detector over a model in memory, one in training for example: it has no content hash."""
        detector = cls.__new__(cls)
        detector._set(checkpoint, None, windows_at_once)
        return detector

    def _set(
        self, checkpoint: LoadedCheckpoint, sha256: str | None, windows_at_once: int | None
    ) -> None:
        self._checkpoint = checkpoint
        self._first_batch, self._batch = (
            (windows_at_once, windows_at_once)
            if windows_at_once is not None
            else BATCHES.get(checkpoint.device.type, BATCHES["cpu"])
        )
        self._info = checkpoint.description.info(
            sha256,
            strategy="greedy",
            dtype=str(checkpoint.model.dtype).removeprefix("torch."),
            confidence_radius_um=CONFIDENCE_RADIUS_UM,
            repeats="dropped",
        )

    @property
    def info(self) -> DetectorInfo:
        """What this detector is."""
        return self._info

    def detect(
        self, windows: Sequence[NDArray[np.uint8]], *, cancelled: Callable[[], bool]
    ) -> Iterator[WindowEvent]:
        """Find the nuclei of each window; see `Detector.detect`.

        Raises
        ------
        InputError
            If a window has not the checkpoint's size.
        """
        codec = self._checkpoint.description.codec
        replies = [_Reply(i, codec) for i in range(len(windows))]
        start = 0
        while start < len(windows) and not cancelled():
            size = min(self._batch, self._first_batch if start == 0 else self._batch)
            batch = replies[start : start + size]
            try:
                yield from self._decode([windows[r.window] for r in batch], batch, cancelled)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                # Points sent before are known when they come again: repeats are dropped.
                self._batch = len(batch) // 2
                logger.warning("out of memory; going on with %d windows at once", self._batch)
                for reply in batch:
                    reply.restart()
                continue
            start += len(batch)

    def _decode(
        self,
        windows: Sequence[NDArray[np.uint8]],
        replies: Sequence[_Reply],
        cancelled: Callable[[], bool],
    ) -> Iterator[WindowEvent]:
        checkpoint = self._checkpoint
        codec, max_points = checkpoint.description.codec, checkpoint.description.max_points
        steps = decode_batch(
            checkpoint.model,
            checkpoint.windows(windows, checkpoint.device),
            codec,
            checkpoint.family,
            max_points=max_points,
            cancelled=cancelled,
        )
        last = last_position(codec, max_points)
        radius_bins = max(
            1, round(CONFIDENCE_RADIUS_UM / (codec.bin_px * checkpoint.description.mpp))
        )
        for step in steps:
            sureness = _sureness(step, codec, radius_bins)
            for row, token, sure in zip(
                step.rows.tolist(), step.token_ids.tolist(), sureness.tolist(), strict=True
            ):
                yield from replies[row].take(
                    step.position, token, sure, is_last=step.position == last
                )


def _sureness(step: DecodeStep, codec: Codec, radius_bins: int) -> torch.Tensor:
    """What this step contributes to the confidence of a point, a factor for each row, shape (n,).

    At a coordinate, the probability within `radius_bins` of the chosen bin; after a point, that of
    not ending; at a category, 1.
    """
    ended = step.allowed_ids == codec.end_id
    if codec.phase_at(step.position) == "after":
        return 1 - step.probabilities[:, ended].sum(dim=1)
    near = (step.allowed_ids - step.token_ids[:, None]).abs() <= radius_bins
    return (step.probabilities * (near & ~ended)).sum(dim=1)


class _Reply:
    """One window's reply as it is read: turns tokens into events."""

    def __init__(self, window: int, codec: Codec) -> None:
        self.window = window
        self._codec = codec
        self._sent: set[tuple[int, int]] = set()
        self._ended = False
        self.restart()

    def restart(self) -> None:
        """Begin the reply anew; what was sent stays sent."""
        self._tokens: list[int] = []
        self._confidence = 1.0

    def take(
        self, position: int, token: int, sureness: float, *, is_last: bool
    ) -> Iterator[WindowEvent]:
        """Read the next token; yield the point it completes, and the end of the window."""
        codec, phase = self._codec, self._codec.phase_at(position)
        self._tokens.append(token)
        ended = token == codec.end_id
        if not ended:
            self._confidence *= sureness
            if codec.has_categories and phase == "after":
                yield from self._point(codec.category_names[codec.category_ids.index(token)])
            elif phase == "y" and not codec.has_categories:
                yield from self._point(UNCATEGORISED)
        if (ended or is_last) and not self._ended:
            self._ended = True
            yield WindowEnd(self.window, "end" if ended else "limit", len(self._tokens))

    def _point(self, category: str) -> Iterator[WindowEvent]:
        """The point of the last x and y, unless this window had it already."""
        start = (len(self._tokens) - 1) // TOKENS_PER_POINT * TOKENS_PER_POINT
        x, y = (
            token - self._codec.coordinate_start_id for token in self._tokens[start : start + 2]
        )
        confidence, self._confidence = min(self._confidence, 1.0), 1.0
        if (x, y) not in self._sent:
            self._sent.add((x, y))
            points_xy = self._codec.to_points(np.array([(x, y)]))
            yield WindowPoints(self.window, points_xy, (category,), (confidence,))
