"""Sample data: tissue from scikit-image, tissue that is downloaded once, and drawn tissue."""

from __future__ import annotations

import logging
import os
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import ImageError
from napari_nunext.core.stains.telling import categories_under
from napari_nunext.places import user_folder
from napari_nunext.ui.canvas.layers import placement
from napari_nunext.ui.widgets.model_tip import trained_on

if TYPE_CHECKING:
    from PIL.Image import Image

    from napari_nunext.serving.protocol import ModelInfo
    from napari_nunext.synthetic import SyntheticTile

logger = logging.getLogger(__name__)

IHC_MPP = 0.5
"""Assumed. The nuclei of scikit-image's tile measure some 14 px across, a lymphocyte 7 um."""

SKIN_MPP = 1.0
"""Assumed. The tile was taken through a 10x objective."""
SKIN_URL = (
    "https://gitlab.com/scikit-image/data/-/raw/2cdc5ce89b334d28f06a58c9f0ca21aa6992a5ba/"
    "Normal_Epidermis_and_Dermis_with_Intradermal_Nevus_10x.JPG"
)
SKIN_SHA256 = "8759fe080509712163453f4b17106582b8513e73b0788d80160abf840e272075"
DOWNLOAD_LIMIT_S = 8.0
"""For all of it; then drawn tissue stands in."""
SILENCE_LIMIT_S = 4.0
"""For the connection, and between two pieces."""

SYNTHETIC_MPP = 0.5
SYNTHETIC_SIDE_PX = 768
SYNTHETIC_SEED = 9
"""Shows nests with lumens, an infiltrate, and fibres with gaps."""

SOURCE_KEY = "nunext_path"
"""Metadata of a layer that names the file it shows."""


def first_sample() -> Path:
    """H&E, on which the model is at its best: real where it is here or comes in time, else drawn.

    The download may take some seconds: not for the main thread.
    """
    try:
        return skin_path()
    except ImageError as error:
        logger.info("drawn tissue stands in for the real one: %s", error.__cause__)
        return synthetic_path()


def all_samples() -> list[Path]:
    """The samples in their order: H&E first, then immunohistochemistry, then the drawn tissue."""
    return list(dict.fromkeys([first_sample(), ihc_path(), synthetic_path()]))


def about_sample(path: Path, model: ModelInfo | None) -> str:
    """What a sample shows, whose it is, and what the chosen model can do there; empty for others.

    Parameters
    ----------
    path : Path
        Of any image.
    model : ModelInfo, optional
        The detector that is chosen.
    """
    if path == synthetic_path(written=False):
        return "This tissue is drawn, not real: it needs no download, and all its nuclei are known."
    if path == _skin_tiff():
        return (
            "Skin, haematoxylin and eosin, 10x objective, about 1 um/px. By Kilbad, public domain, "
            "from scikit-image's data; downloaded once and kept."
        )
    if path != ihc_path():
        return ""
    words = "Immunohistochemistry (brown: diaminobenzidine), from scikit-image."
    if model is None:
        return words
    if not model.categories:
        return f"{words} {model.name} points at nuclei here and tells no categories."
    if among := categories_under("H-DAB", [category.name for category in model.categories]):
        called = " or ".join(name.lower() for name in among)
        return f"{words} {model.name} sees that in its colours, and calls nuclei {called}."
    learnt_on = trained_on(model)
    if not learnt_on:
        return words
    words += f" {model.name} learnt on {learnt_on}: it points at the nuclei here, but what it calls"
    words += " them may mean little."
    return words


def states_scale(path: Path) -> bool:
    """Whether a file is a sample whose scale we wrote into it: no microscope said so."""
    return path in (_skin_tiff(), synthetic_path(written=False))


def ihc_path() -> Path:
    """The tile as a file: it comes with scikit-image."""
    return Path(str(files("skimage.data") / "ihc.png"))


def skin_path() -> Path:
    """Skin stained with haematoxylin and eosin, 10x, as a file; downloaded on first use.

    The tile of scikit-image's data repository (Kilbad, public domain), checked by its SHA-256, and
    kept as a TIFF that says its scale.

    Raises
    ------
    ImageError
        If it is not here and cannot be downloaded in time, or arrives damaged.
    """
    path = _skin_tiff()
    if path.is_file():
        return path
    import pooch
    from PIL import Image

    try:
        jpeg = pooch.retrieve(
            SKIN_URL,
            known_hash=f"sha256:{SKIN_SHA256}",
            path=path.parent,
            fname="skin-he-10x.jpg",
            downloader=_download,
        )
        with Image.open(jpeg) as image:
            _save(path, image, mpp=SKIN_MPP)
    except (OSError, ValueError) as error:  # a wrong hash is a value
        raise ImageError(
            "The H&E sample could not be downloaded. Connect to the internet and try again, or "
            "open the immunohistochemistry sample, which needs no download."
        ) from error
    Path(jpeg).unlink(missing_ok=True)
    return path


def _skin_tiff() -> Path:
    return user_folder() / "samples" / "skin-he-10x.tif"


def _download(url: str, output_file: str, _: object) -> None:
    """Pooch's downloader, with a limit for all of it: a slow network is none.

    Raises
    ------
    OSError
        If it fails or takes too long.
    """
    import httpx

    deadline = time.monotonic() + DOWNLOAD_LIMIT_S
    try:
        with (
            httpx.stream("GET", url, timeout=SILENCE_LIMIT_S, follow_redirects=True) as reply,
            Path(output_file).open("wb") as file,
        ):
            reply.raise_for_status()
            for piece in reply.iter_bytes():
                file.write(piece)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it took longer than {DOWNLOAD_LIMIT_S:g} s")
    except httpx.HTTPError as error:
        raise ConnectionError(str(error)) from error


def _save(path: Path, image: Image, *, mpp: float) -> None:
    """Write an image that says its scale; whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.stem}-{os.getpid()}.part{path.suffix}")
    if path.suffix == ".tif":
        image.save(written, resolution=1e4 / mpp, resolution_unit=3, compression="tiff_lzw")
    else:
        image.save(written, dpi=(25_400 / mpp, 25_400 / mpp))
    written.replace(path)


def ihc_sample() -> list[tuple[np.ndarray, dict[str, Any], str]]:
    """Colon stained with diaminobenzidine (brown) and haematoxylin (blue), 512 x 512 px."""
    return _as_layer(ihc_path(), "Immunohistochemistry tile", IHC_MPP)


def skin_sample() -> list[tuple[np.ndarray, dict[str, Any], str]]:
    """Skin stained with haematoxylin and eosin, 1280 x 960 px."""
    return _as_layer(skin_path(), "H&E tile (skin)", SKIN_MPP)


def synthetic_path(*, written: bool = True) -> Path:
    """The drawn tile as a file that says its scale; written on first use, unless not `written`.

    A file, so that it can be reviewed like any other image. The name holds what it was drawn from.
    """
    name = f"drawn-he-{SYNTHETIC_SIDE_PX}px-seed{SYNTHETIC_SEED}.png"
    path = user_folder() / "samples" / name
    if written and not path.is_file():
        from PIL import Image

        _save(path, Image.fromarray(draw_synthetic().rgb), mpp=SYNTHETIC_MPP)
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
