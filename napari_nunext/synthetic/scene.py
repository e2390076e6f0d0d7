"""What one tile shows: drawn once for each, since tissues and tumours differ more than cells do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from napari_nunext.synthetic.options import Stain, SynthesisOptions


@dataclass(frozen=True, slots=True)
class Scene:
    """The tissue of one tile. Densities are nuclei a square millimetre of their compartment."""

    stain: Stain
    epithelium_fraction: float
    nest_um: float
    """Scale of the epithelium's outline: nests of tens of um, sheets of hundreds."""
    lumens_per_mm2: float
    retracted: float
    """How much of the nests' border has shrunk away from the stroma, 0 to 1."""
    epithelial_per_mm2: float
    lymphocytes_per_mm2: float
    stromal_per_mm2: float
    red_cells_per_mm2: float
    pleomorphism: float
    """Spread of size, shape and stain among tumour nuclei: 0.08 calm, 0.3 wild."""
    nucleus_scale: float
    """Mean size of epithelial nuclei, 1 being a semi-axis of 4.4 um."""
    hyperchromatic: float
    """Share of epithelial nuclei that are dark throughout rather than vesicular."""
    vesicular: float
    """Haematoxylin of the others as a share of a lymphocyte's nucleus."""
    looseness: float
    """0: collagen in dense bundles; 1: oedematous, mostly glass."""
    fibre_waviness_um: float
    basophilia: float
    """Haematoxylin of the cytoplasm as a share of a lymphocyte's nucleus."""
    positive_fraction: float
    """Share of epithelial nuclei with diaminobenzidine; 0 on H&E."""


def draw_scene(rng: np.random.Generator, options: SynthesisOptions) -> Scene:
    """Draw what the options leave open.

    The ranges are those of breast cancer at 20x (BRCA-M2C): between 1000 and 8000 nuclei a square
    millimetre of tile, from acellular collagen to solid tumour and dense infiltrate.
    """
    drawn_fraction = (
        rng.uniform(0.0, 0.1)
        if rng.random() < 0.15
        else rng.uniform(0.15, 0.75)
        if rng.random() < 0.8
        else rng.uniform(0.8, 1.0)
    )
    drawn_lymphocytes = (
        rng.exponential(350.0) if rng.random() < 0.6 else rng.uniform(1000.0, 6000.0)
    )
    drawn_epithelial = rng.uniform(2800.0, 7000.0)
    drawn_stromal = rng.uniform(1100.0, 3800.0)
    vesicular = rng.uniform(0.32, 0.62)
    return Scene(
        stain=options.stain,
        epithelium_fraction=_chosen(options.epithelium_fraction, drawn_fraction),
        nest_um=rng.uniform(16.0, 55.0),
        lumens_per_mm2=rng.uniform(40.0, 220.0) if rng.random() < 0.45 else 0.0,
        retracted=rng.uniform(0.0, 1.0) if rng.random() < 0.6 else 0.0,
        epithelial_per_mm2=_chosen(options.epithelial_per_mm2, drawn_epithelial),
        lymphocytes_per_mm2=_chosen(options.lymphocytes_per_mm2, drawn_lymphocytes),
        stromal_per_mm2=_chosen(options.stromal_per_mm2, drawn_stromal),
        red_cells_per_mm2=rng.exponential(120.0),
        pleomorphism=rng.uniform(0.08, 0.26),
        nucleus_scale=rng.uniform(0.85, 1.2),
        hyperchromatic=rng.beta(0.6, 1.6),
        looseness=rng.beta(1.3, 2.2),
        fibre_waviness_um=rng.uniform(0.8, 4.0),
        vesicular=vesicular,
        basophilia=rng.uniform(0.15, 0.55) * vesicular,
        positive_fraction=rng.uniform(0.1, 0.9) if options.stain == "ihc" else 0.0,
    )


def _chosen(asked: float | None, drawn: float) -> float:
    return drawn if asked is None else asked
