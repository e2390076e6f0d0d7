"""Where the file of an image that somebody reviewed is now, and that it still is that image.

Files are moved, renamed, swapped and overwritten. What was said of an image was said of its pixels,
so wherever pixels are read for a record they come from here, checked against their identity
(`napari_nunext.core.identity`). What is written without pixels, such as labels for another program,
is put beside a file by its name, so the file is looked for and checked in the same way.

All of the pixels are hashed each time: a size and a time of change would be cheaper, but a file
that is copied over another keeps both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_nunext.core.errors import (
    ImageError,
    ImageMissingError,
    NunextError,
    OtherImageError,
)
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import check_identity
from napari_nunext.images.find import images_below, images_in
from napari_nunext.images.formats import lies_at, open_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from napari_nunext.core.image.source import ImageSource


class KnownImage(Protocol):
    """What is remembered of an image; `napari_nunext.store.ImageEntry` is one."""

    @property
    def sha256(self) -> str:
        """Its identity."""
        ...

    @property
    def path(self) -> str:
        """Where it was last opened."""
        ...

    @property
    def name(self) -> str:
        """Its file's name then."""
        ...

    @property
    def width_px(self) -> int:
        """Extent along x, level-0 px."""
        ...

    @property
    def height_px(self) -> int:
        """Extent along y, level-0 px."""
        ...


class ImageFinder:
    """Finds the files of known images, each by its name first, then by its pixels.

    An image is looked for in `folders` and all below them, then where it was last opened, then in
    the folder `beside`. A file that lies where the image was last opened and holds other pixels
    ends the search: somebody changed it, and has to say what is meant.

    Parameters
    ----------
    folders : sequence of Path
        Where a person said that the images lie now.
    beside : Path, optional
        Where they often lie: the folder of the project.
    """

    def __init__(self, folders: Sequence[Path] = (), *, beside: Path | None = None) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise ImageError(f"{folder} is not a folder. Name the one that holds the images.")
        self._given = [path for folder in folders for path in images_below(folder)]
        self._beside = beside
        self._hashes: dict[Path, str] = {}

    def find(self, known: KnownImage) -> ImageSource:
        """The image, read and checked.

        Raises
        ------
        ImageMissingError
            If it is not found.
        OtherImageError
            If another image lies in its place, or has its name.
        ImageError
            If what lies in its place cannot be read. The message names the file.
        """
        found = self._among(known, self._given)
        if found is not None:
            return found
        path = Path(known.path)
        if lies_at(path):
            image = open_image(path)
            _check_size(image, known)
            check_identity(image.id, known.sha256, str(path))
            return image
        near = sorted(images_in(self._beside)) if self._beside and self._beside.is_dir() else []
        found = self._among(known, near)
        if found is None:
            others = [p for p in (*self._given, *near) if p.name == known.name]
            but = f", and {others[0]} holds other pixels" if others else ""
            raise (OtherImageError if others else ImageMissingError)(
                f"{known.name} is not found: {path} is not there{but}. Put it back, or name the "
                "folder in which it lies with --images DIR, or open it there."
            )
        return found

    def _among(self, known: KnownImage, paths: list[Path]) -> ImageSource | None:
        named = [path for path in paths if path.name == known.name]
        others = [path for path in paths if path.name != known.name]
        return next((image for image in self._matching(known, [*named, *others])), None)

    def _matching(self, known: KnownImage, paths: Iterable[Path]) -> Iterator[ImageSource]:
        whole = Box.of_image(known.width_px, known.height_px)
        for path in paths:
            if self._hashes.get(path, known.sha256) != known.sha256:
                continue
            try:
                image = open_image(path)
                if image.box != whole:
                    continue
                self._hashes[path] = image.id
            except (NunextError, OSError):
                continue  # what cannot be read is not the image that is looked for
            if image.id == known.sha256:
                yield image


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What became of the files of known images, by the images' identities."""

    found: dict[str, Path] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Nowhere to be found, with a sentence each."""
    different: dict[str, str] = field(default_factory=dict)
    """Another image, or none that can be read, lies in their place; a sentence each."""

    @property
    def is_whole(self) -> bool:
        """Whether all were found."""
        return not (self.missing or self.different)

    @property
    def words(self) -> str:
        """How many were found, in a sentence."""
        count = len(self.found) + len(self.missing) + len(self.different)
        words = f"Looked for {count} image{'' if count == 1 else 's'}: {len(self.found)} found"
        if self.missing:
            words += f", {len(self.missing)} missing"
        if self.different:
            words += f", {len(self.different)} with other pixels than those that were reviewed"
        return words + "."


def look_for(known: Iterable[KnownImage], finder: ImageFinder) -> Whereabouts:
    """Look for the files of known images, and check each that is found."""
    whereabouts = Whereabouts()
    for image in known:
        try:
            path = finder.find(image).path
            assert path is not None  # it was opened from there
            whereabouts.found[image.sha256] = path
        except ImageMissingError as error:
            whereabouts.missing[image.sha256] = str(error)
        except (NunextError, OSError) as error:
            whereabouts.different[image.sha256] = str(error)
    return whereabouts


def _check_size(image: ImageSource, known: KnownImage) -> None:
    """Say of another size what is plain to see, before all of it is read."""
    if image.box != Box.of_image(known.width_px, known.height_px):
        raise OtherImageError(
            f"{image.path} is not the image that was reviewed: it is {image.box.width:g} x "
            f"{image.box.height:g} px, that one was {known.width_px} x {known.height_px} px. "
            "Put the original image back."
        )
