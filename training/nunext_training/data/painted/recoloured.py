"""Tissue of any stain in the colours of H&E, so that a parent can be asked what it sees there.

An affine map of red, green and blue takes colours to where those of H&E lie: their mean, how they
spread, and which way nuclei differ from what is around them. Where nuclei are is known, so dark and
bright come right whatever the stain. What is left open, a turn about that way, is drawn: reds and
blues of several laboratories that never were. The tissue is real, as drawn tissue is not. **Ours**.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.images.tile import tile_of_rgb
from nunext_training.data.labelled import known_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.images import Tile
    from nunext_training.data.labelled import LabelledImage

NUCLEUS_UM, ELSEWHERE_UM = 2.0, 6.0
"""So near to a centre a pixel is a nucleus', and from so far on it is none's."""
PIXELS_MIN = 50
"""Of each kind: an image with fewer says nothing of its colours."""
_SPREAD_MIN = 0.003
"""Least deviation of a colour: one that does not vary is not stretched to one that does."""


@dataclass(frozen=True, eq=False, slots=True)
class Colours:
    """Where colours lie, red, green and blue from 0 to 1; nuclei count as much as all the rest."""

    mean: NDArray[np.float64]
    """Shape (3,)."""
    covariance: NDArray[np.float64]
    """Shape (3, 3)."""
    to_nuclei: NDArray[np.float64]
    """From the mean of the rest to the mean of nuclei, shape (3,)."""


def _known(
    mean: Sequence[float], spread: Sequence[Sequence[float]], nuclei: Sequence[float]
) -> Colours:
    return Colours(np.array(mean), np.array(spread), np.array(nuclei))


H_AND_E = (
    _known(
        (0.539, 0.370, 0.537),
        ((0.046, 0.040, 0.033), (0.040, 0.039, 0.032), (0.033, 0.032, 0.027)),
        (-0.333, -0.274, -0.226),
    ),
    _known(
        (0.665, 0.556, 0.806),
        ((0.033, 0.034, 0.020), (0.034, 0.037, 0.021), (0.020, 0.021, 0.017)),
        (-0.265, -0.276, -0.162),
    ),
    _known(
        (0.657, 0.483, 0.644),
        ((0.044, 0.038, 0.027), (0.038, 0.037, 0.026), (0.027, 0.026, 0.020)),
        (-0.320, -0.266, -0.182),
    ),
)
"""Means over the training tiles of BRCA-M2C that come from each of three hospitals (A7, A8 and AC:
28, 33 and 14 tiles). Figures, no pixels."""


def colours_of(rgb: NDArray[np.uint8], points_xy: PointsXY, *, mpp: float) -> Colours | None:
    """Where the colours of an image lie whose nuclei are known.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    points_xy : ndarray, shape (N, 2)
        Centres of all nuclei, px.
    mpp : float
        Micrometres per pixel.

    Returns
    -------
    Colours or None
        None where there are too few pixels of nuclei, or of anything else.
    """
    height, width = rgb.shape[:2]
    x, y = np.floor(points_xy).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    there = np.ones((height, width), dtype=bool)
    there[y[inside], x[inside]] = False
    if there.all():
        return None
    apart_um = scipy.ndimage.distance_transform_edt(there) * mpp
    parts = [rgb[apart_um < NUCLEUS_UM] / 255, rgb[apart_um > ELSEWHERE_UM] / 255]
    if min(map(len, parts)) < PIXELS_MIN:
        return None
    nuclei, rest = (part.mean(axis=0) for part in parts)
    mean = (nuclei + rest) / 2
    spread = sum((part - mean).T @ (part - mean) / len(part) for part in parts) / 2
    return Colours(mean, np.asarray(spread), nuclei - rest)


def mixed_h_and_e(rng: np.random.Generator) -> Colours:
    """Colours of H&E between those of the laboratories."""
    shares = rng.dirichlet(np.full(len(H_AND_E), 0.6))
    means, spreads, ways = (
        np.tensordot(shares, np.stack(values), 1)
        for values in zip(*((c.mean, c.covariance, c.to_nuclei) for c in H_AND_E), strict=True)
    )
    return Colours(means, spreads, ways)


@dataclass(frozen=True, eq=False, slots=True)
class Recolouring:
    """An affine map of colours: the same wherever in an image, so nuclei stay what they are."""

    matrix: NDArray[np.float32]
    """Shape (3, 3)."""
    offset: NDArray[np.float32]
    """Shape (3,), grey levels."""

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pixels in other colours, shape (H, W, 3)."""
        made = rgb.astype(np.float32) @ self.matrix.T + self.offset
        pixels: NDArray[np.uint8] = np.clip(np.rint(made), 0, 255).astype(np.uint8)
        return pixels


def recolouring(
    found: Colours, wanted: Colours, *, turn_rad: float = 0.0, mirrored: bool = False
) -> Recolouring:
    """What takes colours to where others lie.

    Parameters
    ----------
    found, wanted : Colours
        Of an image, and of what it is to look like.
    turn_rad : float
        How colours are turned about the way to nuclei, where their spread is taken out.
    mirrored : bool
        Whether the two directions beside that way change hands.
    """
    out_of, into = _power(found.covariance, -0.5), _power(wanted.covariance, 0.5)
    before = _around(out_of @ found.to_nuclei)
    after = _around(_power(wanted.covariance, -0.5) @ wanted.to_nuclei, turn_rad, mirrored)
    matrix = into @ after.T @ before @ out_of
    offset = 255 * (wanted.mean - matrix @ found.mean)
    return Recolouring(matrix.astype(np.float32), offset.astype(np.float32))


class ColoursOfHAndE:
    """Recolourings of labelled images, several of each.

    Parameters
    ----------
    images : sequence of LabelledImage
        Those that tell nothing of their colours are left out, and those in which only some
        categories were searched for.
    each : int
        Recolourings of an image.
    seed : int
        They are a function of it and of the image's name.
    """

    def __init__(self, images: Sequence[LabelledImage], *, each: int, seed: int) -> None:
        self._of: dict[str, tuple[Recolouring, ...]] = {}
        known: list[LabelledImage] = []
        for image in known_whole(images):
            found = colours_of(_pixels(image), image.points_xy, mpp=image.mpp)
            if found is not None:
                rng = np.random.default_rng(
                    [seed, zlib.crc32(image.name.encode(errors="surrogatepass"))]
                )
                self._of[image.name] = tuple(_drawn(rng, found) for _ in range(each))
                known.append(image)
        self.images = tuple(known)
        """Those that can be recoloured."""

    def of(self, name: str, number: int) -> Recolouring | None:
        """One of an image's, counted round; None for an image that has none."""
        ways = self._of.get(name, ())
        return ways[number % len(ways)] if ways else None

    def tiles(self) -> tuple[LabelledImage, ...]:
        """The images in all their colours, each opened when it is asked for."""
        return tuple(
            _in_colours(image, number, way)
            for image in self.images
            for number, way in enumerate(self._of[image.name])
        )


def _drawn(rng: np.random.Generator, found: Colours) -> Recolouring:
    turn_rad, mirrored = float(rng.uniform(0, 2 * np.pi)), bool(rng.random() < 0.5)
    return recolouring(found, mixed_h_and_e(rng), turn_rad=turn_rad, mirrored=mirrored)


def _pixels(image: LabelledImage) -> NDArray[np.uint8]:
    return image.open().rgb


def _in_colours(image: LabelledImage, number: int, way: Recolouring) -> LabelledImage:
    name, path = image.named_with(f"-he{number}")

    def opened() -> Tile:
        return tile_of_rgb(way(_pixels(image)), name)

    return replace(image, name=name, path=path, image_sha256=None, rollout=None, opener=opened)


def _power(covariance: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    raised: NDArray[np.float64] = (
        vectors * np.maximum(values, _SPREAD_MIN**2) ** exponent
    ) @ vectors.T
    return raised


def _around(
    way: NDArray[np.float64], turn_rad: float = 0.0, mirrored: bool = False
) -> NDArray[np.float64]:
    """Three directions at right angles (rows), the first of which is `way`."""
    first = way / max(float(np.linalg.norm(way)), 1e-9)
    second = np.cross(first, np.eye(3)[np.argmin(np.abs(first))])
    second /= np.linalg.norm(second)
    third = np.cross(first, second)
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    hand = -1 if mirrored else 1
    return np.stack([first, cos * second + sin * third, hand * (cos * third - sin * second)])
