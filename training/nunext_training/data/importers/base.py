"""What an importer is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from napari_nunext.core.errors import ImageError, RecordError
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from napari_nunext.core.nuclei import Category
    from nunext_training.data.labelled import LabelledImage

    Member: TypeAlias = Callable[[], LabelledImage]
    """Reads one image of a data set with its nuclei; names its file in what it raises."""

NO_CATEGORIES = default_categories((UNCATEGORISED,))
"""Of a data set that tells no kinds of nuclei apart."""


class Lister(Protocol):
    """Finds what a data set holds."""

    def __call__(self, folder: Path, mpp: float | None = None) -> Iterable[Member]:
        """Every image, to be read one by one, in a fixed order.

        Parameters
        ----------
        folder : Path
        mpp : float, optional
            Micrometres per pixel; prevails over what the data set says.

        Raises
        ------
        RecordError
            If the folder as a whole does not fit the layout.
        """
        ...


@dataclass(frozen=True, slots=True)
class Importer:
    """How to read one published data set."""

    name: str
    title: str
    """With its reference, for people."""
    categories: tuple[Category, ...]
    """`NO_CATEGORIES`: it tells no kinds apart. Empty: those that its nuclei have, sorted."""
    recognises: Callable[[Path], bool]
    """Whether a folder has the data set's layout; cheap."""
    members: Lister
    licence: str
    """Of the data, as its publishers say it."""
    link: str
    """Where its publishers describe it."""
    not_carried: str = ""
    """What the data set holds and an import leaves behind."""
    names_are_public: bool = True
    """Whether its file names were published, and so tell nothing that others may not know."""

    def read(
        self, folder: Path, mpp: float | None = None, *, left_out: list[str] | None = None
    ) -> tuple[LabelledImage, ...]:
        """Every image with its nuclei, in a fixed order.

        Parameters
        ----------
        folder : Path
        mpp : float, optional
            Micrometres per pixel; prevails over what the data set says.
        left_out : list of str, optional
            Takes a sentence for each image that cannot be read; without it, the first one stops.

        Raises
        ------
        RecordError
            At what does not fit the layout, naming it; and if the data set tells kinds of nuclei
            apart, and not one nucleus has a kind.
        """
        images = []
        for member in self.members(folder, mpp):
            try:
                images.append(member())
            except (RecordError, ImageError) as error:
                if left_out is None:
                    raise
                left_out.append(str(error))
        self._check_kinds(images)
        return tuple(images)

    def _check_kinds(self, images: Sequence[LabelledImage]) -> None:
        """No kind of all those that the set tells apart is a reading that lost them."""
        nuclei = Counter(category for image in images for category in image.categories)
        told = Counter(kind for image in images for kind in image.unsorted)
        if self.categories not in ((), NO_CATEGORIES) and set(nuclei) == {UNCATEGORISED}:
            found = ", ".join(f"{kind!r} ({n})" for kind, n in told.most_common()) or "none"
            raise RecordError(
                f"{self.title}: not one of {nuclei.total()} nuclei has a category; expected "
                f"{', '.join(c.name for c in self.categories)}, found {found}. Check that the "
                "labels are those of this data set."
            )
