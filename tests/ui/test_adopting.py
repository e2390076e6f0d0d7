"""Images that come in as napari invites are reviewed in place, or a notice says why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from napari.layers._source import Source, layer_source
from PIL import Image as PILImage

from napari_nunext.images import open_image
from napari_nunext.ui.canvas.adopting import Adopter
from napari_nunext.ui.canvas.foreign import Picture
from napari_nunext.ui.canvas.layers import is_placed
from napari_nunext.ui.napari_versions import camera_of
from napari_nunext.ui.samples import SOURCE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_nunext.ui.app import App
    from tests.ui.conftest import QuickApp

HEIGHT_PX, WIDTH_PX = 60, 80


@dataclass
class Window:
    """A canvas whose guests are adopted; copies are saved in a folder."""

    app: QuickApp
    adopter: Adopter
    folder: Path

    def add(self, layer: Layer) -> Layer:
        self.app.viewer.add_layer(layer)
        self.adopter.flush()
        self.app.canvas.flush()
        return layer

    @property
    def words(self) -> str:
        notice = self.app.controller.model.notice
        return "" if notice is None else notice.words

    @property
    def open_name(self) -> str:
        return self.app.controller.images.model.open_field.entry.name

    def press(self) -> None:
        self.app.controller.model.notice.action()
        self.adopter.flush()
        self.app.canvas.flush()


@pytest.fixture
def window(quick_app: QuickApp, tmp_path: Path) -> Iterator[Window]:
    folder = tmp_path / "copies"
    folder.mkdir()
    adopter = Adopter(
        quick_app.viewer, quick_app.controller, quick_app.canvas, lambda name: folder / name
    )
    yield Window(quick_app, adopter, folder)
    adopter.disconnect()


def read_from(path: Path, data: NDArray[np.generic], reader: str = "napari", **kw: object) -> Image:
    """A layer as napari makes it of a file."""
    layer = Image(data, name=path.stem, **kw)
    layer._set_source(Source(path=str(path), reader_plugin=reader))
    return layer


def pixels(rng: np.random.Generator, *shape: int, dtype: str = "uint8") -> NDArray[np.generic]:
    return rng.integers(0, 255, shape).astype(dtype)


def write(path: Path, kind: str, rng: np.random.Generator) -> NDArray[np.generic]:
    """A file of a kind, and what napari's own reader makes of it."""
    grey, planar = (HEIGHT_PX, WIDTH_PX), (3, HEIGHT_PX, WIDTH_PX)
    match kind:
        case "rgb":
            data = pixels(rng, *grey, 3)
            PILImage.fromarray(data).save(path)
        case "grey":
            data = pixels(rng, *grey)
            PILImage.fromarray(data).save(path)
        case "16 bit":
            data = pixels(rng, *grey, dtype="uint16") * 200
            tifffile.imwrite(path, data)
        case "float":
            data = pixels(rng, *grey, dtype="float32") / 255
            tifffile.imwrite(path, data)
        case "planar":
            data = pixels(rng, *planar)
            tifffile.imwrite(path, data, photometric="rgb", planarconfig="separate")
        case "CYX":
            data = pixels(rng, *planar)
            tifffile.imwrite(
                path, data, ome=True, photometric="minisblack", metadata={"axes": "CYX"}
            )
        case _:
            raise AssertionError(kind)
    return data


KINDS = ["rgb", "grey", "16 bit", "float", "planar", "CYX"]


@pytest.mark.parametrize("kind", KINDS)
def test_canvas_drop_ignored(
    window: Window, kind: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / ("new.png" if kind in ("rgb", "grey") else "new.tif")
    layer = window.add(read_from(path, write(path, kind, rng), rgb=kind == "rgb"))
    assert window.open_name == path.name
    assert layer not in window.app.viewer.layers
    image = window.app.canvas.image
    np.testing.assert_array_equal(image.data, open_image(path).rgb)
    assert all(is_placed(ours, 0.5) for ours in window.app.viewer.layers)
    assert window.app.viewer.layers.selection.active.name == "Nuclei"


def test_several_files_at_once_are_all_in_the_queue(
    window: Window, tmp_path: Path, rng: np.random.Generator
) -> None:
    for name in ("a.png", "b.png"):
        path = tmp_path / name
        window.app.viewer.add_layer(read_from(path, write(path, "rgb", rng), rgb=True))
    window.adopter.flush()
    assert [i.name for i in window.app.controller.images.model.queue.items] == [
        "tile.png",
        "a.png",
        "b.png",
    ]
    assert window.open_name == "a.png"
    assert len(window.app.viewer.layers) == 3


def test_a_file_that_is_in_the_queue_is_gone_to(
    window: Window, tmp_path: Path, tile: Callable[[str], Path]
) -> None:
    window.app.controller.open.paths([tile("second.png")])
    for name in ("tile.png", "tile.png", "second.png"):
        data = np.zeros((8, 8, 3), np.uint8)
        window.add(read_from(tmp_path / name, data, rgb=True))
        assert window.open_name == name
        assert len(window.app.viewer.layers) == 3
    assert len(window.app.controller.images.model.queue.items) == 2


def test_what_the_review_cannot_read_stays_and_is_told_why(
    window: Window, tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "cells.npy"
    np.save(path, np.zeros((8, 8)))
    layer = window.add(read_from(path, np.zeros((8, 8))))
    assert "cells.npy is not a PNG, JPEG, TIFF, " in window.words
    assert layer in window.app.viewer.layers
    assert layer.visible
    assert window.open_name == "tile.png"


def test_our_samples_are_reviewed(window: Window, tile: Callable[[str], Path]) -> None:
    path = tile("sample.png")
    layer = Image(
        np.zeros((8, 8, 3), np.uint8), rgb=True, metadata={SOURCE_KEY: str(path)}, name="Sample"
    )
    window.add(layer)
    assert window.open_name == "sample.png"
    assert len(window.app.viewer.layers) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_is_saved_with_all_it_holds_and_reviewed(
    window: Window, kind: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = write(tmp_path / "unused.tif", kind, rng)
    labels = {"axis_labels": ("c", "y", "x")} if kind == "CYX" else {}
    layer = window.add(
        Image(data, name="my / array", rgb=kind == "rgb", scale=[0.25] * 2, units=["um"] * 2)
        if data.ndim == 2 or kind == "rgb"
        else Image(data, name="my / array", **labels)
    )
    assert layer in window.app.viewer.layers
    assert "Save it as a file" in window.words
    window.press()
    assert window.open_name == "my _ array.tif"
    assert layer not in window.app.viewer.layers
    whole = np.moveaxis(data, 0, -1) if kind in ("planar", "CYX") else data
    np.testing.assert_array_equal(tifffile.imread(window.folder / "my _ array.tif"), whole)
    mpp = window.app.controller.images.model.open_field.entry.mpp
    assert mpp == pytest.approx(0.25 if data.ndim == 2 or kind == "rgb" else 0.5)


def test_of_a_stack_the_plane_that_is_shown_is_reviewed(
    window: Window, rng: np.random.Generator, tmp_path: Path
) -> None:
    data = pixels(rng, 12, HEIGHT_PX, WIDTH_PX)
    layer = window.add(read_from(tmp_path / "stack.tif", data))
    assert "stack of 12 planes" in window.words
    window.app.viewer.dims.set_current_step(0, 7)
    window.press()
    assert window.open_name == "stack.tif", window.words
    np.testing.assert_array_equal(window.app.canvas.image.data[..., 0], data[7])
    assert window.app.viewer.layers.index(layer) == 0
    assert layer.visible
    assert all(is_placed(ours, 0.5) for ours in window.app.canvas.layers())


def test_another_reader_s_layer_is_left_as_it_is(
    window: Window, tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "new.tif"
    data = write(path, "16 bit", rng)
    layer = window.add(read_from(path, data * 2, reader="another"))
    assert layer in window.app.viewer.layers
    assert layer.visible
    assert "Save it as a file" in window.words
    assert window.open_name == "tile.png"


def test_what_is_made_of_the_image_is_no_news(window: Window) -> None:
    side = window.app.controller.images.model.open_field.entry.width_px
    window.add(Image(np.zeros((side, side)), name="probability"))
    with layer_source(parent=window.app.canvas.image):
        window.add(Image(np.zeros((8, 8)), name="copy"))
    assert window.words == ""
    assert len(window.app.viewer.layers) == 5


def test_nobody_s_layer_takes_the_unit_from_the_scale_bar(window: Window) -> None:
    flat = window.add(Image(np.zeros((8, 8))))
    deep = window.add(Image(np.zeros((4, 8, 8)), scale=(1, 2, 2)))
    assert window.app.viewer.layers.units is not None
    assert tuple(flat.scale) == (1, 1)
    assert tuple(deep.scale) == (1, 2, 2)


def test_the_step_of_a_stack_counts_from_the_last_axis(rng: np.random.Generator) -> None:
    data = pixels(rng, 2, 5, HEIGHT_PX, WIDTH_PX, dtype="uint16")
    picture = Picture.of(Image(data))
    assert picture.planes == 10
    np.testing.assert_array_equal(picture.plane((1, 4, 0, 0)), data[1, 4])
    np.testing.assert_array_equal(picture.plane((9, 1, 4, 0, 0)), data[1, 4])
    rgb = Picture.of(Image(pixels(rng, 5, HEIGHT_PX, WIDTH_PX, 3), rgb=True))
    assert rgb.plane((3, 0, 0)).shape == (HEIGHT_PX, WIDTH_PX, 3)


@pytest.mark.parametrize("kind", ["grey", "CYX"])
def test_opened_by_napari_in_the_window_it_fills_the_canvas(
    app: App, kind: str, tmp_path: Path, rng: np.random.Generator, spin: Callable[..., None]
) -> None:
    path = tmp_path / ("new.png" if kind == "grey" else "new.ome.tif")
    write(path, kind, rng)
    app.viewer.open(str(path), plugin="napari")
    spin(lambda: app.controller.images.model.open_field.entry.name == path.name)
    spin(lambda: len(app.viewer.layers) == 3)
    assert [layer.name for layer in app.viewer.layers] == [path.name, "Outlines", "Nuclei"]
    assert app.viewer.layers.units is not None
    # As if nothing but the image had ever been there.
    camera = camera_of(app.viewer)
    zoom, center = camera.zoom, camera.center
    app.viewer.reset_view()
    assert center == pytest.approx(camera.center)
    assert zoom == pytest.approx(camera.zoom)
