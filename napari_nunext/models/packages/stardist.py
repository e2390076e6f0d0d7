"""StarDist 0.9 with its H&E model, ``2D_versatile_he``, as a label model.

The model was trained on H&E at 40x (MoNuSeg and TNBC), 0.25 um per pixel, in grey values from 0 to
1. Its examples scale either by percentiles or, for images read in blocks, by the range of the data
type; the latter is done here, so that neighbouring windows agree.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.models.packages.labelling import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

MPP = 0.25
WINDOW_PX = 512
MODEL = "2D_versatile_he"
FETCH = (
    f"python -c \"from stardist.models import StarDist2D; StarDist2D.from_pretrained('{MODEL}')\""
)


def find_weights() -> Path | None:
    """The folder of the model that StarDist has downloaded, if it has.

    Keras unpacks it below ``models/StarDist2D`` in its cache; in which folder depends on its
    version.
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    for config in sorted((home / "models" / "StarDist2D" / MODEL).rglob("config.json")):
        if any(config.parent.glob("*.h5")):
            return config.parent
    return None


class StarDistModel:
    """Labels of StarDist.

    Parameters
    ----------
    folder : Path
        Of a 2D model for RGB: ``config.json``, weights and, to be exact, ``thresholds.json``.
    """

    def __init__(self, folder: Path) -> None:
        from stardist.models import StarDist2D

        self._model: Any = StarDist2D(None, name=folder.name, basedir=str(folder.parent))

    def __call__(self, rgb: NDArray[np.uint8]) -> Labels:
        """The instances of an image; the confidence is the object probability of each."""
        labels, details = self._model.predict_instances(
            rgb.astype(np.float32) / 255.0, axes="YXC", show_tile_progress=False
        )
        return Labels(
            np.asarray(labels, dtype=np.int32), np.asarray(details["prob"], dtype=np.float64)
        )
