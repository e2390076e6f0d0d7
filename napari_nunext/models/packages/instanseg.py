"""InstanSeg 0.1 with its model ``brightfield_nuclei`` as a label model.

The model works at 0.5 um per pixel and says so itself. It gives no probability of an instance:
each has confidence 1.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.models.packages.labelling import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

MPP = 0.5
WINDOW_PX = 512
MODEL = "brightfield_nuclei"
FETCH = f"python -c \"from instanseg import InstanSeg; InstanSeg('{MODEL}')\""


def find_weights() -> Path | None:
    """The newest model that InstanSeg has downloaded, if it has.

    Versions are compared number by number: 0.1.10 comes after 0.1.9.
    """
    chosen = os.environ.get("INSTANSEG_BIOIMAGEIO_PATH")
    if chosen:
        folder = Path(chosen)
    else:
        spec = find_spec("instanseg")
        if spec is None or spec.origin is None:
            return None
        folder = Path(spec.origin).parent / "bioimageio_models"
    files = (folder / MODEL).glob("*/instanseg.pt")
    return max(files, key=lambda file: _version(file.parent.name), default=None)


class InstanSegModel:
    """Labels of InstanSeg.

    Parameters
    ----------
    weights : Path
        A TorchScript file of InstanSeg. Given the network, InstanSeg downloads nothing.
    device : str, optional
        As torch names it; a GPU where there is one, when None.
    """

    def __init__(self, weights: Path, *, device: str | None = None) -> None:
        import torch
        from instanseg import InstanSeg

        network = torch.jit.load(str(weights), map_location="cpu")
        self._model: Any = InstanSeg(network, device=device, image_reader="skimage.io", verbosity=0)

    def __call__(self, rgb: NDArray[np.uint8]) -> Labels:
        """The nuclei of an image."""
        import torch

        with torch.no_grad():
            drawn = self._model.eval_small_image(
                rgb, pixel_size=MPP, return_image_tensor=False, target="nuclei"
            )
        labels = drawn.cpu().numpy().reshape(rgb.shape[:2]).astype(np.int32)
        return Labels(labels, np.ones(int(labels.max(initial=0))))


def _version(name: str) -> tuple[int, ...]:
    """Sorts versions, and what is none before all of them."""
    parts = name.lstrip("v").split(".")
    return tuple(int(part) for part in parts) if all(p.isdigit() for p in parts) else ()
