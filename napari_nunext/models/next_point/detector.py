"""The next-point detector: a checkpoint that points at nuclei while it decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import LoadedCheckpoint, load_checkpoint
from napari_nunext.models.detector import DetectsForOne
from napari_nunext.models.next_point.capacity import most_read, most_windows
from napari_nunext.models.next_point.drafts import choosing_points, points_read
from napari_nunext.models.next_point.pool import Pool
from napari_nunext.models.next_point.replies import CONFIDENCE_RADIUS_UM
from napari_nunext.models.next_point.second_look import categories_read

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from napari_nunext.models.detector import Caller, DetectorInfo, WindowEvent


class NextPointDetector(DetectsForOne):
    """A `napari_nunext.models.detector.SharedDetector` made of a checkpoint.

    Decoding is greedy. What its tokens mean, and how sure they are, is in
    `napari_nunext.models.next_point.replies`.

    Parameters
    ----------
    folder : Path
        A detector's checkpoint.
    device : str, optional
        As `napari_nunext.models.devices.choose_device`.
    dtype : torch.dtype, optional
        Of the weights; as `napari_nunext.models.checkpoints.loading.decoding_dtype` when None.
    windows_at_once : int, optional
        The most windows under way in a lane; what the device takes, by
        `napari_nunext.models.next_point.capacity`, when None. When memory does not hold them, the
        detector goes on with half.
    atomic : bool, optional
        Whether to decode with the checkpoint's head for atomic points; what the checkpoint says
        when None.
    between_bins : bool
        Place points where the probabilities around the likeliest bins have their mean, rather than
        in the middle of those bins.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be served.
    """

    def __init__(
        self,
        folder: Path,
        device: str | None = None,
        *,
        dtype: torch.dtype | None = None,
        windows_at_once: int | None = None,
        atomic: bool | None = None,
        between_bins: bool = False,
    ) -> None:
        checkpoint = load_checkpoint(folder, device=device, dtype=dtype, to_decode=True)
        checkpoint = choosing_points(checkpoint, atomic)
        self._set(checkpoint, checkpoint_sha256(folder), windows_at_once, between_bins)

    @classmethod
    def from_loaded(
        cls,
        checkpoint: LoadedCheckpoint,
        *,
        windows_at_once: int | None = None,
        atomic: bool | None = None,
        between_bins: bool = False,
    ) -> NextPointDetector:
        """Detector over a model in memory, one in training for example: it has no content hash."""
        detector = cls.__new__(cls)
        detector._set(choosing_points(checkpoint, atomic), None, windows_at_once, between_bins)
        return detector

    def _set(
        self,
        checkpoint: LoadedCheckpoint,
        sha256: str | None,
        windows_at_once: int | None,
        between_bins: bool,
    ) -> None:
        self._checkpoint = checkpoint
        self._most_windows = windows_at_once or most_windows(checkpoint)
        self._most_read = most_read(checkpoint)
        self._between_bins = between_bins
        self._pools: dict[Hashable, Pool] = {}
        self._info = checkpoint.description.info(
            sha256,
            strategy="greedy",
            device=checkpoint.device.type,
            dtype=str(checkpoint.model.dtype).removeprefix("torch."),
            position="expected" if between_bins else "bin",
            confidence_radius_um=CONFIDENCE_RADIUS_UM,
            repeats="dropped",
            **points_read(checkpoint),
            **categories_read(checkpoint),
        )

    @property
    def info(self) -> DetectorInfo:
        """What this detector is."""
        return self._info

    def detect_for(
        self,
        caller: Caller,
        windows: Sequence[NDArray[np.uint8]],
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[WindowEvent | None]:
        """Find the nuclei of each window beside other callers; see `SharedDetector.detect_for`.

        Raises
        ------
        InputError
            If a window has not the checkpoint's size.
        """
        if caller.lane not in self._pools:
            self._pools[caller.lane] = Pool(
                self._checkpoint,
                most_windows=self._most_windows,
                most_read=self._most_read,
                between_bins=self._between_bins,
            )
        pool = self._pools[caller.lane]
        member = pool.join(windows, caller)
        try:
            while not cancelled():
                if not (caller.has_news or member.finished):
                    pool.step()
                yield from member.news()
                if member.finished:
                    return
                yield None
        finally:
            pool.leave(member)
