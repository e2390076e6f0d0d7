"""What an importer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.core.nuclei import Category
    from nunext_training.datasets.labelled import LabelledImage


class Reader(Protocol):
    """Reads a data set."""

    def __call__(self, folder: Path, mpp: float | None = None) -> tuple[LabelledImage, ...]:
        """Every image with its nuclei, in a fixed order.

        Parameters
        ----------
        folder : Path
        mpp : float, optional
            Micrometres per pixel; prevails over what the data set says.

        Raises
        ------
        RecordError
            At what does not fit the layout, naming it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Importer:
    """How to read one published data set."""

    name: str
    title: str
    """With its reference, for people."""
    categories: tuple[Category, ...]
    """Empty: those that its nuclei have, sorted."""
    recognises: Callable[[Path], bool]
    """Whether a folder has the data set's layout; cheap."""
    read: Reader
