"""Every list of suffixes, dialog and message takes its formats from one register."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import ImageError
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images import ImageFinder, find_images, image_stem, open_image
from napari_nunext.images.formats import format_names, formats, image_suffixes
from napari_nunext.images.identified import look_for
from napari_nunext.review.fields import entry_of
from napari_nunext.serving.models.images import Upload
from nunext_training.data.importers.reading import image_beside

if TYPE_CHECKING:
    from collections.abc import Callable

    Install = Callable[..., Path]

OURS = "PNG, JPEG, TIFF, OME-Zarr, DICOM, NDPI, SCN, BIF, MRXS, VMS"
ENTRY = "[napari_nunext.readers]\n"


@pytest.fixture
def qoi(documented: Callable[[str, str], None]) -> None:
    """The reader of docs/extending.md, installed."""
    documented("qoi_tiles", "napari_nunext.readers")


def write_qoi(path: Path, rgb: np.ndarray) -> Path:
    path.write_bytes(imagecodecs.qoi_encode(rgb))
    return path


@pytest.mark.usefixtures("qoi")
@pytest.mark.parametrize("channels", [3, 4])
def test_the_documented_reader_opens_its_files(
    channels: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    stored = rng.integers(0, 256, (5, 8, channels), dtype=np.uint8)
    image = open_image(write_qoi(tmp_path / "a.qoi", stored), mpp=0.5)
    assert (image.width_px, image.height_px, image.mpp) == (8, 5, 0.5)
    np.testing.assert_array_equal(image.rgb, stored[..., :3])
    assert image.id == pixels_sha256(stored[..., :3])


@pytest.mark.usefixtures("qoi")
def test_whatever_lists_or_names_formats_knows_the_new_one(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = write_qoi(tmp_path / "A_0.98.QOI", rng.integers(0, 256, (5, 8, 3), dtype=np.uint8))
    assert format_names() == f"{OURS}, iSyntax or QOI"
    assert find_images([tmp_path]) == [path]
    assert image_stem(path) == "A_0.98"
    entry = entry_of(open_image(path), tmp_path / "moved away.qoi", 0.5)
    assert look_for([entry], ImageFinder([tmp_path])).found == {entry.sha256: path}
    write_qoi(tmp_path / "b.qoi", rng.integers(0, 256, (5, 8, 3), dtype=np.uint8))
    assert image_beside(tmp_path, "b", "b.mat").name == "b.qoi"
    with pytest.raises(ImageError, match=rf"is not a {OURS}, iSyntax or QOI image"):
        open_image(Path(__file__))


@pytest.mark.usefixtures("qoi")
def test_what_strangers_send_is_opened_by_our_own_readers_alone(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = write_qoi(tmp_path / "a.qoi", rng.integers(0, 256, (5, 8, 3), dtype=np.uint8))
    with pytest.raises(ImageError, match=r"not a PNG, JPEG or TIFF image. .* best PNG or TIFF\.$"):
        Upload.of_body(path.read_bytes())


@pytest.mark.usefixtures("qoi")
def test_what_a_reader_raises_is_the_error_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "short.qoi").write_bytes(b"qoif")
    with pytest.raises(ImageError, match=r"short\.qoi is damaged or incomplete"):
        open_image(tmp_path / "short.qoi")
    (tmp_path / "cut.qoi").write_bytes(imagecodecs.qoi_encode(np.zeros((9, 9, 3), np.uint8))[:20])
    with pytest.raises(ImageError, match=r"cut\.qoi is damaged or incomplete"):
        _ = open_image(tmp_path / "cut.qoi").rgb


OTHER = """
import numpy as np
from napari_nunext.images import ImageFormat
from napari_nunext.images.picture import Picture
from napari_nunext.images.tile import tile_of

def decode():
    return np.zeros((3, 3, 3), np.float32)

def opened(path):
    return tile_of(path, Picture(4, 3, None, (), decode))

ANY = ImageFormat("anything", (".png", ".any"), lambda head: True, opened)
LOUD = ImageFormat("LOUD", (".PNG",), lambda head: True, opened)
"""


def test_no_package_changes_what_our_formats_are(install: Install, tmp_path: Path) -> None:
    Image.new("RGB", (8, 5), "red").save(tmp_path / "a.png")
    sha256 = open_image(tmp_path / "a.png").id
    install("greedy", "1.0", {"greedy.py": OTHER}, f"{ENTRY}any = greedy:ANY\n")
    assert open_image(tmp_path / "a.png").id == sha256
    (tmp_path / "b.any").write_bytes(b"what else")
    with pytest.raises(ImageError, match=r"b\.any is damaged .*float32 \(3, 3, 3\), not uint8"):
        _ = open_image(tmp_path / "b.any").rgb


@pytest.mark.parametrize(
    ("code", "target", "words"),
    [
        ("import tensorflow_is_missing", "broken:X", "No module named 'tensorflow_is_missing'"),
        ("raise SystemExit(3)", "broken:X", "SystemExit: 3"),
        ("X = 5", "broken:X", "it is a int, not an ImageFormat"),
        (OTHER, "broken:LOUD", r"its suffixes are \('\.PNG',\); expected some like '\.png'"),
    ],
)
def test_a_reader_that_cannot_be_used_is_named_and_harms_nobody(
    code: str,
    target: str,
    words: str,
    install: Install,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    install("broken-reader", "0.1", {"broken.py": code}, f"{ENTRY}mine = {target}\n")
    Image.new("RGB", (8, 5)).save(tmp_path / "a.png")
    assert open_image(tmp_path / "a.png").width_px == 8
    assert format_names() == f"{OURS} or iSyntax"
    whole = rf"The image reader mine of broken-reader 0\.1 cannot be used .*{words}.*mend"
    assert [bool(re.search(whole, record.message)) for record in caplog.records] == [True]
    (tmp_path / "b.mine").write_bytes(b"in its format")
    with pytest.raises(ImageError, match=rf"b\.mine is not a PNG.* {whole}"):
        open_image(tmp_path / "b.mine")


def test_no_two_formats_share_a_name_or_suffix() -> None:
    assert len({each.name for each in formats()}) == len(formats())
    assert len(set(image_suffixes())) == len(image_suffixes())


def test_suffixes_stand_in_the_register_alone(repo_root: Path) -> None:
    trees = ("napari_nunext", "training/nunext_training", "deploy")
    typed_out = re.compile(r"""["'*]\.jpe?g\b""", re.IGNORECASE)
    elsewhere = [
        f"{path.relative_to(repo_root)}: {line.strip()}"
        for tree in trees
        for path in (repo_root / tree).rglob("*.py")
        if path.name != "formats.py"
        for line in path.read_text("utf-8").splitlines()
        if typed_out.search(line)
    ]
    assert elsewhere == []
