"""What may be asked of a synthetic tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import default_categories

LYMPHOCYTE = "Lymphocyte"
EPITHELIAL = "Tumour or epithelial"
STROMAL = "Stromal"

CATEGORIES = default_categories((LYMPHOCYTE, EPITHELIAL, STROMAL))
"""Of the nuclei of every tile, named as in BRCA-M2C."""

Stain: TypeAlias = Literal["he", "ihc"]


@dataclass(frozen=True, slots=True)
class SynthesisOptions:
    """What to draw. Where a value is None, each tile draws its own, as sections differ."""

    stain: Stain = "he"
    """``"he"``: haematoxylin and eosin. ``"ihc"``: diaminobenzidine in the nuclei of a part of the
    epithelium, haematoxylin as counterstain."""
    stain_variation: float = 1.0
    """How far laboratories and scanners differ; 0: every tile has the reference colours."""
    epithelium_fraction: float | None = None
    """Share of the tissue that is epithelium or tumour, 0 to 1."""
    epithelial_per_mm2: float | None = None
    """Nuclei in a square millimetre of epithelium, as far as there is room."""
    lymphocytes_per_mm2: float | None = None
    """In a square millimetre of stroma; a sixth of that in epithelium."""
    stromal_per_mm2: float | None = None
    """In a square millimetre of stroma."""
    compressed: bool = True
    """Whether the tile went through JPEG's quantisation, as most slides did."""

    def __post_init__(self) -> None:
        if self.stain not in ("he", "ihc"):
            raise InputError(f"The stain is {self.stain!r}; expected 'he' or 'ihc'.")
        limits = {
            "stain_variation": 3.0,
            "epithelium_fraction": 1.0,
            "epithelial_per_mm2": 20_000.0,
            "lymphocytes_per_mm2": 20_000.0,
            "stromal_per_mm2": 20_000.0,
        }
        for name, most in limits.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and 0 <= value <= most):
                raise InputError(f"{name} is {value:g}; expected 0 to {most:g}.")
