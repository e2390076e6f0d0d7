"""Drawn H&E tissue in which every nucleus is known: for demos, tests and pre-training."""

from __future__ import annotations

from napari_nunext.synthetic.generate import SyntheticNucleus, SyntheticTile, synthesise
from napari_nunext.synthetic.options import CATEGORIES, SynthesisOptions

__all__ = ["CATEGORIES", "SynthesisOptions", "SyntheticNucleus", "SyntheticTile", "synthesise"]
