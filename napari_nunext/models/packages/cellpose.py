"""Cellpose 4 (Cellpose-SAM) as a label model.

Its network takes cells of 7 to 120 pixels across and has no scale of its own; it is run at 0.25 um
per pixel, where nuclei of 6 to 12 um come near the 30 pixels that earlier versions were made for.
It scales grey values by percentiles of what it is given, here of one window. It outlines what it
takes for a cell, which on H&E is mostly the nucleus.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_nunext.models.packages.labelling import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

MPP = 0.25
WINDOW_PX = 512
WEIGHTS = ("cpsam_v2", "cpsam")
"""Files that Cellpose downloads, the newest first."""
FETCH = "python -c 'from cellpose import models; models.CellposeModel()'"


def find_weights() -> Path | None:
    """The file of weights that Cellpose has downloaded, if it has."""
    chosen = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    folder = Path(chosen) if chosen else Path.home() / ".cellpose" / "models"
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


class CellposeModel:
    """Labels of Cellpose.

    Parameters
    ----------
    weights : Path
        A file of its weights: its own, or fine-tuned ones. A path that exists is never downloaded.
    device : str, optional
        As torch names it; a GPU where there is one, when None.
    """

    def __init__(self, weights: Path, *, device: str | None = None) -> None:
        import torch
        from cellpose import models

        self._model: Any = models.CellposeModel(
            gpu=device is None,
            pretrained_model=str(weights),
            device=None if device is None else torch.device(device),
            # On CPUs without bfloat16 instructions it is many times slower.
            use_bfloat16=device != "cpu" and torch.cuda.is_available(),
        )

    def __call__(self, rgb: NDArray[np.uint8]) -> Labels:
        """The instances of an image; the confidence is the mean probability of a mask's pixels."""
        masks, flows, _ = self._model.eval(rgb, channel_axis=2)
        labels = np.asarray(masks, dtype=np.int32)
        probability = 1.0 / (1.0 + np.exp(-np.asarray(flows[2], dtype=np.float64)))
        numbers = np.arange(1, int(labels.max(initial=0)) + 1)
        confidence = (
            scipy.ndimage.mean(probability, labels, numbers) if len(numbers) else np.empty(0)
        )
        return Labels(labels, np.nan_to_num(np.asarray(confidence, dtype=np.float64)))
