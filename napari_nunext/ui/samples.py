"""Sample data: tissue from scikit-image, tissue that is downloaded once, and drawn tissue."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import ImageError
from napari_nunext.places import user_folder
from napari_nunext.ui.layers import placement

if TYPE_CHECKING:
    from napari_nunext.synthetic import SyntheticTile

IHC_MPP = 0.5
"""Assumed. The nuclei of scikit-image's tile measure some 14 px across, a lymphocyte 7 um."""

SKIN_MPP = 1.0
"""Assumed. The tile was taken through a 10x objective."""
SKIN_URL = (
    "https://gitlab.com/scikit-image/data/-/raw/2cdc5ce89b334d28f06a58c9f0ca21aa6992a5ba/"
    "Normal_Epidermis_and_Dermis_with_Intradermal_Nevus_10x.JPG"
)
SKIN_SHA256 = "8759fe080509712163453f4b17106582b8513e73b0788d80160abf840e272075"
DOWNLOAD_TIMEOUT_S = 10

SYNTHETIC_MPP = 0.5
SYNTHETIC_SIDE_PX = 768
SYNTHETIC_SEED = 9
"""Shows nests with lumens, an infiltrate, and fibres with gaps."""

SOURCE_KEY = "nunext_path"
"""Metadata of a layer that names the file it shows."""


def ihc_path() -> Path:
    """The tile as a file: it comes with scikit-image."""
    return Path(str(files("skimage.data") / "ihc.png"))


def skin_path() -> Path:
    """Skin stained with haematoxylin and eosin, 10x, as a file; downloaded on first use.

    The tile of scikit-image's data repository (Kilbad, public domain), checked by its SHA-256.

    Raises
    ------
    ImageError
        If it is not here and cannot be downloaded, or arrives damaged.
    """
    import pooch

    try:
        return Path(
            pooch.retrieve(
                SKIN_URL,
                known_hash=f"sha256:{SKIN_SHA256}",
                path=user_folder() / "samples",
                fname="skin-he-10x.jpg",
                downloader=pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S),
            )
        )
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash is a value
        raise ImageError(
            "The H&E sample could not be downloaded. Connect to the internet and try again, or "
            "open the immunohistochemistry sample, which needs no download."
        ) from error


def ihc_sample() -> list[tuple[np.ndarray, dict[str, Any], str]]:
    """Colon stained with diaminobenzidine (brown) and haematoxylin (blue), 512 x 512 px."""
    return _as_layer(ihc_path(), "Immunohistochemistry tile", IHC_MPP)


def skin_sample() -> list[tuple[np.ndarray, dict[str, Any], str]]:
    """Skin stained with haematoxylin and eosin, 1280 x 960 px."""
    return _as_layer(skin_path(), "H&E tile (skin)", SKIN_MPP)


def synthetic_path() -> Path:
    """The drawn tile as a file, written on first use.

    A file, so that it can be reviewed like any other image. The name holds what it was drawn from.
    """
    from skimage.io import imsave

    name = f"synthetic-he-{SYNTHETIC_SIDE_PX}px-seed{SYNTHETIC_SEED}.png"
    path = user_folder() / "samples" / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f"{path.stem}-{os.getpid()}.part.png")
        imsave(written, draw_synthetic().rgb, check_contrast=False)
        written.replace(path)
    return path


def draw_synthetic() -> SyntheticTile:
    """The drawn tile, with every nucleus in it."""
    from napari_nunext.synthetic import synthesise

    side, rng = SYNTHETIC_SIDE_PX, np.random.default_rng(SYNTHETIC_SEED)
    return synthesise(rng, height_px=side, width_px=side, mpp=SYNTHETIC_MPP)


def synthetic_sample() -> list[tuple[np.ndarray, dict[str, Any], str]]:
    """Drawn tissue with haematoxylin and eosin, 768 x 768 px."""
    return _as_layer(synthetic_path(), "Synthetic H&E tile", SYNTHETIC_MPP)


def _as_layer(path: Path, name: str, mpp: float) -> list[tuple[np.ndarray, dict[str, Any], str]]:
    from skimage.io import imread

    kwargs = {"name": name, "rgb": True, "metadata": {SOURCE_KEY: str(path)}, **placement(mpp)}
    return [(imread(path)[..., :3], kwargs, "image")]
