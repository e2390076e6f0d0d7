"""Formats of images: what a file may be, declared once each, and opened by what it holds.

A format is an `ImageFormat` in `OUR_FORMATS`, or in a package of its own that names it in the entry
point group `GROUP`. Whatever lists suffixes, asks for files or speaks of formats reads them from
here. What reads a format is imported when a file of it is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError
from napari_nunext.core.process.offered import offered
from napari_nunext.core.sentences import is_text
from napari_nunext.images.picture import Picture, check_size, reading
from napari_nunext.images.tile import Tile, tile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike

    from napari_nunext.core.image.source import ImageSource

GROUP = "napari_nunext.readers"
"""Entry points of other packages, each an `ImageFormat`."""
HEAD_BYTES = 512
"""How much of a file's beginning a format is told by."""


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """A kind of image file."""

    name: str
    """For people: ``"PNG"``."""
    suffixes: tuple[str, ...]
    """Of its files, in lower case with the dot, the most usual first."""
    is_in: Callable[[bytes], bool]
    """Whether a file is one, told by its first `HEAD_BYTES` bytes; for a folder there are none."""
    open: Callable[[Path], ImageSource]
    """Read the header; the pixels are read when they are wanted. Raises `ImageError`."""
    is_lossless: bool = True
    """Whether pixels come back as they were; others are not recommended."""
    is_at: Callable[[Path], bool] | None = None
    """Asked as well, where a format is told by more than the first bytes. Such formats go first."""
    is_folder: bool = False
    """Whether an image is a folder. Its name ends with one of the suffixes all the same."""
    open_whole: Callable[[Path], Tile] | None = None
    """`open` for what needs all pixels at once, where an image may be opened without."""

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether what lies there is one."""
        is_here = path.is_dir() == self.is_folder and self.is_in(head)
        return is_here and (self.is_at is None or self.is_at(path))


def formats() -> tuple[ImageFormat, ...]:
    """All of them: ours, then those of other packages by name."""
    return OUR_FORMATS + SLIDE_FORMATS + _others()[0]


def format_names() -> str:
    """Their names in a sentence: ``"PNG, JPEG or TIFF"``."""
    return in_a_row(each.name for each in formats())


def image_suffixes() -> tuple[str, ...]:
    """All that their files end with, in lower case."""
    return tuple(suffix for each in formats() for suffix in each.suffixes)


def is_image_name(name: str) -> bool:
    """Whether a file or folder is an image by its name; hidden ones are none."""
    return not name.startswith(".") and name.lower().endswith(image_suffixes())


def is_image_folder(path: Path) -> bool:
    """Whether a folder is an image itself: what is in it are parts of that."""
    return path.is_dir() and any(each.is_folder and each.fits(path, b"") for each in formats())


def lies_at(path: Path) -> bool:
    """Whether there is a file, or a folder that is an image."""
    return path.is_file() or is_image_folder(path)


def image_stem(path: PurePath) -> str:
    """File name without its image suffix; dots that belong to the name stay.

    ``A_0.9824.png`` and ``A_0.9824`` both give ``A_0.9824``.
    """
    found = [s for s in image_suffixes() if path.name.lower().endswith(s) and path.name[: -len(s)]]
    return path.name[: -len(max(found, key=len))] if found else path.name


def open_image(
    path: str | PathLike[str],
    *,
    mpp: float | None = None,
    among: Sequence[ImageFormat] | None = None,
) -> ImageSource:
    """Open an image file, told by its content rather than its suffix.

    Parameters
    ----------
    path : path-like
    mpp : float, optional
        Micrometres per pixel; prevails over what the file says. Where neither says, the scale is
        None, and it is for the caller to ask or to assume (`ImageSource.with_scale`).
    among : sequence of ImageFormat, optional
        What the file may be; all by default. Of strangers' files, `OUR_FORMATS`: no code of another
        package is to see them.

    Raises
    ------
    ImageError
        If the file is missing, a folder, empty, too large, or of no known format. Damage further
        into the file shows when the pixels are read.
    CalibrationError
        If `mpp` is implausible.
    """
    image = _opened(Path(path), among, lambda each: each.open)
    return image if mpp is None else image.with_scale(mpp, "user")


def open_tile(
    path: str | PathLike[str],
    *,
    mpp: float | None = None,
    among: Sequence[ImageFormat] | None = None,
) -> Tile:
    """As `open_image`, for what needs all pixels at once: labels, and images to learn from.

    Raises
    ------
    ImageError
        Also if the image is no tile.
    """
    image = _opened(Path(path), among, lambda each: each.open_whole or each.open)
    if mpp is not None:
        image = image.with_scale(mpp, "user")
    return image if isinstance(image, Tile) else _whole(image)


def _whole(image: ImageSource) -> Tile:
    """A slide that is small enough, as a tile."""
    width_px, height_px = round(image.box.width), round(image.box.height)
    path = image.path or Path(image.name)
    needed = check_size(path, width_px, height_px)
    picture = Picture(
        width_px,
        height_px,
        image.scale.mpp,
        image.notes,
        lambda: image.read_region(image.box),
        decoding_bytes=needed,
    )
    tile = tile_of(path, picture)
    if image.scale.mpp is None or image.scale.source is None:
        return tile
    return tile.with_scale(image.scale.mpp, image.scale.source)


def in_a_row(names: Iterable[str]) -> str:
    """Names of which one counts, as a sentence lists them."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _opened(
    path: Path,
    among: Sequence[ImageFormat] | None,
    how: Callable[[ImageFormat], Callable[[Path], ImageSource]],
) -> ImageSource:
    """Open a file by the first format that it is of."""
    head = _head(path)
    with reading(path):
        for each in _in_turn() if among is None else among:
            if each.fits(path, head):
                return how(each)(path)
    names, best = (
        in_a_row(each.name for each in some)
        for some in (
            formats() if among is None else among,
            [each for each in OUR_FORMATS if each.is_lossless],
        )
    )
    words = f"{path.name} is not a {names} image. Convert it to one, best {best}."
    raise ImageError(" ".join((words, *(_others()[1] if among is None else ()))))


def _in_turn() -> tuple[ImageFormat, ...]:
    """As they are asked: ours first, so that no package changes what our files are.

    Among ours, those that look closer go before: a slide of MIRAX begins as a JPEG does.
    """
    ours = sorted(OUR_FORMATS + SLIDE_FORMATS, key=lambda each: each.is_at is None)
    return (*ours, *_others()[0])


def _head(path: Path) -> bytes:
    """The first bytes of what may be an image; none of a folder that is one."""
    if not is_text(str(path)):
        raise ImageError(
            f"{path.name!r} has a name that is no text and cannot be kept. Rename the file."
        )
    if is_image_folder(path):
        return b""
    if path.is_dir():
        raise ImageError(f"{path.name} is a folder; expected an image file. Open what is in it.")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ImageError(f"{path.name} cannot be opened: {error.strerror or error}.") from error
    if not head:
        raise ImageError(f"{path.name} is empty (0 bytes). Copy or export it again.")
    return head


@lru_cache(maxsize=1)
def _others() -> tuple[tuple[ImageFormat, ...], tuple[str, ...]]:
    """The formats of other packages, and a sentence on each that cannot be used."""
    return offered(GROUP, "image reader", _checked)


def _checked(made: object) -> ImageFormat:
    if not isinstance(made, ImageFormat):
        raise TypeError(f"it is a {type(made).__name__}, not an ImageFormat")
    bad = [s for s in made.suffixes if not s.startswith(".") or s != s.lower() or len(s) < 2]
    if bad or not made.suffixes:
        raise ValueError(f"its suffixes are {made.suffixes!r}; expected some like '.png'")
    return made


def _open_with_pillow(path: Path) -> Tile:
    from napari_nunext.images.pillow import read_pillow

    return tile_of(path, read_pillow(path))


def _open_tiff(path: Path) -> ImageSource:
    from napari_nunext.images.slides.tiff import open_tiff_slide  # tifffile takes time to import

    return open_tiff_slide(path) or _open_whole_tiff(path)


def _open_whole_tiff(path: Path) -> Tile:
    from napari_nunext.images.tiff import read_tiff

    return tile_of(path, read_tiff(path))


def _is_vendors_tiff(path: Path) -> bool:
    from napari_nunext.images.slides.vendors import is_vendors_tiff

    return is_vendors_tiff(path)


def _open_vendors_slide(path: Path) -> ImageSource:
    from napari_nunext.images.slides.vendors import open_vendors_slide

    return open_vendors_slide(path)


def _is_ome_zarr(path: Path) -> bool:
    from napari_nunext.images.slides.ome_zarr import is_ome_zarr

    return is_ome_zarr(path)


def _open_ome_zarr(path: Path) -> ImageSource:
    from napari_nunext.images.slides.ome_zarr import open_ome_zarr

    return open_ome_zarr(path)


def _open_isyntax(path: Path) -> ImageSource:
    from napari_nunext.images.slides.isyntax import open_isyntax

    return open_isyntax(path)


def _named(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: path.suffix.lower() in suffixes


def _begins(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


_is_tiff = _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

OUR_FORMATS = (
    ImageFormat("PNG", (".png",), _begins(b"\x89PNG\r\n\x1a\n"), _open_with_pillow),
    ImageFormat(
        "JPEG", (".jpg", ".jpeg"), _begins(b"\xff\xd8\xff"), _open_with_pillow, is_lossless=False
    ),
    ImageFormat(
        "TIFF",
        (".tif", ".tiff", ".svs", ".btf"),
        _is_tiff,
        _open_tiff,
        open_whole=_open_whole_tiff,
    ),
)
"""What is opened for strangers, too: files of one piece, decoded within fixed limits."""

SLIDE_FORMATS = (
    ImageFormat(
        "OME-Zarr",
        (".zarr",),
        lambda head: True,
        _open_ome_zarr,
        is_at=_is_ome_zarr,
        is_folder=True,
    ),
    ImageFormat(
        "DICOM",
        (".dcm", ".dicom"),
        lambda head: head[128:132] == b"DICM",
        _open_vendors_slide,
        is_lossless=False,
    ),
    ImageFormat(
        "NDPI, SCN, BIF",
        (".ndpi", ".scn", ".bif"),
        _is_tiff,
        _open_vendors_slide,
        is_lossless=False,
        is_at=_is_vendors_tiff,
    ),
    ImageFormat(
        "MRXS",
        (".mrxs",),
        lambda head: True,
        _open_vendors_slide,
        is_lossless=False,
        is_at=_named(".mrxs"),
    ),
    ImageFormat(
        "VMS",
        (".vms",),
        lambda head: b"[Virtual Microscope Specimen]" in head,
        _open_vendors_slide,
        is_lossless=False,
    ),
    ImageFormat(
        "iSyntax",
        (".isyntax",),
        _begins(b"<"),
        _open_isyntax,
        is_lossless=False,
        is_at=_named(".isyntax"),
    ),
)
"""Read by packages of the extra ``slides``, where these are installed."""
