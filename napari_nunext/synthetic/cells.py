"""One nucleus of each kind: its size, outline and chromatin.

Sizes are those of nuclei in sections at the scale of breast: lymphocytes 6 to 8 um across, tumour
and epithelial nuclei 7 to 14 um and oval, fibroblasts 9 to 20 um long and 3 to 6 um wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.synthetic.options import EPITHELIAL, LYMPHOCYTE, STROMAL

if TYPE_CHECKING:
    from napari_nunext.synthetic.fields import Field
    from napari_nunext.synthetic.scene import Scene

_HARMONICS = np.arange(2, 6, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Chromatin:
    """How a nucleus takes the stain, in units of a lymphocyte's haematoxylin."""

    body: float
    """Mean inside."""
    rim: float
    """More than that at the membrane."""
    clumps: float
    """Relative contrast of clumps of chromatin."""
    grains: float
    """Relative contrast of fine chromatin."""
    blur_um: float
    """How soft the outline is: nuclei lie at different depths of the section."""
    nucleoli: tuple[tuple[float, float, float], ...] = ()
    """Each (along, across, radius), um from the centre."""
    positive: float = 0.0
    """Diaminobenzidine."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One nucleus, in um of the grid."""

    category: str
    x_um: float
    y_um: float
    a_um: float
    """Semi-axis along `angle`."""
    b_um: float
    angle: float
    """Radians, y down."""
    bend: float
    """How far the ends bow aside, as a share of `a_um`."""
    lobes: tuple[complex, ...]
    """Of the outline's harmonics 2, 3, ...: amplitude and phase."""
    chromatin: Chromatin

    @property
    def reach_um(self) -> float:
        """No part lies further from the centre."""
        return (1 + sum(abs(lobe) for lobe in self.lobes)) * (1 + abs(self.bend)) * self.a_um

    @property
    def discs(self) -> tuple[tuple[float, float, float], ...]:
        """Discs (x, y, radius) that fill it roughly: one if round, three in a row if long."""
        if self.a_um < 1.3 * self.b_um:
            return ((self.x_um, self.y_um, float(np.sqrt(self.a_um * self.b_um))),)
        out = self.a_um - 0.8 * self.b_um
        dx, dy = out * np.cos(self.angle), out * np.sin(self.angle)
        return tuple(
            (self.x_um + side * dx, self.y_um + side * dy, radius * self.b_um)
            for side, radius in ((0.0, 1.0), (-1.0, 0.8), (1.0, 0.8))
        )

    def depth_um(self, x_um: Field, y_um: Field) -> tuple[Field, Field, Field]:
        """How deep inside the outline positions lie (negative outside), and where, in its axes.

        Returns
        -------
        depth_um, along_um, across_um : ndarray
            In the broadcast shape of `x_um` and `y_um`. The depth is exact at the outline and
            approximate elsewhere.
        """
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        dx, dy = x_um - np.float32(self.x_um), y_um - np.float32(self.y_um)
        along, across = cos * dx + sin * dy, cos * dy - sin * dx
        across = across - np.float32(self.bend / self.a_um) * (along**2 - self.a_um**2 / 3)
        place = along / np.float32(self.a_um) + np.complex64(1j / self.b_um) * across
        rho = np.abs(place)
        turned = direction = place / np.maximum(rho, np.float32(1e-6))
        outline = np.ones_like(rho)
        for coefficient in self.lobes:
            turned = turned * direction  # e^(i k phi), k = 2, 3, ...
            outline += (np.complex64(coefficient) * turned).real
        radius = np.hypot(along, across)
        scale = np.where(rho > 0.5, radius / np.maximum(rho, 0.5), np.float32(self.b_um))
        return (outline - rho) * scale, along, across


def draw_cell(
    rng: np.random.Generator, category: str, x_um: float, y_um: float, angle: float, scene: Scene
) -> Cell:
    """Draw a nucleus of a category at a place, along `angle` where it has a direction."""
    draw = {LYMPHOCYTE: _lymphocyte, EPITHELIAL: _epithelial, STROMAL: _stromal}[category]
    return draw(rng, x_um, y_um, angle, scene)


def _lobes(rng: np.random.Generator, strength: float) -> tuple[complex, ...]:
    amplitudes = rng.normal(0, strength, len(_HARMONICS)) / _HARMONICS**2 * 4
    phases = rng.uniform(0, 2 * np.pi, len(_HARMONICS))
    return tuple((amplitudes.clip(-0.2, 0.2) * np.exp(1j * phases)).tolist())


def _spread(rng: np.random.Generator, sigma: float, most: float = 2.0) -> float:
    """Log-normal factor of median 1, cut off at `most` sigmas."""
    return float(np.exp(np.clip(rng.normal(), -most, most) * sigma))


def _lymphocyte(
    rng: np.random.Generator, x_um: float, y_um: float, angle: float, scene: Scene
) -> Cell:
    radius = 3.35 * _spread(rng, 0.08)
    aspect = 1 + abs(rng.normal(0, 0.12))
    return Cell(
        LYMPHOCYTE,
        x_um,
        y_um,
        radius * np.sqrt(aspect),
        radius / np.sqrt(aspect),
        rng.uniform(0, np.pi),
        0.0,
        _lobes(rng, 0.03),
        Chromatin(
            body=_spread(rng, 0.12),
            rim=0.08,
            clumps=0.18,
            grains=0.08,
            blur_um=rng.uniform(0.2, 0.5),
        ),
    )


def _epithelial(
    rng: np.random.Generator, x_um: float, y_um: float, angle: float, scene: Scene
) -> Cell:
    radius = 4.4 * scene.nucleus_scale * _spread(rng, scene.pleomorphism)
    aspect = 1 + abs(rng.normal(0.12, 0.25))
    a_um, b_um = radius * np.sqrt(aspect), radius / np.sqrt(aspect)
    shape = (x_um, y_um, a_um, b_um, angle, rng.normal(0, 0.04))
    lobes = _lobes(rng, 0.045 + 0.2 * scene.pleomorphism)
    positive = 0.0
    if rng.random() < scene.positive_fraction:
        positive = rng.uniform(0.5, 1.6)
    blur_um = rng.uniform(0.25, 0.9)
    if rng.random() < scene.hyperchromatic:
        body = 0.78 * _spread(rng, 0.5 * scene.pleomorphism + 0.06)
        dark = Chromatin(body, 0.12, 0.14, 0.1, blur_um, positive=positive)
        return Cell(EPITHELIAL, *shape, lobes, dark)
    body = scene.vesicular * _spread(rng, 0.6 * scene.pleomorphism + 0.08)
    pale = Chromatin(
        body=body,
        rim=rng.uniform(0.08, 0.3),
        clumps=rng.uniform(0.2, 0.38),
        grains=0.18,
        blur_um=blur_um,
        nucleoli=_nucleoli(rng, b_um),
        positive=positive,
    )
    return Cell(EPITHELIAL, *shape, lobes, pale)


def _nucleoli(rng: np.random.Generator, b_um: float) -> tuple[tuple[float, float, float], ...]:
    count = rng.choice(4, p=(0.25, 0.45, 0.2, 0.1))
    return tuple(
        (*rng.uniform(-0.45, 0.45, 2).tolist(), rng.uniform(0.12, 0.2) * b_um) for _ in range(count)
    )


def _stromal(
    rng: np.random.Generator, x_um: float, y_um: float, angle: float, scene: Scene
) -> Cell:
    plump = rng.random() < 0.3
    b_um = (2.4 if plump else 1.75) * _spread(rng, 0.14)
    a_um = (5.0 if plump else 6.2) * _spread(rng, 0.24)
    return Cell(
        STROMAL,
        x_um,
        y_um,
        max(a_um, 1.6 * b_um),
        b_um,
        angle + rng.normal(0, 0.15),
        float(np.clip(rng.normal(0, 0.14), -0.28, 0.28)),
        _lobes(rng, 0.09),
        Chromatin(
            body=(0.42 if plump else 0.66) * _spread(rng, 0.22),
            rim=0.16,
            clumps=0.2,
            grains=0.12,
            blur_um=rng.uniform(0.25, 0.8),
        ),
    )
