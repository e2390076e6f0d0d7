"""What an importer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.core.nuclei import Category
    from nunext_training.datasets.labelled import LabelledImage


@dataclass(frozen=True, slots=True)
class Importer:
    """How to read one published data set."""

    name: str
    title: str
    """With its reference, for people."""
    categories: tuple[Category, ...]
    recognises: Callable[[Path], bool]
    """Whether a folder has the data set's layout; cheap."""
    read: Callable[[Path], tuple[LabelledImage, ...]]
    """Every image with its nuclei, in a fixed order. Raises `RecordError` at what does not fit."""
