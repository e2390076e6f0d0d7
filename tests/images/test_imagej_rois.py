"""ROIs of ImageJ, of its own tools and of those that write them: outlines, points, parts, harm."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.shapes.masks import label_image
from napari_nunext.images.nuclei import imagej_rois
from napari_nunext.images.nuclei_files import nuclei_files, read_nuclei, source_of, stem_of

SQUARE = [[10, 20], [16, 20], [16, 24], [10, 24]]


def outline(points, kind=ROI_TYPE.POLYGON, **more):
    roi = ImagejRoi.frompoints(points, name="a")
    roi.roitype = kind
    for name, value in more.items():
        setattr(roi, name, value)
    return roi


def composite(*rings):
    path = []
    for ring in rings:
        path += [0.0, *ring[0]]
        path += [value for point in ring[1:] for value in (1.0, *point)]
        path.append(4.0)
    roi = ImagejRoi(roitype=ROI_TYPE.RECT, shape_roi_size=len(path), right=100, bottom=100)
    roi.multi_coordinates = np.array(path, dtype=np.float32)
    return roi


def zipped(path, *rois, packed=zipfile.ZIP_DEFLATED, more=None):
    with zipfile.ZipFile(path, "w", packed) as archive:
        for i, roi in enumerate(rois):
            archive.writestr(f"{i:04d}.roi", roi if isinstance(roi, bytes) else roi.tobytes())
        for name, data in (more or {}).items():
            archive.writestr(name, data)
    return path


def nuclei_of(path):
    (part,) = read_nuclei(path)
    return [marked.nucleus for marked in part.nuclei]


@pytest.mark.parametrize("kind", [ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED])
def test_an_outline_is_a_nucleus_of_the_pixels_in_it(kind, tmp_path):
    path = tmp_path / "a.roi"
    path.write_bytes(outline(SQUARE, kind).tobytes())
    (nucleus,) = nuclei_of(path)
    assert (nucleus.x_px, nucleus.y_px) == (13, 22)
    assert (nucleus.mask.x0_px, nucleus.mask.y0_px, nucleus.mask.area_px) == (10, 20, 24)


def test_corners_between_pixels_are_kept(tmp_path):
    """StarDist writes them, with the corner of the image as its origin."""
    corners = np.array(SQUARE, dtype=np.float32) + 0.25
    (nucleus,) = nuclei_of(zipped(tmp_path / "a.zip", outline(corners)))
    assert (nucleus.x_px, nucleus.y_px) == (13.25, 22.25)


def test_boxes_and_ovals_are_outlines_too(tmp_path):
    box = ImagejRoi(roitype=ROI_TYPE.RECT, left=10, top=20, right=16, bottom=24)
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, left=10, top=40, right=30, bottom=60)
    between = ImagejRoi(
        roitype=ROI_TYPE.RECT, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION, right=70, bottom=70
    )
    between.xd, between.yd, between.widthd, between.heightd = 60.5, 60.5, 3, 4
    first, second, third = nuclei_of(zipped(tmp_path / "a.zip", box, oval, between))
    assert (first.x_px, first.y_px, first.mask.area_px) == (13, 22, 24)
    assert (second.x_px, second.y_px) == pytest.approx((20, 50))
    assert second.mask.area_px == pytest.approx(np.pi * 100, rel=0.02)
    assert (third.x_px, third.y_px, third.mask.area_px) == (62, 62.5, 12)


def test_points_are_centres_of_pixels_and_counters_are_categories(tmp_path):
    """As ImageJ draws them: the point of pixel 3 lies at 3.5."""
    roi = outline([[3, 4], [7, 9]], ROI_TYPE.POINT)
    roi.counters = np.array([0, 2], dtype=np.uint8)
    first, second = nuclei_of(zipped(tmp_path / "a.zip", roi))
    assert (first.x_px, first.y_px, first.category) == (3.5, 4.5, UNCATEGORISED)
    assert first.mask is None
    assert (second.x_px, second.y_px, second.category) == (7.5, 9.5, "Counter 2")


def test_groups_are_categories(tmp_path):
    (nucleus,) = nuclei_of(zipped(tmp_path / "a.zip", outline(SQUARE, group=3)))
    assert nucleus.category == "Group 3"


def test_parts_of_a_thresholded_image_are_nuclei_and_keep_their_holes(tmp_path):
    """Also where the part in a hole is one of its own, and where parts touch at a corner."""
    ring = [[10, 10], [30, 10], [30, 30], [10, 30]]
    hole = [[12, 12], [28, 12], [28, 28], [12, 28]]
    inner = [[15, 15], [20, 15], [20, 20], [15, 20]]
    touching = [[30, 30], [34, 30], [34, 33], [30, 33]]
    path = zipped(tmp_path / "a.zip", composite(inner, hole, touching, ring))
    (part,) = read_nuclei(path)
    assert [m.nucleus.mask.area_px for m in part.nuclei] == [25, 12, 400 - 256]
    assert part.notes == ("read 1 outlines of several parts as 3 nuclei",)


def test_lines_and_words_are_no_nuclei_and_are_counted(tmp_path):
    line = ImagejRoi(roitype=ROI_TYPE.LINE, x2=9.0, y2=9.0)
    words = ImagejRoi(roitype=ROI_TYPE.RECT, subtype=ROI_SUBTYPE.TEXT, right=9, bottom=9)
    (part,) = read_nuclei(zipped(tmp_path / "a.zip", line, words, outline(SQUARE)))
    assert len(part.nuclei) == 1
    assert part.notes == ("left out 2 objects that are no points or polygons",)


def test_an_outline_round_others_is_a_region(tmp_path):
    tissue = outline([[0, 0], [90, 0], [90, 90], [0, 90]])
    other = outline(np.array(SQUARE) + 40)
    (part,) = read_nuclei(zipped(tmp_path / "a.zip", tissue, outline(SQUARE), other))
    assert len(part.nuclei) == 2
    assert part.notes == ("left out 1 outlines of regions round nuclei",)


def test_masks_come_back_from_the_border_pixels_that_cellpose_writes(tmp_path):
    from skimage.segmentation import find_boundaries

    rows, columns = np.mgrid[:40, :50]
    mask = (columns - 20) ** 2 / 100 + (rows - 18) ** 2 / 49 <= 1
    y, x = np.nonzero(find_boundaries(mask, connectivity=1, mode="inner"))
    turn = np.argsort(np.arctan2(y - 18, x - 20))
    border = np.stack([x, y], axis=1)[turn].astype(np.int32)
    path = zipped(tmp_path / "a_rois.zip", ImagejRoi.frompoints(border))
    (part,) = read_nuclei(path)
    (marked,) = part.nuclei
    assert (part.image, source_of(part)) == ("a", "Cellpose")
    back = label_image([marked.nucleus.mask], *mask.shape)
    assert np.array_equal(back, mask)


def test_a_zip_is_found_by_its_name_and_another_zip_is_passed_over(tmp_path):
    zipped(tmp_path / "a_rois.zip", outline(SQUARE), more={"__MACOSX/._0000.roi": b"mac"})
    zipped(tmp_path / "images.zip", more={"b.png": b"pixels"})
    found = nuclei_files(tmp_path)
    assert found == {"a": tmp_path / "a_rois.zip"}
    assert stem_of(tmp_path / "a.roi") == "a"
    assert len(nuclei_of(found["a"])) == 1


def many_points(count):
    data = bytearray(outline(SQUARE).tobytes())
    struct.pack_into(">Hi", data, 16, 0, count)
    return bytes(data)


def spliced(path):
    """A zip whose directory says that a member lies beyond its end."""
    data = bytearray(zipped(path, outline(SQUARE)).read_bytes())
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 42, 2**31)
    path.write_bytes(data)
    return path


HOSTILE = {
    "no zip": lambda path: path.write_bytes(b"PK"),
    "empty": lambda path: path.write_bytes(b""),
    "no ROIs": lambda path: zipped(path, more={"a.txt": b"x"}),
    "a ROI of nothing": lambda path: zipped(path, b""),
    "a ROI that is none": lambda path: zipped(path, bytes(200)),
    "more corners than bytes": lambda path: zipped(path, many_points(2**31 - 1)),
    "fewer corners than none": lambda path: zipped(path, many_points(-5)),
    "corners that are no numbers": lambda path: zipped(
        path, composite([[1, 1], [np.nan, 3], [4, 4]])
    ),
    "corners beyond all numbers": lambda path: zipped(
        path, composite([[1, 1], [np.inf, 3], [4, 4]])
    ),
    "a path of no steps": lambda path: zipped(path, composite([[1, 1]], [[np.nan, 1], [2, 2]])),
    "a step that there is not": lambda path: zipped(
        path, composite([[1, 1], [2, 2], [3, 1]]).tobytes().replace(b"\x3f\x80\0\0", b"\x41\0\0\0")
    ),
    "packed in a way that nobody bounds": lambda path: zipped(
        path, outline(SQUARE), packed=zipfile.ZIP_LZMA
    ),
    "members that are not there": spliced,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_rois_are_an_error_that_names_its_file(make, tmp_path):
    make(tmp_path / "a.zip")
    with pytest.raises(RecordError, match=r"^a\.zip"):
        read_nuclei(tmp_path / "a.zip")


def test_a_zip_that_would_unpack_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej_rois, "MAX_BYTES", 10**6)
    bomb = outline(SQUARE).tobytes() + bytes(700_000)
    path = zipped(tmp_path / "a.zip", bomb, bomb, bomb)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(RecordError, match="would unpack to 2100438 bytes"):
        read_nuclei(path)


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej_rois, "MAX_BYTES", 500)
    path = tmp_path / "a.roi"
    path.write_bytes(outline(SQUARE).tobytes() + bytes(500))
    with pytest.raises(RecordError, match=r"a\.roi has \d+ bytes; expected ROIs, at most 500"):
        read_nuclei(path)


def test_parts_without_number_are_refused_before_they_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej_rois, "MAX_STEPS", 20)
    triangles = [[[i, 0], [i + 1, 0], [i, 1]] for i in range(9)]
    path = zipped(tmp_path / "a.zip", composite(*triangles))
    with pytest.raises(RecordError, match="A ROI has 9 parts, too many"):
        read_nuclei(path)


def test_a_file_that_is_locked_by_a_password_is_an_error(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.roi", outline(SQUARE).tobytes())
    data = bytearray(file.getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(RecordError, match=r"a\.zip: ROI 1 cannot be read"):
        read_nuclei(tmp_path / "a.zip")
