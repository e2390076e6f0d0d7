"""The next-point detector: a checkpoint that points at nuclei while it decodes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from napari_nunext.models.checkpoint import checkpoint_sha256
from napari_nunext.models.generate import decode_batch, last_position
from napari_nunext.models.loading import LoadedCheckpoint, load_checkpoint
from napari_nunext.models.replies import (
    CONFIDENCE_RADIUS_UM,
    ReplyReader,
    confidence_radius_bins,
    sureness,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.models.detector import DetectorInfo, WindowEvent

logger = logging.getLogger(__name__)

BATCHES = {"cpu": (4, 16), "cuda": (64, 64)}
"""Windows in the first batch and in those after it, by kind of device.

Reading the prompts of a batch comes before its first point: on a CPU, a small first batch shows
points three times sooner. 64 windows of 400 tokens cost a 3B model 1 GB for its cache.
"""


class NextPointDetector:
    """A `napari_nunext.models.detector.Detector` made of a checkpoint.

    Decoding is greedy. What its tokens mean, and how sure they are, is in
    `napari_nunext.models.replies`.

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
        replies = [ReplyReader(i, codec) for i in range(len(windows))]
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
        replies: Sequence[ReplyReader],
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
        radius_bins = confidence_radius_bins(codec, checkpoint.description.mpp)
        for step in steps:
            sure_of = sureness(
                step.probabilities,
                step.allowed_ids,
                step.token_ids,
                codec,
                step.position,
                radius_bins,
            )
            for row, token, sure in zip(
                step.rows.tolist(), step.token_ids.tolist(), sure_of.tolist(), strict=True
            ):
                yield from replies[row].take(
                    step.position, token, sure, is_last=step.position == last
                )
