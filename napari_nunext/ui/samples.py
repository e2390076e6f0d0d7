"""Sample data: real tissue that needs no download."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from napari_nunext.ui.layers import placement

IHC_MPP = 0.5
"""Assumed. The nuclei of scikit-image's tile measure some 14 px across, a lymphocyte 7 um."""

SOURCE_KEY = "nunext_path"
"""Metadata of a layer that names the file it shows."""


def ihc_path() -> Path:
    """The tile as a file: it comes with scikit-image."""
    return Path(str(files("skimage.data") / "ihc.png"))


def ihc_sample() -> list[tuple[np.ndarray, dict[str, Any], str]]:
    """Colon stained with diaminobenzidine (brown) and haematoxylin (blue), 512 x 512 px."""
    from skimage.io import imread

    path = ihc_path()
    kwargs = {
        "name": "Immunohistochemistry tile",
        "rgb": True,
        "metadata": {SOURCE_KEY: str(path)},
        **placement(IHC_MPP),
    }
    return [(imread(path)[..., :3], kwargs, "image")]
